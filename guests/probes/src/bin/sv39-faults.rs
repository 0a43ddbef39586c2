//! Page tables that must fault: misaligned superpages, reserved encodings,
//! addresses that are not canonical, pointers at the last level.
#![no_std]
#![no_main]

use probes::access::{fetch, load, store};
use probes::paging::{self, A, D, Frame, GIGA, KERNEL, Leaf, MEGA, PAGE, RAM, Space, U, V, W, X};
use probes::{Mode, Probe};

probes::probe!(main);

const SMALL: u64 = 0x4000_0000;
const LARGE: u64 = 0x4020_0000;
const GIANT: u64 = 0x1_8000_0000;

fn main(p: &mut Probe) {
    let frame = Frame::new();
    let space = Space::new();
    let small = space.map(SMALL, frame.pa(), KERNEL, 0);
    space.switch();
    p.is("control", load(Mode::S, SMALL).runs(), "runs");
    misaligned(p, space);
    reserved(p, small, frame);
    pointers(p, space, frame);
    canonical(p);
}

fn all(p: &mut Probe, name: &str, va: u64) {
    let want = format_args!("load-page-fault to M, tval {va:#x}");
    p.is(format_args!("{name}: load"), load(Mode::S, va), want);
    let want = format_args!("store-page-fault to M, tval {va:#x}");
    p.is(format_args!("{name}: store"), store(Mode::S, va, 1), want);
    let want = format_args!("instruction-page-fault to M, tval {va:#x}");
    p.is(format_args!("{name}: fetch"), fetch(Mode::S, va), want);
}

/// A superpage whose PPN has low bits set.
fn misaligned(p: &mut Probe, space: Space) {
    let large = space.map(LARGE, RAM + PAGE, KERNEL, 1);
    space.switch();
    all(p, "2 MiB at 4 KiB", LARGE);
    large.replace(paging::pte(RAM + MEGA / 2, KERNEL));
    all(p, "2 MiB at 1 MiB", LARGE);
    large.replace(paging::pte(RAM + MEGA, KERNEL));
    p.is("2 MiB at 2 MiB: load", load(Mode::S, LARGE).runs(), "runs");
    let giant = space.map(GIANT, RAM + PAGE, KERNEL, 2);
    space.switch();
    all(p, "1 GiB at 4 KiB", GIANT);
    giant.replace(paging::pte(RAM + GIGA / 2, KERNEL));
    all(p, "1 GiB at 512 MiB", GIANT);
}

fn reserved(p: &mut Probe, leaf: Leaf, frame: Frame) {
    leaf.replace(paging::pte(frame.pa(), V | W | A | D));
    all(p, "W without R", SMALL);
    leaf.replace(paging::pte(frame.pa(), V | W | X | A | D));
    all(p, "WX without R", SMALL);
    // Bits 54 to 60 are reserved; 61 and 62 need Svpbmt, 63 Svnapot.
    for bit in 54..64 {
        leaf.replace(paging::pte(frame.pa(), KERNEL) | 1 << bit);
        p.is(format_args!("bit {bit}: load"), load(Mode::S, SMALL).brief(), "load-page-fault to M");
    }
    leaf.replace(0);
    all(p, "zero", SMALL);
    leaf.replace(paging::pte(frame.pa(), KERNEL & !V));
    all(p, "not valid", SMALL);
}

/// A pointer where a leaf must be; A, D and U in a pointer.
fn pointers(p: &mut Probe, space: Space, frame: Frame) {
    let leaf = space.map(SMALL, frame.pa(), V, 0);
    space.switch();
    all(p, "pointer at level 0", SMALL);
    leaf.replace(paging::pte(frame.pa(), KERNEL));
    let middle = space.leaf(SMALL, 1);
    let pointer = middle.get();
    for (name, bits) in [("A", A), ("D", D), ("U", U)] {
        middle.replace(pointer | bits);
        p.is(
            format_args!("{name} in a pointer: load"),
            load(Mode::S, SMALL).brief(),
            "load-page-fault to M",
        );
    }
    middle.replace(pointer | 1 << 60);
    p.is("bit 60 in a pointer: load", load(Mode::S, SMALL).brief(), "load-page-fault to M");
    middle.replace(pointer);
    p.is("the pointer restored: load", load(Mode::S, SMALL).runs(), "runs");
}

/// Bits 63 to 39 must equal bit 38.
fn canonical(p: &mut Probe) {
    for va in [
        0x40_0000_0000,
        0x7f_ffff_f000,
        0x80_0000_0000 + SMALL,
        0x8000_0000_0000_0000 | SMALL,
        0xffff_ff80_0000_0000 | SMALL,
        0xffff_ffbf_ffff_f000,
    ] {
        p.is(
            format_args!("{va:#x}: load"),
            load(Mode::S, va),
            format_args!("load-page-fault to M, tval {va:#x}"),
        );
        p.is(
            format_args!("{va:#x}: store"),
            store(Mode::S, va, 1),
            format_args!("store-page-fault to M, tval {va:#x}"),
        );
        p.is(
            format_args!("{va:#x}: fetch"),
            fetch(Mode::S, va).brief(),
            "instruction-page-fault to M",
        );
    }
}
