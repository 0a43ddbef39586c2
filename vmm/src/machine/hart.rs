//! The loop of one hart.
//!
//! The exit path in three lines: `claim_entry` (nothing to do?), `enter` (the
//! guest runs), `handle` (what its trap means). All else is off the path.

use alloc::vec::Vec;

use super::link::{Attention, HartState};
use super::seat::{Path, Seat};
use super::{External, FpRegisters, Host, Machine, Power, Trap};
use crate::stats::Did;
use crate::vcpu::{Effects, Mode, status};

#[cfg(test)]
mod tests;

/// Time slice when several vCPUs want the same hart, in ticks: 10 ms.
const SLICE: u64 = 100_000;
/// A turn that another vCPU's interrupt ends has lasted as long as this, in
/// ticks: 0.1 ms. So one that is interrupted all the time takes no more than
/// its share of the hart.
const SHORTEST: u64 = 1_000;

/// One hart with the vCPUs that it runs.
pub(super) struct Hart<H> {
    pub(super) host: H,
    pub(super) machine: &'static Machine,
    /// Floating-point registers of the seats, while not in the hart.
    fp: Vec<FpRegisters>,
    /// The seat whose registers are in the hart.
    fp_owner: Option<usize>,
    /// The seat that ran last.
    current: usize,
    /// The seat whose state is in the hart's registers.
    arrived: Option<usize>,
    /// When the hart has to look at its other seats: end of the time slice,
    /// or the first of their deadlines.
    others: u64,
    /// When the hart may do so at the earliest.
    earliest: u64,
    /// The deadline that the real timer is set to.
    timer: u64,
}

/// Runs the vCPUs of this hart for ever.
pub fn run<H: Host>(machine: &'static Machine, host: H) -> ! {
    let mut seats: Vec<Seat> = machine.seats(host.hart());
    let mut hart = Hart::new(machine, host, seats.len());
    loop {
        hart.round(&mut seats);
    }
}

impl<H: Host> Hart<H> {
    fn new(machine: &'static Machine, host: H, seats: usize) -> Self {
        let fp = (0..seats).map(|_| FpRegisters::default()).collect();
        let (others, timer) = (u64::MAX, 0);
        let (fp_owner, arrived) = (None, None);
        Self { host, machine, fp, fp_owner, current: 0, arrived, others, earliest: 0, timer }
    }

    /// Gives the next seat its turn, or waits until there is one.
    fn round(&mut self, seats: &mut [Seat]) {
        self.wake(seats);
        match self.next(seats).and_then(|n| seats.get_mut(n).map(|seat| (n, seat))) {
            Some((n, seat)) => {
                if self.arrived.replace(n) != Some(n) {
                    self.arrive(n, seat);
                }
                self.turn(n, seat);
            }
            None => self.idle(),
        }
    }

    /// Ends the waiting of those whose time, or interrupt, has come.
    fn wake(&mut self, seats: &mut [Seat]) {
        for seat in seats {
            seat.refresh_lines(&self.host);
            seat.waiting &= !seat.cpu.wakes();
        }
    }

    /// The next seat in turn that has something to run.
    fn next(&mut self, seats: &[Seat]) -> Option<usize> {
        let runnable = |n: &usize| seats.get(*n).is_some_and(Seat::is_runnable);
        let next = (self.current + 1..seats.len()).chain(0..=self.current).find(runnable);
        let others = |n: &usize| Some(*n) != next;
        let now = self.host.time();
        let deadlines = seats.iter().enumerate().filter(|(n, _)| others(n));
        self.others = deadlines.map(|(_, seat)| seat.deadline(now)).min().unwrap_or(u64::MAX);
        if (0..seats.len()).filter(others).any(|n| runnable(&n)) {
            self.others = self.others.min(now + SLICE);
        }
        let Some(next) = next else {
            self.set_timer(self.others);
            return None;
        };
        self.earliest = now + SHORTEST;
        self.others = self.others.max(self.earliest);
        self.current = next;
        let own = seats.get(next).map_or(u64::MAX, |seat| seat.deadline_in_turn(now));
        self.set_timer(self.others.min(own));
        Some(next)
    }

