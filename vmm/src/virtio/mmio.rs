//! virtio over MMIO (virtio 1.2, section 4.2): the registers of one slot, in
//! version 2 (section 4.2.2) and in the legacy version 1 (section 4.2.4).
//!
//! The specification wants words for control registers and any width for the
//! configuration space. The rest is as on QEMU 7.2: a doubleword is two words,
//! a narrower access to a control register reads zero and writes nothing, and
//! behind 512 bytes there is nothing.

#[cfg(test)]
mod tests;

use alloc::vec;
use alloc::vec::Vec;

use trapeze_protocol::device::Status;
use trapeze_protocol::queue as layout;

use super::function::{Function, Interface, InterruptStatus};
use super::queue::{MAX_SIZE, Place};
use super::{AnyDevice, Device};
use crate::addr::{Gpa, to_usize};
use crate::bus::{AccessFault, Width};
use crate::mem::GuestRam;

const MAGIC_VALUE: u64 = 0x00;
const VERSION: u64 = 0x04;
const DEVICE_ID: u64 = 0x08;
const VENDOR_ID: u64 = 0x0c;
const DEVICE_FEATURES: u64 = 0x10;
const DEVICE_FEATURES_SEL: u64 = 0x14;
const DRIVER_FEATURES: u64 = 0x20;
const DRIVER_FEATURES_SEL: u64 = 0x24;
const GUEST_PAGE_SIZE: u64 = 0x28;
const QUEUE_SEL: u64 = 0x30;
const QUEUE_NUM_MAX: u64 = 0x34;
const QUEUE_NUM: u64 = 0x38;
const QUEUE_ALIGN: u64 = 0x3c;
const QUEUE_PFN: u64 = 0x40;
const QUEUE_READY: u64 = 0x44;
const QUEUE_NOTIFY: u64 = 0x50;
const INTERRUPT_STATUS: u64 = 0x60;
const INTERRUPT_ACK: u64 = 0x64;
const STATUS: u64 = 0x70;
const QUEUE_DESC_LOW: u64 = 0x80;
const QUEUE_DESC_HIGH: u64 = 0x84;
const QUEUE_DRIVER_LOW: u64 = 0x90;
const QUEUE_DRIVER_HIGH: u64 = 0x94;
const QUEUE_DEVICE_LOW: u64 = 0xa0;
const QUEUE_DEVICE_HIGH: u64 = 0xa4;
const CONFIG_GENERATION: u64 = 0xfc;
/// Length and base of a shared memory region; we have none (section 4.2.2).
const SHM_LEN_LOW: u64 = 0xb0;
const SHM_BASE_HIGH: u64 = 0xbc;
/// First byte of the configuration space.
const CONFIG: u64 = 0x100;
/// Where a slot ends.
const END: u64 = 0x200;

/// "virt"
const MAGIC: u32 = 0x7472_6976;
/// "QEMU": kernels made for QEMU's machine, as xv6, look for it.
const VENDOR: u32 = 0x554d_4551;

/// What legacy page size and alignment are until the driver says.
const LEGACY_PAGE: u32 = 4096;

/// The version of the register layout.
pub use super::function::Interface as Version;

/// A queue as far as the driver has described it.
#[derive(Clone, Copy)]
struct Setup {
    place: Place,
    /// Legacy: page number, and alignment of the used ring.
    frame: u32,
    align: u32,
}

impl Default for Setup {
    fn default() -> Self {
        Self { place: Place::default(), frame: 0, align: LEGACY_PAGE }
    }
}

/// A slot with a device.
pub struct Mmio<D = AnyDevice> {
    function: Function<D>,
    version: Version,
    setups: Vec<Setup>,
    device_features_sel: u32,
    driver_features_sel: u32,
    queue_sel: usize,
    /// Legacy: bytes in a page.
    page_size: u32,
}

impl<D: Device> Mmio<D> {
    /// A slot of `version` with `device`.
    pub fn new(version: Version, device: D) -> Self {
        let setups = vec![Setup::default(); device.queues()];
        Self {
            function: Function::new(device, version),
            version,
            setups,
            device_features_sel: 0,
            driver_features_sel: 0,
            queue_sel: 0,
            page_size: LEGACY_PAGE,
        }
    }

    /// As at power-on, but see [`Function::busy`].
    pub fn reset(&mut self) {
        self.function.reset();
        self.setups.fill(Setup::default());
        (self.device_features_sel, self.driver_features_sel) = (0, 0);
        (self.queue_sel, self.page_size) = (0, LEGACY_PAGE);
    }

