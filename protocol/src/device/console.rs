//! Consoles (Virtio 1.2, section 5.3), with a single port.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The queue of buffers for what is typed.
pub const RECEIVE: u16 = 0;
/// The queue of buffers to show.
pub const TRANSMIT: u16 = 1;

bitflags::bitflags! {
    /// Features (5.3.3).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Features: u64 {
        /// [`Config::cols`] and [`Config::rows`] are meant.
        const SIZE = 1 << 0;
        /// A byte written to [`Config::emerg_wr`] is shown at once, without a
        /// queue, and before the driver is ready.
        const EMERG_WRITE = 1 << 2;
    }
}

/// The configuration (5.3.4).
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Config {
    /// Characters in a line.
    pub cols: u16,
    /// Lines.
    pub rows: u16,
    /// Not used.
    pub max_nr_ports: u32,
    /// Only written: shows the low byte.
    pub emerg_wr: u32,
}

/// Offset of [`Config::emerg_wr`] in bytes.
pub const EMERG_WR: u64 = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::offset_of;

    #[test]
    fn the_layout_is_that_of_the_specification() {
        assert_eq!(size_of::<Config>(), 12);
        assert_eq!(offset_of!(Config, emerg_wr) as u64, EMERG_WR);
    }
}
