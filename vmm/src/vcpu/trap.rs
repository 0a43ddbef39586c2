//! Into traps and out of them.
//!
//! Privileged architecture 1.12, sections 3.1.6 to 3.1.9, 3.3.2 and 4.1.3.

use super::status::{self, MIE, MPRV, SIE};
use super::{Effects, Exception, Interrupt, Mode, Vcpu};

/// Top bit of `mcause` and `scause`.
const IS_INTERRUPT: u64 = 1 << 63;

impl Vcpu {
    /// Takes a synchronous trap at the instruction that pc names: to vS if it
    /// is delegated and does not come from vM, else to vM.
    pub fn inject(&mut self, exception: Exception) -> Effects {
        let code = exception.cause.code();
        let delegated = self.csr.medeleg >> code & 1 != 0;
        self.trap(delegated, code, exception.tval)
    }

    /// Takes an interrupt before the instruction that pc names.
    pub fn take_interrupt(&mut self, interrupt: Interrupt) -> Effects {
        let delegated = self.csr.mideleg & interrupt.bit() != 0;
        self.trap(delegated, IS_INTERRUPT | interrupt.code(), 0)
    }

    /// The interrupt to take now, if any: pending, enabled and allowed by
    /// mode and status; for vM before for vS, then by priority.
    #[inline]
    pub fn pending_interrupt(&self) -> Option<Interrupt> {
        let ready = self.csr.mip() & self.csr.mie;
        if ready == 0 {
            return None;
        }
        self.highest(ready)
    }

    fn highest(&self, ready: u64) -> Option<Interrupt> {
        let (status, delegated) = (self.csr.mstatus, self.csr.mideleg);
        let to_machine = self.mode != Mode::Machine || status & MIE != 0;
        let to_supervisor = match self.mode {
            Mode::Machine => false,
            Mode::Supervisor => status & SIE != 0,
            Mode::User => true,
        };
        let machine = if to_machine { ready & !delegated } else { 0 };
        let supervisor = if to_supervisor { ready & delegated } else { 0 };
        let deliverable = if machine != 0 { machine } else { supervisor };
        Interrupt::BY_PRIORITY.into_iter().find(|i| deliverable & i.bit() != 0)
    }

    /// Whether a waiting hart goes on: an interrupt is pending and enabled in
    /// `mie`, whatever mode, status and delegation say (3.3.3).
    #[inline]
    pub const fn wakes(&self) -> bool {
        self.csr.mip() & self.csr.mie != 0
    }

    /// Enters a trap handler. No interrupt becomes deliverable by that: the
    /// handler's mode has its interrupts off, and those of vM stay on in vS.
    #[inline]
    fn trap(&mut self, delegated: bool, cause: u64, tval: u64) -> Effects {
        let (pc, mode, csr) = (self.ctx.pc, self.mode, &mut self.csr);
        let (vector, to) = if delegated && mode != Mode::Machine {
            csr.mstatus = status::trap_to_supervisor(csr.mstatus, mode);
            (csr.sepc, csr.scause, csr.stval) = (pc, cause, tval);
            (csr.stvec, Mode::Supervisor)
        } else {
            csr.mstatus = status::trap_to_machine(csr.mstatus, mode);
            (csr.mepc, csr.mcause, csr.mtval) = (pc, cause, tval);
            (csr.mtvec, Mode::Machine)
        };
        self.ctx.pc = handler(vector, cause);
        self.enter(to, self.csr.mstatus)
    }

    /// `mret`, its legality checked.
    pub(super) fn return_from_machine(&mut self) -> Effects {
        let before = self.csr.mstatus;
        let (status, mode) = status::mret(before);
        self.csr.mstatus = status;
        self.ctx.pc = self.csr.mepc;
        self.enter(mode, before) | self.csr.if_ready()
    }

    /// `sret`, its legality checked.
    #[inline]
    pub(super) fn return_from_supervisor(&mut self) -> Effects {
        let before = self.csr.mstatus;
        let (status, mode) = status::sret(before);
        self.csr.mstatus = status;
        self.ctx.pc = self.csr.sepc;
        self.enter(mode, before) | self.csr.if_ready()
    }

    /// Changes the mode; `status` is `mstatus` before or after: MPRV in it
    /// says whether the change of MPP mattered.
    #[inline]
    fn enter(&mut self, mode: Mode, status: u64) -> Effects {
        let from = core::mem::replace(&mut self.mode, mode);
        let mut effects = Effects::empty();
        if from != mode || status & MPRV != 0 {
            effects |= Effects::TRANSLATION;
        }
        if self.csr.counters.native(from) != self.csr.counters.native(mode) {
            effects |= Effects::COUNTERS;
        }
        effects
    }
}

/// Where a trap goes: in vectored mode, interrupts go four bytes per code
/// further; the shift drops the bit that marks them.
#[inline]
const fn handler(vector: u64, cause: u64) -> u64 {
    let base = vector & !3;
    if vector & 1 != 0 && cause & IS_INTERRUPT != 0 { base.wrapping_add(cause << 2) } else { base }
}
