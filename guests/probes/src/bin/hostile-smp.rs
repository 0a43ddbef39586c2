//! Hostile: four harts share page tables, and all write, switch and fence
//! without any agreement, while interrupts fly about.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU64, Ordering};

use probes::csr::{self, MIE, MSI, MTI, SATP};
use probes::dev::clint::{self, TICKS_PER_MS};
use probes::paging::{self, Frame, KERNEL, PAGE, Space};
use probes::rng::Rng;
use probes::{Context, Mode, Probe, smp, snippet};

probes::probe!(main);

const HARTS: u64 = 4;
const VA: u64 = 0x4000_0000;
/// Where the last table is mapped.
const TABLE: u64 = 0x4100_0000;

/// The `satp` of two roots that share their tables.
static ROOTS: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];
/// Frames that PTEs may point to: the first of 8.
static FRAMES: AtomicU64 = AtomicU64::new(0);

snippet! {
    /// In S: a0 times writes the PTEs a2, a3 in turns over a4 (in the mapped
    /// table), fences sometimes, and touches the page a1.
    fn fight {
        "1: sd a2, 0(a4)",
        "ld t0, 0(a1)",
        "sd a3, 0(a4)",
        "sd t0, 8(a1)",
        "andi t1, a0, 7",
        "bnez t1, 2f",
        "sfence.vma a1",
        "2: amoadd.d zero, t1, (a1)",
        "addi a0, a0, -1",
        "bnez a0, 1b",
    }
}

fn main(p: &mut Probe) {
    let frames = Frame::run(8);
    let spaces = [Space::new(), Space::new()];
    for n in 0..512 {
        spaces[0].map(VA + n * PAGE, frames.after(n & 7).pa(), KERNEL, 0);
    }
    let last = spaces[0].leaf(VA, 0).table;
    spaces[0].map(TABLE, last.pa(), KERNEL, 0);
    spaces[1].root.set(1, spaces[0].root.get(1));
    for (root, space) in ROOTS.iter().zip(spaces) {
        root.store(space.satp(0), Ordering::Release);
    }
    FRAMES.store(frames.pa(), Ordering::Release);
    for hart in 1..HARTS {
        smp::start(hart, brawl);
    }
    brawl(0);
    for hart in 1..HARTS {
        clint::delay_ms(1);
        smp::join(hart, 1);
    }
    p.show("harts", HARTS);
}

fn brawl(hart: u64) {
    let mut rng = Rng::new(hart + 17);
    csr::write::<MIE>(MSI | MTI);
    let frames = FRAMES.load(Ordering::Acquire);
    let pte = |n: u64| paging::pte(frames + n * PAGE, KERNEL);
    for round in 0..200 {
        let root = ROOTS[usize::from(rng.below(2) == 1)].load(Ordering::Acquire);
        csr::write::<SATP>(root);
        if rng.below(3) == 0 {
            csr::sfence_vma();
        }
        let page = rng.below(512);
        let args = [
            200,
            VA + page * PAGE,
            pte(rng.below(8)),
            rng.below(2) * pte(rng.below(8)),
            TABLE + 8 * page,
        ];
        let mut context = Context::new(&args);
        clint::set_mtimecmp(hart, clint::mtime() + TICKS_PER_MS);
        for _ in 0..4 {
            let trap = context.run(Mode::S, fight);
            clint::set_msip(hart, 0);
            if trap.is_ecall() {
                break;
            }
        }
        clint::set_msip((hart + 1 + round % 3) % HARTS, 1);
    }
    clint::set_mtimecmp(hart, u64::MAX);
    csr::write::<MIE>(0);
    paging::bare();
}
