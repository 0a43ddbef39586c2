//! The other end of the ring, for tests: a driver that does what the
//! specification asks of one (virtio 1.2, section 2.7), on the same memory.

use alloc::sync::Arc;
use core::sync::atomic::{Ordering, fence};

use trapeze_protocol::device::RingFeatures;
use trapeze_protocol::queue as layout;
use trapeze_protocol::queue::{Descriptor, DescriptorFlags, UsedElement};

use super::Device;
use super::chain::Segment;
use super::mmio::{Mmio, Version};
use super::queue::{Options, Place};
use crate::addr::Gpa;
use crate::bus::Width;
use crate::mem::GuestRam;

pub(crate) const BASE: Gpa = Gpa(0x8000_0000);
/// The queue lies in the first pages, indirect tables behind it.
const TABLES: u64 = 0x3000;
/// Where a second queue lies.
const SECOND: Gpa = Gpa(BASE.0 + 0x8_0000);
/// Where tests may put their buffers.
pub(crate) const BUFFERS: Gpa = Gpa(BASE.0 + 0x2_0000);
pub(crate) const RAM: u64 = 0x10_0000;

/// A buffer of a request: where, how long, and whether the device writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Part {
    pub(crate) segment: Segment,
    pub(crate) writable: bool,
}

pub(crate) fn reads(gpa: Gpa, len: u64) -> Part {
    Part { segment: Segment { gpa, len }, writable: false }
}

pub(crate) fn writes(gpa: Gpa, len: u64) -> Part {
    Part { segment: Segment { gpa, len }, writable: true }
}

pub(crate) struct Driver {
    pub(crate) ram: Arc<GuestRam>,
    pub(crate) place: Place,
    pub(crate) options: Options,
    /// Descriptors in no chain; the chains that are out, by head.
    free: Vec<u16>,
    chains: Vec<Vec<u16>>,
    avail: u16,
    kicked: u16,
    used: u16,
}

impl Driver {
    pub(crate) fn new(size: u16, options: Options) -> Self {
        Self::starting_at(size, options, 0)
    }

    /// A driver whose indices begin at `index`, to meet the wrap-around early.
    pub(crate) fn starting_at(size: u16, options: Options, index: u16) -> Self {
        Self::on(Arc::new(GuestRam::leaked(BASE, RAM)), BASE, size, options, index)
    }

    /// The driver of a second queue in the same memory.
    pub(crate) fn beside(&self) -> Self {
        Self::on(self.ram.clone(), SECOND, self.place.size, self.options, 0)
    }

    fn on(ram: Arc<GuestRam>, base: Gpa, size: u16, options: Options, index: u16) -> Self {
        let avail = base.wrapping_add(layout::descriptors_len(size));
        let end = avail.wrapping_add(layout::avail_len(size));
        let used = Gpa(end.0.next_multiple_of(4096));
        let place = Place { size, descriptors: base, avail, used };
        let driver = Self {
            ram,
            place,
            options,
            free: (0..size).rev().collect(),
            chains: vec![vec![]; usize::from(size)],
            avail: index,
            kicked: index,
            used: index,
        };
        driver.ram.store_u16(driver.in_avail(layout::RING_INDEX), index).unwrap();
        driver.ram.store_u16(driver.in_used(layout::RING_INDEX), index).unwrap();
        driver.arm();
        driver
    }

    fn in_avail(&self, offset: u64) -> Gpa {
        self.place.avail.wrapping_add(offset)
    }

    fn in_used(&self, offset: u64) -> Gpa {
        self.place.used.wrapping_add(offset)
    }

    pub(crate) fn describe(&self, table: Gpa, index: u16, descriptor: Descriptor) {
        self.ram.write(table.wrapping_add(16 * u64::from(index)), &descriptor).unwrap();
    }

    /// Descriptors that are left.
    pub(crate) fn room(&self) -> usize {
        self.free.len()
    }

