//! Sstc: `stimecmp` drives the supervisor timer interrupt.
#![no_std]
#![no_main]

use probes::access::nothing;
use probes::context::A0;
use probes::csr::{
    self, MCOUNTEREN, MENVCFG, MIDELEG, MIE, MIP, MSTATUS, SIE_BIT, STCE, STI, STIMECMP, TIME,
};
use probes::dev::clint::TICKS_PER_MS;
use probes::{Context, Mode, Probe, snippet};

probes::probe!(main);

snippet! {
    /// In S: sets a deadline a0 ticks from now, opens interrupts, waits.
    fn deadline {
        "rdtime t0",
        "add a0, a0, t0",
        "csrw 0x14d, a0",
        "csrsi sstatus, 2",
        "1: j 1b",
    }
}

snippet! {
    /// In S: a deadline in the past is pending until it is moved.
    fn past {
        "csrw 0x14d, zero",
        "csrr a0, sip",
        "li t0, -1",
        "csrw 0x14d, t0",
        "csrr a1, sip",
    }
}

fn main(p: &mut Probe) {
    csr::write::<MCOUNTEREN>(7);
    csr::set::<MENVCFG>(STCE);
    csr::write::<STIMECMP>(u64::MAX);
    csr::write::<MIDELEG>(STI);
    csr::write::<MIE>(STI);
    p.number("STIP with stimecmp = max", csr::read::<MIP>() >> 5 & 1, 0);
    csr::write::<MIP>(STI);
    p.number("STIP cannot be set by mip", csr::read::<MIP>() >> 5 & 1, 0);
    csr::write::<STIMECMP>(0);
    p.number("STIP with stimecmp = 0", csr::read::<MIP>() >> 5 & 1, 1);
    csr::write::<MIP>(0);
    p.number("STIP cannot be cleared by mip", csr::read::<MIP>() >> 5 & 1, 1);
    p.is("taken from U", Context::new(&[]).run(Mode::U, nothing), "S-timer to S, tval 0x0");
    csr::write::<STIMECMP>(u64::MAX);
    supervisor(p);
    csr::write::<MIE>(0);
}

fn supervisor(p: &mut Probe) {
    let mut context = Context::new(&[]);
    let _ = context.run(Mode::S, past);
    p.hex("sip with stimecmp in the past", context.x[A0], STI);
    p.hex("sip with stimecmp in the future", context.x[A0 + 1], 0);
    csr::write::<MSTATUS>(SIE_BIT);
    let mut context = Context::new(&[2 * TICKS_PER_MS]);
    let trap = context.run(Mode::S, deadline);
    p.is("deadline", trap.brief(), "S-timer to S");
    p.holds("not early", csr::read::<TIME>() >= context.x[A0]);
    csr::write::<STIMECMP>(u64::MAX);
}
