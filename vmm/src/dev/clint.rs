//! Core-local interruptor: software interrupts, timers and the clock.
//!
//! ```text
//!  0x0000 + 4 * hart   msip       bit 0: MSIP of the hart
//!  0x4000 + 8 * hart   mtimecmp   MTIP while mtime >= mtimecmp
//!  0xbff8              mtime
//! ```
//!
//! The layout is SiFive's (FU540-C000 manual, Core Local Interruptor), later the MSWI and
//! MTIMER devices of the RISC-V ACLINT specification. The values live with the
//! harts and with the machine's clock, so the chip is no more than the meaning
//! of its addresses. Whether a hart exists is for the machine to say; QEMU
//! reads 0 for one that does not, and ignores a write.

use crate::bus::{AccessFault, Width};

const MTIMECMP: u64 = 0x4000;
const MTIME: u64 = 0xbff8;
const END: u64 = 0xc000;

/// What an access reaches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Register {
    /// `msip` of the hart of this number, 32 bits of which bit 0 counts.
    Msip(usize),
    /// `mtimecmp`, 64 bits.
    Mtimecmp {
        /// The hart of this number.
        hart: usize,
        /// What of it is accessed.
        half: Half,
    },
    /// `mtime`, 64 bits.
    Mtime {
        /// What of it is accessed.
        half: Half,
    },
}

/// The part of a 64-bit register that an access moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Half {
    /// All 64 bits.
    Whole,
    /// Bits 31 to 0.
    Low,
    /// Bits 63 to 32.
    High,
}

impl Half {
    /// What a load reads if the register holds `value`; zero-extended.
    #[inline]
    pub const fn read(self, value: u64) -> u64 {
        match self {
            Half::Whole => value,
            Half::Low => value & 0xffff_ffff,
            Half::High => value >> 32,
        }
    }

    /// What the register holds after `value` is stored over `old`.
    #[inline]
    pub const fn merge(self, old: u64, value: u64) -> u64 {
        match self {
            Half::Whole => value,
            Half::Low => old & !0xffff_ffff | value & 0xffff_ffff,
            Half::High => old & 0xffff_ffff | value << 32,
        }
    }

    const fn of(offset: u64, width: Width) -> Option<Self> {
        match (width, offset & 7) {
            (Width::Double, 0) => Some(Half::Whole),
            (Width::Word, 0) => Some(Half::Low),
            (Width::Word, 4) => Some(Half::High),
            _ => None,
        }
    }
}

/// The register at `offset`.
///
/// # Errors
/// [`AccessFault`] for a width other than 4 bytes, or 8 for the registers that
/// have them; for an access that is not aligned; and past the last register.
#[inline]
pub fn decode(offset: u64, width: Width) -> Result<Register, AccessFault> {
    if offset < MTIMECMP {
        let whole = width == Width::Word && offset.is_multiple_of(4);
        return if whole { Ok(Register::Msip(index(offset / 4)?)) } else { Err(AccessFault) };
    }
    let half = Half::of(offset, width).ok_or(AccessFault)?;
    match offset {
        ..MTIME => Ok(Register::Mtimecmp { hart: index((offset - MTIMECMP) / 8)?, half }),
        MTIME..END => Ok(Register::Mtime { half }),
        _ => Err(AccessFault),
    }
}

/// Lossless: an offset is less than the size of the window.
#[inline]
fn index(number: u64) -> Result<usize, AccessFault> {
    usize::try_from(number).map_err(|_| AccessFault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software_interrupts_are_words() {
        assert_eq!(decode(0, Width::Word), Ok(Register::Msip(0)));
        assert_eq!(decode(28, Width::Word), Ok(Register::Msip(7)));
        assert_eq!(decode(0x3ffc, Width::Word), Ok(Register::Msip(4095)));
        for width in [Width::Byte, Width::Half, Width::Double] {
            assert_eq!(decode(0, width), Err(AccessFault));
        }
        assert_eq!(decode(2, Width::Word), Err(AccessFault));
    }

    #[test]
    fn timers_are_words_or_doubles() {
        let at = |offset, width| decode(offset, width);
        let cmp = |hart, half| Ok(Register::Mtimecmp { hart, half });
        assert_eq!(at(0x4000, Width::Double), cmp(0, Half::Whole));
        assert_eq!(at(0x4008, Width::Word), cmp(1, Half::Low));
        assert_eq!(at(0x403c, Width::Word), cmp(7, Half::High));
        assert_eq!(at(0xbff0, Width::Double), cmp(4094, Half::Whole));
        assert_eq!(at(0xbff8, Width::Double), Ok(Register::Mtime { half: Half::Whole }));
        assert_eq!(at(0xbffc, Width::Word), Ok(Register::Mtime { half: Half::High }));
    }

    #[test]
    fn other_accesses_fault() {
        for (offset, width) in [
            (0x4000, Width::Byte),
            (0x4000, Width::Half),
            (0x4002, Width::Word),
            (0x4004, Width::Double),
            (0xbff8, Width::Half),
            (0xbffc, Width::Double),
            (0xc000, Width::Double),
            (0xfffc, Width::Word),
            (u64::MAX - 3, Width::Word),
        ] {
            assert_eq!(decode(offset, width), Err(AccessFault), "{offset:#x} {width:?}");
        }
    }

    #[test]
    fn halves_make_the_whole() {
        let (old, new) = (0x1111_2222_3333_4444, 0xaaaa_bbbb_cccc_dddd);
        assert_eq!(Half::Whole.merge(old, new), new);
        assert_eq!(Half::Low.merge(old, new), 0x1111_2222_cccc_dddd);
        assert_eq!(Half::High.merge(old, new), 0xcccc_dddd_3333_4444);
        let halves = Half::High.read(old) << 32 | Half::Low.read(old);
        assert_eq!(halves, Half::Whole.read(old));
    }
}
