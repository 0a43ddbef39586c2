//! Atomics of several harts at once come to the right sum.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU64, Ordering};

use probes::csr::{self, SATP};
use probes::paging::{Frame, KERNEL, Space};
use probes::{Context, Mode, Probe, smp, snippet};

probes::probe!(main);

const HARTS: u64 = 4;
const ROUNDS: u64 = 20_000;
const VA: u64 = 0x4000_0000;

/// Address of the counters, and the `satp` that all share.
static MEMORY: AtomicU64 = AtomicU64::new(0);
static ROOT: AtomicU64 = AtomicU64::new(0);

snippet! {
    /// Adds 1 to (a0) a1 times with AMOs.
    fn add {
        "li t0, 1",
        "1: amoadd.d zero, t0, (a0)",
        "addi a1, a1, -1",
        "bnez a1, 1b",
    }
}

snippet! {
    /// Adds 1 to (a0) a1 times with LR and SC.
    fn reserve {
        "1: lr.d t0, (a0)",
        "addi t0, t0, 1",
        "sc.d t1, t0, (a0)",
        "bnez t1, 1b",
        "addi a1, a1, -1",
        "bnez a1, 1b",
    }
}

snippet! {
    /// Adds 1 to 8(a0) a1 times under a spin lock at (a0), without atomics
    /// on the sum itself.
    fn locked {
        "li t0, 1",
        "1: amoswap.w.aq t1, t0, (a0)",
        "bnez t1, 1b",
        "ld t2, 8(a0)",
        "addi t2, t2, 1",
        "sd t2, 8(a0)",
        "amoswap.w.rl zero, zero, (a0)",
        "addi a1, a1, -1",
        "bnez a1, 1b",
    }
}

fn main(p: &mut Probe) {
    let memory = Frame::new();
    MEMORY.store(memory.pa(), Ordering::Release);
    round(p, "bare", 1);
    check(p, memory);
    // Shared tables, first without A and D, so that all harts set them.
    let space = Space::new();
    space.map(VA, memory.pa(), KERNEL & !(probes::paging::A | probes::paging::D), 0);
    MEMORY.store(VA, Ordering::Release);
    ROOT.store(space.satp(0), Ordering::Release);
    round(p, "paged", 2);
    check(p, memory);
}

fn round(p: &mut Probe, name: &str, calls: u64) {
    for hart in 1..HARTS {
        smp::start(hart, count);
    }
    count(0);
    for hart in 1..HARTS {
        smp::join(hart, calls);
    }
    p.show("counted", name);
}

fn count(_hart: u64) {
    csr::write::<SATP>(ROOT.load(Ordering::Acquire));
    csr::sfence_vma();
    let at = MEMORY.load(Ordering::Acquire);
    let _ = Context::new(&[at, ROUNDS]).run(Mode::S, add);
    let _ = Context::new(&[at + 64, ROUNDS]).run(Mode::S, reserve);
    let _ = Context::new(&[at + 128, ROUNDS]).run(Mode::S, locked);
    probes::paging::bare();
}

fn check(p: &mut Probe, memory: Frame) {
    p.number("sum of AMOs", memory.get(0), HARTS * ROUNDS);
    p.number("sum of LR and SC", memory.get(8), HARTS * ROUNDS);
    p.number("sum under the lock", memory.get(17), HARTS * ROUNDS);
    memory.fill(0);
}
