//! The timer extension, and its legacy form.
#![no_std]
#![no_main]

use probes::access::nothing;
use probes::csr::{self, SIE, SIE_BIT, SIP, SSTATUS, STI, TIME};
use probes::dev::clint::TICKS_PER_MS;
use probes::{Context, Mode, Probe, sbi, snippet};

probes::probe!(main);

snippet! {
    /// Runs in place until an interrupt comes.
    fn forever { "1: j 1b" }
}

fn set(legacy: bool, time: u64) -> i64 {
    if legacy {
        sbi::call3(0, 0, time, 0, 0).error
    } else {
        sbi::call3(sbi::TIME, 0, time, 0, 0).error
    }
}

fn main(p: &mut Probe) {
    for legacy in [false, true] {
        let name = if legacy { "legacy" } else { "TIME" };
        p.number(format_args!("{name}: set far away"), set(legacy, u64::MAX).unsigned_abs(), 0);
        p.hex("STIP", csr::read::<SIP>() & STI, 0);
        p.number(format_args!("{name}: set to the past"), set(legacy, 0).unsigned_abs(), 0);
        while csr::read::<SIP>() & STI == 0 {}
        p.hex("STIP", csr::read::<SIP>() & STI, STI);
        p.number(
            format_args!("{name}: set far away again"),
            set(legacy, u64::MAX).unsigned_abs(),
            0,
        );
        p.hex("STIP", csr::read::<SIP>() & STI, 0);
        taken(p, legacy);
        waited(p, legacy);
    }
}

/// U-mode is interrupted at the time, not before.
fn taken(p: &mut Probe, legacy: bool) {
    csr::write::<SIE>(STI);
    let deadline = csr::read::<TIME>() + 2 * TICKS_PER_MS;
    set(legacy, deadline);
    let trap = Context::new(&[]).run(Mode::U, forever);
    p.is("interrupt", trap.full(), "S-timer to S, tval 0x0, pc +0x0");
    p.holds("not early", csr::read::<TIME>() >= deadline);
    set(legacy, u64::MAX);
    p.is("then none", Context::new(&[]).run(Mode::U, nothing).brief(), "ecall-from-U to S");
}

/// `wfi` ends at the time, with interrupts closed.
fn waited(p: &mut Probe, legacy: bool) {
    csr::clear::<SSTATUS>(SIE_BIT);
    let deadline = csr::read::<TIME>() + 2 * TICKS_PER_MS;
    set(legacy, deadline);
    while csr::read::<SIP>() & STI == 0 {
        csr::wfi();
    }
    p.holds("wfi not early", csr::read::<TIME>() >= deadline);
    set(legacy, u64::MAX);
    csr::write::<SIE>(0);
}