    /// Waits for an interrupt, and sees to it.
    fn idle(&mut self) {
        self.host.wait();
        self.serve_devices();
        // Also the kicks that this hart gave itself for its devices: all seats
        // are looked at now.
        self.host.clear_kick();
    }

    /// Ends the turn of the seat that runs, at the next look.
    pub(super) fn give_way(&mut self) {
        self.others = 0;
    }

    fn set_timer(&mut self, deadline: u64) {
        if deadline != self.timer {
            self.timer = deadline;
            self.host.set_timer(deadline);
        }
    }

    /// Moves the hart from the seat that ran last to `seat`.
    fn arrive(&mut self, n: usize, seat: &mut Seat) {
        seat.arrive();
        let fs = if self.fp_owner == Some(n) { seat.cpu.csr.mstatus & status::FS } else { 0 };
        self.host.set_fp(fs);
    }

    /// Lets a seat run until it waits, stops, or has to make room.
    fn turn(&mut self, n: usize, seat: &mut Seat) {
        let traced = !self.machine.trace.is_off();
        seat.path = match (seat.assisted, &seat.page) {
            _ if traced => Path::Loop,
            (true, _) => Path::Assisted,
            (false, Some(_)) => Path::Paged,
            (false, None) => Path::Classic,
        };
        match (seat.path, seat.guest.smp) {
            (Path::Loop, _) => self.run_seat::<true, true>(n, seat),
            (Path::Classic, false) => self.run_seat::<false, false>(n, seat),
            (Path::Classic, true) | (Path::Assisted | Path::Paged, _) => {
                self.run_seat::<true, false>(n, seat);
            }
        }
    }

    /// The exit path, once for each kind of guest, so that none pays for what
    /// only others need.
    #[inline(never)]
    fn run_seat<const SMP: bool, const TRACED: bool>(&mut self, n: usize, seat: &mut Seat) {
        // A new seat, or a shadow that was emptied meanwhile.
        seat.follow_shadow(&mut self.host);
        loop {
            while !seat.claim_entry::<SMP>() {
                seat.left_guest::<SMP>();
                if !self.settle(n, seat) {
                    self.leave(n, seat);
                    return;
                }
            }
            let trap = self.host.enter(seat);
            seat.left_guest::<SMP>();
            if SMP {
                // Guests with one vCPU come here, too, if the registers of vS
                // are elsewhere.
                seat.take_back(&mut self.host);
                if seat.todo.contains(Effects::FP) {
                    // FS, which the guest stored in its CPU page: an access of
                    // `sstatus` looks at the real one.
                    self.adopt_fp(n, seat);
                }
            }
            if TRACED {
                self.handle_traced(n, seat, trap);
            } else if trap != Trap::HANDLED && !self.handle_frequent(seat, trap) {
                self.handle_counted(n, seat, trap);
            }
        }
    }

