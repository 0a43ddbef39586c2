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
        if !self.wakes() {
            return None;
        }
        let (machine, supervisor) = self.deliverable();
        let level = if machine != 0 { machine } else { supervisor };
        Interrupt::BY_PRIORITY.into_iter().find(|i| level & i.bit() != 0)
    }

    /// Interrupts that could be taken now if there were no others: those
    /// bound for vM, and those for vS.
    pub(super) fn deliverable(&self) -> (u64, u64) {
        let ready = self.csr.mip() & self.csr.mie;
        let (status, delegated) = (self.csr.mstatus, self.csr.mideleg);
        let to_machine = self.mode != Mode::Machine || status & MIE != 0;
        let to_supervisor = match self.mode {
            Mode::Machine => false,
            Mode::Supervisor => status & SIE != 0,
            Mode::User => true,
        };
        let machine = if to_machine { ready & !delegated } else { 0 };
        let supervisor = if to_supervisor { ready & delegated } else { 0 };
        (machine, supervisor)
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

#[cfg(test)]
mod tests {
    use super::super::{Cause, Interrupt};
    use super::*;

    fn in_user() -> Vcpu {
        let mut hart = Vcpu::for_supervisor(0);
        hart.mode = Mode::User;
        hart.ctx.pc = 0x1000;
        hart.csr.stvec = 0x8000_0001;
        hart.csr.mtvec = 0x9000_0000;
        hart
    }

    #[test]
    fn exceptions_go_to_the_base_even_if_vectored() {
        let mut hart = in_user();
        let effects = hart.inject(Exception { cause: Cause::LoadPage, tval: 0x1234 });
        assert_eq!(effects, Effects::TRANSLATION | Effects::COUNTERS);
        assert_eq!((hart.mode, hart.ctx.pc), (Mode::Supervisor, 0x8000_0000));
        assert_eq!((hart.csr.sepc, hart.csr.scause, hart.csr.stval), (0x1000, 13, 0x1234));
    }

    #[test]
    fn interrupts_are_vectored() {
        let mut hart = in_user();
        let _ = hart.take_interrupt(Interrupt::SupervisorExternal);
        assert_eq!(hart.ctx.pc, 0x8000_0000 + 4 * 9);
        assert_eq!(hart.csr.scause, 1 << 63 | 9);
    }

    #[test]
    fn machine_mode_never_delegates() {
        let mut hart = in_user();
        hart.mode = Mode::Machine;
        let effects = hart.inject(Exception { cause: Cause::LoadPage, tval: 0 });
        assert_eq!(
            (hart.mode, hart.ctx.pc, effects),
            (Mode::Machine, 0x9000_0000, Effects::empty())
        );
        hart.csr.mstatus |= MPRV;
        let effects = hart.inject(Exception::illegal(0));
        assert_eq!(effects, Effects::TRANSLATION);
    }

    #[test]
    fn machine_interrupts_come_before_supervisor_ones() {
        let mut hart = in_user();
        hart.csr.mie = 0xaaa;
        hart.set_lines(Interrupt::SupervisorExternal.bit() | Interrupt::MachineTimer.bit());
        assert_eq!(hart.pending_interrupt(), Some(Interrupt::MachineTimer));
        hart.set_lines(Interrupt::SupervisorExternal.bit());
        assert_eq!(hart.pending_interrupt(), Some(Interrupt::SupervisorExternal));
        hart.mode = Mode::Supervisor;
        assert_eq!(hart.pending_interrupt(), None);
        assert!(hart.wakes());
    }

    #[test]
    fn returning_reports_what_waited() {
        let mut hart = in_user();
        hart.csr.mie = 0x222;
        let _ = hart.inject(Exception { cause: Cause::EcallFromU, tval: 0 });
        let quiet = hart.return_from_supervisor();
        assert_eq!(quiet, Effects::TRANSLATION | Effects::COUNTERS);
        let _ = hart.inject(Exception { cause: Cause::EcallFromU, tval: 0 });
        hart.set_lines(Interrupt::SupervisorExternal.bit());
        assert!(hart.return_from_supervisor().contains(Effects::INTERRUPTS));
        assert_eq!((hart.mode, hart.ctx.pc), (Mode::User, 0x1000));
    }
}
