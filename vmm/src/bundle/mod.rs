//! The bundle: all that the host tool tells the VMM, in one file.
//!
//! QEMU loads it as the initrd. It begins with a flattened device tree that
//! is the configuration, padded to a page; the images that the tree refers to
//! follow, each at a page boundary. `docs/bundle.md` describes the format for
//! readers of other languages. This module is its one definition: the VMM
//! decodes ([`Config::parse`]) what the host tool encodes ([`Config::place`],
//! [`Config::header`]).

mod decode;
mod encode;
#[cfg(test)]
mod tests;

use alloc::string::String;
use alloc::vec::Vec;

pub use decode::Error;

use crate::net::Mac;

/// `compatible` of the root node.
pub const COMPATIBLE: &str = "trapeze,bundle-v1";
/// Payloads begin at multiples of this, in bytes.
pub const ALIGN: u64 = PAGE as u64;
const PAGE: usize = 4096;
/// Guest memory is a multiple of this, so that superpages can map all of it.
pub const MEMORY_UNIT: u64 = 2 << 20;
/// vCPUs per guest: what the emulated CLINT and PLIC have room for.
pub const MAX_CPUS: u32 = 8;
/// Guests per machine.
pub const MAX_GUESTS: usize = 8;
/// Images that overlays share.
pub const MAX_IMAGES: usize = 64;
/// Room for what one guest writes to its overlays, together: the VMM keeps a
/// book of it on its heap.
pub const MAX_ROOM: u64 = 512 << 20;
/// Disks per guest: one per virtio-mmio slot of the machine we present.
pub const MAX_DISKS: usize = 8;
/// The last PCI device that a guest can own: no two of them share an interrupt.
pub const MAX_PCI: u8 = 4;
/// Real devices that one guest owns.
pub const MAX_PASSED: usize = 8;

/// Statuses with which the VMM ends QEMU, through the finisher of the machine.
pub mod status {
    /// All guests powered off cleanly.
    pub const PASS: u8 = 0;
    /// A guest wrote a failure to its finisher: 1 to this are its own code,
    /// and any code that does not fit becomes this one.
    pub const GUEST_FAILURE_MAX: u8 = 99;
    /// A guest keeps resetting, or traps in a loop without a handler, or was
    /// reset although that is to end it.
    pub const RESET_LOOP: u8 = 100;
    /// The VMM itself failed: always our bug.
    pub const PANIC: u8 = 101;
    /// The bundle is not valid, or asks for more than the machine has.
    pub const BAD_BUNDLE: u8 = 102;

    /// The status for a guest's failure `code`.
    pub fn of_guest_failure(code: u32) -> u8 {
        match u8::try_from(code) {
            Ok(code @ 1..=GUEST_FAILURE_MAX) => code,
            Ok(0) => 1,
            _ => GUEST_FAILURE_MAX,
        }
    }
}

bitflags::bitflags! {
    /// Kinds of exits, to select what is traced.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Causes: u32 {
        /// CSR instructions, other than writes of `satp`.
        const CSR = 1 << 0;
        /// `sret`.
        const SRET = 1 << 1;
        /// `mret`.
        const MRET = 1 << 2;
        /// `sfence.vma` and `fence.i`.
        const FENCE = 1 << 3;
        /// Writes of `satp`.
        const SATP = 1 << 4;
        /// `wfi`.
        const WFI = 1 << 5;
        /// Faults that fill a shadow page table.
        const SHADOW = 1 << 6;
        /// Page faults handed to the guest.
        const FAULT = 1 << 7;
        /// All other exceptions handed to the guest, `ecall` from vU included.
        const TRAP = 1 << 8;
        /// Accesses to emulated devices.
        const DEVICE = 1 << 9;
        /// SBI calls.
        const SBI = 1 << 10;
        /// Hypercalls of the paravirtual protocol.
        const PV = 1 << 11;
        /// Interrupts: real ones that arrive, virtual ones that are delivered.
        const INTERRUPT = 1 << 12;
        /// First use of the floating-point registers.
        const FLOAT = 1 << 13;
    }
}

