//! The memory of a queue, which the driver shares with the device.
//!
//! All of it is atomics, so whatever the device does there, and whenever, no
//! access is undefined. The order of accesses is that of the table in
//! `docs/protocol.md`; the crate `ordering` tries all interleavings of it.

use crate::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering, fence};
use trapeze_protocol::queue::{self as layout, DescriptorFlags, UsedElement};

/// A descriptor: the address; and length, flags and next in one word.
#[repr(C, align(16))]
#[derive(Debug)]
pub(crate) struct Descriptor {
    pub(crate) address: AtomicU64,
    pub(crate) rest: AtomicU64,
}

impl Descriptor {
    /// Changes all but the address.
    pub(crate) fn set_rest(&self, len: u32, flags: DescriptorFlags, next: u16) {
        let rest = u64::from(len) | u64::from(flags.bits()) << 32 | u64::from(next) << 48;
        self.rest.store(rest, Ordering::Relaxed);
    }
}

/// The available ring; see [`layout`].
#[repr(C, align(64))]
#[derive(Debug)]
pub(crate) struct Available<const SIZE: usize> {
    pub(crate) flags: AtomicU16,
    pub(crate) index: AtomicU16,
    pub(crate) ring: [AtomicU16; SIZE],
    pub(crate) used_event: AtomicU16,
}

/// An element of the used ring.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Element {
    pub(crate) id: AtomicU32,
    pub(crate) length: AtomicU32,
}

/// The used ring.
#[repr(C, align(64))]
#[derive(Debug)]
pub(crate) struct Used<const SIZE: usize> {
    pub(crate) flags: AtomicU16,
    pub(crate) index: AtomicU16,
    pub(crate) ring: [Element; SIZE],
    pub(crate) avail_event: AtomicU16,
}

/// The memory of a queue of `SIZE` elements.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct RingMemory<const SIZE: usize> {
    pub(crate) descriptors: [Descriptor; SIZE],
    pub(crate) available: Available<SIZE>,
    pub(crate) used: Used<SIZE>,
}

impl<const SIZE: usize> RingMemory<SIZE> {
    /// Evaluated where a queue of this size is made: it does not compile if
    /// there is no such queue.
    #[expect(clippy::cast_possible_truncation, reason = "compared before")]
    pub(crate) const LEN: u16 = {
        assert!(SIZE <= layout::MAX_SIZE as usize, "the queue is too long");
        assert!(layout::is_valid_size(SIZE as u16), "a queue's size is a power of two");
        SIZE as u16
    };
}

/// The rings of a queue of any size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rings<'m> {
    size: u16,
    descriptors: &'m [Descriptor],
    avail_flags: &'m AtomicU16,
    avail_index: &'m AtomicU16,
    avail: &'m [AtomicU16],
    used_event: &'m AtomicU16,
    used_flags: &'m AtomicU16,
    used_index: &'m AtomicU16,
    used: &'m [Element],
    avail_event: &'m AtomicU16,
}

impl<'m> Rings<'m> {
    pub(crate) fn new<const SIZE: usize>(memory: &'m RingMemory<SIZE>) -> Self {
        let RingMemory { descriptors, available, used } = memory;
        Self {
            size: RingMemory::<SIZE>::LEN,
            descriptors,
            avail_flags: &available.flags,
            avail_index: &available.index,
            avail: &available.ring,
            used_event: &available.used_event,
            used_flags: &used.flags,
            used_index: &used.index,
            used: &used.ring,
            avail_event: &used.avail_event,
        }
    }

    pub(crate) fn size(&self) -> u16 {
        self.size
    }

    /// Where descriptors, available and used ring are, and their lengths in
    /// bytes.
    pub(crate) fn parts(&self) -> [(*const u8, usize); 3] {
        let size = usize::from(self.size);
        [
            (self.descriptors.as_ptr().cast(), 16 * size),
            (core::ptr::from_ref(self.avail_flags).cast(), 4 + 2 * size + 2),
            (core::ptr::from_ref(self.used_flags).cast(), 4 + 8 * size + 2),
        ]
    }

    /// As at the beginning of a queue. The device must not use it.
    pub(crate) fn clear(&self) {
        let words = [self.avail_flags, self.avail_index, self.used_event];
        let others = [self.used_flags, self.used_index, self.avail_event];
        for word in words.into_iter().chain(others) {
            word.store(0, Ordering::Relaxed);
        }
    }

