//! Storage behind the disks that guests see.
//!
//! The same [`Disk`] serves every device model, so that what a benchmark
//! compares is the path to it and not the storage.

mod ram;

pub use ram::RamDisk;

pub use trapeze_protocol::device::block::SECTOR;

use crate::mem::GuestRam;
use crate::virtio::chain::Segment;

/// What a request does with its segments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op {
    /// Disk to guest memory.
    Read,
    /// Guest memory to disk.
    Write,
    /// Make what was written durable; no segments.
    Flush,
}

/// A request, checked: it lies within the disk, its segments within RAM, and
/// these add up to whole sectors.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// What to do.
    pub op: Op,
    /// First sector.
    pub sector: u64,
    /// The data, in order.
    pub data: &'a [Segment],
    /// Comes back with the completion.
    pub tag: u16,
}

/// What became of a submitted request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Submitted {
    /// It is done; whether it succeeded.
    Done(bool),
    /// It will be told by [`Disk::complete`].
    Pending,
}

/// A disk.
pub trait Disk: Send {
    /// Size in sectors.
    fn sectors(&self) -> u64;
    /// Whether it cannot be written.
    fn read_only(&self) -> bool;
    /// Serial number, padded with zeroes.
    fn serial(&self) -> [u8; 20];
    /// Starts a request on the guest's memory.
    fn submit(&mut self, request: Request<'_>, ram: &GuestRam) -> Submitted;
    /// The next request that is done: its tag, and whether it succeeded.
    fn complete(&mut self) -> Option<(u16, bool)>;
}

/// Whether sectors `sector` and following, for `bytes` bytes, exist on a disk
/// of `sectors`.
pub fn in_range(sector: u64, bytes: u64, sectors: u64) -> bool {
    let count = bytes / SECTOR;
    bytes.is_multiple_of(SECTOR) && count <= sectors && sector <= sectors - count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_end_with_the_disk() {
        assert!(in_range(0, 512 * 8, 8));
        assert!(in_range(7, 512, 8));
        assert!(!in_range(8, 512, 8));
        assert!(!in_range(0, 511, 8));
        assert!(!in_range(u64::MAX, 512, 8));
        assert!(in_range(8, 0, 8));
    }
}