    /// What is behind the registers.
    pub fn function(&self) -> &Function<D> {
        &self.function
    }

    /// Whether the interrupt line is up.
    #[inline]
    pub fn interrupt(&self) -> bool {
        !self.function.interrupt().is_empty()
    }

    /// Goes on with what is under way: see [`Function::poll`].
    pub fn complete(&mut self, ram: &GuestRam) {
        self.function.poll(ram);
    }

    /// Reads a register.
    #[inline]
    pub fn read(&self, offset: u64, width: Width) -> Result<u64, AccessFault> {
        match (offset, width) {
            (0..CONFIG, Width::Word) => Ok(self.read_control(offset).into()),
            (0..CONFIG, Width::Double) => {
                let (low, high) = (self.read_control(offset), self.read_control(offset + 4));
                Ok(u64::from(high) << 32 | u64::from(low))
            }
            (0..CONFIG, Width::Byte | Width::Half) => Ok(0),
            (CONFIG..END, _) => Ok(self.read_config(offset - CONFIG, width)),
            _ => Err(AccessFault),
        }
    }

    fn read_control(&self, offset: u64) -> u32 {
        let legacy = self.version == Interface::Legacy;
        match offset {
            MAGIC_VALUE => MAGIC,
            VERSION => 1 + u32::from(!legacy),
            DEVICE_ID => self.function.device().kind() as u32,
            VENDOR_ID => VENDOR,
            DEVICE_FEATURES => word(self.function.offered(), self.device_features_sel),
            QUEUE_NUM_MAX if self.queue_ready().is_some() => MAX_SIZE.into(),
            QUEUE_PFN if legacy => self.setups.get(self.queue_sel).map_or(0, |setup| setup.frame),
            QUEUE_READY if !legacy => self.queue_ready().unwrap_or(false).into(),
            INTERRUPT_STATUS => self.function.interrupt().bits(),
            STATUS => word(self.function.status().bits(), 0),
            SHM_LEN_LOW..=SHM_BASE_HIGH if !legacy => u32::MAX,
            CONFIG_GENERATION if !legacy => self.function.generation(),
            _ => 0,
        }
    }

    /// Whether the selected queue is there, and whether it is in use.
    fn queue_ready(&self) -> Option<bool> {
        self.function.queue_ready(self.queue_sel)
    }

    /// Bytes of the configuration space; ones where there are none.
    fn read_config(&self, offset: u64, width: Width) -> u64 {
        let mut bytes = [0xff; 8];
        let there = self.function.config().get(to_usize(offset)..).unwrap_or_default();
        bytes.iter_mut().zip(there).for_each(|(byte, value)| *byte = *value);
        u64::from_le_bytes(bytes) & width.mask()
    }

    /// Writes a register. Writes that the specification has no meaning for
    /// do nothing.
    pub fn write(
        &mut self,
        offset: u64,
        width: Width,
        value: u64,
        ram: &GuestRam,
    ) -> Result<(), AccessFault> {
        match (offset, width) {
            (0..CONFIG, Width::Word) => self.write_control(offset, word(value, 0), ram),
            (0..CONFIG, Width::Double) => {
                self.write_control(offset, word(value, 0), ram);
                self.write_control(offset + 4, word(value, 1), ram);
            }
            (0..CONFIG, _) => {}
            (CONFIG..END, _) => self.write_config(offset - CONFIG, width, value),
            _ => return Err(AccessFault),
        }
        Ok(())
    }

    /// What the device does not take is lost (section 2.5).
    fn write_config(&mut self, offset: u64, width: Width, value: u64) {
        let bytes = value.to_le_bytes();
        let written = bytes.get(..to_usize(width.bytes())).unwrap_or_default();
        self.function.write_config(offset, written);
    }

    fn write_control(&mut self, offset: u64, value: u32, ram: &GuestRam) {
        match offset {
            DEVICE_FEATURES_SEL => self.device_features_sel = value,
            DRIVER_FEATURES => self.function.accept(self.driver_features_sel, value),
            DRIVER_FEATURES_SEL => self.driver_features_sel = value,
            QUEUE_SEL => self.queue_sel = index(value),
            QUEUE_NOTIFY => self.function.notify(index(value), ram),
            INTERRUPT_ACK => {
                self.function.acknowledge(InterruptStatus::from_bits_truncate(value));
            }
            STATUS => self.write_status(value),
            _ if self.version == Interface::Legacy => self.write_legacy(offset, value, ram),
            _ => self.write_modern(offset, value, ram),
        }
    }