    /// Puts a chain of these parts into the available ring, the parts from
    /// `indirect_from` on in a table of their own; there must be room.
    pub(crate) fn add(&mut self, parts: &[Part], indirect_from: Option<usize>) -> u16 {
        let (direct, indirect) = parts.split_at(indirect_from.unwrap_or(parts.len()));
        let count = direct.len() + usize::from(!indirect.is_empty());
        let mut chain = self.free.split_off(self.free.len() - count);
        chain.reverse();
        let links = chain[1..].iter().map(|next| Some(*next)).chain([None]);
        for ((index, next), part) in chain.iter().zip(links).zip(direct) {
            self.describe(self.place.descriptors, *index, descriptor(*part, next));
        }
        if !indirect.is_empty() {
            self.refer(chain[direct.len()], indirect);
        }
        let head = chain[0];
        self.chains[usize::from(head)] = chain;
        self.offer(head);
        head
    }

    /// Makes descriptor `index` refer to a table of these parts.
    fn refer(&self, index: u16, parts: &[Part]) {
        let tables = self.place.descriptors.wrapping_add(TABLES);
        let table = tables.wrapping_add(0x100 * u64::from(index));
        for (n, part) in (0u16..).zip(parts) {
            let next = (usize::from(n) + 1 < parts.len()).then_some(n + 1);
            self.describe(table, n, descriptor(*part, next));
        }
        let length = 16 * u32::try_from(parts.len()).unwrap();
        let flags = DescriptorFlags::INDIRECT.bits();
        let descriptor = Descriptor { address: table.0, length, flags, next: 0 };
        self.describe(self.place.descriptors, index, descriptor);
    }

    /// Makes the chain at `head` available, whatever it is.
    pub(crate) fn offer(&mut self, head: u16) {
        let place = layout::RING_ELEMENTS + 2 * layout::place(self.avail, self.place.size);
        self.ram.store_u16(self.in_avail(place), head).unwrap();
        self.avail = self.avail.wrapping_add(1);
        self.ram.store_u16(self.in_avail(layout::RING_INDEX), self.avail).unwrap();
    }

    /// Whether the device wants to hear of what was added since the last
    /// call (section 2.7.10.1).
    pub(crate) fn must_notify(&mut self) -> bool {
        fence(Ordering::SeqCst);
        let old = core::mem::replace(&mut self.kicked, self.avail);
        if self.options.event_idx {
            let place = layout::avail_event_offset(self.place.size);
            let event = self.ram.load_u16(self.in_used(place)).unwrap();
            return layout::passed_event(event, self.avail, old);
        }
        self.ram.load_u16(self.in_used(0)).unwrap() & layout::USED_NO_NOTIFY == 0
    }

    /// Takes the next chain back: its head, and how much was written.
    pub(crate) fn take_used(&mut self) -> Option<(u16, u32)> {
        let index = self.ram.load_u16(self.in_used(layout::RING_INDEX)).unwrap();
        if index == self.used {
            return None;
        }
        let place = layout::RING_ELEMENTS + 8 * layout::place(self.used, self.place.size);
        let element: UsedElement = self.ram.read(self.in_used(place)).unwrap();
        self.used = self.used.wrapping_add(1);
        let head = u16::try_from(element.id).unwrap();
        let chain = core::mem::take(&mut self.chains[usize::from(head)]);
        assert!(!chain.is_empty(), "{head} is not out");
        self.free.extend(chain);
        Some((head, element.length))
    }

    /// Asks for an interrupt at the next chain (section 2.7.7); whether one
    /// is there already.
    pub(crate) fn arm(&self) -> bool {
        let place = layout::used_event_offset(self.place.size);
        self.ram.store_u16(self.in_avail(place), self.used).unwrap();
        fence(Ordering::SeqCst);
        self.ram.load_u16(self.in_used(layout::RING_INDEX)).unwrap() != self.used
    }

