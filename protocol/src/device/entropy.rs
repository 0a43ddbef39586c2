//! Random bytes (Virtio 1.2, section 5.4): no features, no configuration.
//!
//! The device fills the buffers that it is given, perhaps not to their end:
//! the length in the used ring counts.

/// The queue of buffers to fill.
pub const QUEUE: u16 = 0;
