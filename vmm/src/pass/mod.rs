//! Pass-through: devices of the real machine that belong to a guest.
//!
//! What a guest gets of its device is decided by what holds the device's
//! accesses to memory:
//!
//! ```text
//!  mediated   registers of the VMM's, which checks buffers   Mirror, Ring
//!  trusted    the registers themselves; nothing holds them   Direct
//! ```
//!
//! A device is reset before its guest starts, when it starts anew, and when
//! it ends: see [`RealDevice`].

#[cfg(test)]
mod fake;
mod mirror;
mod ring;

use alloc::boxed::Box;

pub use mirror::Mirror;
pub use ring::{Buffer, Ring, RingPlace};
use trapeze_protocol::device::DeviceType;

use crate::addr::{Gpa, Hpa};

/// A device of the real machine that the VMM leaves to a guest.
pub trait RealDevice: Send {
    /// Stops whatever it does. It is quiet soon afterwards, and stays so until
    /// its registers are used again.
    fn reset(&mut self);

    /// Whether it has stopped: it writes to no memory and interrupts nobody.
    fn is_quiet(&self) -> bool;
}

/// A virtio device, as far as a driver needs it.
pub trait RealVirtio: RealDevice {
    /// Its type; `None` if it is not known here.
    fn kind(&self) -> Option<DeviceType>;

    /// The features that it offers.
    fn features(&mut self) -> u64;

    /// Copies its configuration; where there is none, `bytes` stay.
    fn config(&mut self, bytes: &mut [u8]);

    /// How many elements queue `index` may have; 0: there is no such queue.
    fn queue_max(&mut self, index: u16) -> u32;

    /// Takes it into service with `features` and a queue at each of `places`;
    /// `false` if it does not want to, or has not stopped yet.
    fn start(&mut self, features: u64, places: &[RingPlace]) -> bool;

    /// Something was added to queue `index`.
    fn notify(&mut self, index: u16);

    /// Quietens its interrupt line; whether its configuration has changed.
    fn acknowledge(&mut self) -> bool;
}

/// A part of a device's registers: whole pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Registers {
    /// Where the real machine has them.
    pub host: Hpa,
    /// Bytes, a multiple of the page size.
    pub size: u64,
}

/// A device whose registers are mapped for its guest, so that no access to
/// them exits.
///
/// Its interrupt is the guest's to acknowledge, at the device. Until the guest
/// has completed it at its own PLIC, it is not completed at the real one, or a
/// line that stays up would interrupt for ever.
pub struct Direct {
    device: Box<dyn RealDevice>,
    /// At the real PLIC.
    source: u32,
    /// At the guest's.
    irq: u32,
    /// Interrupts that are to be completed at the real PLIC.
    held: bool,
}

impl Direct {
    /// The device `device`, which interrupts with `source`, and its guest with
    /// `irq`.
    pub fn new(device: Box<dyn RealDevice>, source: u32, irq: u32) -> Self {
        Self { device, source, irq, held: false }
    }

    /// Stops the device.
    pub fn reset(&mut self) {
        self.device.reset();
    }

    /// Whether it may still do something.
    pub fn is_busy(&self) -> bool {
        !self.device.is_quiet()
    }

    /// The device interrupts: the interrupt of the guest to be raised.
    pub fn interrupt(&mut self) -> u32 {
        self.held = true;
        self.irq
    }

    /// The guest has completed `irq`: what is to be completed at the real
    /// PLIC.
    pub fn completed(&mut self, irq: u32) -> Option<u32> {
        if irq == self.irq { self.release() } else { None }
    }

    /// The same when the guest no longer will.
    pub fn release(&mut self) -> Option<u32> {
        core::mem::take(&mut self.held).then_some(self.source)
    }
}

/// What was found of a device.
pub struct Found {
    /// The device.
    pub device: Box<dyn RealDevice>,
    /// Its registers.
    pub registers: Registers,
    /// Its interrupt at the real PLIC.
    pub source: u32,
    /// The same device, if it is one whose queues can be mirrored.
    pub virtio: Option<Box<dyn RealVirtio>>,
}

/// Registers, and where the guest has them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mapping {
    /// Where the guest has them.
    pub guest: Gpa,
    /// The registers themselves.
    pub registers: Registers,
}

impl Mapping {
    /// The host-physical address of the page at `gpa`, if it is one of these.
    #[inline]
    pub fn find(&self, gpa: Gpa) -> Option<Hpa> {
        let offset = gpa.offset_from(self.guest)?;
        (offset < self.registers.size).then(|| self.registers.host.wrapping_add(offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Silent;

    impl RealDevice for Silent {
        fn reset(&mut self) {}

        fn is_quiet(&self) -> bool {
            true
        }
    }

    #[test]
    fn an_interrupt_is_held_until_the_guest_has_completed_it() {
        let mut direct = Direct::new(Box::new(Silent), 7, 3);
        assert_eq!(direct.completed(3), None, "there was none");
        assert_eq!(direct.interrupt(), 3);
        assert_eq!(direct.completed(4), None, "another device's");
        assert_eq!(direct.completed(3), Some(7));
        assert_eq!(direct.completed(3), None, "once");
        direct.interrupt();
        assert_eq!((direct.release(), direct.release()), (Some(7), None));
    }

    #[test]
    fn registers_are_where_the_guest_has_them() {
        let registers = Registers { host: Hpa(0x1000_8000), size: 0x2000 };
        let mapping = Mapping { guest: Gpa(0x1000_1000), registers };
        assert_eq!(mapping.find(Gpa(0x1000_2000)), Some(Hpa(0x1000_9000)));
        assert_eq!(mapping.find(Gpa(0x1000_3000)), None);
        assert_eq!(mapping.find(Gpa(0x1000_0fff)), None);
    }
}
