//! Interrupts of the CLINT: `msip` and `mtimecmp`, as `mip` shows them and
//! as they are taken.
#![no_std]
#![no_main]

use probes::access::nothing;
use probes::csr::{self, MIE, MIP, MSI, MTI};
use probes::dev::clint::{self, TICKS_PER_MS};
use probes::{Context, Mode, Probe, snippet};

probes::probe!(main);

snippet! {
    /// Runs in place until an interrupt comes.
    fn forever { "1: j 1b" }
}

fn main(p: &mut Probe) {
    clint::set_msip(0, 0);
    clint::set_mtimecmp(0, u64::MAX);
    software(p);
    timer(p);
    late(p);
}

fn software(p: &mut Probe) {
    p.number("MSIP at first", csr::read::<MIP>() >> 3 & 1, 0);
    clint::set_msip(0, 1);
    p.number("MSIP after msip = 1", csr::read::<MIP>() >> 3 & 1, 1);
    csr::write::<MIP>(0);
    p.number("MSIP after mip = 0", csr::read::<MIP>() >> 3 & 1, 1);
    csr::write::<MIE>(MSI);
    for mode in [Mode::U, Mode::S, Mode::M] {
        for interrupts in [false, true] {
            let mut context = Context::new(&[]);
            context.interrupts = interrupts;
            let trap = context.run(mode, nothing);
            p.show(format_args!("msip in {}, MIE {interrupts}", mode.letter()), trap.brief());
        }
    }
    clint::set_msip(0, 0);
    p.number("MSIP after msip = 0", csr::read::<MIP>() >> 3 & 1, 0);
    csr::write::<MIE>(0);
}

fn timer(p: &mut Probe) {
    p.number("MTIP with mtimecmp = max", csr::read::<MIP>() >> 7 & 1, 0);
    clint::set_mtimecmp(0, 0);
    p.number("MTIP with mtimecmp = 0", csr::read::<MIP>() >> 7 & 1, 1);
    csr::write::<MIP>(0);
    p.number("MTIP after mip = 0", csr::read::<MIP>() >> 7 & 1, 1);
    clint::set_mtimecmp(0, u64::MAX);
    p.number("MTIP with mtimecmp = max again", csr::read::<MIP>() >> 7 & 1, 0);
}

/// A deadline in the future interrupts whatever runs, and not too early.
fn late(p: &mut Probe) {
    csr::write::<MIE>(MTI);
    for mode in [Mode::U, Mode::S, Mode::M] {
        let deadline = clint::mtime() + 2 * TICKS_PER_MS;
        clint::set_mtimecmp(0, deadline);
        let mut context = Context::new(&[]);
        context.interrupts = true;
        let trap = context.run(mode, forever);
        let now = clint::mtime();
        p.is(
            format_args!("deadline in {}", mode.letter()),
            trap.full(),
            "M-timer to M, tval 0x0, pc +0x0",
        );
        p.holds("not early", now >= deadline);
        clint::set_mtimecmp(0, u64::MAX);
    }
    csr::write::<MIE>(0);
}
