//! The accessed and dirty bits, which the hardware sets.
#![no_std]
#![no_main]

use probes::access::{self, fetch, load, store};
use probes::csr::{self, MSTATUS, SUM};
use probes::paging::{self, A, D, Frame, G, Leaf, R, Space, U, V, W, X};
use probes::report::Hex;
use probes::{Mode, Outcome, Probe, insn};

probes::probe!(main);

const SMALL: u64 = 0x4000_0000;
const LARGE: u64 = 0x4020_0000;

/// An access at an address.
type Try = (&'static str, fn(u64) -> Outcome);

const TRIES: &[Try] = &[
    ("S loads", |va| load(Mode::S, va)),
    ("S stores", |va| store(Mode::S, va + 8, 1)),
    ("S adds", |va| access::try_access(Mode::S, access::amoadd_d, va + 8, 1)),
    ("S reserves", |va| access::try_access(Mode::S, access::lr_d, va + 8, 1)),
    ("S fetches", |va| fetch(Mode::S, va)),
];

fn main(p: &mut Probe) {
    let frame = Frame::aligned(512, paging::MEGA);
    frame.set(0, u64::from(insn::ECALL) << 32 | u64::from(insn::NOP));
    let space = Space::new();
    let small = space.map(SMALL, frame.pa(), 0, 0);
    let large = space.map(LARGE, frame.pa(), 0, 1);
    space.switch();
    for (name, leaf, va) in [("4 KiB", small, SMALL), ("2 MiB", large, LARGE)] {
        for (what, access) in TRIES {
            for before in [0, A, D, A | D] {
                leaf.replace(paging::pte(frame.pa(), V | R | W | X | before));
                let outcome = access(va);
                let check = format_args!("{what} {name}, before {}", Bits(before));
                p.show(check, format_args!("{}, {}", outcome.runs(), Bits(leaf.get())));
            }
        }
    }
    refused(p, small, frame);
    users(p, small, frame);
    others(p, small, frame);
    tables(p, space);
}

/// An access that is not allowed leaves the bits alone.
fn refused(p: &mut Probe, leaf: Leaf, frame: Frame) {
    leaf.replace(paging::pte(frame.pa(), V | R));
    p.is("S stores to read-only", store(Mode::S, SMALL, 1).brief(), "store-page-fault to M");
    p.is("bits after a refused store", Bits(leaf.get()), "--");
    p.is("S fetches from no-X", fetch(Mode::S, SMALL).brief(), "instruction-page-fault to M");
    p.is("bits after a refused fetch", Bits(leaf.get()), "--");
    p.is("U loads from no-U", load(Mode::U, SMALL).brief(), "load-page-fault to M");
    p.is("bits after a refused load", Bits(leaf.get()), "--");
}

/// U-mode, and S-mode with SUM.
fn users(p: &mut Probe, leaf: Leaf, frame: Frame) {
    for mode in [Mode::U, Mode::S] {
        csr::write::<MSTATUS>(SUM);
        leaf.replace(paging::pte(frame.pa(), V | R | W | U));
        p.is(
            format_args!("{} loads a user page", mode.letter()),
            load(mode, SMALL + 8).runs(),
            "runs",
        );
        p.show("bits", Bits(leaf.get()));
        p.is(
            format_args!("{} stores a user page", mode.letter()),
            store(mode, SMALL + 8, 1).runs(),
            "runs",
        );
        p.show("bits", Bits(leaf.get()));
    }
    csr::write::<MSTATUS>(0);
}

/// Nothing else of the PTE changes: RSW, G.
fn others(p: &mut Probe, leaf: Leaf, frame: Frame) {
    let before = paging::pte(frame.pa(), V | R | W | G | 0x300);
    leaf.replace(before);
    let _ = store(Mode::S, SMALL + 8, 1);
    p.show("changed bits", Hex(leaf.get() ^ before));
}

/// Pointers to tables are left alone.
fn tables(p: &mut Probe, space: Space) {
    let root = space.root.get(1);
    p.hex("flags of the pointer in the root", root & 0x3ff, V);
    p.hex("flags of the pointer below", space.leaf(SMALL, 1).get() & 0x3ff, V);
}

/// The A and D of a PTE.
struct Bits(u64);

impl core::fmt::Display for Bits {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let letter = |bit, letter| if self.0 & bit != 0 { letter } else { '-' };
        write!(f, "{}{}", letter(A, 'A'), letter(D, 'D'))
    }
}
