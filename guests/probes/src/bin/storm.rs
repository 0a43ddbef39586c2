//! What memory costs a kernel whose harts all map, use and unmap it, each in
//! an address space of its own, as fork, exec and mmap do.
//!
//! One operation: 16 PTEs are written, the pages loaded from, the PTEs cleared
//! again, and all fenced. The command line `cpus=N ms=T` says how many harts do
//! so, and for how long. It tells rates, so that no two runs print the same.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU64, Ordering};

use probes::context::A0;
use probes::csr::{self, MCOUNTEREN, SATP};
use probes::dev::clint;
use probes::paging::{self, Frame, KERNEL, Space};
use probes::{Context, Mode, Probe, bootargs, smp, snippet};

probes::probe!(main);

const VA: u64 = 0x4000_0000;
/// Pages of an operation.
const PAGES: u64 = 16;
const MOST: usize = probes::boot::MAX_HARTS;

/// What each hart needs: its root, its first page, the place of the PTE.
static ROOTS: [AtomicU64; MOST] = [const { AtomicU64::new(0) }; MOST];
static FRAMES: [AtomicU64; MOST] = [const { AtomicU64::new(0) }; MOST];
static LEAVES: [AtomicU64; MOST] = [const { AtomicU64::new(0) }; MOST];
/// When all stop.
static END: AtomicU64 = AtomicU64::new(0);
/// Operations that each hart did.
static DONE: [AtomicU64; MOST] = [const { AtomicU64::new(0) }; MOST];

snippet! {
    /// Counts in a0 until the time is a4: maps a5 pages at a1, by PTEs at a2
    /// whose first is a3, loads from each, unmaps them, and fences.
    fn storm {
        "li t5, 4096",
        "1: mv t0, a2",
        "mv t1, a3",
        "mv t2, a1",
        "mv t3, a5",
        "2: sd t1, 0(t0)",
        "ld t4, 0(t2)",
        "addi t0, t0, 8",
        "addi t1, t1, 1024",
        "add t2, t2, t5",
        "addi t3, t3, -1",
        "bnez t3, 2b",
        "mv t0, a2",
        "mv t3, a5",
        "3: sd zero, 0(t0)",
        "addi t0, t0, 8",
        "addi t3, t3, -1",
        "bnez t3, 3b",
        "sfence.vma",
        "addi a0, a0, 1",
        "rdtime t0",
        "bltu t0, a4, 1b",
    }
}

fn main(p: &mut Probe) {
    let line = bootargs::bootargs(p.dtb);
    let number = |key| bootargs::value(line, key).and_then(|text| text.parse::<u64>().ok());
    let cpus = number("cpus").unwrap_or(1).clamp(1, MOST as u64);
    let ms = number("ms").unwrap_or(20);
    // Frames are handed out by one hart only.
    for (n, _) in (0..MOST).zip(0..cpus) {
        let (space, frames) = (Space::new(), Frame::run(PAGES));
        ROOTS[n].store(space.satp(0), Ordering::Relaxed);
        FRAMES[n].store(frames.pa(), Ordering::Relaxed);
        LEAVES[n].store(space.leaf(VA, 0).pa(), Ordering::Relaxed);
    }
    let begin = clint::mtime();
    END.store(begin + ms * clint::TICKS_PER_MS, Ordering::Release);
    (1..cpus).for_each(|hart| smp::start(hart, work));
    work(0);
    (1..cpus).for_each(|hart| smp::join(hart, 1));
    let ticks = clint::mtime() - begin;
    let done = |n: usize| DONE[n].load(Ordering::Acquire);
    p.show("operations", (0..MOST).map(done).sum::<u64>());
    p.show("ticks", ticks);
    let all = (0..MOST).zip(0..cpus).all(|(n, _)| done(n) != 0);
    p.holds("every hart took part", all);
}

fn work(hart: u64) {
    let n = usize::try_from(hart).unwrap_or(0);
    let of = |all: &[AtomicU64; MOST]| all[n].load(Ordering::Acquire);
    csr::write::<MCOUNTEREN>(7);
    csr::write::<SATP>(of(&ROOTS));
    csr::sfence_vma();
    let pte = paging::pte(of(&FRAMES), KERNEL);
    let end = END.load(Ordering::Acquire);
    let mut context = Context::new(&[0, VA, of(&LEAVES), pte, end, PAGES]);
    let trap = context.run(Mode::S, storm);
    paging::bare();
    // Environment call from S-mode: it came to its end.
    if trap.cause == 9 {
        DONE[n].store(context.x[A0], Ordering::Release);
    }
}
