//! Interrupt lines of a vCPU, and the virtual timers that hold up some of them.

use core::sync::atomic::Ordering;

use super::Host;
use super::seat::Seat;
use crate::addr::Gpa;
use crate::vcpu::{Effects, Env, Interrupt};

impl Seat {
    /// Sets the virtual hart's interrupt lines to what is true now.
    pub(super) fn refresh_lines<H: Host>(&mut self, host: &H) {
        if self.index == 0 && host.time() >= self.guest.alarm.load(Ordering::Relaxed) {
            self.guest.ring(host);
        }
        let now = self.clock(host).time();
        let mut lines = self.link.lines.load(Ordering::Acquire) | self.pv_lines();
        if now >= self.link.mtimecmp.load(Ordering::Relaxed) {
            lines |= Interrupt::MachineTimer.bit();
        }
        if self.cpu.csr.timer_deadline().is_some_and(|deadline| now >= deadline) {
            lines |= Interrupt::SupervisorTimer.bit();
        }
        if lines != self.cpu.csr.lines() {
            self.cpu.set_lines(lines);
            self.todo |= Effects::INTERRUPTS;
        }
    }

    /// The lines that the paravirtual interrupt line holds up: as long as its
    /// word is not zero.
    ///
    /// Invariant **a word, then a line**: who sets bits in the word sets
    /// `pv_lines` afterwards; here it is the other way round, so that news
    /// cannot fall between the two.
    fn pv_lines(&self) -> u64 {
        let up = &self.link.pv_lines;
        if up.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        let lines = up.swap(0, Ordering::SeqCst);
        let word = Gpa(self.guest.pv_pending.load(Ordering::Relaxed));
        if self.guest.ram.load_u64(word).unwrap_or(0) == 0 {
            return 0;
        }
        up.fetch_or(lines, Ordering::SeqCst);
        lines
    }

    /// Whether a line may have gone down without anybody having said so.
    #[inline]
    pub(super) fn lines_may_be_down(&self) -> bool {
        self.link.pv_lines.load(Ordering::Relaxed) != 0
    }

    /// When the next line of this vCPU will rise, in real ticks, `now` being
    /// the real time; a line that is up needs no interrupt.
    pub(super) fn deadline(&self, now: u64) -> u64 {
        self.next_rise(now, self.cpu.csr.timer_deadline())
    }

    /// When its hart has to be interrupted for that while it runs.
    pub(super) fn deadline_in_turn(&self, now: u64) -> u64 {
        let timer = self.cpu.csr.timer_deadline();
        self.next_rise(now, timer.filter(|_| self.own_timer().is_none()))
    }

    fn next_rise(&self, now: u64, supervisor: Option<u64>) -> u64 {
        let lines = self.cpu.csr.lines();
        let waits = |timer: Interrupt| lines & timer.bit() == 0;
        let machine = self.link.mtimecmp.load(Ordering::Relaxed);
        let machine = Some(machine).filter(|_| waits(Interrupt::MachineTimer));
        let supervisor = supervisor.filter(|_| waits(Interrupt::SupervisorTimer));
        let next = machine.into_iter().chain(supervisor).filter(|at| *at != u64::MAX).min();
        // The guest's clock may be ahead or behind; what is left is the same.
        let guest_now = now.wrapping_add(self.guest.clock_offset.load(Ordering::Relaxed));
        let next = next.map_or(u64::MAX, |at| now.saturating_add(at.saturating_sub(guest_now)));
        let alarm = if self.index == 0 { &self.guest.alarm } else { return next };
        next.min(alarm.load(Ordering::Relaxed))
    }
}
