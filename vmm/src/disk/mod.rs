//! Storage behind the disks that guests see.
//!
//! The same [`Disk`] serves every device model, so that what a benchmark
//! compares is the path to it and not the storage.
//!
//! ```text
//!  RamDisk    bytes of the VMM                         done at once
//!  Image      bytes that several guests may share      done at once
//!  Overlay    what a guest changed, over another disk  as that one
//!  (hw)       a virtio disk of the real machine        done later
//!  Cached     such a one, and what was read from it    as that one, or at once
//! ```

mod cached;
mod image;
mod overlay;
mod ram;

pub use cached::{Cached, STAGE};
pub use image::Image;
pub use overlay::Overlay;
pub use ram::RamDisk;
pub use trapeze_protocol::device::block::{SECTOR, SERIAL};

use crate::addr::to_usize;
use crate::mem::GuestRam;
use crate::virtio::chain::{Cursor, Segment, total};

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
/// these add up to whole sectors, though each of them need not be whole.
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
///
/// Who writes to guest memory through [`GuestRam`] leaves the marks that the
/// shadow tables need. For a disk that does not, as real ones, the device in
/// front leaves them when the request is complete.
pub trait Disk: Send {
    /// Size in sectors.
    fn sectors(&self) -> u64;
    /// Whether it cannot be written.
    fn read_only(&self) -> bool;
    /// Serial number, padded with zeroes.
    fn serial(&self) -> [u8; SERIAL];
    /// Starts a request on the guest's memory. No other request that the disk
    /// works on has the same tag.
    fn submit(&mut self, request: Request<'_>, ram: &GuestRam) -> Submitted;
    /// Requests that are pending must begin now. Until this is called a disk
    /// may hold them back, so that a real device hears of many at once.
    fn kick(&mut self) {}
    /// The next request that is done: its tag, and whether it succeeded.
    fn complete(&mut self, ram: &GuestRam) -> Option<(u16, bool)>;
}

/// Whether sectors `sector` and following, for `bytes` bytes, exist on a disk
/// of `sectors`.
pub fn in_range(sector: u64, bytes: u64, sectors: u64) -> bool {
    let count = bytes / SECTOR;
    bytes.is_multiple_of(SECTOR) && count <= sectors && sector <= sectors - count
}

/// Where `bytes` bytes from `sector` on are in a disk's memory.
fn place(sector: u64, bytes: u64) -> Option<core::ops::Range<usize>> {
    let start = sector.checked_mul(SECTOR)?;
    Some(to_usize(start)..to_usize(start.checked_add(bytes)?))
}

/// Copies from a disk's memory to the guest; tells whether all of it exists.
fn read_out(memory: &[u8], request: &Request<'_>, ram: &GuestRam) -> bool {
    let place = place(request.sector, total(request.data));
    let source = place.and_then(|place| memory.get(place));
    source.is_some_and(|source| Cursor::new(request.data).write(ram, source).is_ok())
}

/// Copies from the guest to a disk's memory; tells whether all of it exists.
fn write_in(memory: &mut [u8], request: &Request<'_>, ram: &GuestRam) -> bool {
    let place = place(request.sector, total(request.data));
    let target = place.and_then(|place| memory.get_mut(place));
    target.is_some_and(|target| Cursor::new(request.data).read(ram, target).is_ok())
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
