//! The device's side of a split virtqueue (virtio 1.2, section 2.7).
//!
//! Everything in the rings is the guest's allegation. A chain is copied out
//! once, checked as a whole, and only the copy is used. What breaks the rules
//! is [`Broken`]: the device stops and asks for a reset. Each call does work
//! that the size of the queue bounds.
//!
//! Memory ordering: a ring's `idx` is loaded with acquire, before what it
//! announces, and stored with release, after it (section 2.7.13). Where one
//! side announces and then looks whether the other wants to know, and the
//! other says so and then looks for announcements, both need a full fence in
//! between, or each could miss the other (section 2.7.7).

#[cfg(test)]
#[path = "queue/tests.rs"]
mod tests;

use trapeze_protocol::queue::{self as layout, Descriptor, DescriptorFlags, UsedElement};

use super::chain::{Chain, MAX_SEGMENTS, Segment, Unfit};
use crate::addr::Gpa;
use crate::mem::{GuestRam, OutOfRange, full_fence};

/// The largest queue that a device of ours takes.
pub const MAX_SIZE: u16 = 256;

/// How the driver broke the rules of the queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Broken {
    /// A size that no queue may have.
    Size,
    /// A ring or a buffer that is not in RAM, or a ring that is not aligned.
    Memory,
    /// More requests than the queue has room for.
    Index,
    /// A descriptor with a number that the table does not have.
    Descriptor,
    /// A chain without an end.
    Loop,
    /// More than 128 buffers, or one to read behind one to write.
    Buffers,
    /// A table of descriptors that was not agreed on, in another one, of an
    /// odd length, or not at the end of its chain.
    Indirect,
    /// A request without the parts that its device needs.
    Request,
}

impl From<OutOfRange> for Broken {
    fn from(OutOfRange: OutOfRange) -> Self {
        Self::Memory
    }
}

impl From<Unfit> for Broken {
    fn from(Unfit: Unfit) -> Self {
        Self::Buffers
    }
}

/// Where the driver put the parts of a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Place {
    /// Elements in each ring.
    pub size: u16,
    /// Descriptor table.
    pub descriptors: Gpa,
    /// Available ring, the driver's.
    pub avail: Gpa,
    /// Used ring, the device's.
    pub used: Gpa,
}

impl Place {
    /// Checks size, alignment (section 2.7) and that everything is in RAM.
    fn check(&self, ram: &GuestRam) -> Result<(), Broken> {
        if !layout::is_valid_size(self.size) || self.size > MAX_SIZE {
            return Err(Broken::Size);
        }
        let parts = [
            (self.descriptors, layout::descriptors_len(self.size), 16),
            (self.avail, layout::avail_len(self.size), 2),
            (self.used, layout::used_len(self.size), 4),
        ];
        let fits = |(gpa, len, align): (Gpa, u64, u64)| {
            gpa.is_aligned(align) && ram.hpa(gpa, len).is_some()
        };
        if parts.into_iter().all(fits) { Ok(()) } else { Err(Broken::Memory) }
    }
}

/// What the driver and the device agreed on about their queues.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// `VIRTIO_F_INDIRECT_DESC`
    pub indirect: bool,
    /// `VIRTIO_F_EVENT_IDX`
    pub event_idx: bool,
}

/// A queue.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    place: Place,
    options: Options,
    ready: bool,
    /// The next element of the available ring to take.
    next_avail: u16,
    /// The next element of the used ring to fill.
    next_used: u16,
    /// `next_used` when the driver's wish for interrupts was last looked at.
    told_used: u16,
    /// Chains that were taken and not given back.
    taken: u16,
}

impl Queue {
    /// Takes a queue at `place` into use, from its beginning.
    pub fn enable(&mut self, place: Place, options: Options, ram: &GuestRam) -> Result<(), Broken> {
        place.check(ram)?;
        *self = Self { place, options, ready: true, ..Self::default() };
        Ok(())
    }

    /// Takes it out of use; what was taken from it is not given back.
    pub fn disable(&mut self) {
        *self = Self::default();
    }

    /// Whether it is in use.
    #[inline]
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// How many chains were taken and not given back.
    #[inline]
    pub fn taken(&self) -> u16 {
        self.taken
    }

    /// Takes the next chain out of the available ring; `false` if there is
    /// none.
    pub fn pop(&mut self, ram: &GuestRam, chain: &mut Chain) -> Result<bool, Broken> {
        if !self.ready {
            return Ok(false);
        }
        let waiting = layout::waiting(self.avail_index(ram)?, self.next_avail);
        if waiting == 0 {
            return Ok(false);
        }
        // Each chain has a descriptor of its own until it is given back.
        if waiting > self.place.size - self.taken.min(self.place.size) {
            return Err(Broken::Index);
        }
        let place = layout::RING_ELEMENTS + 2 * layout::place(self.next_avail, self.place.size);
        let head = ram.load_u16(self.place.avail.wrapping_add(place))?;
        self.next_avail = self.next_avail.wrapping_add(1);
        self.taken += 1;
        chain.restart(head);
        self.follow(ram, chain)?;
        Ok(true)
    }

    fn avail_index(&self, ram: &GuestRam) -> Result<u16, OutOfRange> {
        ram.load_u16(self.place.avail.wrapping_add(layout::RING_INDEX))
    }

