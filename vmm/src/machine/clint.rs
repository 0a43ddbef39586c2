//! The CLINT's registers, which are in the links of the guest's vCPUs.

use core::sync::atomic::Ordering;

use super::Host;
use super::hart::Hart;
use super::link::{Attention, Link};
use super::seat::Seat;
use crate::dev::clint::Register;
use crate::vcpu::{Effects, Env, Interrupt};

impl<H: Host> Hart<H> {
    /// A hart that does not exist reads as zero.
    pub(super) fn read_clint(&self, seat: &Seat, register: Register) -> u64 {
        let link = |hart| seat.guest.links.get(hart);
        match register {
            Register::Msip(hart) => link(hart).map_or(0, |link| {
                let lines = link.lines.load(Ordering::Relaxed);
                u64::from(lines & Interrupt::MachineSoft.bit() != 0)
            }),
            Register::Mtimecmp { hart, half } => {
                link(hart).map_or(0, |link| half.read(link.mtimecmp.load(Ordering::Relaxed)))
            }
            Register::Mtime { half } => half.read(seat.clock(&self.host).time()),
        }
    }

    pub(super) fn write_clint(&self, seat: &mut Seat, register: Register, value: u64) {
        let guest = seat.guest;
        match register {
            Register::Msip(hart) => {
                if let Some(link) = guest.links.get(hart) {
                    link.set_lines(Interrupt::MachineSoft.bit(), value & 1 != 0);
                    self.lines_changed(seat, hart, link);
                }
            }
            Register::Mtimecmp { hart, half } => {
                if let Some(link) = guest.links.get(hart) {
                    let cell = &link.mtimecmp;
                    cell.store(half.merge(cell.load(Ordering::Relaxed), value), Ordering::Relaxed);
                    self.lines_changed(seat, hart, link);
                }
            }
            Register::Mtime { half } => {
                let now = seat.clock(&self.host).time();
                let ahead = half.merge(now, value).wrapping_sub(self.host.time());
                guest.clock_offset.store(ahead, Ordering::Relaxed);
                guest.links.iter().for_each(|link| link.notify(&self.host, Attention::CLOCK));
            }
        }
    }

    /// A vCPU's own lines are looked at before it runs on; another one's
    /// hart is interrupted.
    fn lines_changed(&self, seat: &mut Seat, hart: usize, link: &Link) {
        if hart == seat.index {
            seat.todo |= Effects::TIMER;
        } else {
            link.notify(&self.host, Attention::LINES);
        }
    }
}
