//! Recursive page tables: a root that points to itself, so that all tables
//! can be read and edited at virtual addresses.
#![no_std]
#![no_main]

use probes::access::{load, store};
use probes::paging::{self, A, D, Frame, GIGA, KERNEL, MEGA, PAGE, R, Space, V, W, X};
use probes::report::Hex;
use probes::{Context, Mode, Probe, snippet};

probes::probe!(main);

const VA: u64 = 0x4000_0000;
/// Root entry that points to the root: as pointer and as leaf it cannot be
/// both, so a second entry walks one level less.
const SELF: u64 = 8;

snippet! {
    /// In S: writes the PTE a1 to a0, fences, loads a2.
    fn edit {
        "sd a1, 0(a0)",
        "sfence.vma",
        "ld a0, 0(a2)",
    }
}

fn main(p: &mut Probe) {
    let (space, frames) = (Space::new(), Frame::run(2));
    frames.set(0, 0x111);
    frames.after(1).set(0, 0x222);
    space.map(VA, frames.pa(), KERNEL, 0);
    pointer(p, space);
    leaf(p, space, frames);
    dirty(p, space);
    paging::bare();
}

/// A pointer to the root in the root: a walk that uses it three times ends
/// at the pointer itself, which is not a leaf, and must fault.
fn pointer(p: &mut Probe, space: Space) {
    space.root.set(paging::index(SELF * GIGA, 2), paging::pte(space.root.pa(), V));
    space.switch();
    let thrice = SELF * (GIGA + MEGA + PAGE);
    p.is("pointer used thrice", load(Mode::S, thrice).brief(), "load-page-fault to M");
    // Used twice, the last entry is the kernel's 1 GiB leaf, read as 4 KiB.
    let twice = SELF * (GIGA + MEGA) + 2 * PAGE;
    space.root.set(2, paging::pte(paging::RAM, KERNEL));
    p.is("pointer used twice runs", load(Mode::S, twice).runs(), "runs");
}

/// A 4 KiB leaf that maps the last table, one that maps the root.
fn leaf(p: &mut Probe, space: Space, frames: Frame) {
    let last = space.leaf(VA, 0).table;
    space.map(VA + PAGE, last.pa(), V | R | W | A | D, 0);
    space.map(VA + 2 * PAGE, space.root.pa(), V | R | W | A | D, 0);
    space.switch();
    p.is("PTE of the page", load(Mode::S, VA + PAGE), Hex(paging::pte(frames.pa(), KERNEL)));
    p.is(
        "PTE of the table's own mapping",
        load(Mode::S, VA + PAGE + 8),
        Hex(paging::pte(last.pa(), V | R | W | A | D)),
    );
    let pte = paging::pte(frames.after(1).pa(), KERNEL);
    let seen = Context::new(&[VA + PAGE, pte, VA]).call(Mode::S, edit);
    p.is("edited through the self map", seen, "0x222");
    let seen = Context::new(&[VA + PAGE, 0, VA]).call(Mode::S, edit);
    p.is("removed through the self map", seen.brief(), "load-page-fault to M");
    let seen = Context::new(&[VA + 2 * PAGE + 8 * 9, paging::pte(paging::RAM, KERNEL), 9 * GIGA])
        .call(Mode::S, edit);
    p.is("root entry added through the self map", seen.runs(), "runs");
    let seen = Context::new(&[VA + 2 * PAGE + 8 * 9, 0, 9 * GIGA]).call(Mode::S, edit);
    p.is("root entry removed", seen.brief(), "load-page-fault to M");
}

/// A store into a table through a leaf of that table: D appears in the very
/// page that is stored to.
fn dirty(p: &mut Probe, space: Space) {
    let leaf = space.leaf(VA + PAGE, 0);
    leaf.replace(paging::pte(leaf.table.pa(), V | R | W));
    p.is("store beside", store(Mode::S, VA + PAGE + 8 * 100, 0), "0x0");
    p.hex("its A and D", leaf.get() & (A | D), A | D);
    leaf.replace(paging::pte(leaf.table.pa(), V | R | W));
    p.is(
        "load of the own PTE",
        load(Mode::S, VA + PAGE + 8),
        Hex(paging::pte(leaf.table.pa(), V | R | W | A)),
    );
    leaf.replace(paging::pte(leaf.table.pa(), V | R | W));
    let new = paging::pte(leaf.table.pa(), V | R | W | X);
    p.is("store over the own PTE", store(Mode::S, VA + PAGE + 8, new).runs(), "runs");
    p.hex("the store comes last", leaf.get(), new);
}
