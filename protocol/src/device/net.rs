//! Network interfaces (Virtio 1.2, section 5.1): Ethernet frames, without
//! check sum, each behind a [`Header`] of zeroes.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The queue of buffers for frames that come; each must have room for a
/// header and a frame.
pub const RECEIVE: u16 = 0;
/// The queue of frames to send.
pub const TRANSMIT: u16 = 1;
/// Bytes of an Ethernet header: two addresses and a type.
pub const ETHERNET_HEADER: usize = 14;

bitflags::bitflags! {
    /// Features (5.1.3).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Features: u64 {
        /// [`Config::mtu`] is meant.
        const MTU = 1 << 3;
        /// [`Config::mac`] is meant.
        const MAC = 1 << 5;
        /// [`Config::status`] is meant.
        const STATUS = 1 << 16;
    }
}

bitflags::bitflags! {
    /// [`Config::status`] (5.1.4).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct LinkStatus: u16 {
        /// Frames can be sent.
        const LINK_UP = 1;
    }
}

/// The configuration (5.1.4).
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Config {
    /// Address of the interface.
    pub mac: [u8; 6],
    /// [`LinkStatus`]
    pub status: u16,
    /// Not used.
    pub max_virtqueue_pairs: u16,
    /// The longest payload of a frame, in bytes.
    pub mtu: u16,
}

/// What precedes each frame (5.1.6). All zero but `num_buffers`, which is 1
/// in frames that come.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Header {
    /// Zero: no feature here uses it.
    pub flags: u8,
    /// Zero, likewise.
    pub gso_type: u8,
    /// Zero, likewise.
    pub hdr_len: u16,
    /// Zero, likewise.
    pub gso_size: u16,
    /// Zero, likewise.
    pub csum_start: u16,
    /// Zero, likewise.
    pub csum_offset: u16,
    /// Buffers of the frame.
    pub num_buffers: u16,
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::offset_of;

    #[test]
    fn layouts_are_those_of_the_specification() {
        assert_eq!((size_of::<Config>(), size_of::<Header>()), (12, 12));
        assert_eq!((offset_of!(Config, status), offset_of!(Config, mtu)), (6, 10));
        assert_eq!(offset_of!(Header, num_buffers), 10);
    }
}
