//! How others reach a vCPU: the part of its state that every hart may touch.

use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use bitflags::bitflags;

use super::Host;
use crate::stats::Stats;

bitflags! {
    /// What a vCPU must look at before it runs on.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub(super) struct Attention: u32 {
        /// Interrupt lines, `mtimecmp`, or time itself changed.
        const LINES = 1 << 0;
        /// An SBI inter-processor interrupt.
        const SOFT = 1 << 1;
        /// A remote `sfence.vma`.
        const FENCE = 1 << 2;
        /// A remote `fence.i`.
        const FENCE_I = 1 << 3;
        /// The guest stops: leave it.
        const STOP = 1 << 4;
        /// The guest's clock was set: it is no longer the real one.
        const CLOCK = 1 << 5;
        /// The vCPU is to start (HSM, or after a reset).
        const START = 1 << 6;
        /// A device has more requests than were served at once.
        const BACKLOG = 1 << 7;
        /// All vCPUs have left the guest: see whether it can end.
        const ENDING = 1 << 8;
        /// The shadow is being emptied: all roots are void.
        const ROOTS = 1 << 9;
        /// Frames have come, for the guest or for the real network.
        const FRAMES = 1 << 10;
        /// The guest gives pages back: see `balloon`.
        const BALLOON = 1 << 11;
        /// Pages leave the guest: let nothing be under way.
        const PASS_BY = 1 << 12;
    }
}

/// Life of a vCPU, values as in the SBI's HSM extension.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum HartState {
    /// Runs, or waits for an interrupt.
    Started = 0,
    /// Not running; can be started.
    Stopped = 1,
    /// Will start.
    StartPending = 2,
    /// Suspended until an interrupt.
    Suspended = 4,
}

/// The shared part of one vCPU.
pub(super) struct Link {
    /// The hart it sits on.
    pub(super) hart: AtomicUsize,
    attention: AtomicU32,
    /// Lines from the PLIC and `msip`, bits as in `mip`.
    pub(super) lines: AtomicU64,
    /// What the paravirtual interrupt line holds up, until the guest has
    /// taken its news: see `Seat::pv_lines`.
    pub(super) pv_lines: AtomicU64,
    /// The CLINT's `mtimecmp`.
    pub(super) mtimecmp: AtomicU64,
    /// Whether the hart may be running in the guest (see `mmu::shadow`,
    /// epochs).
    pub(super) in_guest: AtomicBool,
    /// The epoch in which it flushed last.
    pub(super) flushed: AtomicU64,
    state: AtomicU8,
    /// Where it starts, and with which a1.
    pub(super) start: [AtomicU64; 2],
    /// Its exits, resets of the guest included.
    pub(super) stats: Stats,
}

impl Link {
    pub(super) fn new() -> Self {
        Self {
            hart: AtomicUsize::new(0),
            attention: AtomicU32::new(0),
            lines: AtomicU64::new(0),
            pv_lines: AtomicU64::new(0),
            mtimecmp: AtomicU64::new(u64::MAX),
            in_guest: AtomicBool::new(false),
            flushed: AtomicU64::new(0),
            state: AtomicU8::new(HartState::Stopped as u8),
            start: [AtomicU64::new(0), AtomicU64::new(0)],
            stats: Stats::default(),
        }
    }

    /// Puts the vCPU to its state before the guest boots. What was asked of
    /// it in its last life is forgotten.
    pub(super) fn reset(&self) {
        self.attention.store(0, Ordering::Relaxed);
        self.lines.store(0, Ordering::Relaxed);
        self.pv_lines.store(0, Ordering::Relaxed);
        self.mtimecmp.store(u64::MAX, Ordering::Relaxed);
        self.set_state(HartState::Stopped);
    }

    /// Asks the vCPU to look at `what`, from outside of its own turn.
    ///
    /// The hart is interrupted once for each bit until the vCPU has looked:
    /// a flood of requests costs only the one who makes it.
    #[inline]
    pub(super) fn notify<H: Host>(&self, host: &H, what: Attention) {
        let before = self.attention.fetch_or(what.bits(), Ordering::AcqRel);
        if !Attention::from_bits_retain(before).contains(what) {
            host.kick(self.hart.load(Ordering::Relaxed));
        }
    }

    /// Asks the vCPU to look at `what` when its turn goes on.
    #[inline]
    pub(super) fn remind(&self, what: Attention) {
        self.attention.fetch_or(what.bits(), Ordering::Release);
    }

    /// Waits until the vCPU has left the guest; the caller has seen to it
    /// that it cannot enter again.
    pub(super) fn expel<H: Host>(&self, host: &H) {
        while self.in_guest.load(Ordering::SeqCst) {
            host.kick(self.hart.load(Ordering::Relaxed));
            core::hint::spin_loop();
        }
    }

    /// Whether there is anything to look at.
    #[inline]
    pub(super) fn wants_attention(&self) -> bool {
        self.attention.load(Ordering::Relaxed) != 0
    }

    /// Takes what there is to look at.
    #[inline]
    pub(super) fn take_attention(&self) -> Attention {
        Attention::from_bits_retain(self.attention.swap(0, Ordering::Acquire))
    }

    /// Raises or lowers lines; tells whether that changed anything.
    #[inline]
    pub(super) fn set_lines(&self, lines: u64, up: bool) -> bool {
        let before = if up {
            self.lines.fetch_or(lines, Ordering::AcqRel)
        } else {
            self.lines.fetch_and(!lines, Ordering::AcqRel)
        };
        (before & lines == lines) != up || (!up && before & lines != 0)
    }

    pub(super) fn state(&self) -> HartState {
        match self.state.load(Ordering::Acquire) {
            0 => HartState::Started,
            2 => HartState::StartPending,
            4 => HartState::Suspended,
            _ => HartState::Stopped,
        }
    }

    pub(super) fn set_state(&self, state: HartState) {
        self.state.store(state as u8, Ordering::Release);
    }

    /// From `Stopped` to `StartPending`; only one caller succeeds.
    pub(super) fn claim_start(&self) -> bool {
        let (from, to) = (HartState::Stopped as u8, HartState::StartPending as u8);
        self.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_report_changes_only() {
        let link = Link::new();
        assert!(link.set_lines(0x200, true));
        assert!(!link.set_lines(0x200, true));
        assert!(link.set_lines(0x200, false));
        assert!(!link.set_lines(0x200, false));
    }

    #[test]
    fn a_hart_is_started_once() {
        let link = Link::new();
        assert!(link.claim_start());
        assert!(!link.claim_start());
        assert_eq!(link.state(), HartState::StartPending);
    }
}
