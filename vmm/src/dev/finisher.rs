//! Test finisher: a store ends or restarts the machine.
//!
//! SiFive's test device as QEMU has it (`hw/misc/sifive_test.c`), which the
//! device tree calls `sifive,test1`: bits 15 to 0 of what is stored in the
//! first register say what to do, bits 31 to 16 are the code of a failure.

use crate::bus::{AccessFault, Width};

const FAIL: u64 = 0x3333;
const PASS: u64 = 0x5555;
const RESET: u64 = 0x7777;

/// What the guest asks of its machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Stop; all went well.
    Pass,
    /// Stop; the code tells what went wrong.
    Fail(u16),
    /// Start again.
    Reset,
}

/// Reads 0 everywhere.
///
/// # Errors
/// [`AccessFault`] for a width other than 2 or 4 bytes.
pub const fn read(width: Width) -> Result<u64, AccessFault> {
    match width {
        Width::Half | Width::Word => Ok(0),
        Width::Byte | Width::Double => Err(AccessFault),
    }
}

/// Stores `value` at `offset` and tells what that asks for. Other values and
/// other offsets ask for nothing.
///
/// # Errors
/// As of [`read`].
pub fn write(offset: u64, width: Width, value: u64) -> Result<Option<Action>, AccessFault> {
    read(width)?;
    if offset != 0 {
        return Ok(None);
    }
    let [.., code_low, code_high] = word(value & width.mask());
    Ok(match value & 0xffff {
        FAIL => Some(Action::Fail(u16::from_le_bytes([code_low, code_high]))),
        PASS => Some(Action::Pass),
        RESET => Some(Action::Reset),
        _ => None,
    })
}

/// Bits 31 to 0, as bytes.
const fn word(value: u64) -> [u8; 4] {
    let [a, b, c, d, ..] = value.to_le_bytes();
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_end_the_machine() {
        let store = |value| write(0, Width::Word, value);
        assert_eq!(store(0x5555), Ok(Some(Action::Pass)));
        assert_eq!(store(0x7777), Ok(Some(Action::Reset)));
        assert_eq!(store(0x3333), Ok(Some(Action::Fail(0))));
        assert_eq!(store(0xffff_0001_3333), Ok(Some(Action::Fail(1))));
        assert_eq!(store(0xfedc_3333), Ok(Some(Action::Fail(0xfedc))));
        assert_eq!(store(0), Ok(None));
        assert_eq!(store(0x1234), Ok(None));
    }

    #[test]
    fn a_half_has_no_code() {
        assert_eq!(write(0, Width::Half, 0x1_3333), Ok(Some(Action::Fail(0))));
        assert_eq!(write(0, Width::Half, 0x1_5555), Ok(Some(Action::Pass)));
    }

    #[test]
    fn the_rest_does_nothing_or_faults() {
        assert_eq!(write(4, Width::Word, 0x5555), Ok(None));
        assert_eq!(read(Width::Word), Ok(0));
        for width in [Width::Byte, Width::Double] {
            assert_eq!(read(width), Err(AccessFault));
            assert_eq!(write(0, width, 0x5555), Err(AccessFault));
        }
    }
}
