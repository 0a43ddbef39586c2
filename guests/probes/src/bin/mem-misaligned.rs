//! Loads and stores at addresses that are not naturally aligned: they work in
//! RAM, within a page and across two; atomics fault.
#![no_std]
#![no_main]

use probes::access::{self, load, store};
use probes::paging::{self, Frame, KERNEL, PAGE, Space};
use probes::report::Hex;
use probes::{Mode, Outcome, Probe};

probes::probe!(main);

const VA: u64 = 0x4000_0000;

fn main(p: &mut Probe) {
    // Two frames, mapped in reverse so that neighbours differ.
    let frames = Frame::run(2);
    let space = Space::new();
    space.map(VA, frames.pa() + PAGE, KERNEL, 0);
    let second = space.map(VA + PAGE, frames.pa(), KERNEL, 0);
    space.switch();
    for offset in [0, PAGE - 8] {
        every_width(p, frames, offset);
    }
    half_missing(p, second);
    paging::bare();
    bare(p, frames);
    atomics(p, frames.pa());
}

fn fill(frames: Frame) {
    for n in 0..2 {
        for index in 0..512 {
            frames.after(n).set(index, 0x8786_8584_8382_8180 + 0x1010_1010_1010_1010 * n);
        }
    }
}

/// Every width at each of the offsets 1 to 7 (and over the page's end).
fn every_width(p: &mut Probe, frames: Frame, offset: u64) {
    for shift in 1..8 {
        fill(frames);
        let va = VA + offset + shift;
        for access in access::LOADS {
            let outcome = access::try_access(Mode::S, access.code, va, 0);
            p.show(format_args!("{} at +{:#x}", access.name, offset + shift), outcome);
        }
        for access in access::STORES {
            let _ = access::try_access(Mode::S, access.code, va, 0xf7f6_f5f4_f3f2_f1f0);
            let left = frames.after(1).get(usize::try_from(offset / 8).unwrap_or(0));
            let right = if offset == 0 { frames.after(1).get(1) } else { frames.get(0) };
            let check = format_args!("{} at +{:#x}", access.name, offset + shift);
            p.show(check, format_args!("{left:#x} {right:#x}"));
        }
    }
}

/// The second page is missing or read-only: nothing is stored.
fn half_missing(p: &mut Probe, second: paging::Leaf) {
    let good = second.get();
    for (name, pte) in [("absent", 0), ("read-only", good & !paging::W)] {
        second.replace(pte);
        let va = VA + PAGE - 4;
        let before = load(Mode::S, VA + PAGE - 8);
        p.show(format_args!("ld, second page {name}"), load(Mode::S, va));
        p.show(format_args!("sd, second page {name}"), store(Mode::S, va, 0));
        let after = load(Mode::S, VA + PAGE - 8);
        p.holds("first page unchanged", before.value() == after.value());
    }
    second.replace(good);
}

/// Without translation, in each mode.
fn bare(p: &mut Probe, frames: Frame) {
    fill(frames);
    for mode in [Mode::U, Mode::S, Mode::M] {
        let outcome = load(mode, frames.pa() + PAGE - 3);
        p.show(format_args!("ld across frames in {}", mode.letter()), outcome);
        let _ = store(mode, frames.pa() + 13, mode as u64);
        p.show("stored", format_args!("{} {}", Hex(frames.get(1)), Hex(frames.get(2))));
    }
}

/// AMOs and LR fault. Which of the two misaligned causes an AMO tells differs
/// between versions of QEMU.
fn atomics(p: &mut Probe, pa: u64) {
    for access in access::AMOS {
        let faults = match access::try_access(Mode::S, access.code, pa + 2, 1) {
            Outcome::Trap(trap) => matches!(trap.cause, 4 | 6) && trap.tval == pa + 2,
            Outcome::Value(_) => false,
        };
        p.holds(format_args!("{} faults", access.name), faults);
    }
    for access in access::RESERVED.iter().take(2) {
        let outcome = access::try_access(Mode::S, access.code, pa + 2, 1);
        p.is(access.name, outcome.brief(), "load-misaligned to M");
    }
}
