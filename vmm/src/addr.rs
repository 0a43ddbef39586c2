//! Addresses, each with the space it belongs to.
//!
//! A guest-virtual address is what the guest's instructions use, a
//! guest-physical one what its page tables yield, and a host-physical one
//! what the real machine's memory system sees. They never mix: the only ways
//! across are the page walk (Gva → Gpa) and guest RAM (Gpa → Hpa).

use core::fmt;

/// log2 of the size of a base page.
pub const PAGE_SHIFT: u32 = 12;
/// Bytes in a base page.
pub const PAGE_SIZE: u64 = 1 << PAGE_SHIFT;

/// A 64-bit quantity as an index of host memory.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "hosts of the VMM and of its tests are 64-bit")]
pub const fn to_usize(value: u64) -> usize {
    const { assert!(usize::BITS == 64) };
    value as usize
}

macro_rules! address {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        #[repr(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// The number of the page that holds the address.
            #[inline]
            pub const fn page(self) -> u64 {
                self.0 >> PAGE_SHIFT
            }

            /// The first address of page `number`; bits that do not fit are lost.
            #[inline]
            pub const fn from_page(number: u64) -> Self {
                Self(number << PAGE_SHIFT)
            }

            /// Offset within the page, in bytes.
            #[inline]
            pub const fn page_offset(self) -> u64 {
                self.0 & (PAGE_SIZE - 1)
            }

            /// The address `bytes` higher, or `None` on overflow.
            #[inline]
            pub const fn checked_add(self, bytes: u64) -> Option<Self> {
                match self.0.checked_add(bytes) {
                    Some(sum) => Some(Self(sum)),
                    None => None,
                }
            }

            /// The address `bytes` higher, modulo 2^64, as the hart computes it.
            #[inline]
            pub const fn wrapping_add(self, bytes: u64) -> Self {
                Self(self.0.wrapping_add(bytes))
            }

            /// Rounded down to a multiple of `align`, a power of two.
            #[inline]
            pub const fn align_down(self, align: u64) -> Self {
                Self(self.0 & !(align - 1))
            }

            /// Whether the address is a multiple of `align`, a power of two.
            #[inline]
            pub const fn is_aligned(self, align: u64) -> bool {
                self.0 & (align - 1) == 0
            }

            /// Bytes from `base` up to this address, or `None` if it is below.
            #[inline]
            pub const fn offset_from(self, base: Self) -> Option<u64> {
                self.0.checked_sub(base.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }
    };
}

address! {
    /// Guest-virtual address.
    Gva
}
address! {
    /// Guest-physical address.
    Gpa
}
address! {
    /// Host-physical address.
    Hpa
}

/// What a memory access does, as the architecture distinguishes them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Instruction fetch.
    Execute,
    /// Load, or load-reserved.
    Load,
    /// Store, store-conditional or AMO.
    Store,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_and_offset_split_an_address() {
        let a = Gpa(0x8000_1234);
        assert_eq!(a.page(), 0x8_0001);
        assert_eq!(a.page_offset(), 0x234);
        assert_eq!(Gpa::from_page(a.page()), a.align_down(PAGE_SIZE));
    }

    #[test]
    fn arithmetic_reports_the_edges() {
        assert_eq!(Gva(u64::MAX).checked_add(1), None);
        assert_eq!(Gva(u64::MAX).wrapping_add(1), Gva(0));
        assert_eq!(Hpa(4).offset_from(Hpa(8)), None);
        assert!(Hpa(0x20_0000).is_aligned(0x20_0000));
    }
}
