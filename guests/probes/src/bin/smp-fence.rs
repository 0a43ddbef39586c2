//! Remote fences: one hart uses a mapping that the other changes. After the
//! interrupt, the fence and the answer, the old page is never seen again.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU64, Ordering};

use probes::context::{A0, A2};
use probes::csr::{self, MIE, MSI, SATP};
use probes::dev::clint;
use probes::paging::{self, Frame, KERNEL, Leaf, Space};
use probes::{Context, Mode, Probe, smp, snippet};

probes::probe!(main);

const VA: u64 = 0x4000_0000;
const ROUNDS: u64 = 200;

static ROOT: AtomicU64 = AtomicU64::new(0);
/// Fences that the other hart has done.
static FENCED: AtomicU64 = AtomicU64::new(0);
/// Values that the other hart must not see after its last fence.
static WRONG: AtomicU64 = AtomicU64::new(0);
/// Loads that it did.
static LOADS: AtomicU64 = AtomicU64::new(0);
/// Not 0: the other hart shall stop.
static STOP: AtomicU64 = AtomicU64::new(0);

snippet! {
    /// Loads (a1) again and again: counts all in a0, zeroes in a2.
    fn watch {
        "1: ld t0, 0(a1)",
        "addi a0, a0, 1",
        "bnez t0, 1b",
        "addi a2, a2, 1",
        "j 1b",
    }
}

fn main(p: &mut Probe) {
    let frames = Frame::run(2);
    let space = Space::new();
    let leaf = space.map(VA, frames.pa(), KERNEL, 0);
    for n in 0..2 {
        frames.after(n).set(0, 100 + n);
    }
    ROOT.store(space.satp(0), Ordering::Release);
    smp::start(1, watcher);
    // The first interrupt tells that it watches.
    fence(1);
    change(p, leaf, frames);
    STOP.store(1, Ordering::Release);
    clint::set_msip(1, 1);
    smp::join(1, 1);
    p.number("loads of a page that was gone", WRONG.load(Ordering::Relaxed), 0);
    p.number("fences", FENCED.load(Ordering::Relaxed), ROUNDS + 1);
    p.holds("it loaded all the time", LOADS.load(Ordering::Relaxed) > ROUNDS);
}

fn change(p: &mut Probe, leaf: Leaf, frames: Frame) {
    for round in 1..=ROUNDS {
        let n = round & 1;
        leaf.set(paging::pte(frames.after(n).pa(), KERNEL));
        fence(round + 1);
        // Only a page that must not be seen any more ever holds 0.
        frames.after(1 - n).set(0, 0);
        clint::delay_ms(if round & 15 == 0 { 1 } else { 0 });
        frames.after(1 - n).set(0, 100 + (1 - n));
    }
    p.show("changes", ROUNDS);
}

/// Asks the other hart to fence and waits for its answer.
fn fence(nth: u64) {
    clint::set_msip(1, 1);
    while FENCED.load(Ordering::Acquire) < nth {
        core::hint::spin_loop();
    }
}

/// Hart 1: watches in S-mode; in M-mode serves the fences.
fn watcher(hart: u64) {
    csr::write::<SATP>(ROOT.load(Ordering::Acquire));
    csr::sfence_vma();
    csr::write::<MIE>(MSI);
    let mut context = Context::new(&[0, VA, 0]);
    let _ = context.run(Mode::S, watch);
    loop {
        WRONG.fetch_add(context.x[A2], Ordering::Relaxed);
        LOADS.fetch_add(context.x[A0], Ordering::Relaxed);
        clint::set_msip(hart, 0);
        if STOP.load(Ordering::Acquire) != 0 {
            break;
        }
        csr::sfence_vma();
        FENCED.fetch_add(1, Ordering::Release);
        context = Context::new(&[0, VA, 0]);
        let _ = context.run(Mode::S, watch);
    }
    csr::write::<MIE>(0);
    paging::bare();
}
