//! Sv39 page-table entries (privileged specification, section "Sv39"): the
//! same bits for what the guest wrote and for what the hardware walks.

use bitflags::bitflags;

use crate::addr::{Gpa, Gva, Hpa, PAGE_SHIFT, to_usize};
use crate::vcpu::Permission;

/// Entries in a table.
pub const ENTRIES: usize = 512;
/// Level of the root table; leaves are possible at each level down to 0.
pub const ROOT_LEVEL: u8 = 2;

bitflags! {
    /// What an access may do.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
    pub struct Rights: u8 {
        /// Load.
        const R = 1 << 1;
        /// Store.
        const W = 1 << 2;
        /// Instruction fetch.
        const X = 1 << 3;
    }
}

impl From<crate::addr::Access> for Rights {
    #[inline]
    fn from(access: crate::addr::Access) -> Self {
        match access {
            crate::addr::Access::Execute => Self::X,
            crate::addr::Access::Load => Self::R,
            crate::addr::Access::Store => Self::W,
        }
    }
}

impl From<Permission> for Rights {
    /// PMP has the same three rights, one bit lower.
    #[inline]
    fn from(permission: Permission) -> Self {
        Self::from_bits_truncate(permission.bits() << 1)
    }
}

/// One page-table entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct Pte(pub u64);

impl Pte {
    /// Valid.
    pub const V: u64 = 1 << 0;
    /// Readable.
    pub const R: u64 = 1 << 1;
    /// Writable.
    pub const W: u64 = 1 << 2;
    /// Executable.
    pub const X: u64 = 1 << 3;
    /// Accessible in user mode.
    pub const U: u64 = 1 << 4;
    /// Global mapping.
    pub const G: u64 = 1 << 5;
    /// Accessed.
    pub const A: u64 = 1 << 6;
    /// Dirty.
    pub const D: u64 = 1 << 7;
    /// Bits 63 to 54: reserved, or of extensions (Svnapot, Svpbmt) that the
    /// virtual hart does not have.
    const RESERVED: u64 = !0 << 54;
    const PPN_SHIFT: u32 = 10;

    /// The physical page number.
    #[inline]
    pub const fn ppn(self) -> u64 {
        (self.0 & !Self::RESERVED) >> Self::PPN_SHIFT
    }

    /// The guest-physical address that a guest's entry points to.
    #[inline]
    pub const fn gpa(self) -> Gpa {
        Gpa::from_page(self.ppn())
    }

    /// Whether all of `bits` are set.
    #[inline]
    pub const fn has(self, bits: u64) -> bool {
        self.0 & bits == bits
    }

    /// Valid, and of an encoding that is not reserved.
    #[inline]
    pub const fn is_valid(self) -> bool {
        let write_only = self.0 & (Self::R | Self::W) == Self::W;
        self.has(Self::V) && !write_only && self.0 & Self::RESERVED == 0
    }

    /// A valid entry is a leaf when it can be read or executed.
    #[inline]
    pub const fn is_leaf(self) -> bool {
        self.0 & (Self::R | Self::X) != 0
    }

    /// In a pointer to the next level, D, A and U are reserved.
    #[inline]
    pub const fn is_clean_pointer(self) -> bool {
        self.0 & (Self::D | Self::A | Self::U) == 0
    }

    /// The R, W and X bits.
    #[inline]
    pub const fn rights(self) -> Rights {
        Rights::from_bits_truncate(self.0.to_le_bytes()[0] & 0xe)
    }

    /// A shadow leaf: user-accessible, with A and D set, so that the
    /// hardware never needs to write to a shadow table.
    #[inline]
    pub const fn shadow_leaf(target: Hpa, rights: Rights) -> Self {
        let flags = Self::V | Self::U | Self::A | Self::D | rights.bits() as u64;
        Self(target.page() << Self::PPN_SHIFT | flags)
    }

    /// The same shadow leaf, but for real S-mode alone.
    #[inline]
    pub const fn without_user(self) -> Self {
        Self(self.0 & !Self::U)
    }

    /// A shadow pointer to the table at `target`.
    #[inline]
    pub const fn shadow_pointer(target: Hpa) -> Self {
        Self(target.page() << Self::PPN_SHIFT | Self::V)
    }

    /// The host-physical address that a shadow entry points to.
    #[inline]
    pub const fn hpa(self) -> Hpa {
        Hpa::from_page(self.ppn())
    }
}

/// Bytes that a leaf of `level` maps.
#[inline]
pub const fn leaf_size(level: u8) -> u64 {
    1 << (PAGE_SHIFT + 9 * level as u32)
}

/// The index that `gva` selects in a table of `level`.
#[inline]
pub const fn index(gva: Gva, level: u8) -> usize {
    to_usize(gva.0 >> (PAGE_SHIFT + 9 * level as u32)) & (ENTRIES - 1)
}

/// Bits 63 to 39 of an Sv39 address must all equal bit 38.
#[inline]
pub const fn is_canonical(gva: Gva) -> bool {
    let sign_extended = ((gva.0 << 25) as i64 >> 25) as u64;
    sign_extended == gva.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_encodings_are_invalid() {
        for flags in 0..16u64 {
            let valid = flags & 1 == 1 && !matches!(flags >> 1 & 3, 2);
            assert_eq!(Pte(flags).is_valid(), valid, "{flags:#b}");
        }
        for bit in 54..64 {
            assert!(!Pte(Pte::V | Pte::R | 1 << bit).is_valid());
        }
    }

    #[test]
    fn canonical_addresses_repeat_bit_38() {
        for good in [0, 0x3f_ffff_ffff, 0xffff_ffc0_0000_0000, u64::MAX] {
            assert!(is_canonical(Gva(good)), "{good:#x}");
        }
        for bad in [0x40_0000_0000, 0xffff_ffbf_ffff_ffff, 1 << 63] {
            assert!(!is_canonical(Gva(bad)), "{bad:#x}");
        }
    }

    #[test]
    fn indices_come_from_nine_bits_each() {
        let gva = Gva(0x12_3456_7000);
        let rebuilt = (0..3).fold(0, |sum, l| sum | (index(gva, l) as u64) << (12 + 9 * l));
        assert_eq!(rebuilt, gva.0);
    }
}