/// The whole configuration of one run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Config {
    /// Exits to trace on the log port; empty: none.
    pub trace: Causes,
    /// End the trace after this many lines; `None`: never.
    pub trace_limit: Option<u64>,
    /// The byte that calls the monitor; `None`: nothing does.
    pub escape: Option<u8>,
    /// Images that overlays refer to by number.
    pub images: Vec<Extent>,
    /// The guests, in the order in which the user named them.
    pub guests: Vec<Guest>,
}

/// One guest.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Guest {
    /// Name for messages and statistics.
    pub name: String,
    /// RAM in bytes, a multiple of [`MEMORY_UNIT`].
    pub memory: u64,
    /// Number of vCPUs, 1 to [`MAX_CPUS`].
    pub cpus: u32,
    /// How vS and vU are run.
    pub cpu_mode: CpuMode,
    /// The mode in which the kernel starts.
    pub boot: Boot,
    /// Command line of the kernel.
    pub bootargs: String,
    /// The kernel: ELF file or Linux `Image`.
    pub kernel: Extent,
    /// The initial RAM disk of the guest.
    pub initrd: Option<Extent>,
    /// Its disks; number K is in virtio-mmio slot K.
    pub disks: Vec<Disk>,
    /// Its network interface; with registers, in the slot behind the disks.
    pub net: Option<Net>,
    /// Devices of the real machine that are its own; those with virtio-mmio
    /// registers are in the slots behind disks and network interface.
    pub passed: Vec<Passed>,
    /// A reset ends the guest, and is a failure.
    pub no_reboot: bool,
    /// The console that it has besides the paravirtual one.
    pub console: ConsoleModel,
    /// The source of random bytes that it has besides the paravirtual one.
    pub rng: RngModel,
    /// It has a balloon, and is asked for this many bytes of its memory.
    pub balloon: Option<u64>,
}

/// A disk of a guest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Disk {
    /// The device that the guest sees.
    pub model: DiskModel,
    /// Where its sectors are.
    pub backend: Backend,
    /// Whether the guest is told that it can't write.
    pub read_only: bool,
}

/// The device as which a guest sees a disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DiskModel {
    /// virtio-blk behind emulated MMIO registers.
    VirtioMmio(MmioVersion),
    /// Paravirtual: virtio queues without registers.
    Pv,
    /// An emulated ATA drive.
    Ata {
        /// Whether copy loops at its data port are carried on in one exit.
        burst: bool,
    },
}

/// The emulated console of a guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ConsoleModel {
    /// The UART, which all guests have.
    #[default]
    Uart,
    /// The UART, and virtio-console in the last free virtio-mmio slot.
    VirtioMmio,
}

/// The emulated source of random bytes of a guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum RngModel {
    /// None.
    #[default]
    None,
    /// virtio-rng in the last virtio-mmio slot that is left.
    VirtioMmio,
}

/// The network interface of a guest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Net {
    /// The device that the guest sees.
    pub model: NetModel,
    /// Its address, of one interface.
    pub mac: Mac,
    /// Whether it reaches QEMU's network; if not, other guests only.
    pub uplink: bool,
}

/// The device as which a guest sees its network interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NetModel {
    /// virtio-net behind emulated MMIO registers.
    VirtioMmio(MmioVersion),
    /// Paravirtual: virtio queues without registers.
    Pv,
}

/// The two register layouts of virtio-mmio (Virtio 1.2, 4.2.2 and 4.2.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum MmioVersion {
    /// `Version` reads 1: before Virtio 1.0.
    Legacy,
    /// `Version` reads 2.
    #[default]
    Modern,
}

/// Where the sectors of a disk are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Backend {
    /// A virtio-blk device of the real machine.
    Qemu {
        /// The serial number by which the VMM finds the device.
        serial: String,
    },
    /// RAM that starts as a copy of this part of the bundle.
    Ram(Extent),
    /// What the guest writes is kept in RAM, over a base that stays as it is.
    Overlay {
        /// The base.
        base: Base,
        /// Bytes that there is room for.
        room: u64,
    },
}

/// What lies below an overlay.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Base {
    /// The image of that number, which other overlays may share.
    Image(u32),
    /// A virtio-blk device of the real machine, as in [`Backend::Qemu`].
    Qemu {
        /// Its serial number.
        serial: String,
    },
}

