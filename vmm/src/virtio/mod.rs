//! virtio devices: the queue, the devices behind queues, and the transports
//! that a guest reaches them by.
//!
//! ```text
//!  mmio    registers that trap ──┐                               ┌─ blk ── disk
//!  (pv     hypercalls)           ├── function: status, features ─┼─ net ── net
//!                                └── queue: chain                └─ console, entropy, balloon
//! ```
//!
//! A transport turns what the guest does into calls of [`Function`], which is
//! the part that the specification describes once for all devices; a
//! [`Device`] is what stands behind the queues.

pub mod balloon;
pub mod blk;
pub mod chain;
pub mod console;
pub mod entropy;
#[cfg(test)]
pub(crate) mod fake;
pub mod function;
pub mod mmio;
pub mod net;
pub mod queue;

use alloc::boxed::Box;

pub use function::Function;
pub use queue::Broken;

use trapeze_protocol::device::DeviceType;

use crate::mem::GuestRam;
use chain::Segment;
use queue::Queue;

bitflags::bitflags! {
    /// What a device has to say after it looked at its queues.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Served: u8 {
        /// The driver is to be interrupted.
        const INTERRUPT = 1;
        /// There is more to do than was fair to do at once: call again.
        const MORE = 2;
        /// The driver is to look at the configuration anew.
        const CONFIGURATION = 4;
    }
}

/// The part of a virtio device that its type decides.
pub trait Device: Send {
    /// Its type (virtio 1.2, section 5).
    fn kind(&self) -> DeviceType;

    /// How many queues it has.
    fn queues(&self) -> usize;

    /// The features of its type that it offers.
    fn features(&self) -> u64;

    /// The configuration space.
    fn config(&self) -> &[u8];

    /// The driver writes `bytes` to the configuration space at `offset`;
    /// `false` where it cannot be written, which is everywhere on most.
    fn write_config(&mut self, offset: u64, bytes: &[u8]) -> bool {
        let _ = (offset, bytes);
        false
    }

    /// The driver is ready, with these features agreed.
    ///
    /// # Errors
    /// If the device cannot work so.
    fn start(&mut self, features: u64) -> Result<(), Broken> {
        let _ = features;
        Ok(())
    }

    /// The driver is no longer there, or broke the rules; its queues are
    /// [abandoned](Self::abandon) already.
    fn reset(&mut self) {}

    /// The driver added to queue `index`, or there was [`Served::MORE`].
    fn serve(
        &mut self,
        index: usize,
        queues: &mut [Queue],
        ram: &GuestRam,
    ) -> Result<Served, Broken>;

    /// Gives back what a backend has finished meanwhile.
    fn collect(&mut self, queues: &mut [Queue], ram: &GuestRam) -> Result<Served, Broken>;

    /// Forgets what the driver asked for through queue `index`. What a backend
    /// is still busy with ends unseen, but see [`busy`](Self::busy).
    fn abandon(&mut self, index: usize);

    /// How many requests a backend works on and may still write guest memory
    /// for, forgotten ones included.
    fn busy(&self) -> usize;

    /// Shows each piece of guest memory that a backend may still read or write.
    fn in_flight(&self, visit: &mut dyn FnMut(Segment)) {
        let _ = visit;
    }
}

/// A device of any type, as a guest's list of devices holds it.
pub type AnyDevice = Box<dyn Device>;

impl<D: Device + ?Sized> Device for Box<D> {
    fn kind(&self) -> DeviceType {
        (**self).kind()
    }

    fn queues(&self) -> usize {
        (**self).queues()
    }

    fn features(&self) -> u64 {
        (**self).features()
    }

    fn config(&self) -> &[u8] {
        (**self).config()
    }

    fn write_config(&mut self, offset: u64, bytes: &[u8]) -> bool {
        (**self).write_config(offset, bytes)
    }

    fn start(&mut self, features: u64) -> Result<(), Broken> {
        (**self).start(features)
    }

    fn reset(&mut self) {
        (**self).reset();
    }

    fn serve(
        &mut self,
        index: usize,
        queues: &mut [Queue],
        ram: &GuestRam,
    ) -> Result<Served, Broken> {
        (**self).serve(index, queues, ram)
    }

    fn collect(&mut self, queues: &mut [Queue], ram: &GuestRam) -> Result<Served, Broken> {
        (**self).collect(queues, ram)
    }

    fn abandon(&mut self, index: usize) {
        (**self).abandon(index);
    }

    fn busy(&self) -> usize {
        (**self).busy()
    }

    fn in_flight(&self, visit: &mut dyn FnMut(Segment)) {
        (**self).in_flight(visit);
    }
}
