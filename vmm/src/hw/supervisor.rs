//! The real S-mode: a guest's vS in it, or nobody's.
//!
//! Writes of these CSRs are rarer than reads, and dearer, in QEMU and on many
//! boards: what the hart holds already is not written again.

use super::csr;
use crate::vcpu::{Supervisor, status};

/// Real S-mode of one hart.
pub(super) struct RealSupervisor {
    /// What the registers hold while no guest runs.
    holds: Supervisor,
    /// `stimecmp` is in use.
    has_timer: bool,
}

/// `mstatus` while vS and vU run in S-mode and U-mode: `satp`, `sfence.vma`
/// and `wfi` trap.
const NATIVE: u64 = status::RESET | status::TVM | status::TW;
/// What one guest may leave in `mstatus` for another; FS has its own rules.
const OF_SUPERVISOR: u64 =
    (status::SSTATUS_WRITABLE & !status::FS) | status::TVM | status::TW | status::TSR | status::MPP;

/// Writes those registers that change.
macro_rules! update {
    ($holds:expr, $wanted:expr, $($field:ident $write:ident),+ $(,)?) => {
        $(if $holds.$field != $wanted.$field {
            $holds.$field = $wanted.$field;
            csr::$write($wanted.$field);
        })+
    };
}

impl RealSupervisor {
    /// Puts S-mode out of use, whatever the machine left there. `senvcfg` is
    /// left alone: harts that run classic guests only need not have it.
    pub(super) fn new() -> Self {
        let holds = Supervisor::NONE;
        csr::set_exception_delegation(holds.exceptions);
        csr::set_interrupt_delegation(holds.interrupts);
        csr::set_supervisor_vector(holds.stvec);
        csr::set_supervisor_scratch(holds.sscratch);
        csr::set_supervisor_pc(holds.sepc);
        csr::set_supervisor_cause(holds.scause);
        csr::set_supervisor_value(holds.stval);
        csr::set_supervisor_counters(holds.scounteren);
        csr::set_supervisor_pending(holds.sip);
        csr::set_enabled(csr::MACHINE_INTERRUPTS | holds.sie);
        csr::clear_status_bits(OF_SUPERVISOR | csr::STATUS_FS);
        Self { holds, has_timer: false }
    }

    /// The guest goes on in S-mode or U-mode with these registers.
    #[inline(always)]
    pub(super) fn load(&mut self, wanted: &Supervisor) {
        let holds = &mut self.holds;
        update!(
            holds, wanted,
            exceptions set_exception_delegation,
            interrupts set_interrupt_delegation,
            stvec set_supervisor_vector,
            sscratch set_supervisor_scratch,
            sepc set_supervisor_pc,
            scause set_supervisor_cause,
            stval set_supervisor_value,
            scounteren set_supervisor_counters,
            senvcfg set_supervisor_configuration,
            sip set_supervisor_pending,
        );
        if holds.sie != wanted.sie {
            holds.sie = wanted.sie;
            csr::set_enabled(csr::MACHINE_INTERRUPTS | wanted.sie);
        }
        csr::set_status(NATIVE | wanted.status | (wanted.mode as u64) << status::MPP_SHIFT);
    }

    /// The registers as the guest left them; S-mode cannot change what is
    /// delegated to it.
    #[inline(always)]
    pub(super) fn save(&mut self) -> &Supervisor {
        let (holds, status) = (&mut self.holds, csr::status());
        holds.mode = status::mpp(status);
        holds.status = status;
        holds.stvec = csr::supervisor_vector();
        holds.sscratch = csr::supervisor_scratch();
        holds.sepc = csr::supervisor_pc();
        holds.scause = csr::supervisor_cause();
        holds.stval = csr::supervisor_value();
        holds.sie = csr::supervisor_enabled();
        holds.sip = csr::pending() & csr::SUPERVISOR_INTERRUPTS;
        holds.scounteren = csr::supervisor_counters();
        holds.senvcfg = csr::supervisor_configuration();
        holds
    }

    /// The timer that S-mode has, if it has one.
    #[inline]
    pub(super) fn timer(&self) -> Option<u64> {
        self.has_timer.then(csr::supervisor_timer)
    }

    /// Gives S-mode a timer with this deadline, or takes the timer away: then
    /// STIP in `mip` is to be written.
    #[inline]
    pub(super) fn set_timer(&mut self, deadline: Option<u64>) {
        if let Some(deadline) = deadline {
            if !core::mem::replace(&mut self.has_timer, true) {
                csr::set_environment_bits(csr::STCE);
            }
            if csr::supervisor_timer() != deadline {
                csr::set_supervisor_timer(deadline);
            }
        } else if core::mem::take(&mut self.has_timer) {
            // QEMU 7.2 raises STIP at the deadline, whether STCE is set or not.
            csr::set_supervisor_timer(u64::MAX);
            csr::clear_environment_bits(csr::STCE);
            csr::set_supervisor_pending(0);
            self.holds.sip = 0;
        }
    }

    /// The next guest runs in U-mode alone, or none does.
    #[inline(always)]
    pub(super) fn put_out_of_use(&mut self) {
        self.set_timer(None);
        const NONE: Supervisor = Supervisor::NONE;
        update!(
            self.holds, NONE,
            exceptions set_exception_delegation,
            interrupts set_interrupt_delegation,
            sip set_supervisor_pending,
            scounteren set_supervisor_counters,
        );
        if self.holds.sie != NONE.sie {
            self.holds.sie = NONE.sie;
            csr::set_enabled(csr::MACHINE_INTERRUPTS);
        }
        csr::clear_status_bits(OF_SUPERVISOR);
    }
}
