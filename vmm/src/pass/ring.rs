//! A virtqueue of a real device, from the driver's side (virtio 1.2, section
//! 2.7), in memory of the VMM's: no guest can write there, so what was
//! checked before it was put in stays as it is.
//!
//! There are neither indirect tables nor event indices. The device is trusted,
//! but what it says is looked up, not believed.

use alloc::boxed::Box;
use core::sync::atomic::{Ordering, fence};

use trapeze_protocol::queue as layout;
use trapeze_protocol::queue::{Descriptor, DescriptorFlags, UsedElement};

use crate::addr::{Gpa, Hpa, PAGE_SIZE};
use crate::mem::GuestRam;
use crate::virtio::queue::Place;

/// A piece of memory that the device may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Buffer {
    /// Where it is.
    pub host: Hpa,
    /// Bytes.
    pub len: u32,
    /// Whether the device writes there; else it reads.
    pub writable: bool,
}

/// Where a ring is for the device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RingPlace {
    /// Elements.
    pub size: u16,
    /// Descriptor table.
    pub descriptors: Hpa,
    /// Available ring, the VMM's.
    pub avail: Hpa,
    /// Used ring, the device's.
    pub used: Hpa,
}

/// The queue.
pub struct Ring {
    /// Has the addresses from 0 on.
    memory: GuestRam,
    place: Place,
    /// The descriptor behind each: in its chain, or among the free ones.
    next: Box<[u16]>,
    first_free: u16,
    free: u16,
    next_avail: u16,
    next_used: u16,
}

impl Ring {
    /// Bytes of memory for a ring of `size` elements, wherever they begin.
    pub const fn bytes(size: u16) -> u64 {
        let used = Self::layout(size).used.0;
        (used + layout::used_len(size)).next_multiple_of(PAGE_SIZE) + PAGE_SIZE
    }

    const fn layout(size: u16) -> Place {
        let avail = layout::descriptors_len(size);
        let used = (avail + layout::avail_len(size)).next_multiple_of(4);
        Place { size, descriptors: Gpa(0), avail: Gpa(avail), used: Gpa(used) }
    }

    /// An empty ring of `size` elements, a power of two, in `memory`.
    pub fn new(memory: &'static mut [u8], size: u16) -> Self {
        let next = (0..size).map(|_| 0).collect();
        let (memory, place) = (GuestRam::buffer(memory), Self::layout(size));
        let mut ring =
            Self { memory, place, next, first_free: 0, free: 0, next_avail: 0, next_used: 0 };
        ring.clear();
        ring
    }

    /// Forgets everything. The device must have stopped.
    pub fn clear(&mut self) {
        let Place { size, avail, used, .. } = self.place;
        for (at, len) in [(avail, layout::avail_len(size)), (used, layout::used_len(size))] {
            for offset in (0..len).step_by(2) {
                let _ = self.memory.store_u16(at.wrapping_add(offset), 0);
            }
        }
        (1..).zip(&mut self.next).for_each(|(number, next)| *next = number);
        (self.first_free, self.free) = (0, self.place.size);
        (self.next_avail, self.next_used) = (0, 0);
    }

    /// Where it is, for the device; `None` if it has less memory than it needs.
    pub fn place(&self) -> Option<RingPlace> {
        let Place { size, descriptors, avail, used } = self.place;
        Some(RingPlace {
            size,
            descriptors: self.memory.hpa(descriptors, layout::descriptors_len(size))?,
            avail: self.memory.hpa(avail, layout::avail_len(size))?,
            used: self.memory.hpa(used, layout::used_len(size))?,
        })
    }

    /// Buffers for which there is room.
    pub fn room(&self) -> usize {
        self.free.into()
    }

