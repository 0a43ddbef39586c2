//! Hostile: `satp` and fences in a storm, with random roots, ASIDs and operands,
//! while frames that serve as tables are overwritten with rubbish.
#![no_std]
#![no_main]

use probes::access::{load, store};
use probes::csr::{self, SATP};
use probes::paging::{self, Frame, GIGA, KERNEL, PAGE, RAM, Space, V};
use probes::rng::Rng;
use probes::{Context, Mode, Probe, snippet};

probes::probe!(main);

/// Frames that are tables, pages and rubbish at the same time.
const POOL: u64 = 64;

snippet! {
    /// In S: a0 rounds over the roots at a1 (a2 of them); after each switch a
    /// fence of an address and ASID, a store to (a3) and a load.
    fn storm {
        "mv t0, a1",
        "mv t1, a2",
        "1: ld t2, 0(t0)",
        "csrw satp, t2",
        "sfence.vma a3, t1",
        "sd t2, 0(a3)",
        "sfence.vma",
        "ld t3, 0(a3)",
        "sfence.vma x0, t3",
        "sfence.vma a3",
        "addi t0, t0, 8",
        "addi t1, t1, -1",
        "bnez t1, 2f",
        "mv t0, a1",
        "mv t1, a2",
        "2: addi a0, a0, -1",
        "bnez a0, 1b",
    }
}

fn main(p: &mut Probe) {
    let mut rng = Rng::new(0x5a5a_1234);
    let pool = Frame::run(POOL);
    orderly(p);
    for _ in 0..3000 {
        mess_up(&mut rng, pool);
        csr::write::<SATP>(
            8 << 60 | rng.below(1 << 16) << 44 | pool.after(rng.below(POOL)).pa() >> 12,
        );
        if rng.below(2) == 0 {
            csr::sfence_vma();
        }
        // Wherever a giant leaf shows RAM, this is in the pool: the probe's
        // own code and data must not be hit.
        let in_pool = pool.pa() - RAM + (rng.below(POOL * PAGE) & !7);
        let va = paging::canonical(rng.below(512) * GIGA + in_pool);
        let _ = load(Mode::S, va);
        let _ = load(Mode::U, va);
        let _ = store(Mode::S, va, rng.draw());
        let _ = load(Mode::S, paging::canonical(rng.draw()));
    }
    paging::bare();
    p.show("random roots", "done");
    pool.fill(0);
    orderly(p);
}

/// A kernel that behaves, but switches a lot.
fn orderly(p: &mut Probe) {
    let list = Frame::new();
    let page = Frame::new();
    for n in 0..8 {
        let space = Space::new();
        space.map(0x4000_0000, page.pa(), KERNEL, 0);
        list.set(n, space.satp(n as u64 * 3));
        if n == 0 {
            space.switch();
        }
    }
    let mut context = Context::new(&[5000, list.pa(), 8, 0x4000_0000]);
    let trap = context.run(Mode::S, storm);
    p.is("storm of 5000 switches", trap.brief(), "ecall-from-S to M");
    paging::bare();
}

/// Writes a few words into the pool: pointers into it, leaves to it, rubbish.
fn mess_up(rng: &mut Rng, pool: Frame) {
    for _ in 0..8 {
        let at = pool.after(rng.below(POOL)).pa();
        let word = match rng.below(4) {
            0 => paging::pte(at, V),
            1 => paging::pte(at, KERNEL | rng.below(256)),
            // The kernel's window, so that snippets run now and then.
            2 => paging::pte(RAM, KERNEL | rng.below(2) << 4),
            _ => rng.draw() >> rng.below(64),
        };
        let index = if rng.below(2) == 0 { 2 + 2 * rng.below(2) } else { 3 + rng.below(506) };
        pool.after(rng.below(POOL)).set(usize::try_from(index).unwrap_or(0), word);
    }
}
