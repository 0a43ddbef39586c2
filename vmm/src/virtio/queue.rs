//! The device's side of a split virtqueue (virtio 1.2, section 2.7).
//!
//! Everything in the rings is the guest's allegation. A chain is copied out
//! once, checked as a whole, and only the copy is used. What breaks the rules
//! (a loop, a descriptor that does not exist, a buffer outside RAM, an index
//! that runs away) is [`Broken`]: the device stops and asks for a reset.
//! Each call does work bounded by the size of the queue.

use alloc::vec::Vec;
use core::sync::atomic::{Ordering, fence};

use trapeze_protocol::queue::{self as layout, Descriptor, DescriptorFlags, UsedElement};
use zerocopy::FromBytes;

use crate::addr::Gpa;
use crate::mem::{GuestRam, OutOfRange};

/// Buffers that one chain may have, over all levels.
pub const MAX_SEGMENTS: u32 = 128;

/// The driver broke the rules of the queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Broken;

impl From<OutOfRange> for Broken {
    fn from(_: OutOfRange) -> Self {
        Self
    }
}

/// One checked buffer in guest RAM.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    /// Where it starts.
    pub gpa: Gpa,
    /// Bytes, not zero.
    pub len: u64,
}

/// A request: buffers to read, then buffers to write.
#[derive(Clone, Default, Debug)]
pub struct Chain {
    /// Names the chain when it is given back.
    pub head: u16,
    segments: Vec<Segment>,
    /// How many of them the device reads.
    readable: usize,
}

impl Chain {
    /// The buffers that the device reads.
    pub fn readable(&self) -> &[Segment] {
        self.segments.get(..self.readable).unwrap_or_default()
    }

    /// The buffers that the device writes.
    pub fn writable(&self) -> &[Segment] {
        self.segments.get(self.readable..).unwrap_or_default()
    }

    fn clear(&mut self, head: u16) {
        (self.head, self.readable) = (head, 0);
        self.segments.clear();
    }

    /// Adds a buffer: readable ones come first (section 2.7.4.2).
    fn push(&mut self, ram: &GuestRam, d: &Descriptor, writable: bool) -> Result<(), Broken> {
        let segment = Segment { gpa: Gpa(d.address), len: d.length.into() };
        ram.hpa(segment.gpa, segment.len).ok_or(Broken)?;
        if self.segments.len() as u64 >= u64::from(MAX_SEGMENTS) {
            return Err(Broken);
        }
        if !writable {
            if self.readable != self.segments.len() {
                return Err(Broken);
            }
            self.readable += usize::from(segment.len != 0);
        }
        if segment.len != 0 {
            self.segments.push(segment);
        }
        Ok(())
    }
}

/// A queue as the driver has set it up.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    /// Elements in each ring.
    pub size: u16,
    /// Descriptor table.
    pub descriptors: Gpa,
    /// Available ring, the driver's.
    pub avail: Gpa,
    /// Used ring, the device's.
    pub used: Gpa,
    /// In use.
    pub ready: bool,
    /// `VIRTIO_F_EVENT_IDX` was negotiated.
    pub event_index: bool,
    /// `VIRTIO_F_INDIRECT_DESC` was negotiated.
    pub indirect: bool,
    next_avail: u16,
    next_used: u16,
    /// `next_used` when the driver was last told.
    told_used: u16,
}

impl Queue {
    /// Takes the queue into use; fails where it cannot be one.
    pub fn enable(&mut self, ram: &GuestRam) -> Result<(), Broken> {
        let parts = [
            (self.descriptors, layout::descriptors_len(self.size), 16),
            (self.avail, layout::avail_len(self.size), 2),
            (self.used, layout::used_len(self.size), 4),
        ];
        let fits =
            |(at, len, align): (Gpa, u64, u64)| at.is_aligned(align) && ram.hpa(at, len).is_some();
        if !layout::is_valid_size(self.size) || !parts.into_iter().all(fits) {
            return Err(Broken);
        }
        (self.next_avail, self.next_used, self.told_used) = (0, 0, 0);
        self.ready = true;
        Ok(())
    }