    fn write_status(&mut self, value: u32) {
        // Bits 31 to 8 are reserved.
        let status = u64::from(value & 0xff);
        if status == 0 {
            // The page size stays: Linux writes it first.
            self.setups.fill(Setup::default());
        }
        self.function.set_status(Status::from_bits_retain(status));
    }

    /// The selected queue, as long as it is not in use.
    fn setup(&mut self) -> Option<&mut Setup> {
        if self.queue_ready()? {
            return None;
        }
        self.setups.get_mut(self.queue_sel)
    }

    fn write_modern(&mut self, offset: u64, value: u32, ram: &GuestRam) {
        if offset == QUEUE_READY {
            return self.set_ready(value & 1 != 0, ram);
        }
        let Some(Setup { place, .. }) = self.setup() else { return };
        match offset {
            QUEUE_NUM => place.size = queue_size(value),
            QUEUE_DESC_LOW => set_low(&mut place.descriptors, value),
            QUEUE_DESC_HIGH => set_high(&mut place.descriptors, value),
            QUEUE_DRIVER_LOW => set_low(&mut place.avail, value),
            QUEUE_DRIVER_HIGH => set_high(&mut place.avail, value),
            QUEUE_DEVICE_LOW => set_low(&mut place.used, value),
            QUEUE_DEVICE_HIGH => set_high(&mut place.used, value),
            _ => {}
        }
    }

    fn set_ready(&mut self, ready: bool, ram: &GuestRam) {
        match (ready, self.setup().map(|setup| setup.place)) {
            (true, Some(place)) => self.function.enable(self.queue_sel, place, ram),
            (false, _) => self.function.disable(self.queue_sel),
            // In use already, or not there.
            (true, None) => {}
        }
    }

    fn write_legacy(&mut self, offset: u64, value: u32, ram: &GuestRam) {
        match offset {
            GUEST_PAGE_SIZE => self.page_size = value,
            QUEUE_PFN => self.set_frame(value, ram),
            QUEUE_NUM | QUEUE_ALIGN => {
                let Some(setup) = self.setup() else { return };
                match offset {
                    QUEUE_NUM => setup.place.size = queue_size(value),
                    _ => setup.align = value,
                }
            }
            _ => {}
        }
    }

    /// The driver tells the page of a queue, and so starts it; zero stops it.
    fn set_frame(&mut self, frame: u32, ram: &GuestRam) {
        self.function.disable(self.queue_sel);
        let page_size = self.page_size;
        if let Some(setup) = self.setup() {
            setup.frame = frame;
            if frame != 0 {
                let place = legacy_place(u64::from(frame) * u64::from(page_size), *setup);
                self.function.enable(self.queue_sel, place, ram);
            }
        }
    }
}

/// A legacy queue is one piece of memory (section 2.7.2): descriptors,
/// available ring and, aligned, the used ring.
fn legacy_place(base: u64, setup: Setup) -> Place {
    let size = setup.place.size;
    let avail = base.wrapping_add(layout::descriptors_len(size));
    let end = avail.wrapping_add(layout::avail_len(size));
    // An alignment that is none places the ring where it is refused.
    let used = end.checked_next_multiple_of(setup.align.into()).unwrap_or(u64::MAX);
    Place { size, descriptors: Gpa(base), avail: Gpa(avail), used: Gpa(used) }
}

/// Word `number` of a doubleword; there are two.
fn word(value: u64, number: u32) -> u32 {
    let value = value.checked_shr(number.saturating_mul(32)).unwrap_or(0);
    u32::try_from(value & u64::from(u32::MAX)).unwrap_or(0)
}

fn set_low(address: &mut Gpa, value: u32) {
    address.0 = address.0 & !u64::from(u32::MAX) | u64::from(value);
}

fn set_high(address: &mut Gpa, value: u32) {
    address.0 = address.0 & u64::from(u32::MAX) | u64::from(value) << 32;
}

/// A number of a queue; one that is too large names none.
fn index(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// A size of a queue; one that is too large is as wrong as zero.
fn queue_size(value: u32) -> u16 {
    u16::try_from(value).unwrap_or(0)
}

/// What an empty slot reads as: a device of type 0 (section 4.2.2.1).
pub fn read_empty(offset: u64, width: Width) -> u64 {
    let value = match offset {
        MAGIC_VALUE => MAGIC,
        VERSION => 2,
        VENDOR_ID => VENDOR,
        _ => 0,
    };
    u64::from(value) & width.mask()
}
