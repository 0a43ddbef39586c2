//! The shared interrupt line: one word in the guest's memory that says which
//! devices have news, and one virtual interrupt that says that the word does.
//!
//! Device n of the interface is bit n. The VMM sets bits, the guest takes all
//! of them at once by swapping the word with zero. Neither does so through a
//! trapped register, and the PLIC has no part in it.
//!
//! ```text
//!  VMM    used ring: elements, index        (release)
//!         changed |= bit, if it was a change of configuration
//!         pending |= bit                    (atomic or, release)
//!         if pending was 0: raise the interrupt
//!  guest  interrupt handler:
//!         news = swap(pending, 0)           (atomic swap, acquire)
//!         if flags & DONE: hypercall interrupt_done
//!         for each bit of news: look at the used rings of that device
//! ```
//!
//! The interrupt is level-triggered by `pending != 0`, and goes down by
//! itself when the guest has taken the word: the VMM looks at it before it
//! interrupts the guest again. A handler may still find zero (a spurious
//! interrupt, or one of the PLIC that shares the line), and `sip` may show
//! the interrupt for a while after the word was taken. Where the VMM cannot
//! look in time it sets [`Flags::DONE`].

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::call::Error;

/// The line's memory; aligned to its size, so that it has a cache line of its
/// own.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C, align(64))]
pub struct InterruptLine {
    /// Bit n: a queue of device n has used buffers, or `changed` has its bit.
    pub pending: u64,
    /// Bit n: status or configuration of device n changed. Set before
    /// `pending`; taken by a swap with zero, too, or by clearing single bits.
    pub changed: u64,
    /// [`Flags`], written by the VMM only.
    pub flags: u32,
    /// Zero.
    pub reserved: [u32; 11],
}

/// Offset of [`InterruptLine::pending`] in bytes.
pub const PENDING: u64 = 0;
/// Offset of [`InterruptLine::changed`] in bytes.
pub const CHANGED: u64 = 8;
/// Offset of [`InterruptLine::flags`] in bytes.
pub const FLAGS: u64 = 16;
/// Size and alignment in bytes.
pub const SIZE: u64 = 64;

bitflags::bitflags! {
    /// What the VMM asks of the handler.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Flags: u32 {
        /// The interrupt stays up until
        /// [`Call::InterruptDone`](crate::call::Call::InterruptDone).
        const DONE = 1 << 0;
    }
}

/// The interrupt that a line raises, by its code in `scause` or `mcause`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum Line {
    /// `mip.SEIP`, together with what the PLIC says.
    SupervisorExternal = 9,
    /// `mip.MEIP`, likewise: for kernels that stay in vM.
    MachineExternal = 11,
}

impl Line {
    /// The line with this code.
    ///
    /// # Errors
    /// `InvalidParameter` if it is none of them.
    pub const fn from_code(code: u64) -> Result<Self, Error> {
        match code {
            9 => Ok(Self::SupervisorExternal),
            11 => Ok(Self::MachineExternal),
            _ => Err(Error::InvalidParameter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::offset_of;

    #[test]
    fn the_line_is_laid_out_as_said() {
        assert_eq!(offset_of!(InterruptLine, pending) as u64, PENDING);
        assert_eq!(offset_of!(InterruptLine, changed) as u64, CHANGED);
        assert_eq!(offset_of!(InterruptLine, flags) as u64, FLAGS);
        assert_eq!(size_of::<InterruptLine>() as u64, SIZE);
        assert_eq!(align_of::<InterruptLine>() as u64, SIZE);
    }

    #[test]
    fn lines_are_known_by_their_codes() {
        for line in [Line::SupervisorExternal, Line::MachineExternal] {
            assert_eq!(Line::from_code(line as u64), Ok(line));
        }
        assert_eq!(Line::from_code(1), Err(Error::InvalidParameter));
    }
}