    /// Copies the descriptors of a chain (section 2.7.5).
    fn follow(&self, ram: &GuestRam, chain: &mut Chain) -> Result<(), Broken> {
        let mut table = Table { at: self.place.descriptors, len: self.place.size.into() };
        let (mut next, mut indirect) = (chain.head, false);
        // A chain that is longer than its table goes round in a circle.
        let mut left = table.len;
        while left > 0 {
            left -= 1;
            let descriptor = table.get(ram, next)?;
            let flags = DescriptorFlags::from_bits_truncate(descriptor.flags);
            if flags.contains(DescriptorFlags::INDIRECT) {
                if indirect || !self.options.indirect || flags.contains(DescriptorFlags::NEXT) {
                    return Err(Broken::Indirect);
                }
                table = Table::indirect(&descriptor)?;
                (next, indirect, left) = (0, true, table.len.min(u32::from(MAX_SEGMENTS) + 1));
                continue;
            }
            push(ram, chain, &descriptor, flags.contains(DescriptorFlags::WRITE))?;
            if !flags.contains(DescriptorFlags::NEXT) {
                return Ok(());
            }
            next = descriptor.next;
        }
        Err(Broken::Loop)
    }

    /// Gives chain `head` back, with `written` bytes in its writable buffers.
    /// A queue that was disabled meanwhile no longer wants it.
    pub fn push(&mut self, ram: &GuestRam, head: u16, written: u32) -> Result<(), Broken> {
        if !self.ready {
            return Ok(());
        }
        let place = layout::RING_ELEMENTS + 8 * layout::place(self.next_used, self.place.size);
        let element = UsedElement { id: head.into(), length: written };
        ram.write(self.place.used.wrapping_add(place), &element)?;
        self.next_used = self.next_used.wrapping_add(1);
        self.taken = self.taken.saturating_sub(1);
        ram.store_u16(self.place.used.wrapping_add(layout::RING_INDEX), self.next_used)?;
        Ok(())
    }

    /// Whether the driver wants an interrupt for what was given back since
    /// the last call (section 2.7.7.1).
    pub fn should_interrupt(&mut self, ram: &GuestRam) -> Result<bool, Broken> {
        let told = core::mem::replace(&mut self.told_used, self.next_used);
        if !self.ready || told == self.next_used {
            return Ok(false);
        }
        full_fence();
        if self.options.event_idx {
            let place = layout::used_event_offset(self.place.size);
            let event = ram.load_u16(self.place.avail.wrapping_add(place))?;
            return Ok(layout::passed_event(event, self.next_used, told));
        }
        Ok(ram.load_u16(self.place.avail)? & layout::AVAIL_NO_INTERRUPT == 0)
    }

    /// Asks to be notified of the next chain (section 2.7.10); `true` if one
    /// came before the driver could know, so that [`pop`](Self::pop) must be
    /// tried again.
    pub fn want_notification(&self, ram: &GuestRam) -> Result<bool, Broken> {
        if !self.ready {
            return Ok(false);
        }
        if self.options.event_idx {
            let place = layout::avail_event_offset(self.place.size);
            ram.store_u16(self.place.used.wrapping_add(place), self.next_avail)?;
        } else {
            ram.store_u16(self.place.used, 0)?;
        }
        full_fence();
        Ok(self.avail_index(ram)? != self.next_avail)
    }

    /// Tells the driver that notifications are not needed, as the device
    /// looks into the queue of its own accord. With event indices there is
    /// nothing to do: an event that was passed stays silent until the next
    /// [`want_notification`](Self::want_notification).
    pub fn refuse_notifications(&self, ram: &GuestRam) -> Result<(), Broken> {
        if self.ready && !self.options.event_idx {
            ram.store_u16(self.place.used, layout::USED_NO_NOTIFY)?;
        }
        Ok(())
    }
}

/// A table of descriptors: the queue's own, or an indirect one.
#[derive(Clone, Copy)]
struct Table {
    at: Gpa,
    len: u32,
}

impl Table {
    /// The table that `descriptor` refers to (section 2.7.5.3).
    fn indirect(descriptor: &Descriptor) -> Result<Self, Broken> {
        let len = descriptor.length / 16;
        if len == 0 || !descriptor.length.is_multiple_of(16) {
            return Err(Broken::Indirect);
        }
        Ok(Self { at: Gpa(descriptor.address), len })
    }

    /// Copies a descriptor out, once.
    #[inline]
    fn get(self, ram: &GuestRam, index: u16) -> Result<Descriptor, Broken> {
        if u32::from(index) >= self.len {
            return Err(Broken::Descriptor);
        }
        let at = self.at.checked_add(16 * u64::from(index)).ok_or(Broken::Memory)?;
        Ok(ram.read(at)?)
    }
}

fn push(ram: &GuestRam, chain: &mut Chain, d: &Descriptor, writable: bool) -> Result<(), Broken> {
    let segment = Segment { gpa: Gpa(d.address), len: d.length.into() };
    if segment.len != 0 {
        ram.hpa(segment.gpa, segment.len).ok_or(Broken::Memory)?;
    }
    Ok(chain.push(segment, writable)?)
}