    /// Does what is due before the guest runs on; `false` if it must not.
    #[inline(never)]
    fn settle(&mut self, n: usize, seat: &mut Seat) -> bool {
        seat.take_back(&mut self.host);
        if seat.page.is_some() {
            seat.cross(&mut self.host);
        }
        if seat.link.wants_attention() && !self.attend(seat) {
            return false;
        }
        seat.follow_shadow(&mut self.host);
        let due = core::mem::take(&mut seat.todo);
        if due.contains(Effects::INTERRUPTS) && seat.lines_may_be_down() {
            seat.refresh_lines(&self.host);
        }
        if due.contains(Effects::TIMER) {
            seat.refresh_lines(&self.host);
            self.set_timer(seat.deadline_in_turn(self.host.time()).min(self.others));
        }
        if due.contains(Effects::INTERRUPTS)
            && let Some(interrupt) = seat.cpu.pending_interrupt()
        {
            seat.waiting = false;
            let at = (seat.cpu.mode, seat.cpu.ctx.pc);
            let later = due - (Effects::INTERRUPTS | Effects::TIMER);
            seat.todo |= later | seat.cpu.take_interrupt(interrupt);
            seat.link.stats.count(Did::Interrupted(interrupt));
            if !self.machine.trace.is_off() {
                self.trace_interrupt(seat, at, Did::Interrupted(interrupt));
            }
            return true;
        }
        if due.contains(Effects::PMP) {
            seat.forget_protection();
            seat.check_page(&mut self.host);
        }
        if due.intersects(Effects::TRANSLATION) {
            seat.translate(&mut self.host);
        }
        if due.contains(Effects::FP) {
            self.adopt_fp(n, seat);
        }
        if due.contains(Effects::COUNTERS) {
            self.adopt_counters(seat);
        }
        seat.waiting &= !seat.cpu.wakes();
        let goes_on = !seat.waiting && self.host.time() < self.others;
        let elsewhere = seat.assisted || seat.page.is_some();
        if elsewhere || due.contains(Effects::SUPERVISOR) {
            self.adopt_mode(n, seat, goes_on);
        }
        goes_on
    }

    /// Sees to it that the real hart has the mode, and the registers of vS,
    /// with which the guest goes on.
    fn adopt_mode(&mut self, n: usize, seat: &mut Seat, goes_on: bool) {
        if !goes_on {
            seat.todo |= Effects::SUPERVISOR;
        } else if seat.runs_natively() {
            // It can switch FS on by itself, and must not find another's.
            self.take_fp(n);
            seat.hand_over(&mut self.host);
        } else {
            self.host.leave_supervisor();
            seat.lay_out(&self.host);
            if seat.assisted {
                // A timer of its own in vS is the VMM's to watch in vM.
                self.set_timer(seat.deadline_in_turn(self.host.time()).min(self.others));
            }
        }
    }

    /// Sees to what others asked of this vCPU; `false` if it is to stop.
    fn attend(&mut self, seat: &mut Seat) -> bool {
        let attention = seat.link.take_attention();
        // What was waited for may have come; if not, the guest waits again.
        seat.waiting = false;
        if attention.contains(Attention::STOP) {
            seat.guest.park(seat, &self.host, self.machine);
            return false;
        }
        let work = attention.intersects(Attention::BACKLOG | Attention::FRAMES);
        if work || attention.contains(Attention::ENDING) {
            // This may go on for long, and the hart neither enters a guest
            // nor idles meanwhile: what has come is seen nowhere else.
            self.serve_devices();
        }
        if attention.contains(Attention::ENDING) {
            seat.guest.finish(seat.link, &self.host, self.machine);
            return false;
        }
        if attention.contains(Attention::BACKLOG) {
            seat.guest.serve_backlog(&self.host);
        }
        if attention.contains(Attention::FRAMES) {
            seat.guest.take_frames(&self.host);
        }
        if work {
            self.machine.deliver(&self.host, seat.link);
        }
        // Started by a vCPU that does not know yet that the guest ends: no.
        if attention.contains(Attention::START) && seat.guest.power() == Power::On {
            seat.start();
        }
        seat.look(&mut self.host, attention);
        // Others have their turn between the parts of such work.
        let more = work && seat.link.wants_attention();
        seat.link.state() == HartState::Started && !more && !seat.guest.is_paused()
    }

    /// Gives the hart's floating-point registers to this seat, as far as its
    /// virtual FS allows.
    pub(super) fn adopt_fp(&mut self, n: usize, seat: &Seat) {
        let fs = seat.cpu.csr.mstatus & status::FS;
        if fs != 0 {
            self.take_fp(n);
        }
        self.host.set_fp(fs);
    }

