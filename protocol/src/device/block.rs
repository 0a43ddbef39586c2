//! Disks (Virtio 1.2, section 5.2).
//!
//! One queue. A request is a chain of descriptors: a [`Header`] to read, data
//! to read or to write, and one byte of [`Status`] to write. Data is whole
//! sectors of 512 bytes.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The queue of requests.
pub const QUEUE: u16 = 0;
/// Bytes in a sector, the unit of addresses and of the capacity.
pub const SECTOR: u64 = 512;
/// Bytes of a serial number; shorter ones end with zeroes.
pub const SERIAL: usize = 20;

bitflags::bitflags! {
    /// Features (5.2.3).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Features: u64 {
        /// [`Config::seg_max`] is meant.
        const SEG_MAX = 1 << 2;
        /// The disk cannot be written.
        const RO = 1 << 5;
        /// [`Config::blk_size`] is meant.
        const BLK_SIZE = 1 << 6;
        /// The disk has a cache, and [`Kind::FLUSH`] empties it.
        const FLUSH = 1 << 9;
    }
}

/// The configuration (5.2.4), as far as the features above use it.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Config {
    /// Size of the disk in sectors.
    pub capacity: u64,
    /// Not used.
    pub size_max: u32,
    /// Data descriptors that one request may have.
    pub seg_max: u32,
    /// Cylinders, heads and sectors: not used.
    pub geometry: [u8; 4],
    /// The best unit of requests, in bytes.
    pub blk_size: u32,
}

/// The start of a request (5.2.6).
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Header {
    /// [`Kind`]
    pub kind: u32,
    /// Zero.
    pub reserved: u32,
    /// The first sector, of reads and writes.
    pub sector: u64,
}

/// What a request asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kind(pub u32);

impl Kind {
    /// Disk to memory.
    pub const READ: Self = Self(0);
    /// Memory to disk.
    pub const WRITE: Self = Self(1);
    /// Make durable what was written by requests completed before.
    pub const FLUSH: Self = Self(4);
    /// Write the serial number, of [`SERIAL`] bytes, to memory.
    pub const GET_ID: Self = Self(8);
}

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Status(pub u8);

impl Status {
    /// Well.
    pub const OK: Self = Self(0);
    /// Not: the disk failed, or the sectors do not exist, or are read-only.
    pub const IO_ERROR: Self = Self(1);
    /// The kind of request is not known.
    pub const UNSUPPORTED: Self = Self(2);
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::offset_of;

    #[test]
    fn layouts_are_those_of_the_specification() {
        assert_eq!((size_of::<Header>(), size_of::<Config>()), (16, 24));
        assert_eq!(offset_of!(Config, seg_max), 12);
        assert_eq!(offset_of!(Config, blk_size), 20);
        assert_eq!(offset_of!(Header, sector), 8);
    }
}