    /// Sets `flags` of the available ring.
    pub(crate) fn set_flags(&self, flags: u16) {
        self.ram.store_u16(self.in_avail(0), flags).unwrap();
    }

    /// Sets `idx` of the available ring, which is normally [`offer`]'s.
    pub(crate) fn jump(&self, index: u16) {
        self.ram.store_u16(self.in_avail(layout::RING_INDEX), index).unwrap();
    }
}

pub(crate) fn descriptor(part: Part, next: Option<u16>) -> Descriptor {
    let mut flags = DescriptorFlags::empty();
    flags.set(DescriptorFlags::WRITE, part.writable);
    flags.set(DescriptorFlags::NEXT, next.is_some());
    Descriptor {
        address: part.segment.gpa.0,
        length: u32::try_from(part.segment.len).unwrap(),
        flags: flags.bits(),
        next: next.unwrap_or(0xdead),
    }
}

/// Registers that a driver writes, by the names of virtio 1.2, 4.2.2 and 4.2.4.
pub(crate) mod reg {
    pub(crate) const DEVICE_FEATURES: u64 = 0x10;
    pub(crate) const DEVICE_FEATURES_SEL: u64 = 0x14;
    pub(crate) const DRIVER_FEATURES: u64 = 0x20;
    pub(crate) const DRIVER_FEATURES_SEL: u64 = 0x24;
    pub(crate) const GUEST_PAGE_SIZE: u64 = 0x28;
    pub(crate) const QUEUE_SEL: u64 = 0x30;
    pub(crate) const QUEUE_NUM_MAX: u64 = 0x34;
    pub(crate) const QUEUE_NUM: u64 = 0x38;
    pub(crate) const QUEUE_ALIGN: u64 = 0x3c;
    pub(crate) const QUEUE_PFN: u64 = 0x40;
    pub(crate) const QUEUE_READY: u64 = 0x44;
    pub(crate) const QUEUE_NOTIFY: u64 = 0x50;
    pub(crate) const INTERRUPT_STATUS: u64 = 0x60;
    pub(crate) const INTERRUPT_ACK: u64 = 0x64;
    pub(crate) const STATUS: u64 = 0x70;
    pub(crate) const QUEUE_DESC: u64 = 0x80;
    pub(crate) const QUEUE_DRIVER: u64 = 0x90;
    pub(crate) const QUEUE_DEVICE: u64 = 0xa0;
    pub(crate) const CONFIG: u64 = 0x100;
}

/// A driver with the slot that it drives.
pub(crate) struct Slot<D> {
    pub(crate) driver: Driver,
    /// The driver of queue 1.
    pub(crate) second: Option<Driver>,
    pub(crate) mmio: Mmio<D>,
    pub(crate) version: Version,
    /// Whether the driver takes the features of the device's type.
    pub(crate) own_features: bool,
}

impl<D: Device> Slot<D> {
    /// A slot whose device was taken into service by the book (section 3.1.1).
    pub(crate) fn start(version: Version, device: D, size: u16, options: Options) -> Self {
        Self::with(version, device, Driver::new(size, options), None)
    }

    /// The same, with a driver for queue 1, too.
    pub(crate) fn start_both(version: Version, device: D, size: u16, options: Options) -> Self {
        let driver = Driver::new(size, options);
        let second = driver.beside();
        Self::with(version, device, driver, Some(second))
    }

    fn with(version: Version, device: D, driver: Driver, second: Option<Driver>) -> Self {
        let mut slot =
            Self { driver, second, mmio: Mmio::new(version, device), version, own_features: false };
        slot.bring_up();
        slot
    }

    pub(crate) fn get(&self, register: u64) -> u32 {
        u32::try_from(self.mmio.read(register, Width::Word).unwrap()).unwrap()
    }

    pub(crate) fn set(&mut self, register: u64, value: u32) {
        self.mmio.write(register, Width::Word, value.into(), &self.driver.ram).unwrap();
    }

