//! Interrupts: pending, enabled, delegated; and the timer of Sstc.
//!
//! Privileged architecture 1.12, sections 3.1.8, 3.1.9, 3.1.18 and 4.1.3, and
//! the Sstc extension. Which of them a hart takes, and when, is in `trap`.

use super::access::{Modify, Outcome};
use super::csr::CsrFile;
use super::{Effects, Env, Interrupt, Mode, counters};

pub(super) const SSIP: u64 = Interrupt::SupervisorSoft.bit();
pub(super) const STIP: u64 = Interrupt::SupervisorTimer.bit();
pub(super) const SEIP: u64 = Interrupt::SupervisorExternal.bit();
pub(super) const MSIP: u64 = Interrupt::MachineSoft.bit();
pub(super) const MTIP: u64 = Interrupt::MachineTimer.bit();
pub(super) const MEIP: u64 = Interrupt::MachineExternal.bit();

/// Interrupts of vS: those that can be delegated (3.1.8).
pub(super) const SUPERVISOR_INTERRUPTS: u64 = SSIP | STIP | SEIP;
/// Interrupts that exist.
pub(super) const INTERRUPTS: u64 = SUPERVISOR_INTERRUPTS | MSIP | MTIP | MEIP;

/// Fences order I/O too (3.1.18). We keep the bit; ours always do.
pub(super) const FIOM: u64 = 1;
/// `stimecmp` is in use: it drives STIP (Sstc).
pub(super) const STCE: u64 = 1 << 63;

impl CsrFile {
    /// Pending interrupts, from software and from lines.
    #[inline]
    pub const fn mip(&self) -> u64 {
        self.software | self.lines
    }

    /// The lines now held up.
    #[inline]
    pub const fn lines(&self) -> u64 {
        self.lines
    }

    /// Sets the lines: MSIP, MTIP, MEIP, SEIP, and STIP while Sstc drives it.
    /// Other bits are ignored.
    #[inline]
    pub const fn set_lines(&mut self, lines: u64) {
        let stip = if self.menvcfg & STCE != 0 { STIP } else { 0 };
        self.lines = lines & (MSIP | MTIP | MEIP | SEIP | stip);
    }

    /// Sets or clears SSIP, as firmware does for an inter-processor interrupt.
    #[inline]
    pub const fn set_supervisor_soft(&mut self, pending: bool) {
        self.software = (self.software & !SSIP) | if pending { SSIP } else { 0 };
    }

    /// `stimecmp`, if Sstc is on: the time from which STIP is pending.
    #[inline]
    pub const fn timer_deadline(&self) -> Option<u64> {
        if self.menvcfg & STCE != 0 { Some(self.stimecmp) } else { None }
    }

    /// `stimecmp`, if vS may write to it and takes its interrupt itself.
    #[inline]
    pub const fn supervisor_timer(&self) -> Option<u64> {
        let taken = self.mideleg & STIP != 0 && self.counters.machine_enable() & counters::TM != 0;
        if taken { self.timer_deadline() } else { None }
    }

    /// Sets `stimecmp` as firmware would, `now` being the guest's time.
    pub const fn set_stimecmp(&mut self, value: u64, now: u64) {
        self.stimecmp = value;
        self.update_timer(now);
    }

    /// Makes the line of STIP what `stimecmp` says of the guest's time `now`,
    /// if Sstc is on.
    #[inline]
    pub const fn update_timer(&mut self, now: u64) {
        let due = self.menvcfg & STCE != 0 && now >= self.stimecmp;
        self.lines = (self.lines & !STIP) | if due { STIP } else { 0 };
    }

    /// INTERRUPTS if any interrupt is pending and enabled by `mie`.
    #[inline(always)]
    pub(super) const fn if_ready(&self) -> Effects {
        if self.mip() & self.mie != 0 { Effects::INTERRUPTS } else { Effects::empty() }
    }

    /// `mie`, or its view `sie`.
    #[inline(always)]
    pub(super) fn enable(&mut self, m: Modify, visible: u64, writable: u64) -> Outcome {
        let old = self.mie;
        self.mie = m.apply(old, writable);
        let more = self.mie & !old != 0;
        Some((old & visible, if more { self.if_ready() } else { Effects::empty() }))
    }

