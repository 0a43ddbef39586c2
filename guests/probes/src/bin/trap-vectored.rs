//! Direct and vectored `mtvec` and `stvec`.
#![no_std]
#![no_main]

use probes::access::{execute, nothing};
use probes::csr::{
    self, MEDELEG, MENVCFG, MIDELEG, MIE, MIP, MSTATUS, MTVEC, SEI, SSI, STCE, STI, STVEC,
};
use probes::{Context, Mode, Probe, insn};

probes::probe!(main);

fn main(p: &mut Probe) {
    csr::clear::<MENVCFG>(STCE);
    let direct = csr::read::<MTVEC>();
    for vectored in [0, 1] {
        csr::write::<MTVEC>(direct | vectored);
        csr::write::<STVEC>(vectored);
        machine(p, vectored);
        supervisor(p, vectored);
        exceptions(p, vectored);
    }
    csr::write::<MTVEC>(direct);
}

/// Supervisor interrupts that are not delegated are taken by M-mode.
fn machine(p: &mut Probe, vectored: u64) {
    csr::write::<MIDELEG>(0);
    for (number, bit) in [(1, SSI), (5, STI), (9, SEI)] {
        csr::write::<MIE>(bit);
        csr::write::<MIP>(bit);
        let trap = Context::new(&[]).run(Mode::U, nothing);
        let name = format_args!("interrupt {number} to M, mode {vectored}");
        p.show(name, trap.full());
        p.number("slot", trap.slot, vectored * number);
    }
    quiet();
}

fn supervisor(p: &mut Probe, vectored: u64) {
    csr::write::<MIDELEG>(SSI | STI | SEI);
    for (number, bit) in [(1, SSI), (5, STI), (9, SEI)] {
        csr::write::<MIE>(bit);
        csr::write::<MIP>(bit);
        let trap = Context::new(&[]).run(Mode::U, nothing);
        p.show(format_args!("interrupt {number} to S, mode {vectored}"), trap.full());
        p.number("slot", trap.slot, vectored * number);
    }
    quiet();
}

/// Exceptions go to the base in either mode.
fn exceptions(p: &mut Probe, vectored: u64) {
    for delegated in [0, 1 << 2] {
        csr::write::<MEDELEG>(delegated);
        let trap = execute(Mode::U, &mut Context::new(&[]), insn::UNIMP);
        p.show(format_args!("exception, mode {vectored}"), trap);
        p.number("slot", trap.slot, 0);
    }
    csr::write::<MEDELEG>(0);
}

fn quiet() {
    csr::write::<MIE>(0);
    csr::write::<MIP>(0);
    csr::write::<MSTATUS>(0);
}
