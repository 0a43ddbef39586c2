//! What every virtio device does alike, whatever its type and whatever the
//! transport: status, features, queues and the reasons of its interrupt
//! (virtio 1.2, sections 2 and 3).

use alloc::vec;
use alloc::vec::Vec;

use bitflags::bitflags;
use trapeze_protocol::device::{DeviceType, RingFeatures, Status};

use super::chain::Segment;
use super::queue::{Broken, Options, Place, Queue};
use super::{Device, Served};
use crate::mem::GuestRam;

/// Which generation of the specification the driver speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interface {
    /// Before 1.0 (section 1.3): features are agreed without asking back, and
    /// queues may be used before `DRIVER_OK`.
    Legacy,
    /// 1.0 and later.
    Modern,
}

bitflags! {
    /// Reasons of an interrupt (`InterruptStatus`, section 4.2.2).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct InterruptStatus: u32 {
        /// A used buffer was given back.
        const USED_BUFFER = 1;
        /// The configuration or the status changed.
        const CONFIGURATION = 2;
    }
}

/// Legacy interface only: any division of a request into buffers is
/// understood (section 6.3, `VIRTIO_F_ANY_LAYOUT`). Later ones always do.
const ANY_LAYOUT: u64 = 1 << 27;

/// A device with the state that its transport shows.
pub struct Function<D> {
    device: D,
    interface: Interface,
    queues: Vec<Queue>,
    /// What the driver says that it wants.
    features: u64,
    status: Status,
    /// What the status reads as until a reset has ended.
    before_reset: Status,
    interrupt: InterruptStatus,
    /// Bit n: queue n has work that was put off.
    backlog: u32,
    /// A backend has more than was collected at once.
    uncollected: bool,
    /// Counts how often the configuration changed.
    generation: u32,
}

impl<D: Device> Function<D> {
    /// `device` as after a reset.
    pub fn new(device: D, interface: Interface) -> Self {
        let queues = vec![Queue::default(); device.queues()];
        Self {
            device,
            interface,
            queues,
            features: 0,
            status: Status::empty(),
            before_reset: Status::empty(),
            interrupt: InterruptStatus::empty(),
            backlog: 0,
            uncollected: false,
            generation: 0,
        }
    }

    /// The device itself.
    pub fn device(&self) -> &D {
        &self.device
    }

    /// Whether it is a device of this type whose driver is ready.
    pub fn runs(&self, kind: DeviceType) -> bool {
        self.device.kind() == kind && self.status.contains(Status::DRIVER_OK)
    }

    /// Back to the beginning (section 2.4). Requests that a backend works on
    /// end unseen; until they have, [`status`](Self::status) is not zero.
    pub fn reset(&mut self) {
        self.before_reset = self.status();
        self.stop();
        self.device.reset();
        (self.features, self.status) = (0, Status::empty());
        self.interrupt = InterruptStatus::empty();
    }

    /// Takes all queues out of use.
    fn stop(&mut self) {
        (0..self.queues.len()).for_each(|index| self.disable(index));
    }

    /// How many requests a backend may still write guest memory for.
    pub fn busy(&self) -> usize {
        self.device.busy()
    }

    /// Which guest memory that is: see [`Device::in_flight`].
    pub fn in_flight(&self, visit: &mut dyn FnMut(Segment)) {
        self.device.in_flight(visit);
    }

    /// All features that the driver may have (section 2.2).
    pub fn offered(&self) -> u64 {
        let own = match self.interface {
            Interface::Legacy => ANY_LAYOUT,
            Interface::Modern => RingFeatures::VERSION_1.bits(),
        };
        let ring = RingFeatures::INDIRECT_DESC | RingFeatures::EVENT_IDX;
        self.device.features() | own | ring.bits()
    }

    /// The driver says which of the features in word `word` it wants, as long
    /// as nothing is agreed.
    pub fn accept(&mut self, word: u32, value: u32) {
        let agreed = Status::FEATURES_OK | Status::DRIVER_OK;
        if word < 2 && !self.status.intersects(agreed) {
            let shift = 32 * word;
            let others = self.features & !(u64::from(u32::MAX) << shift);
            self.features = others | u64::from(value) << shift;
        }
    }

    /// The driver wants these features, all of them offered, as long as
    /// nothing is agreed.
    pub fn accept_all(&mut self, features: u64) {
        self.features = features;
    }

    /// What the driver wants and the device offers.
    fn agreed(&self) -> RingFeatures {
        RingFeatures::from_bits_truncate(self.features & self.offered())
    }

    /// The device status (section 2.1).
    pub fn status(&self) -> Status {
        if self.status.is_empty() && self.busy() != 0 { self.before_reset } else { self.status }
    }

