//! Which of several pending interrupts is taken, and by which mode: where QEMU
//! and the specification agree. `spec-priority` asks for the rest.
#![no_std]
#![no_main]

use probes::access::nothing;
use probes::csr::{self, MENVCFG, MIDELEG, MIE, MIP, MSTATUS, SEI, SIE_BIT, SSI, STCE, STI};
use probes::interrupts::Set;
use probes::{Context, Mode, Probe};

probes::probe!(main);

fn main(p: &mut Probe) {
    csr::clear::<MENVCFG>(STCE);
    for set in Set::all() {
        set.raise();
        for delegated in [0, SSI | STI | SEI, STI] {
            // QEMU 7.2 takes the one with the lowest number.
            let (first, machine) = set.first(delegated);
            let level = if machine { set.0 & !delegated } else { set.0 };
            if level & first.wrapping_sub(1) == 0 {
                taken(p, set, delegated);
            }
        }
    }
    Set(0).raise();
    masked(p);
}

fn taken(p: &mut Probe, set: Set, delegated: u64) {
    csr::write::<MIDELEG>(delegated);
    csr::write::<MIE>(set.0);
    for mode in [Mode::U, Mode::S] {
        csr::write::<MSTATUS>(SIE_BIT);
        let trap = Context::new(&[]).run(mode, nothing);
        let check = format_args!("{set} in {}, delegated {}", mode.letter(), Set(delegated));
        p.show(check, trap.brief());
    }
}

/// MIE and SIE mask only their own mode, and lower modes' interrupts not at all.
fn masked(p: &mut Probe) {
    csr::write::<MIE>(SSI);
    csr::write::<MIP>(SSI);
    for (delegated, sie, mode, mie) in [
        (0, false, Mode::M, false),
        (0, false, Mode::M, true),
        (0, false, Mode::S, false),
        (0, false, Mode::U, false),
        (SSI, false, Mode::S, false),
        (SSI, true, Mode::S, false),
        (SSI, false, Mode::U, false),
        (SSI, true, Mode::M, true),
    ] {
        csr::write::<MIDELEG>(delegated);
        csr::write::<MSTATUS>(if sie { SIE_BIT } else { 0 });
        let mut context = Context::new(&[]);
        context.interrupts = mie;
        let trap = context.run(mode, nothing);
        let check = format_args!(
            "{} runs, delegated {}, SIE {sie}, MIE {mie}",
            mode.letter(),
            Set(delegated)
        );
        p.show(check, trap.brief());
    }
    csr::write::<MIP>(0);
    csr::write::<MIE>(0);
}