    /// `mip`, or its view `sip`. Only the bits that software wrote take part
    /// in set and clear; a read shows the lines too (3.1.9, on SEIP).
    #[inline(always)]
    pub(super) fn pending(&mut self, m: Modify, visible: u64, writable: u64) -> Outcome {
        let old = self.mip();
        self.software = m.apply(self.software, writable);
        let more = self.mip() & !old != 0;
        Some((old & visible, if more { self.if_ready() } else { Effects::empty() }))
    }

    /// Bits of `mip` that vM can write: while Sstc drives STIP, not that one.
    pub(super) const fn writable_pending(&self) -> u64 {
        if self.menvcfg & STCE != 0 { SSIP | SEIP } else { SSIP | SEIP | STIP }
    }

    pub(super) fn mideleg(&mut self, m: Modify) -> Outcome {
        let old = self.mideleg;
        self.mideleg = m.apply(old, SUPERVISOR_INTERRUPTS);
        Some((old, if self.mideleg == old { Effects::empty() } else { self.if_ready() }))
    }

    /// Below vM only with STCE and TM (Sstc, chapter 2).
    pub(super) fn stimecmp<E: Env>(&mut self, m: Modify, mode: Mode, env: &E) -> Outcome {
        let allowed =
            self.menvcfg & STCE != 0 && self.counters.machine_enable() & counters::TM != 0;
        if mode != Mode::Machine && !allowed {
            return None;
        }
        let old = self.stimecmp;
        self.stimecmp = m.apply(old, u64::MAX);
        if self.stimecmp == old {
            return Some((old, Effects::empty()));
        }
        Some((old, self.timer_changed(env)))
    }

    pub(super) fn menvcfg<E: Env>(&mut self, m: Modify, env: &E) -> Outcome {
        let old = self.menvcfg;
        self.menvcfg = m.apply(old, FIOM | STCE);
        if (self.menvcfg ^ old) & STCE == 0 {
            return Some((old, Effects::empty()));
        }
        // STIP changes hands, and starts anew on either side.
        self.software &= !STIP;
        Some((old, self.timer_changed(env)))
    }