    /// Makes the floating-point registers in the hart those of seat `n`.
    fn take_fp(&mut self, n: usize) {
        if self.fp_owner != Some(n) {
            if let Some(registers) = self.fp_owner.and_then(|owner| self.fp.get_mut(owner)) {
                self.host.save_fp(registers);
            }
            if let Some(registers) = self.fp.get(n) {
                self.host.load_fp(registers);
            }
            self.fp_owner = Some(n);
        }
    }

    /// Whether this seat's floating-point registers are in the hart.
    pub(super) fn has_fp(&self, n: usize) -> bool {
        self.fp_owner == Some(n)
    }

    /// Accesses the seat's floating-point registers from outside; `None` while
    /// the guest has them switched off: the hart's are somebody else's then.
    pub(super) fn with_fp<R>(
        &mut self,
        n: usize,
        seat: &Seat,
        f: impl FnOnce(&mut FpRegisters) -> R,
    ) -> Option<R> {
        if !seat.cpu.csr.fp_enabled() {
            return None;
        }
        self.adopt_fp(n, seat);
        let registers = self.fp.get_mut(n)?;
        self.host.save_fp(registers);
        let result = f(registers);
        self.host.load_fp(registers);
        self.host.set_fp(status::FS);
        Some(result)
    }

    fn adopt_counters(&mut self, seat: &Seat) {
        const TIME: u32 = 1 << 1;
        // vS and vU come and go without us; the real `scounteren` makes the
        // difference.
        let mode = if seat.runs_natively() { Mode::Supervisor } else { seat.cpu.mode };
        let mut enable = seat.cpu.csr.counters.native(mode);
        if seat.clock(&self.host).offset() != 0 {
            enable &= !TIME;
        }
        self.host.set_counters(enable);
    }

    /// The seat's turn is over.
    fn leave(&mut self, n: usize, seat: &mut Seat) {
        if self.has_fp(n) {
            seat.cpu.sync_fp(self.host.fp_dirty());
        }
    }

    /// A real interrupt ended the guest's turn.
    pub(super) fn interrupted(&mut self, seat: &mut Seat, code: u64) -> Did {
        match code {
            7 => {
                // Parked until `settle` sets it again.
                self.set_timer(u64::MAX);
                seat.todo |= Effects::TIMER;
                Did::HostTimer
            }
            3 => {
                self.kicked(seat);
                Did::HostKick
            }
            _ if self.serve_devices() => {
                // The kicks that this hart gave itself for them are no exits.
                self.kicked(seat);
                Did::HostDevice
            }
            _ => Did::HostLog,
        }
    }

    /// Sees to it that what this hart was kicked for is looked at.
    fn kicked(&mut self, seat: &mut Seat) {
        self.host.clear_kick();
        if self.fp.len() > 1 {
            // It may be for another seat.
            self.others = self.others.min(self.earliest);
            seat.todo |= Effects::TIMER;
        }
        seat.todo |= Effects::INTERRUPTS;
    }

    /// Passes on what the real devices have to say; `false` if that was
    /// nothing but that the log port took a line.
    fn serve_devices(&mut self) -> bool {
        let mut any = false;
        while let Some(external) = self.host.external() {
            any = true;
            match external {
                External::Console => {
                    while let Some(byte) = self.host.read_console() {
                        self.machine.typed(&self.host, byte);
                    }
                }
                External::Blocked(fault, last) => self.machine.blocked(&self.host, fault, last),
                External::Passed(source) => self.machine.passed(&self.host, source),
                External::Net => self.machine.uplink_is_ready(&self.host),
                External::Stop => {
                    let guests = &self.machine.guests;
                    guests.iter().for_each(|guest| guest.end(&self.host, Power::Off, 0));
                }
                External::Disk(disk) => {
                    for guest in &self.machine.guests {
                        guest.disk_is_ready(&self.host, disk);
                    }
                }
            }
        }
        any
    }
}