    /// Descriptor `slot`.
    pub(crate) fn descriptor(&self, slot: u16) -> Option<&'m Descriptor> {
        self.descriptors.get(usize::from(slot))
    }

    fn place(&self, index: u16) -> usize {
        usize::from(index & (self.size - 1))
    }

    /// Makes the chain that begins at `head` available as element `index`.
    pub(crate) fn offer(&self, index: u16, head: u16) {
        if let Some(element) = self.avail.get(self.place(index)) {
            element.store(head, Ordering::Relaxed);
        }
        // The device loads the index before what it announces.
        self.avail_index.store(index.wrapping_add(1), Ordering::Release);
    }

    /// Whether the device wants to hear that the available index went from
    /// `old` to `new`.
    pub(crate) fn must_notify(&self, event_idx: bool, old: u16, new: u16) -> bool {
        // The device stores its wish and then loads the index.
        fence(Ordering::SeqCst);
        if event_idx {
            layout::passed_event(self.avail_event.load(Ordering::Relaxed), new, old)
        } else {
            self.used_flags.load(Ordering::Relaxed) & layout::USED_NO_NOTIFY == 0
        }
    }

    /// How many completions there are from `seen` on, as the device says.
    pub(crate) fn completions(&self, seen: u16) -> u16 {
        // Before the elements, and before the data.
        layout::waiting(self.used_index.load(Ordering::Acquire), seen)
    }

    /// Completion number `index`.
    pub(crate) fn completion(&self, index: u16) -> UsedElement {
        let element = self.used.get(self.place(index));
        element.map_or(UsedElement::default(), |element| UsedElement {
            id: element.id.load(Ordering::Relaxed),
            length: element.length.load(Ordering::Relaxed),
        })
    }

    /// Asks for an interrupt when the used index passes `event`; whether it
    /// has, from `seen` on, before the device could know.
    pub(crate) fn want_interrupt(&self, event_idx: bool, seen: u16, event: u16) -> bool {
        if event_idx {
            self.used_event.store(event, Ordering::Relaxed);
        } else {
            self.avail_flags.store(0, Ordering::Relaxed);
        }
        // The device stores the index and then loads the wish.
        fence(Ordering::SeqCst);
        let due = if event_idx { event.wrapping_sub(seen) } else { 0 };
        self.completions(seen) > due
    }

    /// Asks for no interrupts; there may still be some.
    pub(crate) fn refuse_interrupts(&self, event_idx: bool, seen: u16) {
        if event_idx {
            // Left behind: it is passed again after 65535 completions.
            self.used_event.store(seen.wrapping_sub(1), Ordering::Relaxed);
        } else {
            self.avail_flags.store(layout::AVAIL_NO_INTERRUPT, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::offset_of;

    #[test]
    fn memory_is_laid_out_as_the_protocol_says() {
        assert_eq!(size_of::<Descriptor>(), size_of::<layout::Descriptor>());
        assert_eq!(size_of::<Element>(), size_of::<UsedElement>());
        assert_eq!(offset_of!(Available<8>, index) as u64, layout::RING_INDEX);
        assert_eq!(offset_of!(Available<8>, ring) as u64, layout::RING_ELEMENTS);
        assert_eq!(offset_of!(Available<8>, used_event) as u64, layout::used_event_offset(8));
        assert_eq!(offset_of!(Used<8>, index) as u64, layout::RING_INDEX);
        assert_eq!(offset_of!(Used<8>, ring) as u64, layout::RING_ELEMENTS);
        assert_eq!(offset_of!(Used<8>, avail_event) as u64, layout::avail_event_offset(8));
    }

    #[test]
    fn parts_are_as_long_as_the_protocol_says() {
        let memory = RingMemory::<8>::new();
        let lens = Rings::new(&memory).parts().map(|(_, len)| len as u64);
        let expected = [layout::descriptors_len(8), layout::avail_len(8), layout::used_len(8)];
        assert_eq!(lens, expected);
    }

    #[test]
    fn a_descriptor_is_two_words() {
        let memory = RingMemory::<1>::new();
        memory.descriptors[0].address.store(0x1234, Ordering::Relaxed);
        memory.descriptors[0].set_rest(5, DescriptorFlags::WRITE, 7);
        let words = [&memory.descriptors[0].address, &memory.descriptors[0].rest];
        let words = words.map(|word| word.load(Ordering::Relaxed));
        let expected = layout::Descriptor { address: 0x1234, length: 5, flags: 2, next: 7 };
        assert_eq!(zerocopy::IntoBytes::as_bytes(&words), zerocopy::IntoBytes::as_bytes(&expected));
    }
}