    fn timer_changed<E: Env>(&mut self, env: &E) -> Effects {
        self.update_timer(env.time());
        Effects::TIMER | self.if_ready()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Vcpu;
    use super::super::testing::{
        CLEAR, IDLE, SET, Still, WRITE, encode, illegal, modify, read, write,
    };
    use super::*;

    const SIP: u32 = 0x144;
    const STIMECMP: u32 = 0x14d;
    const MCOUNTEREN: u32 = 0x306;
    const MENVCFG: u32 = 0x30a;
    const MIP: u32 = 0x344;

    fn at(time: u64) -> Still {
        Still { time, ..IDLE }
    }

    #[test]
    fn stip_is_a_line_only_with_sstc() {
        let mut csr = CsrFile::new(0);
        csr.set_lines(u64::MAX);
        assert_eq!(csr.lines(), MSIP | MTIP | MEIP | SEIP);
        csr.set_stimecmp(0, 1);
        assert_eq!((csr.timer_deadline(), csr.mip() & STIP), (None, 0));
        let mut csr = CsrFile::for_supervisor(0);
        csr.set_lines(u64::MAX);
        assert_eq!(csr.lines(), MSIP | MTIP | MEIP | SEIP | STIP);
        csr.set_stimecmp(2, 1);
        assert_eq!((csr.timer_deadline(), csr.mip() & STIP), (Some(2), 0));
    }

    #[test]
    fn set_and_clear_see_only_the_software_bit_of_seip() {
        let mut hart = Vcpu::new(0);
        hart.set_lines(SEIP);
        // rd shows the line, but csrrs does not copy it into the bit.
        assert_eq!(modify(&mut hart, MIP, SET, SSIP, &IDLE).0, SEIP);
        hart.set_lines(0);
        assert_eq!(hart.csr.mip(), SSIP);
        // The bit stays while the line is up, and csrrc leaves the line up.
        hart.set_lines(SEIP);
        assert_eq!(modify(&mut hart, MIP, WRITE, SEIP, &IDLE).0, SEIP | SSIP);
        let _ = modify(&mut hart, MIP, SET, SSIP, &IDLE);
        hart.set_lines(0);
        assert_eq!(modify(&mut hart, MIP, CLEAR, SSIP, &IDLE).0, SEIP | SSIP);
        hart.set_lines(SEIP);
        assert_eq!(modify(&mut hart, MIP, CLEAR, SEIP, &IDLE).0, SEIP);
        assert_eq!(hart.csr.mip(), SEIP);
        hart.set_lines(0);
        assert_eq!(hart.csr.mip(), 0);
    }

    #[test]
    fn supervisor_writes_only_its_software_interrupt() {
        let mut hart = Vcpu::for_supervisor(0);
        hart.set_lines(SEIP | STIP | MTIP);
        assert_eq!(modify(&mut hart, SIP, WRITE, SSIP, &IDLE).0, SEIP | STIP);
        assert_eq!(hart.csr.mip(), SEIP | STIP | MTIP | SSIP);
        assert_eq!(modify(&mut hart, SIP, CLEAR, u64::MAX, &IDLE).0, SEIP | STIP | SSIP);
        assert_eq!(hart.csr.mip(), SEIP | STIP | MTIP);
    }

    #[test]
    fn stimecmp_needs_stce_and_tm_below_machine_mode() {
        let access = encode(STIMECMP, SET, 0, 11);
        for (stce, tm) in [(0, 0), (STCE, 0), (0, 2), (STCE, 2)] {
            let mut hart = Vcpu::new(0);
            let _ = write(&mut hart, MENVCFG, stce, &IDLE);
            let _ = write(&mut hart, MCOUNTEREN, tm, &IDLE);
            assert_eq!(read(&mut hart, STIMECMP, &IDLE), u64::MAX);
            hart.mode = Mode::Supervisor;
            if stce != 0 && tm != 0 {
                assert_eq!(read(&mut hart, STIMECMP, &IDLE), u64::MAX);
            } else {
                illegal(&mut hart, access);
            }
            hart.mode = Mode::User;
            illegal(&mut hart, access);
        }
    }

    #[test]
    fn stip_follows_stimecmp_at_once() {
        let mut hart = Vcpu::for_supervisor(0);
        hart.csr.mie = STIP;
        let due = write(&mut hart, STIMECMP, 100, &at(100));
        assert_eq!(due, Effects::TIMER | Effects::INTERRUPTS);
        assert_eq!(read(&mut hart, SIP, &IDLE), STIP);
        assert_eq!(write(&mut hart, STIMECMP, 200, &at(100)), Effects::TIMER);
        assert_eq!(read(&mut hart, SIP, &IDLE), 0);
        assert_eq!(hart.csr.timer_deadline(), Some(200));
        assert_eq!(write(&mut hart, STIMECMP, 200, &at(300)), Effects::empty());
        hart.csr.update_timer(200);
        hart.mode = Mode::User;
        assert_eq!(hart.pending_interrupt(), Some(Interrupt::SupervisorTimer));
    }

    #[test]
    fn stip_belongs_to_software_or_to_sstc() {
        let mut hart = Vcpu::new(0);
        let _ = write(&mut hart, MIP, STIP, &IDLE);
        assert_eq!(hart.csr.mip(), STIP);
        // The bit that software wrote does not outlive the change of hands.
        assert_eq!(write(&mut hart, MENVCFG, STCE, &IDLE), Effects::TIMER);
        assert_eq!(hart.csr.mip(), 0);
        let _ = write(&mut hart, MIP, STIP, &IDLE);
        assert_eq!(hart.csr.mip(), 0);
        let _ = write(&mut hart, STIMECMP, 0, &IDLE);
        assert_eq!(hart.csr.mip(), STIP);
        assert_eq!(write(&mut hart, MENVCFG, 0, &IDLE), Effects::TIMER);
        assert_eq!((hart.csr.mip(), hart.csr.timer_deadline()), (0, None));
    }
}
