//! What ended a snippet, and how it is written in a report.

use core::fmt;

use crate::Mode;

/// A trap as the catching mode's CSRs describe it.
#[derive(Clone, Copy)]
pub struct Trap {
    /// The mode that took it: M, or S if it was delegated.
    pub to: Mode,
    /// `mcause` or `scause`.
    pub cause: u64,
    /// `mtval` or `stval`.
    pub tval: u64,
    /// `mepc` or `sepc`, relative to the snippet's start.
    pub pc: u64,
    /// Slot of the vector that was entered.
    pub slot: u64,
    /// `mstatus` or `sstatus` on entry of the handler.
    pub status: u64,
}

/// The interrupt bit of a cause.
pub const INTERRUPT: u64 = 1 << 63;

impl Trap {
    /// The same trap with `pc` counted from `start`.
    #[must_use]
    pub fn relative_to(self, start: u64) -> Self {
        Self { pc: self.pc.wrapping_sub(start), ..self }
    }

    /// Whether it is an `ecall`, of any mode, to the catcher.
    #[must_use]
    pub fn is_ecall(&self) -> bool {
        matches!(self.cause, 8..=11)
    }

    /// The mode that the trap came from: `MPP` or `SPP`.
    #[must_use]
    pub fn from(&self) -> Mode {
        let spp = self.status >> 8 & 1;
        match (self.to, self.status >> 11 & 3) {
            (Mode::S, _) if spp == 0 => Mode::U,
            (Mode::M, 0) => Mode::U,
            (Mode::M, 3) => Mode::M,
            _ => Mode::S,
        }
    }

    /// Cause and taking mode only: for a `tval` that may differ, or is dull.
    #[must_use]
    pub fn brief(&self) -> Brief {
        Brief(*self)
    }

    /// Cause, taking mode, `tval` and `pc`.
    #[must_use]
    pub fn full(&self) -> Full {
        Full(*self)
    }

    fn name(&self) -> &'static str {
        match self.cause {
            0 => "instruction-misaligned",
            1 => "instruction-access-fault",
            2 => "illegal-instruction",
            3 => "breakpoint",
            4 => "load-misaligned",
            5 => "load-access-fault",
            6 => "store-misaligned",
            7 => "store-access-fault",
            8 => "ecall-from-U",
            9 => "ecall-from-S",
            11 => "ecall-from-M",
            12 => "instruction-page-fault",
            13 => "load-page-fault",
            15 => "store-page-fault",
            _ => interrupt_name(self.cause),
        }
    }
}

fn interrupt_name(cause: u64) -> &'static str {
    match cause ^ INTERRUPT {
        1 => "S-software",
        3 => "M-software",
        5 => "S-timer",
        7 => "M-timer",
        9 => "S-external",
        11 => "M-external",
        _ => "unknown-cause",
    }
}

/// Shows cause, taking mode and `tval`.
impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}, tval {:#x}", self.name(), self.to.letter(), self.tval)
    }
}

/// A trap shown by cause and taking mode.
pub struct Brief(Trap);

impl fmt::Display for Brief {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.0.name(), self.0.to.letter())
    }
}

/// A trap shown with its program counter.
pub struct Full(Trap);

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, pc +{:#x}", self.0, self.0.pc)
    }
}

/// How a snippet that computes a value ended.
#[derive(Clone, Copy)]
pub enum Outcome {
    /// It came to its end with this in a0.
    Value(u64),
    /// It trapped before.
    Trap(Trap),
}

impl Outcome {
    /// Without `tval`.
    #[must_use]
    pub fn brief(&self) -> BriefOutcome {
        BriefOutcome(*self)
    }

    /// The value, or `None` after a trap.
    #[must_use]
    pub fn value(&self) -> Option<u64> {
        match self {
            Outcome::Value(value) => Some(*value),
            Outcome::Trap(_) => None,
        }
    }

    /// "runs", or the trap: for values that may differ.
    #[must_use]
    pub fn runs(&self) -> Runs {
        Runs(*self)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Value(value) => write!(f, "{value:#x}"),
            Outcome::Trap(trap) => trap.fmt(f),
        }
    }
}

/// An outcome shown without `tval`.
pub struct BriefOutcome(Outcome);

impl fmt::Display for BriefOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Outcome::Value(value) => write!(f, "{value:#x}"),
            Outcome::Trap(trap) => trap.brief().fmt(f),
        }
    }
}

/// An outcome shown without its value.
pub struct Runs(Outcome);

impl fmt::Display for Runs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Outcome::Value(_) => f.write_str("runs"),
            Outcome::Trap(trap) => trap.brief().fmt(f),
        }
    }
}
