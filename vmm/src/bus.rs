//! The guest-physical address map: is it RAM, and if not, which device?
//!
//! ```text
//!  0x0000_0000  nothing
//!  0x0010_0000  test finisher        4 KiB
//!  0x0010_1000  goldfish RTC         4 KiB   irq 11
//!  0x0200_0000  CLINT               64 KiB
//!  0x0c00_0000  PLIC                 6 MiB
//!  0x1000_0000  UART 16550           4 KiB   irq 10
//!  0x1000_1000  virtio-mmio slots  8 x 4 KiB irq 1 to 8
//!  0x1001_0000  ATA disk             4 KiB   irq 12
//!  0x3000_0000  PCI: configuration    1 MiB   irq 32 to 35
//!  0x4000_0000  PCI: memory           1 GiB
//!  0x8000_0000  RAM, as much as the guest has
//! ```
//!
//! It is the map of QEMU's `virt` machine (`hw/riscv/virt.c`), so that kernels
//! made for that machine boot unmodified; that machine has no ATA disk.
//! Everything else is empty: an access there is an access fault.

use crate::addr::Gpa;

/// How many bytes a load or store moves; the discriminant is the number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
#[repr(u8)]
pub enum Width {
    /// `lb`, `sb`
    Byte = 1,
    /// `lh`, `sh`
    Half = 2,
    /// `lw`, `sw`, AMO and LR/SC `.w`
    Word = 4,
    /// `ld`, `sd`, AMO and LR/SC `.d`
    Double = 8,
}

impl Width {
    /// Every width, narrow to wide.
    pub const ALL: [Width; 4] = [Width::Byte, Width::Half, Width::Word, Width::Double];

    /// The number of bytes.
    #[inline]
    pub const fn bytes(self) -> u64 {
        self as u64
    }

    /// The bits of a 64-bit value that an access of this width moves.
    #[inline]
    pub const fn mask(self) -> u64 {
        u64::MAX >> (64 - 8 * self as u32)
    }
}

/// No device answers: the guest takes a load or store access fault
/// (privileged specification, 3.1.15, causes 5 and 7).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AccessFault;

/// A range of guest-physical addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    /// First address.
    pub base: Gpa,
    /// Size in bytes.
    pub size: u64,
}

impl Window {
    const fn new(base: u64, size: u64) -> Self {
        Self { base: Gpa(base), size }
    }

    /// One past the last address.
    pub const fn end(self) -> Gpa {
        Gpa(self.base.0 + self.size)
    }
}

/// Test finisher.
pub const FINISHER: Window = Window::new(0x0010_0000, 0x1000);
/// Goldfish real-time clock.
pub const RTC: Window = Window::new(0x0010_1000, 0x1000);
/// Core-local interruptor: software interrupts and timer.
pub const CLINT: Window = Window::new(0x0200_0000, 0x1_0000);
/// Platform-level interrupt controller.
pub const PLIC: Window = Window::new(0x0c00_0000, 0x60_0000);
/// 16550 UART; its eight registers are the first bytes.
pub const UART: Window = Window::new(0x1000_0000, 0x1000);
/// All virtio-mmio slots together.
pub const VIRTIO: Window = Window::new(0x1000_1000, VIRTIO_SLOTS as u64 * VIRTIO_STRIDE);
/// ATA disk: the page in which its registers are.
pub const ATA: Window = Window::new(0x1001_0000, 0x1000);
/// Its command block: data port and task file.
pub const ATA_COMMAND: Window = Window::new(ATA.base.0, 8);
/// Its control block: alternate status and device control.
pub const ATA_CONTROL: Window = Window::new(ATA.base.0 + crate::dev::ata::CONTROL, 1);
/// Configuration space of PCI bus 0.
pub const PCI_CONFIG: Window = Window::new(0x3000_0000, 0x10_0000);
/// Where windows of PCI functions can be.
pub const PCI_MEMORY: Window = Window::new(0x4000_0000, 0x4000_0000);
/// First address of RAM.
pub const RAM_BASE: Gpa = Gpa(0x8000_0000);

/// How many virtio-mmio slots there are.
pub const VIRTIO_SLOTS: u8 = 8;
/// Bytes from one virtio-mmio slot to the next.
pub const VIRTIO_STRIDE: u64 = 0x1000;
/// PLIC source of the UART.
pub const UART_IRQ: u32 = 10;
/// PLIC source of the real-time clock.
pub const RTC_IRQ: u32 = 11;
/// PLIC source of the ATA disk.
pub const ATA_IRQ: u32 = 12;

/// The first of the four PLIC sources of PCI functions.
pub const PCI_IRQS: u32 = 32;

/// PLIC source of virtio-mmio slot `slot`.
pub const fn virtio_irq(slot: u8) -> u32 {
    1 + slot as u32
}

/// Where virtio-mmio slot `slot` (below [`VIRTIO_SLOTS`]) lies.
pub const fn virtio_slot(slot: u8) -> Window {
    Window::new(VIRTIO.base.0 + slot as u64 * VIRTIO_STRIDE, VIRTIO_STRIDE)
}

// The windows are in order, apart from each other and below RAM; `find` relies
// on the ones that share a 16 MiB block and on slots that follow the UART.
const _: () = {
    assert!(FINISHER.end().0 == RTC.base.0 && RTC.end().0 < CLINT.base.0);
    assert!(CLINT.end().0 < PLIC.base.0 && PLIC.end().0 < UART.base.0);
    assert!(UART.end().0 == VIRTIO.base.0 && VIRTIO.end().0 < ATA.base.0);
    assert!(ATA.end().0 < PCI_CONFIG.base.0 && ATA.size == VIRTIO_STRIDE);
    assert!(PCI_CONFIG.end().0 < PCI_MEMORY.base.0 && PCI_MEMORY.end().0 == RAM_BASE.0);
    assert!(UART.size == VIRTIO_STRIDE && RTC.size == FINISHER.size);
    assert!(virtio_irq(VIRTIO_SLOTS - 1) < UART_IRQ && UART_IRQ < RTC_IRQ && RTC_IRQ < ATA_IRQ);
};

