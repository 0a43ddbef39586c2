//! Privileged instructions: what a trapped SYSTEM instruction does.
//!
//! Encodings from the privileged architecture 1.12, section 3.3 and 4.2, and
//! the Zicsr chapter of the unprivileged one.

use super::csr::Modify;
use super::names::CsrId;
use super::status::{TSR, TVM, TW};
use super::{Effects, Env, Exception, Fence, Mode, Step, Vcpu};
use crate::addr::Gva;

const SYSTEM: u32 = 0x73;
const SRET: u32 = 0x1020_0073;
const MRET: u32 = 0x3020_0073;
const WFI: u32 = 0x1050_0073;
const SFENCE_VMA: u32 = 0x1200_0073;
/// Everything of `sfence.vma` but its two source registers.
const SFENCE_VMA_MASK: u32 = 0xfe00_7fff;

/// Two low bits of funct3: which CSR operation.
const CSR_WRITE: u32 = 1;
const CSR_SET: u32 = 2;
const CSR_CLEAR: u32 = 3;
/// The bit of funct3 that makes the source field an operand itself.
const CSR_IMMEDIATE: u32 = 4;

impl Vcpu {
    /// Emulates a SYSTEM instruction that trapped: the CSR instructions,
    /// `sret`, `mret`, `wfi` and `sfence.vma`. All others, and these where
    /// mode or status forbid them, are illegal instructions: the result is
    /// then `Trap`, and nothing has changed.
    ///
    /// On success pc has moved on. There is one case of `Done` with pc in
    /// place: an access of `fcsr` and its parts while the virtual FS is on.
    /// It cannot have trapped unless the real FS was off; `Effects::FP` tells
    /// the caller to make it so, and the guest runs the instruction again.
    #[inline]
    pub fn execute<E: Env>(&mut self, inst: u32, env: &E) -> Step {
        if inst & 0x7f != SYSTEM {
            return Step::Trap(Exception::illegal(inst));
        }
        match inst >> 12 & 7 {
            0 => self.privileged(inst),
            _ => match self.csr_instruction(inst, env) {
                Some(effects) => Step::Done(effects),
                None => self.refuse(inst),
            },
        }
    }

    /// One of the six CSR instructions, or `None` if it is illegal.
    #[inline]
    fn csr_instruction<E: Env>(&mut self, inst: u32, env: &E) -> Option<Effects> {
        let (number, source) = (csr_number(inst), field(inst, 15));
        let immediate = inst >> 12 & CSR_IMMEDIATE != 0;
        let operand = if immediate { source as u64 } else { self.ctx.x[source] };
        let writes = source != 0;
        let m = match inst >> 12 & 3 {
            CSR_WRITE => Modify { clear: u64::MAX, set: operand, writes: true },
            CSR_SET => Modify { clear: 0, set: operand, writes },
            CSR_CLEAR => Modify { clear: operand, set: 0, writes },
            _ => return None,
        };
        let (privilege, read_only) = (number >> 8 & 3, number >> 10 == 3);
        if privilege > self.mode as u16 || (read_only && m.writes) {
            return None;
        }
        let (old, effects) = self.csr.access(number, m, self.mode, env)?;
        self.set_x(field(inst, 7), old);
        self.advance();
        Some(effects)
    }

    /// What becomes of a CSR instruction that cannot be emulated.
    #[cold]
    fn refuse(&self, inst: u32) -> Step {
        let is_fp = matches!(CsrId::of(csr_number(inst)), CsrId::Fflags | CsrId::Frm | CsrId::Fcsr);
        if is_fp && self.csr.fp_enabled() {
            return Step::Done(Effects::FP);
        }
        Step::Trap(Exception::illegal(inst))
    }

    fn privileged(&mut self, inst: u32) -> Step {
        match inst {
            SRET if self.supervisor_may(TSR) => Step::Done(self.return_from_supervisor()),
            MRET if self.mode == Mode::Machine => Step::Done(self.return_from_machine()),
            WFI if self.supervisor_may(TW) => {
                self.advance();
                Step::Wait
            }
            _ if inst & SFENCE_VMA_MASK == SFENCE_VMA && self.supervisor_may(TVM) => {
                let fence = self.fence(field(inst, 15), field(inst, 20));
                self.advance();
                Step::Fence(fence)
            }
            _ => Step::Trap(Exception::illegal(inst)),
        }
    }

    /// Whether this mode may do what `trap`, a bit of `mstatus`, forbids vS:
    /// vM may, vU may not, vS may if the bit is clear.
    #[inline]
    const fn supervisor_may(&self, trap: u64) -> bool {
        match self.mode {
            Mode::Machine => true,
            Mode::Supervisor => self.csr.mstatus & trap == 0,
            Mode::User => false,
        }
    }

    /// Operands of `sfence.vma`; x0 stands for all.
    #[expect(clippy::cast_possible_truncation, reason = "ASIDs have 16 bits; others are ignored")]
    fn fence(&self, address: usize, asid: usize) -> Fence {
        Fence {
            vaddr: (address != 0).then(|| Gva(self.ctx.x[address & 31])),
            asid: (asid != 0).then(|| self.ctx.x[asid & 31] as u16),
        }
    }

    #[inline]
    fn set_x(&mut self, register: usize, value: u64) {
        self.ctx.x[register & 31] = value;
        self.ctx.x[0] = 0;
    }

    #[inline]
    const fn advance(&mut self) {
        self.ctx.pc = self.ctx.pc.wrapping_add(4);
    }
}

/// A five-bit register field.
#[inline]
const fn field(inst: u32, shift: u32) -> usize {
    (inst >> shift & 31) as usize
}

#[inline]
const fn csr_number(inst: u32) -> u16 {
    (inst >> 20) as u16
}
