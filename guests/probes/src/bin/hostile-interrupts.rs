//! Hostile: interrupts in a storm. Timers that are always late, handlers that
//! do not silence them, software interrupts to harts that do not exist.
#![no_std]
#![no_main]

use probes::access::nothing;
use probes::csr::{
    self, MCOUNTEREN, MENVCFG, MIDELEG, MIE, MIP, MSI, MTI, SEI, SSI, STCE, STI, STIMECMP,
};
use probes::dev::clint::{self, CLINT, MSIP, MTIMECMP};
use probes::{Context, Mode, Probe, snippet};

probes::probe!(main);

snippet! {
    /// In S: moves `stimecmp` to and fro, a0 times.
    fn shake {
        "li t0, -1",
        "1: csrw 0x14d, zero",
        "csrw 0x14d, t0",
        "addi a0, a0, -1",
        "bnez a0, 1b",
    }
}

fn main(p: &mut Probe) {
    csr::write::<MCOUNTEREN>(7);
    csr::set::<MENVCFG>(STCE);
    late(p);
    shaken(p);
    everything(p);
    elsewhere(p);
    deadlines(p);
    csr::write::<MIE>(0);
    clint::set_mtimecmp(0, u64::MAX);
}

/// The interrupt is never silenced, so that no instruction of U ever runs.
fn late(p: &mut Probe) {
    clint::set_mtimecmp(0, 0);
    csr::write::<MIE>(MTI);
    let mut timers = 0_u64;
    for _ in 0..20_000 {
        let trap = Context::new(&[]).run(Mode::U, nothing);
        timers += u64::from(trap.cause == 1 << 63 | 7);
    }
    p.number("timer interrupts", timers, 20_000);
    clint::set_mtimecmp(0, u64::MAX);
    csr::write::<MIE>(0);
}

fn shaken(p: &mut Probe) {
    csr::write::<MIDELEG>(STI);
    let trap = Context::new(&[20_000]).run(Mode::S, shake);
    p.is("stimecmp moved 40000 times", trap.brief(), "ecall-from-S to M");
    csr::write::<STIMECMP>(u64::MAX);
    csr::write::<MIDELEG>(0);
}

/// All that can be pending is, in turns of delegation.
fn everything(p: &mut Probe) {
    clint::set_mtimecmp(0, 0);
    clint::set_msip(0, 1);
    csr::clear::<MENVCFG>(STCE);
    csr::write::<MIP>(SSI | STI | SEI);
    let mut taken = 0_u64;
    for round in 0..3000_u64 {
        csr::write::<MIDELEG>(round.wrapping_mul(0x9e37_79b9));
        csr::write::<MIE>(round.wrapping_mul(0x85eb_ca6b) | MSI);
        taken += Context::new(&[]).run(Mode::U, nothing).cause >> 63;
    }
    p.number("interrupts", taken, 3000);
    clint::set_mtimecmp(0, u64::MAX);
    clint::set_msip(0, 0);
    csr::write::<MIP>(0);
    csr::write::<MIE>(0);
    csr::write::<MIDELEG>(0);
}

/// Registers of harts that are not there.
fn elsewhere(p: &mut Probe) {
    for hart in 1..4095 {
        CLINT.write(MSIP + 4 * hart, 1_u32);
        CLINT.write(MTIMECMP + 8 * (hart % 4094), 0_u64);
    }
    clint::set_mtimecmp(0, u64::MAX);
    p.show("other harts", "written");
}

/// Deadlines all over the range of time.
fn deadlines(p: &mut Probe) {
    csr::write::<MIE>(MTI);
    for bit in 0..64 {
        clint::set_mtimecmp(0, 1 << bit);
        clint::set_mtimecmp(0, u64::MAX >> bit);
        let _ = Context::new(&[]).run(Mode::U, nothing);
        clint::set_mtimecmp(0, clint::mtime().wrapping_add(1 << bit));
        let _ = Context::new(&[]).run(Mode::U, nothing);
    }
    clint::set_mtimecmp(0, u64::MAX);
    p.show("deadlines", "set");
}
