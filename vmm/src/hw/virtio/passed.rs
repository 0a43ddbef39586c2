//! Real virtio devices that belong to guests. The VMM has no driver for them;
//! it stops them, and says who interrupts.

use alloc::boxed::Box;
use alloc::vec::Vec;

use spin::Once;
use spin::mutex::SpinMutex;
use trapeze_protocol::device::DeviceType;
use virtio_drivers::transport::{DeviceStatus, InterruptStatus, Transport};

use super::{FIRST, Mmio, STRIDE, source, transport};
use crate::addr::Hpa;
use crate::hw::plic;
use crate::pass::{Found, RealDevice, RealVirtio, Registers, RingPlace};

/// A device in a virtio-mmio slot.
struct Passed {
    slot: usize,
    transport: SpinMutex<Mmio>,
}

static PASSED: Once<Vec<Passed>> = Once::new();

/// Looks for devices in `slots`, and stops what is there.
pub(super) fn init(slots: impl Iterator<Item = u8>) {
    let mut all = Vec::new();
    for slot in slots.map(usize::from) {
        if let Some(mut transport) = transport(slot) {
            transport.set_status(DeviceStatus::empty());
            plic::enable(source(slot));
            all.push(Passed { slot, transport: SpinMutex::new(transport) });
        }
    }
    PASSED.call_once(|| all);
}

/// Whether what is in `slot` belongs to a guest.
pub(super) fn has(slot: usize) -> bool {
    PASSED.get().is_some_and(|all| all.iter().any(|passed| passed.slot == slot))
}

/// Whether a guest's device interrupts with `number`.
pub(super) fn interrupts(number: u32) -> bool {
    PASSED.get().is_some_and(|all| all.iter().any(|passed| source(passed.slot) == number))
}

/// The device in `slot`.
pub(in crate::hw) fn find(slot: u8) -> Option<Found> {
    let slot = usize::from(slot);
    let passed = PASSED.get()?.iter().find(|passed| passed.slot == slot)?;
    let registers = Registers { host: Hpa((FIRST + slot * STRIDE) as u64), size: STRIDE as u64 };
    let owned = || Box::new(Owned(passed));
    Some(Found { device: owned(), registers, source: source(slot), virtio: Some(owned()) })
}

/// A device in the hands of the guest that owns it.
struct Owned(&'static Passed);

impl RealDevice for Owned {
    fn reset(&mut self) {
        self.0.transport.lock().set_status(DeviceStatus::empty());
    }

    fn is_quiet(&self) -> bool {
        self.0.transport.lock().get_status().is_empty()
    }
}

impl RealVirtio for Owned {
    fn kind(&self) -> Option<DeviceType> {
        DeviceType::from_number(self.0.transport.lock().device_type() as u16)
    }

    fn features(&mut self) -> u64 {
        self.0.transport.lock().read_device_features()
    }

    fn config(&mut self, bytes: &mut [u8]) {
        let transport = self.0.transport.lock();
        for (offset, byte) in bytes.iter_mut().enumerate() {
            *byte = transport.read_config_space(offset).unwrap_or(*byte);
        }
    }

    fn queue_max(&mut self, index: u16) -> u32 {
        self.0.transport.lock().max_queue_size(index)
    }

    fn start(&mut self, features: u64, places: &[RingPlace]) -> bool {
        let mut transport = self.0.transport.lock();
        transport.set_status(DeviceStatus::empty());
        if !transport.get_status().is_empty() {
            return false;
        }
        let ready = DeviceStatus::ACKNOWLEDGE | DeviceStatus::DRIVER;
        transport.set_status(ready);
        transport.write_driver_features(features);
        let agreed = ready | DeviceStatus::FEATURES_OK;
        transport.set_status(agreed);
        if !transport.get_status().contains(DeviceStatus::FEATURES_OK) {
            return false;
        }
        for (index, place) in (0..).zip(places) {
            let RingPlace { size, descriptors, avail, used } = *place;
            transport.queue_set(index, size.into(), descriptors.0, avail.0, used.0);
        }
        transport.set_status(agreed | DeviceStatus::DRIVER_OK);
        true
    }

    fn notify(&mut self, index: u16) {
        self.0.transport.lock().notify(index);
    }

    fn acknowledge(&mut self) -> bool {
        let reasons = self.0.transport.lock().ack_interrupt();
        reasons.contains(InterruptStatus::DEVICE_CONFIGURATION_INTERRUPT)
    }
}
