//! Copy on write: what a guest writes stays in the VMM's memory, over a disk
//! that is only read and that other guests may read, too.
//!
//! Memory is taken by clusters of eight sectors, each with a bit per sector
//! that was written; so a write never has to read from the base first. A read
//! takes all of its sectors from the base and then lays the written ones over
//! them, so that the base, which may be slow, sees one request for one,
//! however the written sectors are scattered. When the memory is used up,
//! writes to further clusters fail; nothing else does.

#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::{Disk, Op, Request, SECTOR, SERIAL, Submitted};
use crate::addr::to_usize;
use crate::mem::{GuestRam, OutOfRange};
use crate::virtio::chain::{Cursor, Segment, total};

/// Sectors in a cluster: as many as the bits of [`Cluster::written`].
const CLUSTER: u64 = u8::BITS as u64;
pub(super) const CLUSTER_BYTES: usize = to_usize(CLUSTER * SECTOR);

/// A cluster of which something was written.
struct Cluster {
    bytes: &'static mut [u8],
    /// Bit n: its sector n was written.
    written: u8,
}

/// A read that the base works on.
struct Read {
    tag: u16,
    sector: u64,
    data: Vec<Segment>,
}

/// A disk that is written instead of the one below it.
pub struct Overlay {
    base: Box<dyn Disk>,
    clusters: BTreeMap<u64, Cluster>,
    free: core::slice::ChunksExactMut<'static, u8>,
    reads: Vec<Read>,
    serial: [u8; SERIAL],
}

/// The sectors of a request that are in one cluster.
pub(super) struct Part {
    pub(super) cluster: u64,
    /// First and last of them, within the cluster.
    first: u64,
    last: u64,
}

impl Part {
    fn mask(&self) -> u8 {
        u8::MAX << self.first & u8::MAX >> (CLUSTER - 1 - self.last)
    }

    pub(super) fn bytes(&self) -> core::ops::Range<usize> {
        to_usize(self.first * SECTOR)..to_usize((self.last + 1) * SECTOR)
    }
}

/// The clusters that sectors from `sector` on, for `bytes` bytes, are in.
pub(super) fn parts(sector: u64, bytes: u64) -> impl Iterator<Item = Part> {
    let end = sector.saturating_add(bytes / SECTOR);
    let mut next = sector;
    core::iter::from_fn(move || {
        let (cluster, first) = (next / CLUSTER, next % CLUSTER);
        let last = (end.checked_sub(next + 1)? + first).min(CLUSTER - 1);
        next += last - first + 1;
        Some(Part { cluster, first, last })
    })
}

impl Overlay {
    /// A disk that reads as `base` and keeps what is written in `memory`, of
    /// which a last part that is no whole cluster is not used.
    pub fn new(base: Box<dyn Disk>, memory: &'static mut [u8], serial: [u8; SERIAL]) -> Self {
        let free = memory.chunks_exact_mut(CLUSTER_BYTES);
        Self { base, clusters: BTreeMap::new(), free, reads: Vec::new(), serial }
    }

    /// Bytes of memory that are left for clusters.
    pub fn room(&self) -> usize {
        self.free.len() * CLUSTER_BYTES
    }

    fn write(&mut self, request: &Request<'_>, ram: &GuestRam) -> Option<()> {
        let len = total(request.data);
        // Whole or not at all, as far as memory goes.
        let new = parts(request.sector, len).filter(|p| !self.clusters.contains_key(&p.cluster));
        if new.count() > self.free.len() {
            return None;
        }
        let mut cursor = Cursor::new(request.data);
        for part in parts(request.sector, len) {
            let cluster = self.cluster(part.cluster)?;
            cursor.read(ram, cluster.bytes.get_mut(part.bytes())?).ok()?;
            cluster.written |= part.mask();
        }
        Some(())
    }

    /// The cluster of this number, taken from free memory if it is new.
    fn cluster(&mut self, number: u64) -> Option<&mut Cluster> {
        use alloc::collections::btree_map::Entry;
        Some(match self.clusters.entry(number) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(Cluster { bytes: self.free.next()?, written: 0 }),
        })
    }

    /// Whether the base has nothing to add to what was written.
    fn covers(&self, sector: u64, bytes: u64) -> bool {
        parts(sector, bytes).all(|part| {
            let written = self.clusters.get(&part.cluster).map_or(0, |cluster| cluster.written);
            written & part.mask() == part.mask()
        })
    }

    fn read(&mut self, request: Request<'_>, ram: &GuestRam) -> Submitted {
        let Request { sector, data, tag, .. } = request;
        if self.covers(sector, total(data)) {
            return Submitted::Done(self.lay_over(sector, data, ram).is_ok());
        }
        match self.base.submit(request, ram) {
            Submitted::Done(success) => {
                Submitted::Done(success && self.lay_over(sector, data, ram).is_ok())
            }
            Submitted::Pending => {
                self.reads.push(Read { tag, sector, data: data.to_vec() });
                Submitted::Pending
            }
        }
    }

    /// Writes to guest memory those sectors of a read that were written.
    fn lay_over(&self, sector: u64, data: &[Segment], ram: &GuestRam) -> Result<(), OutOfRange> {
        let mut cursor = Cursor::new(data);
        for part in parts(sector, total(data)) {
            let cluster = self.clusters.get(&part.cluster);
            for at in part.first..=part.last {
                match cluster.filter(|cluster| cluster.written >> at & 1 != 0) {
                    Some(cluster) => {
                        let sector = Part { first: at, last: at, ..part }.bytes();
                        cursor.write(ram, cluster.bytes.get(sector).ok_or(OutOfRange)?)?;
                    }
                    None => cursor.skip(SECTOR),
                }
            }
        }
        Ok(())
    }
}

impl Disk for Overlay {
    fn sectors(&self) -> u64 {
        self.base.sectors()
    }

    fn read_only(&self) -> bool {
        false
    }

    fn serial(&self) -> [u8; SERIAL] {
        self.serial
    }

    fn submit(&mut self, request: Request<'_>, ram: &GuestRam) -> Submitted {
        match request.op {
            Op::Read => self.read(request, ram),
            Op::Write => Submitted::Done(self.write(&request, ram).is_some()),
            // Memory is as durable as this disk gets.
            Op::Flush => Submitted::Done(true),
        }
    }

    fn kick(&mut self) {
        self.base.kick();
    }

    fn complete(&mut self, ram: &GuestRam) -> Option<(u16, bool)> {
        let (tag, success) = self.base.complete(ram)?;
        let place = self.reads.iter().position(|read| read.tag == tag);
        let laid = place.map(|place| self.reads.swap_remove(place));
        let laid = laid.is_some_and(|read| self.lay_over(read.sector, &read.data, ram).is_ok());
        Some((tag, success && laid))
    }
}
