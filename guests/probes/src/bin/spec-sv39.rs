//! Sv39 where QEMU 7.2 does not follow the specification, so that there is no
//! native run to compare: page tables outside RAM are access faults there too
//! ("Virtual Address Translation Process", step 2), and an instruction whose
//! second half lies outside RAM faults (QEMU 7.2 ends by an assertion).
#![no_std]
#![no_main]

use core::fmt::Display;

use probes::access::{Code, fetch, load, store};
use probes::paging::{self, Frame, KERNEL, PAGE, Space, V};
use probes::{Mode, Probe};

probes::probe!(main);

/// No device and no RAM is at these.
const NOTHING: [u64; 3] = [0x1800_0000, 0x9_0000_0000, 0x00ff_ffff_ffff_f000];
const VA: u64 = 0x4000_0000;

fn main(p: &mut Probe) {
    for address in NOTHING {
        table(p, address);
    }
    across(p);
}

/// A pointer to a table outside RAM, at each level.
fn table(p: &mut Probe, address: u64) {
    let space = Space::new();
    space.root.set(1, paging::pte(address, V));
    space.switch();
    all(p, format_args!("level-1 table at {address:#x}"), VA);
    let middle = Frame::new();
    middle.set(0, paging::pte(address, V));
    space.root.set(1, paging::pte(middle.pa(), V));
    space.switch();
    all(p, format_args!("level-0 table at {address:#x}"), VA);
    paging::bare();
}

fn all(p: &mut Probe, name: impl Display, va: u64) {
    for (kind, outcome) in [
        ("load", load(Mode::S, va)),
        ("store", store(Mode::S, va, 1)),
        ("instruction", fetch(Mode::S, va)),
    ] {
        let want = format_args!("{kind}-access-fault to M, tval {va:#x}");
        p.is(format_args!("{name}: {kind}"), outcome, want);
    }
}

/// Two bytes of `li a0, 0x7ff` in RAM, two outside.
fn across(p: &mut Probe) {
    let space = Space::new();
    space.map(VA, Code::page(), KERNEL, 0);
    space.map(VA + PAGE, NOTHING[0], KERNEL, 0);
    space.switch();
    let _ = Code::at(2047).half(0x0513);
    let outcome = fetch(Mode::S, VA + PAGE - 2);
    p.is("instruction across", outcome, "instruction-access-fault to M, tval 0x40001000");
    paging::bare();
}
