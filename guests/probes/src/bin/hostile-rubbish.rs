//! Hostile: rubbish is written over page tables while they are in use, by the
//! very code that they map, and by M-mode between its steps.
#![no_std]
#![no_main]

use probes::csr::{self, MIE, MTI};
use probes::dev::clint::{self, TICKS_PER_MS};
use probes::paging::{self, Frame, KERNEL, PAGE, R, RAM, Space, USER, V, W};
use probes::rng::Rng;
use probes::{Context, Mode, Probe, snippet};

probes::probe!(main);

const VA: u64 = 0x4000_0000;
/// Where the tables themselves are mapped.
const TABLES: u64 = 0x4100_0000;

snippet! {
    /// In S: writes random words (seed a0) over 4 pages at a1, and touches
    /// pages of a2, a3 times; every 16th time it fences.
    fn scribble {
        "1: slli t0, a0, 13",
        "xor a0, a0, t0",
        "srli t0, a0, 7",
        "xor a0, a0, t0",
        "slli t0, a0, 17",
        "xor a0, a0, t0",
        "srli t1, a0, 20",
        "slli t1, t1, 52",
        "srli t1, t1, 49",
        "add t1, t1, a1",
        "srli t2, a0, 11",
        "sd t2, 0(t1)",
        "andi t3, a0, 15",
        "bnez t3, 2f",
        "sfence.vma",
        "2: srli t1, a0, 33",
        "slli t1, t1, 55",
        "srli t1, t1, 43",
        "add t1, t1, a2",
        "ld t2, 0(t1)",
        "addi a3, a3, -1",
        "bnez a3, 1b",
    }
}

fn main(p: &mut Probe) {
    let mut rng = Rng::new(0xc0ff_ee11);
    csr::write::<MIE>(MTI);
    let mut traps = 0_u64;
    for _ in 0..300 {
        traps += one(&mut rng, Space::empty());
    }
    clint::set_mtimecmp(0, u64::MAX);
    csr::write::<MIE>(0);
    paging::bare();
    p.number("rounds", 300, 300);
    p.holds("traps", traps > 0);
}

/// A space whose tables below the first entry are its own prey.
fn one(rng: &mut Rng, space: Space) -> u64 {
    space.map(RAM, RAM, KERNEL, 2);
    let pages = Frame::run(2);
    for n in 0..512 {
        space.map(VA + n * PAGE, pages.pa(), if n & 1 == 0 { KERNEL } else { USER }, 0);
    }
    let last = space.leaf(VA, 0).table;
    let middle = space.leaf(VA, 1).table;
    for (n, table) in [last, middle, last, pages].iter().enumerate() {
        space.map(TABLES + n as u64 * PAGE, table.pa(), V | R | W, 0);
    }
    space.switch();
    let mut context = Context::new(&[rng.draw() | 1, TABLES, VA, 400]);
    let mut traps = 0;
    for _ in 0..20 {
        clint::set_mtimecmp(0, clint::mtime() + TICKS_PER_MS);
        let trap = context.run(Mode::S, scribble);
        traps += 1;
        if trap.is_ecall() {
            break;
        }
        // Repairs nothing, but makes other rubbish.
        middle.set(usize::try_from(rng.below(512)).unwrap_or(0), rng.draw() >> 12);
        last.set(usize::try_from(rng.below(512)).unwrap_or(0), paging::pte(last.pa(), V | R | W));
        context.x[10] = rng.draw() | 1;
    }
    traps
}
