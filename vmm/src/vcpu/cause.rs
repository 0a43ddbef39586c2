//! Why a hart leaves its course: exceptions and interrupts.
//!
//! Codes are those of `mcause` (privileged architecture 1.12, table 3.6).

/// Synchronous exception codes that this hart can raise.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[repr(u8)]
pub enum Cause {
    /// Instruction address misaligned: not seen with compressed instructions.
    InstructionMisaligned = 0,
    /// Instruction access fault: PMP, or nothing there to fetch from.
    InstructionAccess = 1,
    /// Illegal instruction; `tval` is the instruction.
    Illegal = 2,
    /// `ebreak`.
    Breakpoint = 3,
    /// Load address misaligned.
    LoadMisaligned = 4,
    /// Load access fault.
    LoadAccess = 5,
    /// Store or AMO address misaligned.
    StoreMisaligned = 6,
    /// Store or AMO access fault.
    StoreAccess = 7,
    /// `ecall` from vU.
    EcallFromU = 8,
    /// `ecall` from vS.
    EcallFromS = 9,
    /// `ecall` from vM.
    EcallFromM = 11,
    /// Instruction page fault.
    InstructionPage = 12,
    /// Load page fault.
    LoadPage = 13,
    /// Store or AMO page fault.
    StorePage = 15,
}

impl Cause {
    /// All causes, by rising code.
    pub const ALL: [Self; 14] = [
        Self::InstructionMisaligned,
        Self::InstructionAccess,
        Self::Illegal,
        Self::Breakpoint,
        Self::LoadMisaligned,
        Self::LoadAccess,
        Self::StoreMisaligned,
        Self::StoreAccess,
        Self::EcallFromU,
        Self::EcallFromS,
        Self::EcallFromM,
        Self::InstructionPage,
        Self::LoadPage,
        Self::StorePage,
    ];

    /// The code as in `mcause` and as a bit number of `medeleg`.
    #[inline]
    pub const fn code(self) -> u64 {
        self as u64
    }

    /// The cause with this code, or `None` where the code is reserved.
    pub fn from_code(code: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.code() == code)
    }

    /// Name for traces and statistics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InstructionMisaligned => "instruction address misaligned",
            Self::InstructionAccess => "instruction access fault",
            Self::Illegal => "illegal instruction",
            Self::Breakpoint => "breakpoint",
            Self::LoadMisaligned => "load address misaligned",
            Self::LoadAccess => "load access fault",
            Self::StoreMisaligned => "store address misaligned",
            Self::StoreAccess => "store access fault",
            Self::EcallFromU => "ecall from U",
            Self::EcallFromS => "ecall from S",
            Self::EcallFromM => "ecall from M",
            Self::InstructionPage => "instruction page fault",
            Self::LoadPage => "load page fault",
            Self::StorePage => "store page fault",
        }
    }
}

/// A synchronous trap that the guest is to see.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exception {
    /// What happened.
    pub cause: Cause,
    /// The value for `mtval` or `stval`: an address, an instruction, or 0.
    pub tval: u64,
}

impl Exception {
    /// Illegal instruction, with the instruction in `tval` as QEMU has it.
    #[inline]
    pub const fn illegal(inst: u32) -> Self {
        Self { cause: Cause::Illegal, tval: inst as u64 }
    }
}

/// Interrupt codes; also bit numbers of `mip`, `mie` and `mideleg`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[repr(u8)]
pub enum Interrupt {
    /// Supervisor software interrupt.
    SupervisorSoft = 1,
    /// Machine software interrupt.
    MachineSoft = 3,
    /// Supervisor timer interrupt.
    SupervisorTimer = 5,
    /// Machine timer interrupt.
    MachineTimer = 7,
    /// Supervisor external interrupt.
    SupervisorExternal = 9,
    /// Machine external interrupt.
    MachineExternal = 11,
}

impl Interrupt {
    /// All interrupts, highest priority first (section 3.1.9).
    pub const BY_PRIORITY: [Self; 6] = [
        Self::MachineExternal,
        Self::MachineSoft,
        Self::MachineTimer,
        Self::SupervisorExternal,
        Self::SupervisorSoft,
        Self::SupervisorTimer,
    ];

    /// The code as in `mcause`, without its top bit.
    #[inline]
    pub const fn code(self) -> u64 {
        self as u64
    }

    /// The interrupt's bit in `mip`, `mie` and `mideleg`.
    #[inline]
    pub const fn bit(self) -> u64 {
        1 << self as u64
    }

    /// Name for traces and statistics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SupervisorSoft => "supervisor software interrupt",
            Self::MachineSoft => "machine software interrupt",
            Self::SupervisorTimer => "supervisor timer interrupt",
            Self::MachineTimer => "machine timer interrupt",
            Self::SupervisorExternal => "supervisor external interrupt",
            Self::MachineExternal => "machine external interrupt",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_lead_back_to_their_cause() {
        for cause in Cause::ALL {
            assert_eq!(Cause::from_code(cause.code()), Some(cause));
        }
        for reserved in [10, 14, 16, u64::MAX] {
            assert_eq!(Cause::from_code(reserved), None);
        }
    }

    #[test]
    fn names_differ() {
        let mut names: Vec<_> = Cause::ALL.iter().map(|c| c.name()).collect();
        names.extend(Interrupt::BY_PRIORITY.iter().map(|i| i.name()));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Cause::ALL.len() + Interrupt::BY_PRIORITY.len());
    }

    #[test]
    fn interrupt_bits_are_those_of_mip() {
        let all = Interrupt::BY_PRIORITY.iter().fold(0, |bits, i| bits | i.bit());
        assert_eq!(all, 0xaaa);
        assert_eq!(Interrupt::SupervisorTimer.bit(), 1 << 5);
    }
}
