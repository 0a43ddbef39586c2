//! Real virtio devices that belong to guests. The VMM has no driver for them;
//! it stops them, and says who interrupts.

use alloc::boxed::Box;
use alloc::vec::Vec;

use spin::Once;
use spin::mutex::SpinMutex;
use virtio_drivers::transport::{DeviceStatus, Transport};

use super::{FIRST, Mmio, STRIDE, source, transport};
use crate::addr::Hpa;
use crate::hw::plic;
use crate::pass::{Found, RealDevice, Registers};

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
    Some(Found { device: Box::new(Owned(passed)), registers, source: source(slot) })
}

/// A device in the hands of the guest that owns it.
struct Owned(&'static Passed);

impl RealDevice for Owned {
    fn reset(&mut self) {
        self.0.transport.lock().set_status(DeviceStatus::empty());
    }

    fn is_quiet(&mut self) -> bool {
        self.0.transport.lock().get_status().is_empty()
    }
}