    /// Initialization, with all features that the options and the version of
    /// the interface ask for.
    pub(crate) fn bring_up(&mut self) {
        let mut wanted = RingFeatures::empty();
        wanted.set(RingFeatures::INDIRECT_DESC, self.driver.options.indirect);
        wanted.set(RingFeatures::EVENT_IDX, self.driver.options.event_idx);
        wanted.set(RingFeatures::VERSION_1, self.version == Version::Modern);
        let offered = self.mmio.function().device().features();
        let own = if self.own_features { offered } else { 0 };
        let [low, high] = [0, 32].map(|shift| low((wanted.bits() | own) >> shift));
        for status in [0, 1, 3] {
            self.set(reg::STATUS, status);
        }
        for (word, value) in [(0, low), (1, high)] {
            self.set(reg::DRIVER_FEATURES_SEL, word);
            self.set(reg::DRIVER_FEATURES, value);
        }
        if self.version == Version::Modern {
            self.set(reg::STATUS, 11);
            assert_eq!(self.get(reg::STATUS), 11, "FEATURES_OK");
        }
        if let Some(place) = self.second.as_ref().map(|driver| driver.place) {
            self.set_place(1, place);
        }
        self.set_queue();
        self.set(reg::STATUS, self.get(reg::STATUS) | 4);
    }

    /// Tells where queue 0 is.
    pub(crate) fn set_queue(&mut self) {
        self.set_place(0, self.driver.place);
    }

    fn set_place(&mut self, index: u32, place: Place) {
        self.set(reg::QUEUE_SEL, index);
        assert!(self.get(reg::QUEUE_NUM_MAX) >= place.size.into());
        self.set(reg::QUEUE_NUM, place.size.into());
        if self.version == Version::Legacy {
            self.set(reg::GUEST_PAGE_SIZE, 4096);
            self.set(reg::QUEUE_ALIGN, 4096);
            return self.set(reg::QUEUE_PFN, u32::try_from(place.descriptors.page()).unwrap());
        }
        let parts = [
            (reg::QUEUE_DESC, place.descriptors),
            (reg::QUEUE_DRIVER, place.avail),
            (reg::QUEUE_DEVICE, place.used),
        ];
        for (register, gpa) in parts {
            self.set(register, low(gpa.0));
            self.set(register + 4, low(gpa.0 >> 32));
        }
        self.set(reg::QUEUE_READY, 1);
    }

    /// Adds a chain, and notifies if the device wants it.
    pub(crate) fn send(&mut self, parts: &[Part], indirect_from: Option<usize>) -> u16 {
        let head = self.driver.add(parts, indirect_from);
        if self.driver.must_notify() {
            self.set(reg::QUEUE_NOTIFY, 0);
        }
        head
    }

    /// The same on queue 1.
    pub(crate) fn send_second(&mut self, parts: &[Part], indirect_from: Option<usize>) -> u16 {
        let driver = self.second.as_mut().expect("a second queue");
        let head = driver.add(parts, indirect_from);
        if driver.must_notify() {
            self.set(reg::QUEUE_NOTIFY, 1);
        }
        head
    }

    /// Notifies queue 0.
    pub(crate) fn send_nothing(&mut self) {
        self.set(reg::QUEUE_NOTIFY, 0);
    }

    /// Whether the device asks for a reset.
    pub(crate) fn needs_reset(&self) -> bool {
        self.get(reg::STATUS) & 64 != 0
    }

    /// Whether the device interrupts for a used buffer; acknowledges it.
    pub(crate) fn interrupted(&mut self) -> bool {
        let reasons = self.get(reg::INTERRUPT_STATUS);
        self.set(reg::INTERRUPT_ACK, reasons);
        reasons & 1 != 0
    }
}

fn low(value: u64) -> u32 {
    u32::try_from(value & 0xffff_ffff).unwrap()
}
