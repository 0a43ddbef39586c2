//! `ecall` and `ebreak` from each mode, delegated or not.
#![no_std]
#![no_main]

use probes::access::execute;
use probes::csr::{self, MEDELEG, MSTATUS, SIE_BIT, SPIE, SPP};
use probes::{Context, Mode, Probe, insn, snippet};

probes::probe!(main);

snippet! {
    /// Does something first, so that the trap is not the first instruction.
    fn later {
        "li a0, 1",
        "li a1, 2",
    }
}

fn main(p: &mut Probe) {
    for delegated in [0, 1 << 8 | 1 << 3] {
        csr::write::<MEDELEG>(delegated);
        for mode in [Mode::U, Mode::S, Mode::M] {
            // To the breakpoint's tval belongs its address, or 0.
            let trap = execute(mode, &mut Context::new(&[]), insn::EBREAK);
            let check = format_args!("ebreak from {}, medeleg {delegated:#x}", mode.letter());
            p.show(check, trap.brief());
            p.hex("at offset", trap.pc, 0);
            let trap = Context::new(&[]).run(mode, later);
            let check = format_args!("ecall from {}, medeleg {delegated:#x}", mode.letter());
            p.show(check, trap.full());
        }
    }
    stack(p);
    csr::write::<MEDELEG>(0);
}

/// Entering S: SPP = mode, SPIE = SIE, SIE = 0.
fn stack(p: &mut Probe) {
    csr::write::<MEDELEG>(1 << 3);
    for mode in [Mode::U, Mode::S] {
        for sie in [0, SIE_BIT] {
            csr::write::<MSTATUS>(sie);
            let trap = execute(mode, &mut Context::new(&[]), insn::EBREAK);
            let check = format_args!("delegated from {}, SIE {}", mode.letter(), sie >> 1);
            let spp = if mode == Mode::S { SPP } else { 0 };
            p.hex(check, trap.status & (SIE_BIT | SPIE | SPP), spp | sie << 4);
            p.is(format_args!("{check}: from"), trap.from().letter(), mode.letter());
        }
    }
}
