//! `wfi` ends when an enabled interrupt is pending, even if it is not taken.
#![no_std]
#![no_main]

use probes::context::A0;
use probes::csr::{
    self, MCOUNTEREN, MENVCFG, MIDELEG, MIE, MIP, MSI, MSTATUS, MTI, SSI, STCE, STI, STIMECMP,
};
use probes::dev::clint::{self, TICKS_PER_MS};
use probes::{Context, Mode, Probe, snippet};

probes::probe!(main);

snippet! {
    /// Waits once.
    fn wait {
        "li a0, 1",
        "wfi",
        "li a0, 2",
    }
}

fn main(p: &mut Probe) {
    clint::set_mtimecmp(0, u64::MAX);
    pending(p);
    timer(p);
    sstc(p);
    csr::write::<MIE>(0);
}

/// Already pending: wfi does not wait. Masked: it runs on; else it traps,
/// after the wfi.
fn pending(p: &mut Probe) {
    csr::write::<MIE>(SSI);
    csr::write::<MIP>(SSI);
    for (delegated, mode) in [(0, Mode::M), (SSI, Mode::M), (SSI, Mode::S)] {
        csr::write::<MIDELEG>(delegated);
        csr::write::<MSTATUS>(0);
        wake(p, "pending", mode, false);
    }
    csr::write::<MIP>(0);
    csr::write::<MIDELEG>(0);
    csr::write::<MIE>(MSI);
    clint::set_msip(0, 1);
    wake(p, "msip", Mode::M, false);
    clint::set_msip(0, 0);
}

/// The machine timer ends the wait at its time.
fn timer(p: &mut Probe) {
    csr::write::<MIE>(MTI);
    for (mode, interrupts) in [(Mode::M, false), (Mode::M, true), (Mode::S, false), (Mode::S, true)]
    {
        let deadline = clint::mtime() + 50 * TICKS_PER_MS;
        clint::set_mtimecmp(0, deadline);
        wake(p, "timer", mode, interrupts);
        p.holds("not early", clint::mtime() >= deadline);
        clint::set_mtimecmp(0, u64::MAX);
    }
    csr::write::<MIE>(0);
}

/// S waits for its own timer, masked.
fn sstc(p: &mut Probe) {
    csr::write::<MCOUNTEREN>(7);
    csr::set::<MENVCFG>(STCE);
    csr::write::<MIDELEG>(STI);
    csr::write::<MIE>(STI);
    csr::write::<MSTATUS>(0);
    let deadline = clint::mtime() + 50 * TICKS_PER_MS;
    csr::write::<STIMECMP>(deadline);
    wake(p, "stimecmp", Mode::S, false);
    p.holds("not early", clint::mtime() >= deadline);
    csr::write::<STIMECMP>(u64::MAX);
}

fn wake(p: &mut Probe, name: &str, mode: Mode, interrupts: bool) {
    let mut context = Context::new(&[]);
    context.interrupts = interrupts;
    let trap = context.run(mode, wait);
    let check = format_args!("{name} in {}, MIE {interrupts}", mode.letter());
    p.show(check, format_args!("{}, a0 {}", trap.full(), context.x[A0]));
}
