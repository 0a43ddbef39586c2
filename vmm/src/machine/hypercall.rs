//! Hypercalls: from the registers of an `ecall` to the paravirtual devices
//! and back. See `docs/protocol.md`.

use core::sync::atomic::Ordering;

use trapeze_protocol::call::{
    COUNTER_NAME_PARTS, Call, Error, Features, Reply, reply_to_registers,
};

use super::Host;
use super::guest::Guest;
use super::hart::Hart;
use super::seat::Seat;
use crate::addr::to_usize;
use crate::pv::{Answer, Line};
use crate::sbi::Args;
use crate::stats::{Did, Kind};
use crate::vcpu::Effects;

impl<H: Host> Hart<H> {
    /// `ecall` of a kernel that knows us, from vS or vM.
    pub(super) fn hypercall(&mut self, seat: &mut Seat) -> Did {
        let Args { a, fid, .. } = Args::from_registers(&seat.cpu.ctx.x);
        let answer = Call::decode(fid, a).and_then(|call| self.device_call(seat, call));
        let reply = match answer {
            Ok(Answer::Value(value)) => Ok(value),
            // The guest makes the call once more; interrupts come in between.
            Ok(Answer::Again) => return Did::Retry,
            Ok(Answer::Other(call)) => self.cpu_call(seat, call),
            Err(error) => Err(error),
        };
        let x = &mut seat.cpu.ctx.x;
        [x[10], x[11]] = reply_to_registers(reply);
        seat.cpu.ctx.pc = seat.cpu.ctx.pc.wrapping_add(4);
        Did::Hypercall(fid)
    }

    fn device_call(&self, seat: &Seat, call: Call) -> Result<Answer, Error> {
        let guest = seat.guest;
        let answer = guest.with_devices(&self.host, Some(seat.index), |devices| {
            let mut answer = devices.pv.call(call, guest.links.len(), &guest.ram);
            if let (Call::Features, Ok(Answer::Value(features)), false) =
                (call, &mut answer, guest.assisted)
            {
                *features |= Features::CPU_PAGE.bits();
            }
            if matches!((call, answer), (Call::InterruptSetUp { .. }, Ok(_))) {
                let line = devices.pv.line();
                guest.move_line(line);
                if let Some(line) = line.filter(|_| guest.assisted) {
                    line.ask_for_done(&guest.ram);
                }
            }
            answer
        });
        self.machine.deliver(&self.host, seat.link);
        answer
    }

    /// The calls that are about the vCPU or about the VMM itself.
    fn cpu_call(&mut self, seat: &mut Seat, call: Call) -> Reply {
        match call {
            Call::InterruptDone => {
                seat.refresh_lines(&self.host);
                Ok(0)
            }
            Call::Yield => {
                self.end_turn(seat);
                Ok(0)
            }
            Call::Counter { counter } => seat.guest.counter(counter),
            Call::CounterName { counter, part } => counter_name(counter, part),
            Call::CpuPageSetUp { address } => {
                // The next turn has another path.
                self.end_turn(seat);
                seat.set_up_page(&mut self.host, address)
            }
            Call::CpuPageEnd => {
                self.end_turn(seat);
                seat.end_page(&mut self.host);
                Ok(0)
            }
            _ => Err(Error::NotSupported),
        }
    }

    /// Gives the hart to the next seat, if there is one.
    fn end_turn(&mut self, seat: &mut Seat) {
        self.give_way();
        seat.todo |= Effects::TIMER;
    }
}

impl Guest {
    /// The paravirtual interrupt line is elsewhere: its word is zero, and it
    /// holds nothing up.
    fn move_line(&self, line: Option<Line>) {
        let pending = line.map_or(0, |line| line.pending().0);
        self.pv_pending.store(pending, Ordering::SeqCst);
        self.links.iter().for_each(|link| link.pv_lines.store(0, Ordering::SeqCst));
    }

    fn counter(&self, counter: u64) -> Reply {
        let of = |link: &super::link::Link| link.stats.get(to_usize(counter));
        let sum: Option<u64> = self.links.iter().map(of).sum();
        sum.ok_or(Error::InvalidParameter)
    }
}

/// Eight bytes of the name of a counter.
fn counter_name(counter: u64, part: u64) -> Reply {
    let kind = Kind::of(to_usize(counter)).ok_or(Error::InvalidParameter)?;
    if part >= COUNTER_NAME_PARTS {
        return Err(Error::InvalidParameter);
    }
    let name = alloc::format!("{kind}");
    let there = name.as_bytes().get(to_usize(part) * 8..).unwrap_or_default();
    let mut bytes = [0; 8];
    bytes.iter_mut().zip(there).for_each(|(byte, value)| *byte = *value);
    Ok(u64::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_fits_into_its_parts() {
        let names = (0..).map_while(Kind::of).map(|kind| kind.to_string());
        for (counter, name) in (0..).zip(names) {
            let parts = (0..COUNTER_NAME_PARTS).map(|part| counter_name(counter, part).unwrap());
            let bytes: Vec<u8> = parts.flat_map(u64::to_le_bytes).collect();
            assert_eq!(String::from_utf8(bytes).unwrap().trim_end_matches('\0'), name);
        }
        assert_eq!(counter_name(1 << 40, 0), Err(Error::InvalidParameter));
        assert_eq!(counter_name(0, COUNTER_NAME_PARTS), Err(Error::InvalidParameter));
    }
}
