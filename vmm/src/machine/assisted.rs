//! Guests whose vS runs in real S-mode, and vU in real U-mode: assisted mode.
//!
//! Nearly all that a kernel does to the registers of vS needs no exit then.
//! What does: `satp`, `sfence.vma` and `wfi`, which trap by `mstatus.TVM` and
//! TW; page faults, since the shadow tables must see them; calls; and all
//! that concerns vM, which runs in real U-mode as ever.
//!
//! Invariant **at-home**: the registers of vS are in the real hart, and stale
//! in the virtual one (`Seat::supervising`), only from `hand_over` on the way
//! into the guest until `take_back` after the exit. So everybody else finds
//! them where classic mode has them. The short path takes them back when it
//! needs them.

use core::sync::atomic::Ordering;

use super::exit::low_word;
use super::seat::{Path, Seat};
use super::short::{self, FETCH_PAGE, LOAD_PAGE, STORE_PAGE, Short};
use super::{Host, Trap};
use crate::addr::{Access, Gva};
use crate::mmu::space::View;
use crate::vcpu::{CsrId, Effects, Exception, Mode, Step, status};

/// From the places of SUM and MXR in `mstatus` to those in a [`View`].
const SUM_TO_VIEW: u32 = 17;
const _: () = assert!(status::SUM >> SUM_TO_VIEW == View::SUM.bits() as u64);
const _: () = assert!(status::MXR >> SUM_TO_VIEW == View::MXR.bits() as u64);

impl Seat {
    /// Whether the virtual hart is in a mode that the real one has, too.
    #[inline(always)]
    pub(super) fn runs_natively(&self) -> bool {
        self.assisted && self.cpu.mode != Mode::Machine
    }

    /// Puts the registers of vS into the real hart.
    #[inline]
    pub(super) fn hand_over<H: Host>(&mut self, host: &mut H) {
        // Before `sip`: it decides whose STIP is.
        host.set_supervisor_timer(self.own_timer());
        self.load_registers(host);
    }

    #[inline(always)]
    fn load_registers<H: Host>(&mut self, host: &mut H) {
        host.load_supervisor(&self.cpu.supervisor());
        self.supervising = true;
    }

    /// The deadline of a timer that interrupts vS without an exit, if it can
    /// have one: it counts real time.
    #[inline]
    pub(super) fn own_timer(&self) -> Option<u64> {
        let real_time = self.guest.clock_offset.load(Ordering::Relaxed) == 0;
        let possible = self.machine.sstc && real_time && self.runs_natively();
        self.cpu.csr.supervisor_timer().filter(|_| possible)
    }

    /// Takes them out again, if they are there.
    #[inline(always)]
    pub(super) fn take_back<H: Host>(&mut self, host: &mut H) {
        if self.supervising {
            self.bring_home(host);
        }
    }

    #[inline(never)]
    fn bring_home<H: Host>(&mut self, host: &mut H) {
        let moved = if self.assisted {
            self.fetch_registers(host);
            self.fetch_timer(host);
            self.look_as(self.cpu.mode, self.cpu.csr.mstatus)
        } else {
            self.collect(host)
        };
        self.todo |= Effects::SUPERVISOR | moved;
    }

    #[inline(always)]
    fn fetch_registers<H: Host>(&mut self, host: &mut H) {
        self.supervising = false;
        self.cpu.set_supervisor(host.save_supervisor());
    }

    /// The timer, too: what happens without the loop does not move it.
    #[inline]
    fn fetch_timer<H: Host>(&mut self, host: &H) {
        if let Some(deadline) = host.supervisor_timer() {
            self.cpu.csr.set_stimecmp(deadline, host.time());
        }
    }

    /// Notes who looks at memory: it may be in another mode than when it was
    /// entered. Without translation, vS and vU have a root each.
    #[inline]
    fn look_as(&mut self, mode: Mode, status: u64) -> Effects {
        let before = self.space.view;
        let user = if mode == Mode::User { View::USER } else { View::empty() };
        if before.contains(View::BARE) {
            self.space.view = (before - View::USER) | user;
            return if self.space.view == before { Effects::empty() } else { Effects::TRANSLATION };
        }
        // Of no account in vU: there, U pages are all there is.
        let [rights, ..] = (status >> SUM_TO_VIEW).to_le_bytes();
        let rights = View::from_bits_truncate(rights) & (View::SUM | View::MXR);
        self.space.view = View::NATIVE | user | rights;
        Effects::empty()
    }

