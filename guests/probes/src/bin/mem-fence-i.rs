//! `fence.i`: code that was just written is what runs.
#![no_std]
#![no_main]

use probes::access::Code;
use probes::context::A0;
use probes::csr;
use probes::paging::{self, Frame, KERNEL, Space, W, X};
use probes::{Context, Mode, Probe, insn, snippet};

probes::probe!(main);

const CODE: u64 = 0x4000_0000;
const DATA: u64 = 0x4000_1000;

/// `li a0, n; ret`
fn routine(n: u64) -> u64 {
    0x0000_8067 << 32 | n << 20 | 0x513
}

snippet! {
    /// In S: for t0 = 0 to 99 writes the routine a1 + t0 at a0, calls it at
    /// a2 and sums up what it returns in a3.
    fn rewrite {
        "li t0, 0",
        "mv t1, a0",
        "li a3, 0",
        "1: slli t2, t0, 20",
        "add t2, t2, a1",
        "sd t2, 0(t1)",
        "fence.i",
        "jalr ra, a2",
        "add a3, a3, a0",
        "addi t0, t0, 1",
        "li t2, 100",
        "bltu t0, t2, 1b",
        "mv a0, a3",
    }
}

fn main(p: &mut Probe) {
    let frame = Frame::new();
    // Same page for writing and running, no translation.
    let sum = Context::new(&[frame.pa(), routine(0), frame.pa()]).call(Mode::S, rewrite);
    p.is("rewritten in place", sum, "0x1356");
    let sum = Context::new(&[frame.pa(), routine(1), frame.pa()]).call(Mode::M, rewrite);
    p.is("rewritten in M", sum, "0x13ba");
    let space = Space::new();
    space.map(CODE, frame.pa(), KERNEL & !W, 0);
    space.map(DATA, frame.pa(), KERNEL & !X, 0);
    space.switch();
    let sum = Context::new(&[DATA, routine(2), CODE]).call(Mode::S, rewrite);
    p.is("rewritten through an alias", sum, "0x141e");
    paging::bare();
    by_m(p);
    remapped(p);
}

/// M writes, U runs, many times at the same place.
fn by_m(p: &mut Probe) {
    let mut sum = 0;
    for n in 0..100_u32 {
        Code::at(0).word(n << 20 | 0x513).end();
        let mut context = Context::new(&[]);
        let _ = context.run_at(Mode::U, Code::page());
        sum += context.x[A0];
    }
    p.number("written by M, run by U", sum, 4950);
}

/// Other code at the same virtual address by a new mapping.
fn remapped(p: &mut Probe) {
    let frames = Frame::run(2);
    let space = Space::new();
    let leaf = space.map(CODE, frames.pa(), KERNEL, 0);
    space.switch();
    for n in 0..2 {
        frames.after(n).set(0, u64::from(insn::ECALL) << 32 | (n + 5) << 20 | 0x513);
    }
    csr::fence_i();
    let mut sum = 0;
    for round in 0..50 {
        leaf.replace(paging::pte(frames.after(round & 1).pa(), KERNEL));
        let mut context = Context::new(&[]);
        let _ = context.run_virtual(Mode::S, CODE);
        sum += context.x[A0];
    }
    p.number("remapped code", sum, 275);
    paging::bare();
}
