//! A real disk with a memory, as long as there is spare memory: what a guest
//! has read is kept, and read from there the next time.
//!
//! Only this disk is read and written through here, so what is kept is right
//! unless a write overtakes a read: what a read brings while a write is under
//! way, or after one has begun, is not kept. And it comes to the VMM's own
//! *stage* first: in the guest's memory, a program could change it before it is
//! kept, and so change what others read from the disk.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::overlay::{CLUSTER_BYTES, parts};
use super::{Disk, Op, Request, SERIAL, Submitted};
use crate::addr::{Gpa, PAGE_SIZE};
use crate::mem::GuestRam;
use crate::spare::{Key, Spare};
use crate::virtio::chain::{Cursor, Segment, total};

/// Reads that are on the stage at once; others are not kept.
const READS: usize = 16;
/// Bytes that they have together: Linux reads as much ahead in one request.
const ROOM: u64 = 4 << 20;
/// Bytes of the stage; a page more, so that it has whole pages wherever it is.
pub const STAGE: u64 = ROOM + PAGE_SIZE;

/// A read that the disk works on.
struct Read {
    tag: u16,
    /// Its place on the stage.
    stage: Segment,
    sector: u64,
    data: Vec<Segment>,
    /// Writes that had begun before.
    writes: u64,
}

/// A disk with a memory.
pub struct Cached {
    base: Box<dyn Disk>,
    spare: Spare,
    number: u32,
    stage: GuestRam,
    reads: Vec<Read>,
    /// Tags of the writes that the disk works on.
    writing: Vec<u16>,
    /// Writes that have begun.
    writes: u64,
}

impl Cached {
    /// `base`, with what is spare for a memory, and `stage`, of [`STAGE`] bytes.
    pub fn new(base: Box<dyn Disk>, spare: Spare, stage: &'static mut [u8]) -> Self {
        let (number, stage) = (spare.new_disk(), GuestRam::buffer(stage));
        Self { base, spare, number, stage, reads: Vec::new(), writing: Vec::new(), writes: 0 }
    }

    fn key(&self, cluster: u64) -> Key {
        Key { disk: self.number, cluster }
    }

    /// A place on the stage for `len` bytes: at its beginning, or behind another.
    fn place(&self, len: u64) -> Option<Segment> {
        let end = |stage: Segment| stage.gpa.wrapping_add(stage.len);
        let fits = |place: &Segment| {
            let apart = |read: &Read| end(*place) <= read.stage.gpa || end(read.stage) <= place.gpa;
            end(*place).0 <= ROOM && self.reads.iter().all(apart)
        };
        let starts = core::iter::once(Gpa(0)).chain(self.reads.iter().map(|read| end(read.stage)));
        let mut places = starts.map(|gpa| Segment { gpa, len });
        if self.reads.len() < READS && len != 0 { places.find(fits) } else { None }
    }

    /// Reads from what is kept; `false` if some of it is not, and what was
    /// written to the guest so far will be written again.
    fn recall(&self, request: &Request<'_>, ram: &GuestRam) -> bool {
        let mut cursor = Cursor::new(request.data);
        parts(request.sector, total(request.data)).all(|part| {
            let (mut bytes, place) = ([0; CLUSTER_BYTES], part.bytes());
            let wanted = bytes.get_mut(..place.len()).unwrap_or_default();
            self.spare.get(self.key(part.cluster), place.start, wanted)
                && cursor.write(ram, wanted).is_ok()
        })
    }

    fn read(&mut self, request: Request<'_>, ram: &GuestRam) -> Submitted {
        if !self.spare.is_empty() && self.recall(&request, ram) {
            return Submitted::Done(true);
        }
        let Request { sector, data, tag, .. } = request;
        let worth_it = !self.spare.is_empty() && self.writing.is_empty();
        let Some(stage) = self.place(total(data)).filter(|_| worth_it) else {
            return self.base.submit(request, ram);
        };
        let read = Read { tag, stage, sector, data: data.to_vec(), writes: self.writes };
        match self.base.submit(Request { data: &[stage], ..request }, &self.stage) {
            Submitted::Pending => {
                self.reads.push(read);
                Submitted::Pending
            }
            Submitted::Done(success) => Submitted::Done(success && self.land(&read, ram)),
        }
    }

    /// Gives the guest what has come, and keeps the whole clusters of it.
    fn land(&self, read: &Read, ram: &GuestRam) -> bool {
        let (mut to, mut from) = (Cursor::new(&read.data), read.stage.gpa);
        let current = self.writing.is_empty() && read.writes == self.writes;
        parts(read.sector, total(&read.data)).all(|part| {
            let mut bytes = [0; CLUSTER_BYTES];
            let piece = bytes.get_mut(..part.bytes().len()).unwrap_or_default();
            let arrived = self.stage.read_bytes(from, piece).is_ok();
            from = from.wrapping_add(piece.len() as u64);
            let written = arrived && to.write(ram, piece).is_ok();
            if arrived && current && piece.len() == CLUSTER_BYTES {
                self.spare.put(self.key(part.cluster), |frame| frame.write(0, piece));
            }
            written
        })
    }

    fn write(&mut self, request: Request<'_>, ram: &GuestRam) -> Submitted {
        self.writes += 1;
        if !self.spare.is_empty() {
            let parts = parts(request.sector, total(request.data));
            parts.for_each(|part| self.spare.forget(self.key(part.cluster)));
        }
        let submitted = self.base.submit(request, ram);
        if submitted == Submitted::Pending {
            self.writing.push(request.tag);
        }
        submitted
    }
}

impl Disk for Cached {
    fn sectors(&self) -> u64 {
        self.base.sectors()
    }

    fn read_only(&self) -> bool {
        self.base.read_only()
    }

    fn serial(&self) -> [u8; SERIAL] {
        self.base.serial()
    }

    fn submit(&mut self, request: Request<'_>, ram: &GuestRam) -> Submitted {
        match request.op {
            Op::Read => self.read(request, ram),
            Op::Write => self.write(request, ram),
            Op::Flush => self.base.submit(request, ram),
        }
    }

    fn kick(&mut self) {
        self.base.kick();
    }

    fn complete(&mut self, ram: &GuestRam) -> Option<(u16, bool)> {
        let (tag, success) = self.base.complete(ram)?;
        self.writing.retain(|writing| *writing != tag);
        let staged = self.reads.iter().position(|read| read.tag == tag);
        let staged = staged.map(|index| self.reads.swap_remove(index));
        Some((tag, success && staged.is_none_or(|read| self.land(&read, ram))))
    }
}

#[cfg(test)]
mod tests;
