//! The exit path with a trace: the same handling, between a look before and
//! a look after.

use super::hart::Hart;
use super::seat::Seat;
use super::{Host, Trap};
use crate::stats::Did;
use crate::trace::Line;

impl<H: Host> Hart<H> {
    /// As `handle`, and writes a line about it if the filter wants it.
    #[inline(never)]
    pub(super) fn handle_traced(&mut self, n: usize, seat: &mut Seat, trap: Trap) {
        let at = (seat.cpu.mode, seat.cpu.ctx.pc);
        // Illegal instructions and loads and stores show the instruction.
        let inst = match trap.cause {
            2 => self.trapped_instruction(seat, trap.value),
            5 | 7 | 13 | 15 => self.fetch(seat),
            _ => None,
        };
        let did = self.handle(n, seat, trap);
        seat.link.stats.count(did);
        self.write_line(seat, at, trap.cause, inst, did);
    }

    fn write_line(
        &self,
        seat: &Seat,
        at: (crate::vcpu::Mode, u64),
        cause: u64,
        inst: Option<u32>,
        did: Did,
    ) {
        if self.machine.trace.admits(did) {
            let (guest, cpu, after) = (seat.guest.name.as_str(), seat.index, &seat.cpu);
            let line = Line { guest, cpu, at, cause, inst, did, after };
            self.host.write_log(&alloc::format!("{line}\n"));
        }
    }

    /// A line for an interrupt that the guest is given.
    pub(super) fn trace_interrupt(&self, seat: &Seat, at: (crate::vcpu::Mode, u64), did: Did) {
        self.write_line(seat, at, u64::MAX, None, did);
    }
}
