//! virtio over MMIO (virtio 1.2, section 4.2): the registers of one slot, in
//! version 2 and in the legacy version 1.

use super::blk::{self, Blk};
use super::queue::{Broken, Queue};
use crate::addr::Gpa;
use crate::bus::{AccessFault, Width};
use crate::mem::GuestRam;
use trapeze_protocol::queue as layout;

/// What legacy registers assume before the driver says it.
const PAGE: u32 = 4096;
const MAGIC: u32 = 0x7472_6976;
/// "QEMU": xv6 looks for no other.
const VENDOR: u32 = 0x554d_4551;
/// First byte of the configuration space.
const CONFIG: u64 = 0x100;
/// The largest queue that we take.
const QUEUE_MAX: u16 = 256;

const F_INDIRECT_DESC: u64 = 1 << 28;
const F_EVENT_IDX: u64 = 1 << 29;
const F_VERSION_1: u64 = 1 << 32;

/// Device status (section 2.1).
const DRIVER_OK: u32 = 4;
const FEATURES_OK: u32 = 8;
const NEEDS_RESET: u32 = 64;

/// Interrupt status (section 4.2.2).
const USED_BUFFER: u32 = 1;
const CONFIG_CHANGE: u32 = 2;

/// The version of the register layout.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Version {
    /// Version 1 of the registers: page frame numbers.
    Legacy,
    /// Version 2: addresses, and `VIRTIO_F_VERSION_1`.
    Modern,
}

/// A slot with a block device.
pub struct Mmio {
    version: Version,
    device: Blk,
    queue: Queue,
    /// Features that the driver took.
    features: u64,
    select_device: u32,
    select_driver: u32,
    select_queue: u32,
    status: u32,
    interrupt: u32,
    page_size: u32,
    align: u32,
    frame: u32,
}

impl Mmio {
    /// A slot of `version` with `device`.
    pub fn new(version: Version, device: Blk) -> Self {
        Self {
            version,
            device,
            queue: Queue::default(),
            features: 0,
            select_device: 0,
            select_driver: 0,
            select_queue: 0,
            status: 0,
            interrupt: 0,
            page_size: PAGE,
            align: PAGE,
            frame: 0,
        }
    }

    /// Whether the interrupt line is up.
    #[inline]
    pub fn interrupt(&self) -> bool {
        self.interrupt != 0
    }

    /// As at power-on.
    pub fn reset(&mut self) {
        self.device.reset();
        self.queue = Queue::default();
        (self.features, self.status, self.interrupt, self.frame) = (0, 0, 0, 0);
        (self.select_device, self.select_driver, self.select_queue) = (0, 0, 0);
    }

    /// The disk behind the device has completed requests.
    pub fn complete(&mut self, ram: &GuestRam) {
        let done = self.device.complete(&mut self.queue, ram);
        self.raise(done);
    }

    fn raise(&mut self, done: Result<bool, Broken>) {
        match done {
            Ok(true) => self.interrupt |= USED_BUFFER,
            Ok(false) => {}
            Err(Broken) => self.break_down(),
        }
    }

    /// The driver broke the rules: nothing more until a reset (2.1.2).
    fn break_down(&mut self) {
        self.queue.ready = false;
        self.status |= NEEDS_RESET;
        if self.status & DRIVER_OK != 0 {
            self.interrupt |= CONFIG_CHANGE;
        }
    }

    fn offered(&self) -> u64 {
        let modern = if self.version == Version::Modern { F_VERSION_1 } else { 0 };
        self.device.features() | F_INDIRECT_DESC | F_EVENT_IDX | modern
    }

    /// Reads a register: control registers by words, the configuration
    /// space by any width.
    pub fn read(&self, offset: u64, width: Width) -> Result<u64, AccessFault> {
        if offset >= CONFIG {
            return Ok(self.read_config(offset - CONFIG, width));
        }
        if width != Width::Word {
            return Ok(0);
        }
        Ok(self.read_control(offset).into())
    }

    fn read_control(&self, offset: u64) -> u32 {
        match (offset, self.version) {
            (0x00, _) => MAGIC,
            (0x04, Version::Legacy) => 1,
            (0x04, Version::Modern) => 2,
            (0x08, _) => blk::DEVICE_ID,
            (0x0c, _) => VENDOR,
            (0x10, _) => half(self.offered(), self.select_device),
            (0x34, _) if self.select_queue == 0 => QUEUE_MAX.into(),
            (0x40, Version::Legacy) if self.select_queue == 0 => self.frame,
            (0x44, Version::Modern) if self.select_queue == 0 => self.queue.ready.into(),
            (0x60, _) => self.interrupt,
            (0x70, _) => self.status,
            // Includes ConfigGeneration: the configuration never changes.
            _ => 0,
        }
    }

