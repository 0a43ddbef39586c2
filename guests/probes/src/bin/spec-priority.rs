//! Which of several pending interrupts is taken, and by which mode, as the
//! specification has it (privileged, "Machine Interrupt Registers"). QEMU 7.2
//! takes the one with the lowest number instead.
#![no_std]
#![no_main]

use probes::access::nothing;
use probes::csr::{self, MENVCFG, MIDELEG, MIE, MSTATUS, SEI, SIE_BIT, SSI, STCE, STI};
use probes::interrupts::Set;
use probes::trap::INTERRUPT;
use probes::{Context, Mode, Probe};

probes::probe!(main);

fn main(p: &mut Probe) {
    csr::clear::<MENVCFG>(STCE);
    for set in Set::all() {
        set.raise();
        for delegated in [0, SSI | STI | SEI, STI] {
            csr::write::<MIDELEG>(delegated);
            csr::write::<MIE>(set.0);
            for mode in [Mode::U, Mode::S] {
                taken(p, set, delegated, mode);
            }
        }
    }
    Set(0).raise();
}

fn taken(p: &mut Probe, set: Set, delegated: u64, mode: Mode) {
    csr::write::<MSTATUS>(SIE_BIT);
    let trap = Context::new(&[]).run(mode, nothing);
    let (first, machine) = set.first(delegated);
    let (from, delegated) = (mode.letter(), Set(delegated));
    let to = if machine { Mode::M } else { Mode::S };
    p.is(
        format_args!("{set} in {from}, delegated {delegated}, goes to"),
        trap.to.letter(),
        to.letter(),
    );
    let taken = Set(1 << (trap.cause & !INTERRUPT & 63));
    p.is(format_args!("{set} in {from}, delegated {delegated}, takes"), taken, Set(first));
}
