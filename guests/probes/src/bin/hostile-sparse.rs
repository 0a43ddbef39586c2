//! Hostile: sixteen thousand regions of 2 MiB are touched, more than any quota
//! of shadow tables; each must read right, again and again.
#![no_std]
#![no_main]

use probes::paging::{self, Frame, GIGA, KERNEL, MEGA, Space, V};
use probes::{Context, Mode, Probe, snippet};

probes::probe!(main);

/// From 64 GiB on.
const BASE: u64 = 64 * GIGA;
const REGIONS: u64 = 16_000;

snippet! {
    /// Loads a1 times from a0 in steps of a2, and sums up in a3.
    fn sweep {
        "li a3, 0",
        "1: ld t0, 0(a0)",
        "add a3, a3, t0",
        "add a0, a0, a2",
        "addi a1, a1, -1",
        "bnez a1, 1b",
        "mv a0, a3",
    }
}

fn main(p: &mut Probe) {
    // One last table for all regions: its page n holds n.
    let (last, frames) = (Frame::new(), Frame::run(512));
    for n in 0..512 {
        frames.after(n as u64).set(0, 1 + n as u64);
        last.set(n, paging::pte(frames.after(n as u64).pa(), KERNEL));
    }
    let space = Space::new();
    for region in 0..REGIONS {
        space.leaf(BASE + region * MEGA, 1).set(paging::pte(last.pa(), V));
    }
    space.switch();
    sweeps(p);
    // The same with a fence between: all must be found again.
    probes::csr::sfence_vma();
    sweeps(p);
    backwards(p);
    paging::bare();
}

fn sweeps(p: &mut Probe) {
    for page in [0, 1, 511] {
        let start = BASE + page * paging::PAGE;
        let sum = Context::new(&[start, REGIONS, MEGA]).call(Mode::S, sweep);
        let want = format_args!("{:#x}", REGIONS * (page + 1));
        p.is(format_args!("page {page} of each region: sum"), sum, want);
    }
    let sum = Context::new(&[BASE, 4096, paging::PAGE]).call(Mode::S, sweep);
    p.is("all pages of the first regions: sum", sum, format_args!("{:#x}", 8 * 512 * 513 / 2));
}

fn backwards(p: &mut Probe) {
    let start = BASE + (REGIONS - 1) * MEGA + 7 * paging::PAGE;
    let sum = Context::new(&[start, REGIONS, MEGA.wrapping_neg()]).call(Mode::S, sweep);
    p.is("backwards: sum", sum, format_args!("{:#x}", REGIONS * 8));
}
