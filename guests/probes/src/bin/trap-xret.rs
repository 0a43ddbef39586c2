//! `mret` and `sret`: the stack of modes and interrupt enables.
#![no_std]
#![no_main]

use probes::context::{A0, A1};
use probes::csr::{self, MIE_BIT, MPIE, MPP, MSTATUS, SEPC, SIE_BIT, SPIE, SPP};
use probes::{Context, Mode, Probe, snippet};

probes::probe!(main);

const MODES: [Mode; 3] = [Mode::U, Mode::S, Mode::M];
/// The fields that the returns move.
const STACK: u64 = MIE_BIT | SIE_BIT | MPIE | SPIE | SPP | MPP;

snippet! {
    /// In M: returns with `mret` to a `mstatus` given in a0; a1 = landing.
    fn do_mret {
        "csrw mstatus, a0",
        "csrw mepc, a1",
        "mret",
    }
}

snippet! {
    /// In M: returns with `sret` to a `mstatus` given in a0; a1 = landing.
    fn do_sret {
        "csrw mstatus, a0",
        "csrw sepc, a1",
        "sret",
    }
}

snippet! {
    /// Lands in M: tells `mstatus` in a0.
    fn land_in_m { "csrr a0, mstatus" }
}

snippet! {
    /// Lands in S: tells `sstatus` in a0.
    fn land_in_s { "csrr a0, sstatus" }
}

snippet! {
    /// Lands in U.
    fn land_in_u { "li a0, 0x75" }
}

fn landing(mode: Mode) -> u64 {
    let code = match mode {
        Mode::U => land_in_u,
        Mode::S => land_in_s,
        Mode::M => land_in_m,
    };
    code as *const () as u64
}

fn main(p: &mut Probe) {
    for mode in MODES {
        for pie in [0, MPIE] {
            mret(p, mode, pie);
        }
    }
    for mode in [Mode::U, Mode::S] {
        for pie in [0, SPIE] {
            sret(p, mode, pie);
        }
    }
    traps(p);
    offsets(p);
}

/// MIE = MPIE, MPIE = 1, MPP = U. (MPRV is the matter of the probe `spec`.)
fn mret(p: &mut Probe, to: Mode, pie: u64) {
    let before = (to as u64) << csr::MPP_SHIFT | pie;
    let mut context = Context::new(&[before, landing(to)]);
    let trap = context.run(Mode::M, do_mret);
    let name = format_args!("mret to {} with MPIE {}", to.letter(), pie >> 7);
    p.show(format_args!("{name}: ends"), trap.brief());
    let want = MPIE | pie >> 4;
    if to == Mode::M {
        p.hex(format_args!("{name}: mstatus"), context.x[A0] & STACK, want);
    }
    // The trap has pushed MIE again, so MPIE shows what mret made of MIE.
    let status = trap.status & STACK;
    p.hex(format_args!("{name}: after the trap"), status, (to as u64) << csr::MPP_SHIFT | pie);
}

/// SIE = SPIE, SPIE = 1, SPP = U.
fn sret(p: &mut Probe, to: Mode, pie: u64) {
    let spp = if to == Mode::S { SPP } else { 0 };
    let name = format_args!("sret to {} with SPIE {}", to.letter(), pie >> 5);
    let mut context = Context::new(&[spp | pie | MPP, landing(to)]);
    let trap = context.run(Mode::M, do_sret);
    p.show(format_args!("{name}: ends"), trap.brief());
    let seen = trap.status & (SPP | SPIE | SIE_BIT);
    p.hex(format_args!("{name}: mstatus"), seen, SPIE | pie >> 4);
    if to == Mode::S {
        let seen = context.x[A0] & (SPP | SPIE | SIE_BIT);
        p.hex(format_args!("{name}: sstatus"), seen, SPIE | pie >> 4);
    }
}

/// Entering M: MPP = mode, MPIE = MIE, MIE = 0, and S's fields untouched.
fn traps(p: &mut Probe) {
    for mode in MODES {
        for interrupts in [false, true] {
            csr::write::<MSTATUS>(SIE_BIT | SPIE | SPP);
            let mut context = Context::new(&[]);
            context.interrupts = interrupts;
            let trap = context.run(mode, land_in_u);
            let name = format_args!("trap from {}, MIE {interrupts}", mode.letter());
            let pie = if interrupts { MPIE } else { 0 };
            let want = (mode as u64) << csr::MPP_SHIFT | pie | SIE_BIT | SPIE | SPP;
            p.hex(name, trap.status & STACK, want);
        }
    }
    csr::write::<MSTATUS>(0);
}

snippet! {
    /// In S: jumps by `sret` to a0; tells in a1 that it came there.
    fn hop {
        "csrw sepc, a0",
        "sret",
        ".option push",
        ".option arch, +c",
        "c.nop",
        "c.li a1, 1",
        ".option pop",
    }
}

/// `sret` may land on a halfword.
fn offsets(p: &mut Probe) {
    for (offset, want) in [(8, 1), (10, 1), (12, 0)] {
        let mut context = Context::new(&[hop as *const () as u64 + offset, 0]);
        let trap = context.run(Mode::S, hop);
        p.is(format_args!("sret to +{offset}: ends"), trap.brief(), "ecall-from-U to M");
        p.number(format_args!("sret to +{offset}: a1"), context.x[A1], want);
        p.holds("sepc still points there", csr::read::<SEPC>() == hop as *const () as u64 + offset);
    }
}
