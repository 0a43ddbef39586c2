//! The effects of SBI calls on the guest.

use core::sync::atomic::Ordering;

use super::Host;
use super::guest::Power;
use super::hart::Hart;
use super::link::{self, Attention};
use super::seat::Seat;
use crate::addr::{Access, Gva};
use crate::mem::GuestRam;
use crate::sbi::{
    self, Args, Firmware, HartSet, HartState, Identity, RemoteFence, Reply, ResetKind,
};
use crate::stats::Did;
use crate::vcpu::{Effects, Env, Mode};

/// The status of a guest that reports a failure of its own.
const STATUS_SYSTEM_FAILURE: u16 = 1;

/// One call in progress.
struct Call<'a, H> {
    host: &'a mut H,
    seat: &'a mut Seat,
}

impl<H: Host> Hart<H> {
    /// `ecall` of a kernel that we are the firmware of.
    pub(super) fn firmware_call(&mut self, seat: &mut Seat) -> Did {
        let args = Args::from_registers(&seat.cpu.ctx.x);
        let from = seat.index;
        let reply = sbi::call(&args, from, &mut Call { host: &mut self.host, seat });
        self.reply(seat, reply);
        Did::Sbi(args.eid, args.fid)
    }

    fn reply(&mut self, seat: &mut Seat, reply: Reply) {
        let x = &mut seat.cpu.ctx.x;
        match reply {
            Reply::Return(ret) => (x[10], x[11]) = (ret.error, ret.value),
            Reply::Legacy(value) => x[10] = value.cast_unsigned(),
            Reply::Again => return self.wait_for_input(seat),
            Reply::Stop => return self.stop(seat),
            Reply::Suspend(resume) => return self.suspend(seat, resume),
            Reply::Reset(reset) => {
                let status = if reset.failure { STATUS_SYSTEM_FAILURE } else { 0 };
                let shutdown = reset.kind == ResetKind::Shutdown;
                let power = if shutdown { Power::Off } else { Power::Reset };
                return seat.guest.end(&self.host, power, status);
            }
        }
        seat.cpu.ctx.pc = seat.cpu.ctx.pc.wrapping_add(4);
    }

    /// The call is made again when a byte has been typed, or an interrupt
    /// is due.
    fn wait_for_input(&mut self, seat: &mut Seat) {
        seat.waiting = !seat.cpu.wakes();
        seat.todo |= Effects::INTERRUPTS;
    }

    /// `sbi_hart_stop`
    fn stop(&mut self, seat: &mut Seat) {
        seat.link.set_state(link::HartState::Stopped);
        // Only attention brings it back; look once, to end the turn.
        seat.link.remind(Attention::LINES);
    }

    /// `sbi_hart_suspend`: as `wfi`, and then on, or at a new start.
    fn suspend(&mut self, seat: &mut Seat, resume: Option<sbi::Start>) {
        match resume {
            None => {
                (seat.cpu.ctx.x[10], seat.cpu.ctx.x[11]) = (0, 0);
                seat.cpu.ctx.pc = seat.cpu.ctx.pc.wrapping_add(4);
            }
            Some(start) => seat.resume_at(start),
        }
        seat.waiting = !seat.cpu.wakes();
        seat.todo |= Effects::INTERRUPTS;
    }
}

impl Seat {
    /// Continues after a non-retentive suspension (SBI, table 2 of HSM).
    fn resume_at(&mut self, start: sbi::Start) {
        let csr = &mut self.cpu.csr;
        csr.satp = 0;
        csr.mstatus &= !crate::vcpu::status::SIE;
        self.cpu.mode = Mode::Supervisor;
        self.cpu.ctx.pc = start.pc.0;
        self.cpu.ctx.x[10] = self.index as u64;
        self.cpu.ctx.x[11] = start.opaque;
        self.todo |= Effects::all();
    }
}

impl<H: Host> Call<'_, H> {
    fn links(&self, of: HartSet) -> impl Iterator<Item = (usize, &'static link::Link)> {
        let links = &self.seat.guest.links;
        of.iter().filter_map(|hart| links.get(hart).map(|link| (hart, link)))
    }

    /// Asks each hart of `of` for something; this one without an interrupt.
    fn ask(&self, of: HartSet, what: Attention) {
        for (hart, link) in self.links(of) {
            if hart == self.seat.index { link.remind(what) } else { link.notify(self.host, what) }
        }
    }
}

impl<H: Host> Firmware for Call<'_, H> {
    fn harts(&self) -> usize {
        self.seat.guest.links.len()
    }

    fn hart_state(&self, hart: usize) -> HartState {
        match self.seat.guest.links.get(hart).map(link::Link::state) {
            Some(link::HartState::Started) => HartState::Started,
            Some(link::HartState::StartPending) => HartState::StartPending,
            Some(link::HartState::Suspended) => HartState::Suspended,
            Some(link::HartState::Stopped) | None => HartState::Stopped,
        }
    }

    fn identity(&self) -> Identity {
        Identity::default()
    }

    fn ram(&self) -> &GuestRam {
        &self.seat.guest.ram
    }

    fn set_timer(&mut self, _hart: usize, deadline: u64) {
        let now = self.seat.clock(self.host).time();
        self.seat.cpu.csr.set_stimecmp(deadline, now);
        self.seat.todo |= Effects::TIMER;
    }

    fn send_ipi(&mut self, to: HartSet) {
        self.ask(to, Attention::SOFT);
    }

    fn clear_ipi(&mut self, _hart: usize) -> bool {
        let pending = self.seat.cpu.csr.mip() & 2 != 0;
        self.seat.cpu.csr.set_supervisor_soft(false);
        pending
    }

    fn fence(&mut self, on: HartSet, fence: RemoteFence) {
        let what = match fence {
            RemoteFence::Instruction => Attention::FENCE_I,
            RemoteFence::Memory { .. } => Attention::FENCE,
        };
        for (_, link) in self.links(on) {
            link.remind(what);
        }
        // Whoever is in the guest now must leave it; it looks before it
        // enters again.
        core::sync::atomic::fence(Ordering::SeqCst);
        for (hart, link) in self.links(on) {
            if hart != self.seat.index {
                link.expel(self.host);
            }
        }
    }

    fn start(&mut self, hart: usize, at: sbi::Start) -> bool {
        let guest = self.seat.guest;
        guest.links.get(hart).is_some_and(|link| guest.start(self.host, link, [at.pc.0, at.opaque]))
    }

    fn console_write(&mut self, bytes: &[u8]) -> usize {
        let seat = &self.seat;
        seat.machine.console.output(self.host, seat.guest.number, bytes);
        bytes.len()
    }

    fn console_read(&mut self, bytes: &mut [u8]) -> usize {
        self.seat.guest.devices.lock().take_input(bytes)
    }

    fn read_virtual(&mut self, _hart: usize, address: Gva) -> Option<u64> {
        let seat = &self.seat;
        let shadow = seat.guest.shadow.lock();
        let space = seat.data_space();
        let gpa = shadow.translate_gva(&seat.guest.ram, space, address, Access::Load).ok()?;
        seat.guest.ram.load_u64(gpa).ok()
    }
}
