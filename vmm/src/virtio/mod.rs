//! virtio devices: the queue, the devices behind queues, and the transport
//! that a guest reaches them by.
//!
//! ```text
//!  mmio    registers that trap ──┐
//!  (pv     hypercalls)           ├── device: blk ── disk
//!                                └── queue
//! ```

pub mod blk;
pub mod mmio;
pub mod queue;
