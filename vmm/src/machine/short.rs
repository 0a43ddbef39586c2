//! The short path: exits so frequent that they are handled between two
//! halves of the world switch, with only some of the guest's registers saved.
//!
//! Whatever is not plain is left to the loop, which knows everything. What is
//! done here is done by the same code as there.

use super::seat::Seat;
use super::{Host, Trap};
use crate::stats::Did;
use crate::vcpu::{Cause, Effects, Exception, Mode};

/// What became of a trap on the short path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum Short {
    /// Handled: the guest runs on.
    Resume = 0,
    /// Not handled, and nothing is changed.
    Unhandled = 1,
    /// Handled, but something is to be done before the guest runs on.
    Settle = 2,
}

/// Handles a trap if it is one of the plain ones. Of the guest's registers,
/// only those that the instruction names need be true.
#[inline(always)]
pub fn short_path<H: Host>(host: &mut H, seat: &mut Seat, trap: Trap) -> Short {
    if seat.traced {
        return Short::Unhandled;
    }
    let effects = if trap.cause == Cause::Illegal as u64 {
        instruction(host, seat, trap.value)
    } else {
        system_call(seat)
    };
    match effects {
        Some(effects) if effects.is_empty() => Short::Resume,
        Some(effects) => settle(host, seat, effects),
        None => Short::Unhandled,
    }
}

/// A CSR access, or `sret`.
#[inline(always)]
fn instruction<H: Host>(host: &H, seat: &mut Seat, value: u64) -> Option<Effects> {
    let inst = super::exit::low_word(value);
    let (csr, effects) = seat.cpu.execute_frequent(inst, &seat.clock(host))?;
    match csr {
        Some(csr) => seat.stats.count_csr(csr),
        None => seat.stats.count(Did::Sret),
    }
    Some(effects)
}

/// `ecall` of a user program.
#[inline(always)]
fn system_call(seat: &mut Seat) -> Option<Effects> {
    let exception = Exception { cause: Cause::EcallFromU, tval: 0 };
    (seat.cpu.mode == Mode::User).then(|| {
        seat.stats.count(Did::Ecall(exception));
        seat.cpu.inject(exception)
    })
}

/// A change of mode or address space is followed at once, when the new root
/// is known.
#[inline]
fn settle<H: Host>(host: &mut H, seat: &mut Seat, effects: Effects) -> Short {
    if effects == Effects::TRANSLATION && seat.translate_known(host) {
        return Short::Resume;
    }
    seat.todo |= effects;
    Short::Settle
}
