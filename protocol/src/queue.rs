//! The split virtqueue: layout in memory and arithmetic of its free-running
//! indices (virtio 1.2, section 2.7). All fields are little-endian.
//!
//! ```text
//!  descriptor table   16 bytes each: address, length, flags, next
//!  available ring     flags, idx, ring[size], used_event
//!  used ring          flags, idx, ring[size] of (id, length), avail_event
//! ```
//!
//! `size` is a power of two of at most 32768; `idx` counts modulo 2^16 and is
//! taken modulo `size` to find a place in a ring.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The largest queue that the format allows.
pub const MAX_SIZE: u16 = 1 << 15;

/// One buffer, or one table of them (section 2.7.5).
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Descriptor {
    /// Guest-physical address.
    pub address: u64,
    /// Length in bytes.
    pub length: u32,
    /// [`DescriptorFlags`].
    pub flags: u16,
    /// The next descriptor, if the flags say that there is one.
    pub next: u16,
}

bitflags::bitflags! {
    /// Flags of a descriptor.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct DescriptorFlags: u16 {
        /// The chain goes on.
        const NEXT = 1;
        /// The device writes to the buffer; without it, it reads.
        const WRITE = 2;
        /// The buffer holds a table of descriptors.
        const INDIRECT = 4;
    }
}

/// One completion (section 2.7.8).
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct UsedElement {
    /// Head of the chain that is done.
    pub id: u32,
    /// Bytes that the device wrote into it.
    pub length: u32,
}

/// `flags` of the available ring: the driver wants no interrupts.
pub const AVAIL_NO_INTERRUPT: u16 = 1;
/// `flags` of the used ring: the device wants no notifications.
pub const USED_NO_NOTIFY: u16 = 1;

/// Offset of `idx` in either ring.
pub const RING_INDEX: u64 = 2;
/// Offset of the first element in either ring.
pub const RING_ELEMENTS: u64 = 4;

/// Bytes of a descriptor table.
pub const fn descriptors_len(size: u16) -> u64 {
    16 * size as u64
}

/// Bytes of an available ring, `used_event` included.
pub const fn avail_len(size: u16) -> u64 {
    RING_ELEMENTS + 2 * size as u64 + 2
}

/// Bytes of a used ring, `avail_event` included.
pub const fn used_len(size: u16) -> u64 {
    RING_ELEMENTS + 8 * size as u64 + 2
}

/// Offset of `used_event` in the available ring.
pub const fn used_event_offset(size: u16) -> u64 {
    RING_ELEMENTS + 2 * size as u64
}

/// Offset of `avail_event` in the used ring.
pub const fn avail_event_offset(size: u16) -> u64 {
    RING_ELEMENTS + 8 * size as u64
}

/// The place in a ring of `size` elements, a power of two, that free-running
/// `index` means.
#[inline]
pub const fn place(index: u16, size: u16) -> u64 {
    (index & size.wrapping_sub(1)) as u64
}

/// How many elements were added since the reader was at `seen`; more than the
/// size of the ring means that the writer broke the rules.
#[inline]
pub const fn waiting(index: u16, seen: u16) -> u16 {
    index.wrapping_sub(seen)
}

/// Whether moving an index from `old` to `new` passed the place behind which
/// the other side wants to hear of it (`vring_need_event`, section 2.7.10.1).
#[inline]
pub const fn passed_event(event: u16, new: u16, old: u16) -> bool {
    new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
}

/// Whether a queue may have this size.
pub const fn is_valid_size(size: u16) -> bool {
    size != 0 && size <= MAX_SIZE && size.is_power_of_two()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn layouts_are_those_of_the_specification() {
        assert_eq!((size_of::<Descriptor>(), size_of::<UsedElement>()), (16, 8));
        assert_eq!((descriptors_len(8), avail_len(8), used_len(8)), (128, 22, 70));
        assert_eq!((used_event_offset(8), avail_event_offset(8)), (20, 68));
    }

    #[test]
    fn sizes_are_powers_of_two() {
        assert!([1, 2, 256, MAX_SIZE].into_iter().all(is_valid_size));
        assert!(![0, 3, 255, MAX_SIZE + 1].into_iter().any(is_valid_size));
    }

    /// A free-running index as it would be if it had 64 bits.
    fn wide() -> impl Strategy<Value = u64> {
        // Near a wrap-around as often as anywhere.
        prop_oneof![0u64..1 << 20, (1u64..16).prop_flat_map(|n| (n << 16) - 300..(n << 16) + 300)]
    }

    fn narrow(index: u64) -> u16 {
        (index & 0xffff) as u16
    }

    proptest! {
        /// Wrapping arithmetic agrees with counters that never wrap.
        #[test]
        fn indices_wrap_without_a_trace(seen in wide(), added in 0u64..=1 << 15, order in 0u32..16) {
            let (size, index) = (1u16 << order, seen + added);
            prop_assert_eq!(u64::from(waiting(narrow(index), narrow(seen))), added);
            prop_assert_eq!(place(narrow(index), size), index % u64::from(size));
        }

        /// The event is passed if some step from `old` to `new` left it behind.
        #[test]
        fn an_event_is_passed_exactly_when_the_index_steps_over_it(
            old in wide(), moved in 0u64..1000, ahead in -1000i64..1000,
        ) {
            let event = old.saturating_add_signed(ahead);
            let stepped_over = (old..old + moved).contains(&event);
            let passed = passed_event(narrow(event), narrow(old + moved), narrow(old));
            prop_assert_eq!(passed, stepped_over);
        }

        /// Consecutive places are all different until the ring is full.
        #[test]
        fn a_ring_holds_as_many_elements_as_its_size(start in any::<u16>(), order in 0u32..10) {
            let size = 1u16 << order;
            let mut taken = std::vec![false; usize::from(size)];
            for step in 0..size {
                let place = usize::try_from(place(start.wrapping_add(step), size)).unwrap();
                prop_assert!(!core::mem::replace(&mut taken[place], true));
            }
        }
    }
}