    /// The driver writes the status; zero is a reset.
    ///
    /// `FEATURES_OK` stays off if the driver wants what is not offered. That
    /// it wants `VERSION_1` is not asked for: xv6 does not, and works on QEMU.
    pub fn set_status(&mut self, status: Status) {
        if status.is_empty() {
            return self.reset();
        }
        let mut status = status.difference(Status::NEEDS_RESET);
        if self.interface == Interface::Modern && self.features & !self.offered() != 0 {
            status.remove(Status::FEATURES_OK);
        }
        let starts = status.contains(Status::DRIVER_OK) && !self.status.contains(Status::DRIVER_OK);
        self.status = status | self.status & Status::NEEDS_RESET;
        if starts && self.device.start(self.features & self.offered()).is_err() {
            self.break_down();
        }
    }

    /// The configuration space.
    pub fn config(&self) -> &[u8] {
        self.device.config()
    }

    /// Another number whenever the device changed it (section 2.5).
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// The driver writes the configuration space: see
    /// [`Device::write_config`].
    pub fn write_config(&mut self, offset: u64, bytes: &[u8]) -> bool {
        self.device.write_config(offset, bytes)
    }

    /// Whether queue `index` exists, and whether it is in use.
    pub fn queue_ready(&self, index: usize) -> Option<bool> {
        self.queues.get(index).map(Queue::is_ready)
    }

    /// The driver takes queue `index` into use. One that cannot be breaks the
    /// device.
    pub fn enable(&mut self, index: usize, place: Place, ram: &GuestRam) {
        if self.try_enable(index, place, ram).is_err() {
            self.break_down();
        }
    }

    /// The same, where a queue that cannot be in use stays out of it.
    ///
    /// # Errors
    /// What is wrong with the place.
    pub fn try_enable(&mut self, index: usize, place: Place, ram: &GuestRam) -> Result<(), Broken> {
        let agreed = self.agreed();
        let options = Options {
            indirect: agreed.contains(RingFeatures::INDIRECT_DESC),
            event_idx: agreed.contains(RingFeatures::EVENT_IDX),
        };
        self.queues.get_mut(index).map_or(Ok(()), |queue| queue.enable(place, options, ram))
    }

    /// The driver takes queue `index` out of use.
    pub fn disable(&mut self, index: usize) {
        if let Some(queue) = self.queues.get_mut(index) {
            queue.disable();
            self.device.abandon(index);
            self.backlog &= !bit(index);
        }
    }

    /// The driver says that it added to queue `index`.
    pub fn notify(&mut self, index: usize, ram: &GuestRam) {
        let early = self.interface == Interface::Modern && !self.status.contains(Status::DRIVER_OK);
        let over = self.status.intersects(Status::NEEDS_RESET | Status::FAILED);
        if self.queue_ready(index) == Some(true) && !early && !over {
            let served = self.device.serve(index, &mut self.queues, ram);
            self.answer(index, served);
        }
    }

    /// Goes on with what is under way: gives back what a backend has
    /// finished, and serves what was put off.
    pub fn poll(&mut self, ram: &GuestRam) {
        let collected = self.device.collect(&mut self.queues, ram);
        self.uncollected = collected.is_ok_and(|served| served.contains(Served::MORE));
        self.answer(usize::MAX, collected);
        for index in 0..self.queues.len() {
            if self.backlog & bit(index) != 0 {
                self.notify(index, ram);
            }
        }
    }

    /// Whether [`poll`](Self::poll) has something to do at once.
    #[inline]
    pub fn has_backlog(&self) -> bool {
        self.backlog != 0 || self.uncollected
    }

    fn answer(&mut self, index: usize, served: Result<Served, Broken>) {
        let Ok(served) = served else {
            return self.break_down();
        };
        if served.contains(Served::INTERRUPT) {
            self.interrupt |= InterruptStatus::USED_BUFFER;
        }
        if served.contains(Served::CONFIGURATION) {
            self.generation = self.generation.wrapping_add(1);
            if self.status.contains(Status::DRIVER_OK) {
                self.interrupt |= InterruptStatus::CONFIGURATION;
            }
        }
        self.backlog &= !bit(index);
        if served.contains(Served::MORE) {
            self.backlog |= bit(index);
        }
    }

    /// The driver broke the rules: nothing more until a reset (section 2.1.2).
    fn break_down(&mut self) {
        self.stop();
        self.device.reset();
        self.status |= Status::NEEDS_RESET;
        if self.status.contains(Status::DRIVER_OK) {
            self.interrupt |= InterruptStatus::CONFIGURATION;
        }
    }

    /// Why the device interrupts; it does not if there is no reason.
    #[inline]
    pub fn interrupt(&self) -> InterruptStatus {
        self.interrupt
    }

    /// The driver has seen these reasons.
    pub fn acknowledge(&mut self, seen: InterruptStatus) {
        self.interrupt.remove(seen);
    }
}

/// Queues beyond the 32nd have no bit, and no device has them.
fn bit(index: usize) -> u32 {
    u32::try_from(index).ok().and_then(|index| 1u32.checked_shl(index)).unwrap_or(0)
}