impl Disk {
    /// The serial number of the real disk that it needs.
    pub fn serial(&self) -> Option<&str> {
        match &self.backend {
            Backend::Qemu { serial } | Backend::Overlay { base: Base::Qemu { serial }, .. } => {
                Some(serial)
            }
            Backend::Ram(_) | Backend::Overlay { base: Base::Image(_), .. } => None,
        }
    }
}

/// A device of the real machine that belongs to a guest, and to nobody else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Passed {
    /// Which one.
    pub device: RealDevice,
    /// What holds its accesses to memory.
    pub dma: Dma,
}

/// Where the real machine has a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RealDevice {
    /// In the virtio-mmio slot of that number.
    VirtioMmio {
        /// Below [`VIRTIO_SLOTS`](crate::bus::VIRTIO_SLOTS).
        slot: u8,
    },
    /// On PCI bus 0, function 0 of the device of that number.
    Pci {
        /// From 1 to [`MAX_PCI`].
        device: u8,
    },
}

/// What keeps a guest's device within the guest's memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Dma {
    /// The VMM does: the device sees only what it has checked.
    #[default]
    Mediated,
    /// Nothing does: the guest has its memory at its real address, and its
    /// device does what the guest says.
    Trusted,
    /// The IOMMU does: what the device says is an address of the guest's.
    Iommu,
}

impl Guest {
    /// Whether its memory is at its real address.
    pub fn is_identity(&self) -> bool {
        self.passed.iter().any(|passed| passed.dma == Dma::Trusted)
    }
}

impl Config {
    /// All devices that belong to guests.
    pub fn passed(&self) -> impl Iterator<Item = Passed> {
        self.guests.iter().flat_map(|guest| guest.passed.iter().copied())
    }
}

/// How the supervisor and user modes of a guest are run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CpuMode {
    /// All modes of the guest in real U-mode.
    #[default]
    Classic,
    /// vS in real S-mode with `mstatus.TVM`.
    Assisted,
}

/// The mode in which a kernel starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Boot {
    /// Decided from the kernel's file.
    #[default]
    Auto,
    /// Virtual machine mode at the start of RAM, without firmware.
    Machine,
    /// Virtual supervisor mode, with the VMM as its SBI.
    Supervisor,
}

/// A part of the bundle; offsets are from the start of the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Extent {
    /// First byte, a multiple of [`ALIGN`].
    pub offset: u64,
    /// Length in bytes.
    pub len: u64,
}

impl Extent {
    /// An extent of `len` bytes that [`Config::place`] has yet to place.
    pub fn unplaced(len: u64) -> Self {
        Self { offset: 0, len }
    }

    /// The bytes themselves, or `None` when the bundle is shorter.
    pub fn of(self, bundle: &[u8]) -> Option<&[u8]> {
        let start = usize::try_from(self.offset).ok()?;
        let end = start.checked_add(usize::try_from(self.len).ok()?)?;
        bundle.get(start..end)
    }
}

/// A value that is written as a word in the tree.
///
/// Each enumeration of the format has one table, used in both directions.
trait Word: Copy + PartialEq + 'static {
    const WORDS: &'static [(&'static str, Self)];

    fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, value)| *value == self).map_or("", |(word, _)| word)
    }

    fn from_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(known, _)| *known == word).map(|(_, value)| *value)
    }
}

impl Word for CpuMode {
    const WORDS: &'static [(&'static str, Self)] =
        &[("classic", Self::Classic), ("assisted", Self::Assisted)];
}

impl Word for Dma {
    const WORDS: &'static [(&'static str, Self)] =
        &[("mediated", Self::Mediated), ("trusted", Self::Trusted), ("iommu", Self::Iommu)];
}

impl Word for Boot {
    const WORDS: &'static [(&'static str, Self)] =
        &[("auto", Self::Auto), ("m", Self::Machine), ("s", Self::Supervisor)];
}

impl Word for ConsoleModel {
    const WORDS: &'static [(&'static str, Self)] =
        &[("uart", Self::Uart), ("virtio-mmio", Self::VirtioMmio)];
}

impl Word for RngModel {
    const WORDS: &'static [(&'static str, Self)] =
        &[("none", Self::None), ("virtio-mmio", Self::VirtioMmio)];
}