    /// Takes the next request out of the available ring.
    pub fn pop(&mut self, ram: &GuestRam, chain: &mut Chain) -> Result<bool, Broken> {
        if !self.ready {
            return Ok(false);
        }
        let index = ram.load_u16(self.avail.wrapping_add(layout::RING_INDEX))?;
        let waiting = index.wrapping_sub(self.next_avail);
        if waiting == 0 {
            return Ok(false);
        }
        if waiting > self.size {
            return Err(Broken);
        }
        let place = layout::RING_ELEMENTS + 2 * layout::place(self.next_avail, self.size);
        let head = ram.load_u16(self.avail.wrapping_add(place))?;
        self.next_avail = self.next_avail.wrapping_add(1);
        chain.clear(head);
        self.follow(ram, chain, (self.descriptors, self.size.into()), head, self.indirect)?;
        Ok(true)
    }

    /// Copies the chain that starts at `head` of a table of `count` entries.
    fn follow(
        &self,
        ram: &GuestRam,
        chain: &mut Chain,
        (table, count): (Gpa, u32),
        head: u16,
        indirect: bool,
    ) -> Result<(), Broken> {
        let mut at = head;
        // A chain that is longer than its table goes round in a circle.
        for _ in 0..count {
            if u32::from(at) >= count {
                return Err(Broken);
            }
            let mut bytes = [0; 16];
            ram.read_bytes(table.wrapping_add(16 * u64::from(at)), &mut bytes)?;
            let descriptor = Descriptor::read_from_bytes(&bytes).map_err(|_| Broken)?;
            let flags = DescriptorFlags::from_bits_truncate(descriptor.flags);
            if flags.contains(DescriptorFlags::INDIRECT) {
                // An indirect table ends its chain, and holds no other.
                if !indirect || flags.contains(DescriptorFlags::NEXT) {
                    return Err(Broken);
                }
                return self.follow_indirect(ram, chain, &descriptor);
            }
            chain.push(ram, &descriptor, flags.contains(DescriptorFlags::WRITE))?;
            if !flags.contains(DescriptorFlags::NEXT) {
                return Ok(());
            }
            at = descriptor.next;
        }
        Err(Broken)
    }

    fn follow_indirect(
        &self,
        ram: &GuestRam,
        chain: &mut Chain,
        descriptor: &Descriptor,
    ) -> Result<(), Broken> {
        let count = descriptor.length / 16;
        if count == 0 || count > MAX_SEGMENTS || !descriptor.length.is_multiple_of(16) {
            return Err(Broken);
        }
        self.follow(ram, chain, (Gpa(descriptor.address), count), 0, false)
    }

    /// Gives chain `head` back, with `written` bytes in its writable buffers.
    pub fn push(&mut self, ram: &GuestRam, head: u16, written: u32) -> Result<(), Broken> {
        let place = layout::RING_ELEMENTS + 8 * layout::place(self.next_used, self.size);
        let element = UsedElement { id: head.into(), length: written };
        ram.write(self.used.wrapping_add(place), &element)?;
        self.next_used = self.next_used.wrapping_add(1);
        // The element before the index: a release store.
        ram.store_u16(self.used.wrapping_add(layout::RING_INDEX), self.next_used)?;
        Ok(())
    }

    /// Whether the driver wants an interrupt for what was pushed since the
    /// last time it was asked.
    pub fn should_interrupt(&mut self, ram: &GuestRam) -> Result<bool, Broken> {
        let old = core::mem::replace(&mut self.told_used, self.next_used);
        if old == self.next_used {
            return Ok(false);
        }
        // The index before the look at what the driver wants (2.7.7.1).
        fence(Ordering::SeqCst);
        if self.event_index {
            let event =
                ram.load_u16(self.avail.wrapping_add(layout::used_event_offset(self.size)))?;
            return Ok(layout::passed_event(event, self.next_used, old));
        }
        Ok(ram.load_u16(self.avail)? & layout::AVAIL_NO_INTERRUPT == 0)
    }

    /// Tells the driver that the device is looking for requests itself
    /// (`false`), or wants to be notified of the next one; the result tells
    /// whether one came meanwhile.
    pub fn want_notifications(&mut self, ram: &GuestRam, wanted: bool) -> Result<bool, Broken> {
        if self.event_index {
            // With an event index that was passed already, none is sent.
            let event = if wanted { self.next_avail } else { self.next_avail.wrapping_sub(1) };
            let place = layout::avail_event_offset(self.size);
            ram.store_u16(self.used.wrapping_add(place), event)?;
        } else {
            let flags = if wanted { 0 } else { layout::USED_NO_NOTIFY };
            ram.store_u16(self.used, flags)?;
        }
        fence(Ordering::SeqCst);
        let index = ram.load_u16(self.avail.wrapping_add(layout::RING_INDEX))?;
        Ok(index != self.next_avail)
    }
}