/// What is at a guest-physical address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Region {
    /// At or above [`RAM_BASE`]; how far memory goes is for
    /// [`GuestRam`](crate::mem::GuestRam) to say.
    Ram,
    /// [`UART`]
    Uart,
    /// [`PLIC`]
    Plic,
    /// [`CLINT`]
    Clint,
    /// [`FINISHER`]
    Finisher,
    /// [`RTC`]
    Rtc,
    /// The virtio-mmio slot of that number, below [`VIRTIO_SLOTS`].
    Virtio(u8),
    /// [`ATA`]
    Ata,
    /// [`PCI_CONFIG`]
    PciConfig,
    /// [`PCI_MEMORY`]
    PciMemory,
    /// Nothing, or an access that is not naturally aligned, which no device
    /// takes: an access fault.
    None,
}

/// What an access at `gpa` reaches, and the offset in bytes within it.
#[inline]
pub fn find(gpa: Gpa, width: Width) -> (Region, u64) {
    if gpa >= RAM_BASE {
        return (Region::Ram, gpa.0 - RAM_BASE.0);
    }
    if !gpa.is_aligned(width.bytes()) {
        return (Region::None, 0);
    }
    match gpa.0 >> 24 {
        0x10 => by_page(gpa.0 - UART.base.0),
        0x0c..0x10 => within(PLIC, Region::Plic, gpa),
        0x30 => within(PCI_CONFIG, Region::PciConfig, gpa),
        0x40..0x80 => within(PCI_MEMORY, Region::PciMemory, gpa),
        0x02 => within(CLINT, Region::Clint, gpa),
        0x00 if gpa >= RTC.base => within(RTC, Region::Rtc, gpa),
        0x00 => within(FINISHER, Region::Finisher, gpa),
        _ => (Region::None, 0),
    }
}

#[inline]
fn within(window: Window, region: Region, gpa: Gpa) -> (Region, u64) {
    match gpa.offset_from(window.base) {
        Some(offset) if offset < window.size => (region, offset),
        _ => (Region::None, 0),
    }
}

/// The number of the ATA disk's page, counted from the UART's.
const ATA_PAGE: u8 = 16;
const _: () = assert!(ATA.base.0 - UART.base.0 == ATA_PAGE as u64 * VIRTIO_STRIDE);

/// The UART, the slots that follow it and the ATA disk, told apart by page.
#[inline]
fn by_page(offset: u64) -> (Region, u64) {
    let in_page = offset % VIRTIO_STRIDE;
    match u8::try_from(offset / VIRTIO_STRIDE) {
        Ok(0) => (Region::Uart, in_page),
        Ok(page) if page <= VIRTIO_SLOTS => (Region::Virtio(page - 1), in_page),
        Ok(ATA_PAGE) => (Region::Ata, in_page),
        _ => (Region::None, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The map as a list, to compare `find` with.
    fn naive(gpa: Gpa) -> (Region, u64) {
        let mut list = vec![
            (FINISHER, Region::Finisher),
            (RTC, Region::Rtc),
            (CLINT, Region::Clint),
            (PLIC, Region::Plic),
            (UART, Region::Uart),
            (ATA, Region::Ata),
            (PCI_CONFIG, Region::PciConfig),
            (PCI_MEMORY, Region::PciMemory),
            (Window { base: RAM_BASE, size: u64::MAX - RAM_BASE.0 }, Region::Ram),
        ];
        list.extend((0..VIRTIO_SLOTS).map(|n| (virtio_slot(n), Region::Virtio(n))));
        list.iter()
            .find(|(window, _)| gpa >= window.base && gpa < window.end())
            .map_or((Region::None, 0), |(window, region)| (*region, gpa.0 - window.base.0))
    }

    #[test]
    fn every_edge_is_where_the_map_says() {
        let edges = [PCI_CONFIG, PCI_MEMORY].map(|window| [window.base.0, window.end().0]);
        let around = edges.into_iter().flatten().flat_map(|edge| [edge - 0x1000, edge]);
        let low = (0..0x2000_0000u64).step_by(0x1000);
        for page in low.chain(around).chain([RAM_BASE.0, 1 << 40]) {
            for gpa in [page, page + 0xff8] {
                assert_eq!(find(Gpa(gpa), Width::Double), naive(Gpa(gpa)), "{gpa:#x}");
            }
        }
        assert_eq!(find(Gpa(u64::MAX), Width::Byte).0, Region::Ram);
    }

    #[test]
    fn devices_take_aligned_accesses_only() {
        assert_eq!(find(Gpa(UART.base.0 + 5), Width::Byte), (Region::Uart, 5));
        assert_eq!(find(Gpa(UART.base.0 + 5), Width::Half), (Region::None, 0));
        assert_eq!(find(Gpa(PLIC.base.0 + 4), Width::Double), (Region::None, 0));
        assert_eq!(find(Gpa(RAM_BASE.0 + 1), Width::Double), (Region::Ram, 1));
    }

    #[test]
    fn masks_cover_the_bytes() {
        let masks = Width::ALL.map(Width::mask);
        assert_eq!(masks, [0xff, 0xffff, 0xffff_ffff, u64::MAX]);
    }
}
