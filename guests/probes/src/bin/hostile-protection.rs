//! Hostile: one hart changes its PMP again and again, so that the VMM has to
//! begin its shadow anew, while others fault, fence and switch.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use probes::csr::{self, PMPADDR0, PMPADDR1, PMPCFG0, SATP};
use probes::paging::{self, Frame, KERNEL, PAGE, Space};
use probes::rng::Rng;
use probes::{Context, Mode, Probe, smp, snippet};

probes::probe!(main);

const HARTS: u64 = 3;
const VA: u64 = 0x4000_0000;
const PAGES: u64 = 512;
/// Two entries, each from the end of the one before: all open to all.
const OPEN: u64 = 0x0f0f;

static ROOT: AtomicU64 = AtomicU64::new(0);
static OVER: AtomicBool = AtomicBool::new(false);
static TOUCHED: AtomicU64 = AtomicU64::new(0);

snippet! {
    /// In S: touches a0 pages from a1 on, and fences now and then.
    fn touch {
        "li t2, 4096",
        "1: ld t0, 0(a1)",
        "sd t0, 8(a1)",
        "add a1, a1, t2",
        "andi t1, a0, 31",
        "bnez t1, 2f",
        "sfence.vma",
        "2: addi a0, a0, -1",
        "bnez a0, 1b",
    }
}

fn main(p: &mut Probe) {
    let (space, frames) = (Space::new(), Frame::run(PAGES));
    for n in 0..PAGES {
        space.map(VA + n * PAGE, frames.after(n).pa(), KERNEL, 0);
    }
    ROOT.store(space.satp(0), Ordering::Release);
    for hart in 1..HARTS {
        smp::start(hart, victim);
    }
    let mut rng = Rng::new(99);
    let mut rounds = 0;
    while rounds < 3000 || TOUCHED.load(Ordering::Acquire) < 20 {
        // The place of the seam tells the configurations apart.
        csr::write::<PMPADDR0>((0x1_0000_0000 + rng.below(1 << 20) * PAGE) >> 2);
        csr::write::<PMPADDR1>(u64::MAX >> 10);
        csr::write::<PMPCFG0>(OPEN);
        csr::write::<SATP>(if rounds % 2 == 0 { ROOT.load(Ordering::Acquire) } else { 0 });
        csr::sfence_vma();
        let page = rng.below(PAGES - 2);
        let mode = if rounds % 2 == 0 { Mode::S } else { Mode::M };
        let at = if rounds % 2 == 0 { VA } else { frames.pa() };
        rounds += u64::from(Context::new(&[2, at + page * PAGE]).run(mode, touch).is_ecall());
    }
    OVER.store(true, Ordering::Release);
    for hart in 1..HARTS {
        smp::join(hart, 1);
    }
    paging::bare();
    p.holds("all went on", rounds >= 3000);
}

fn victim(hart: u64) {
    let mut rng = Rng::new(hart);
    while !OVER.load(Ordering::Acquire) {
        csr::write::<SATP>(ROOT.load(Ordering::Acquire));
        csr::sfence_vma();
        let page = rng.below(PAGES / 2);
        let trap = Context::new(&[PAGES / 2, VA + page * PAGE]).run(Mode::S, touch);
        TOUCHED.fetch_add(u64::from(trap.is_ecall()), Ordering::AcqRel);
    }
    paging::bare();
}