    /// Gives `buffers`, those that the device reads first, to the device; the
    /// number under which they come back. `None`: there are none, or too many.
    pub fn add(&mut self, buffers: impl ExactSizeIterator<Item = Buffer>) -> Option<u16> {
        let count = u16::try_from(buffers.len()).ok().filter(|count| *count <= self.free)?;
        let mut left = count.checked_sub(1)?;
        let head = self.first_free;
        for buffer in buffers {
            let index = self.first_free;
            self.first_free = *self.next.get(usize::from(index))?;
            let mut flags = DescriptorFlags::empty();
            flags.set(DescriptorFlags::WRITE, buffer.writable);
            flags.set(DescriptorFlags::NEXT, left != 0);
            left = left.saturating_sub(1);
            let descriptor = Descriptor {
                address: buffer.host.0,
                length: buffer.len,
                flags: flags.bits(),
                next: self.first_free,
            };
            let at = self.place.descriptors.wrapping_add(16 * u64::from(index));
            self.memory.write(at, &descriptor).ok()?;
        }
        self.free -= count;
        let element = layout::RING_ELEMENTS + 2 * layout::place(self.next_avail, self.place.size);
        self.memory.store_u16(self.place.avail.wrapping_add(element), head).ok()?;
        self.next_avail = self.next_avail.wrapping_add(1);
        let index = self.place.avail.wrapping_add(layout::RING_INDEX);
        self.memory.store_u16(index, self.next_avail).ok()?;
        Some(head)
    }

    /// Whether the device wants to hear of what was added.
    pub fn must_notify(&self) -> bool {
        fence(Ordering::SeqCst);
        let flags = self.memory.load_u16(self.place.used);
        flags.is_ok_and(|flags| flags & layout::USED_NO_NOTIFY == 0)
    }

    /// The next buffers that the device is done with, of which there were
    /// `count(number)`: their number, and how many bytes it wrote.
    pub fn take(&mut self, count: impl Fn(u16) -> u16) -> Option<(u16, u32)> {
        let index = self.memory.load_u16(self.place.used.wrapping_add(layout::RING_INDEX)).ok()?;
        if index == self.next_used {
            return None;
        }
        let element = layout::RING_ELEMENTS + 8 * layout::place(self.next_used, self.place.size);
        let at = self.place.used.wrapping_add(element);
        let UsedElement { id, length } = self.memory.read(at).ok()?;
        self.next_used = self.next_used.wrapping_add(1);
        let head = u16::try_from(id).ok().filter(|head| *head < self.place.size)?;
        self.release(head, count(head));
        Some((head, length))
    }

    /// Makes the `count` descriptors from `head` on free again.
    fn release(&mut self, head: u16, count: u16) {
        let mut last = head;
        for _ in 1..count {
            last = self.next.get(usize::from(last)).copied().unwrap_or(last);
        }
        if let Some(next) = self.next.get_mut(usize::from(last)).filter(|_| count != 0) {
            *next = self.first_free;
            self.first_free = head;
            self.free += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fake::RealRing;
    use super::*;

    fn ring(size: u16) -> Ring {
        Ring::new(vec![0u8; crate::addr::to_usize(Ring::bytes(size))].leak(), size)
    }

    fn buffers(count: u16) -> impl ExactSizeIterator<Item = Buffer> {
        (0..count).map(|n| Buffer { host: Hpa(u64::from(n) << 12), len: n.into(), writable: n > 1 })
    }

    #[test]
    fn nothing_and_too_much_are_refused() {
        let mut ring = ring(8);
        assert_eq!(ring.add(buffers(0)), None);
        assert_eq!(ring.add(buffers(9)), None);
        assert_eq!((ring.add(buffers(8)), ring.room()), (Some(0), 0));
        assert_eq!(ring.add(buffers(1)), None);
        ring.clear();
        assert_eq!(ring.room(), 8);
    }

    proptest! {
        /// Chains of any lengths, completed in any order, over the
        /// wrap-around of the ring many times.
        #[test]
        fn what_is_added_arrives_and_comes_back(
            steps in prop::collection::vec((1u16..6, any::<bool>(), 0usize..8), 1..400),
        ) {
            let mut ring = ring(16);
            let mut device = RealRing::new(ring.place().unwrap());
            let mut out: Vec<(u16, u16)> = vec![];
            for (count, complete, which) in steps {
                if let Some(head) = ring.add(buffers(count)) {
                    prop_assert_eq!(device.pop(), Some((head, buffers(count).collect::<Vec<_>>())));
                    out.push((head, count));
                }
                if complete && !out.is_empty() {
                    let (head, count) = out.remove(which % out.len());
                    device.push(head, count.into());
                    let counted = |_| count;
                    prop_assert_eq!(ring.take(counted), Some((head, count.into())));
                }
                let taken: u16 = out.iter().map(|(_, count)| count).sum();
                prop_assert_eq!(ring.room(), 16 - usize::from(taken));
                prop_assert_eq!(ring.take(|_| 0), None);
            }
        }
    }
}