    /// The short path of guests that are not classic, for an instruction.
    #[inline(never)]
    pub(super) fn other_instruction<H: Host>(&mut self, host: &mut H, value: u64) -> Short {
        if self.path != Path::Assisted || !self.supervising {
            return Short::Unhandled;
        }
        self.cpu.mode = status::mpp(host.status());
        let inst = low_word(value);
        if is_fence(inst) {
            return self.short_fence(host, inst);
        }
        if !is_satp(inst) {
            return Short::Unhandled;
        }
        let Step::Done(effects) = self.cpu.execute(inst, &self.clock(host)) else {
            return Short::Unhandled;
        };
        self.link.stats.count_csr(CsrId::Satp);
        if effects.is_empty() || self.translate_known(host) {
            return Short::Resume;
        }
        self.todo |= effects;
        Short::Settle
    }

    /// The short path of guests that are not classic, for other exceptions.
    #[inline(never)]
    pub(super) fn other_exception<H: Host>(&mut self, host: &mut H, trap: Trap) -> Short {
        if self.path != Path::Assisted || !self.supervising {
            return Short::Unhandled;
        }
        match trap.cause {
            LOAD_PAGE => self.native_fault(host, Gva(trap.value), Access::Load),
            STORE_PAGE => self.native_fault(host, Gva(trap.value), Access::Store),
            FETCH_PAGE => self.native_fault(host, Gva(trap.value), Access::Execute),
            _ => Short::Unhandled,
        }
    }

    fn native_fault<H: Host>(&mut self, host: &mut H, gva: Gva, access: Access) -> Short {
        let root = self.root;
        if self.known_pages().device(root, gva, access).is_some() {
            return Short::Unhandled;
        }
        let status = host.status();
        let moved = self.look_as(status::mpp(status), status);
        if !moved.is_empty() {
            self.todo |= moved;
            return Short::Settle;
        }
        match short::fill(host, self, gva, access) {
            None => Short::Unhandled,
            Some(Ok(())) => Short::Resume,
            Some(Err(exception)) => self.reflect(host, exception),
        }
    }

    /// Gives the guest an exception.
    fn reflect<H: Host>(&mut self, host: &mut H, exception: Exception) -> Short {
        self.fetch_registers(host);
        let effects = self.cpu.inject(exception);
        if self.cpu.mode != Mode::Supervisor || self.space.is_bare() {
            self.fetch_timer(host);
            self.todo |= effects | Effects::SUPERVISOR;
            return Short::Settle;
        }
        // Mode and counters are the real hart's business.
        self.load_registers(host);
        Short::Resume
    }
}

/// Whether `inst` is a CSR instruction on `satp`.
const fn is_satp(inst: u32) -> bool {
    inst & 0xfff0_007f == 0x1800_0073 && inst & 0x3000 != 0
}

/// Whether `inst` is an `sfence.vma`.
const fn is_fence(inst: u32) -> bool {
    inst & 0xfe00_7fff == 0x1200_0073
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_told_apart() {
        // csrw satp, a1; csrr a0, satp; csrwi satp, 0
        assert!([0x1805_9073, 0x1800_2573, 0x1800_5073].into_iter().all(is_satp));
        // csrw stval, a1; hfence.gvma's neighbour with funct3 0; csrw hgatp, a1
        assert!(![0x1435_9073, 0x1800_0073, 0x6805_9073].into_iter().any(is_satp));
        // sfence.vma; sfence.vma a0, a1
        assert!([0x1200_0073, 0x12b5_0073].into_iter().all(is_fence));
        // sinval.vma; sfence.w.inval
        assert!(![0x1600_0073, 0x1800_0073].into_iter().any(is_fence));
    }
}