    fn read_config(&self, offset: u64, width: Width) -> u64 {
        let config = self.device.config();
        let mut bytes = [0; 8];
        let at = usize::try_from(offset).unwrap_or(usize::MAX);
        let there = config.get(at..).unwrap_or_default();
        for (byte, value) in bytes.iter_mut().zip(there).take(width as usize) {
            *byte = *value;
        }
        u64::from_le_bytes(bytes)
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
        if offset < CONFIG && width == Width::Word {
            let value = (value & u64::from(u32::MAX)).try_into().unwrap_or(0);
            self.write_control(offset, value, ram);
        }
        Ok(())
    }

    fn write_control(&mut self, offset: u64, value: u32, ram: &GuestRam) {
        match (offset, self.version) {
            (0x14, _) => self.select_device = value,
            (0x20, _) => self.accept(value),
            (0x24, _) => self.select_driver = value,
            (0x28, Version::Legacy) => self.page_size = value,
            (0x30, _) => self.select_queue = value,
            (0x38, _) if self.can_set_up() => self.queue.size = u16::try_from(value).unwrap_or(0),
            (0x3c, Version::Legacy) if self.can_set_up() => self.align = value,
            (0x40, Version::Legacy) if self.select_queue == 0 => self.set_frame(value, ram),
            (0x44, Version::Modern) if self.select_queue == 0 => self.set_ready(value, ram),
            (0x50, _) if value == 0 => self.notify(ram),
            (0x64, _) => self.interrupt &= !value,
            (0x70, _) => self.set_status(value),
            (0x80..=0xa4, Version::Modern) if self.can_set_up() => self.set_address(offset, value),
            _ => {}
        }
    }

    fn can_set_up(&self) -> bool {
        self.select_queue == 0 && !self.queue.ready
    }

    /// Features are taken until the driver has said that they are all.
    fn accept(&mut self, value: u32) {
        if self.status & FEATURES_OK == 0 && self.select_driver < 2 {
            let shift = 32 * self.select_driver;
            let kept = self.features & !(u64::from(u32::MAX) << shift);
            self.features = (kept | u64::from(value) << shift) & self.offered();
        }
    }

    fn set_status(&mut self, value: u32) {
        if value == 0 {
            return self.reset();
        }
        // A driver that did not take VERSION_1 could be refused here
        // (6.1); xv6 is one, and as on QEMU it may go on.
        self.status = value & 0xff & !NEEDS_RESET | self.status & NEEDS_RESET;
    }

    fn set_address(&mut self, offset: u64, value: u32) {
        let address = match offset & 0xf0 {
            0x80 => &mut self.queue.descriptors,
            0x90 => &mut self.queue.avail,
            _ => &mut self.queue.used,
        };
        let (shift, clear) = match offset & 0xf {
            0 => (0, u64::from(u32::MAX)),
            4 => (32, u64::from(u32::MAX) << 32),
            _ => return,
        };
        *address = Gpa(address.0 & !clear | u64::from(value) << shift);
    }

    fn set_ready(&mut self, value: u32, ram: &GuestRam) {
        if value & 1 == 0 {
            self.queue.ready = false;
        } else if !self.queue.ready {
            self.enable(ram);
        }
    }

    fn enable(&mut self, ram: &GuestRam) {
        self.queue.event_index = self.features & F_EVENT_IDX != 0;
        self.queue.indirect = self.features & F_INDIRECT_DESC != 0;
        let too_large = self.queue.size > QUEUE_MAX;
        if too_large || self.queue.enable(ram).is_err() {
            self.break_down();
        }
    }

    /// The legacy layout: one contiguous piece of memory (section 2.7.2).
    fn set_frame(&mut self, frame: u32, ram: &GuestRam) {
        self.frame = frame;
        self.queue.ready = false;
        if frame == 0 {
            return;
        }
        let align = u64::from(self.align);
        if !align.is_power_of_two() || !layout::is_valid_size(self.queue.size) {
            return self.break_down();
        }
        let base = u64::from(frame).wrapping_mul(self.page_size.into());
        let avail = base.wrapping_add(layout::descriptors_len(self.queue.size));
        let end = avail.wrapping_add(layout::avail_len(self.queue.size));
        let used = end.wrapping_add(align - 1) & !(align - 1);
        (self.queue.descriptors, self.queue.avail) = (Gpa(base), Gpa(avail));
        self.queue.used = Gpa(used);
        self.enable(ram);
    }

    fn notify(&mut self, ram: &GuestRam) {
        if self.status & (DRIVER_OK | NEEDS_RESET) == DRIVER_OK && self.queue.ready {
            let done = self.device.notify(&mut self.queue, ram);
            self.raise(done);
        }
    }
}

/// The low or high half, as a selector register says.
fn half(value: u64, select: u32) -> u32 {
    let [low, high] = [value, value >> 32].map(|half| half & u64::from(u32::MAX));
    let half = match select {
        0 => low,
        1 => high,
        _ => 0,
    };
    u32::try_from(half).unwrap_or(0)
}

/// What an empty slot reads as: a device of type 0 (section 4.2.2.1).
pub fn read_empty(offset: u64, width: Width) -> u64 {
    match (offset, width) {
        (0x00, Width::Word) => MAGIC.into(),
        (0x04, Width::Word) => 2,
        (0x0c, Width::Word) => VENDOR.into(),
        _ => 0,
    }
}
