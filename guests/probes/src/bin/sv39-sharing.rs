//! Tables and pages that are reached in several ways: aliases, tables shared
//! by two roots, tables edited through a mapping, ASIDs, switching of roots.
#![no_std]
#![no_main]

use probes::access::{load, store};
use probes::csr::{self, SATP};
use probes::paging::{self, Frame, GIGA, KERNEL, PAGE, Space, V};
use probes::{Context, Mode, Probe, snippet};

probes::probe!(main);

const VA: u64 = 0x4000_0000;
const ALIAS: u64 = 0x4060_0000;

fn main(p: &mut Probe) {
    aliases(p);
    shared(p);
    edited(p);
    roots(p);
    asids(p);
    switching(p);
    paging::bare();
}

/// One frame at two addresses of one space.
fn aliases(p: &mut Probe) {
    let (space, frame) = (Space::new(), Frame::new());
    space.map(VA, frame.pa(), KERNEL, 0);
    space.map(ALIAS, frame.pa(), KERNEL & !paging::W, 0);
    space.switch();
    p.is("store at one address", store(Mode::S, VA + 8, 0x12), "0x12");
    p.is("load at the other", load(Mode::S, ALIAS + 8), "0x12");
    p.is("load physical window", load(Mode::S, frame.pa() + 8), "0x12");
    p.is("store at the other", store(Mode::S, ALIAS, 1).brief(), "store-page-fault to M");
}

/// The root entries of two spaces point to the same table.
fn shared(p: &mut Probe) {
    let (one, two, frame) = (Space::new(), Space::new(), Frame::new());
    frame.set(0, 0x34);
    let leaf = one.map(VA, frame.pa(), KERNEL, 0);
    two.root.set(1, one.root.get(1));
    two.root.set(6, one.root.get(1));
    two.switch();
    p.is("shared table", load(Mode::S, VA), "0x34");
    p.is("shared table at another address", load(Mode::S, VA + 5 * GIGA), "0x34");
    one.switch();
    p.is("shared table in the first space", load(Mode::S, VA), "0x34");
    leaf.replace(0);
    p.is("gone in the first", load(Mode::S, VA).brief(), "load-page-fault to M");
    two.switch();
    p.is("gone in the second", load(Mode::S, VA).brief(), "load-page-fault to M");
    p.is("gone at the other address", load(Mode::S, VA + 5 * GIGA).brief(), "load-page-fault to M");
}

snippet! {
    /// In S: writes the PTE a1 to a0, fences, loads a2.
    fn edit {
        "sd a1, 0(a0)",
        "sfence.vma",
        "ld a0, 0(a2)",
    }
}

/// A table that is itself mapped, at two addresses; S edits it through both.
fn edited(p: &mut Probe) {
    let (space, frames) = (Space::new(), Frame::run(3));
    for n in 0..3 {
        frames.after(n).set(0, 0x100 + n);
    }
    let leaf = space.map(VA, frames.pa(), KERNEL, 0);
    space.map(ALIAS, leaf.table.pa(), KERNEL, 0);
    space.map(ALIAS + PAGE, leaf.table.pa(), KERNEL, 0);
    space.switch();
    p.is("before", load(Mode::S, VA), "0x100");
    for (n, at) in [(1, ALIAS), (2, ALIAS + PAGE), (0, leaf.table.pa()), (1, ALIAS)] {
        let pte = paging::pte(frames.after(n).pa(), KERNEL);
        let seen = Context::new(&[at, pte, VA]).call(Mode::S, edit);
        p.is(
            format_args!("edited through {}", at >> 12 & 3),
            seen,
            format_args!("{:#x}", 0x100 + n),
        );
    }
}

/// Two spaces that differ in one page, many switches.
fn roots(p: &mut Probe) {
    let frames = Frame::run(2);
    let spaces = [Space::new(), Space::new()];
    for (n, space) in spaces.iter().enumerate() {
        let frame = frames.after(n as u64);
        frame.set(0, 0x200 + n as u64);
        space.map(VA, frame.pa(), KERNEL, 0);
    }
    let mut right = 0;
    for round in 0..64_u64 {
        let n = round & 1;
        spaces[usize::from(n == 1)].switch();
        right += u64::from(load(Mode::S, VA).value() == Some(0x200 + n));
    }
    p.number("right after 64 switches", right, 64);
}

/// Two ASIDs, no fence between: each keeps its own.
fn asids(p: &mut Probe) {
    let frames = Frame::run(2);
    let spaces = [Space::new(), Space::new()];
    for (n, space) in spaces.iter().enumerate() {
        let frame = frames.after(n as u64);
        frame.set(0, 0x300 + n as u64);
        space.map(VA, frame.pa(), KERNEL, 0);
    }
    csr::sfence_vma();
    let mut right = 0;
    for round in 0..64_u64 {
        let n = round & 1;
        csr::write::<SATP>(spaces[usize::from(n == 1)].satp(1 + n));
        right += u64::from(load(Mode::S, VA).value() == Some(0x300 + n));
    }
    p.number("right after 64 switches of ASID", right, 64);
    let leaf = spaces[0].leaf(VA, 0);
    leaf.replace(paging::pte(frames.pa() + PAGE, KERNEL));
    csr::write::<SATP>(spaces[0].satp(1));
    p.is("fenced from the other ASID", load(Mode::S, VA), "0x301");
}

snippet! {
    /// In S: loads a1 under root a0, then a1 under root a2.
    fn switch {
        "csrw satp, a0",
        "sfence.vma",
        "ld a3, 0(a1)",
        "csrw satp, a2",
        "sfence.vma",
        "ld a4, 0(a1)",
        "slli a3, a3, 32",
        "or a0, a3, a4",
    }
}

/// A kernel that switches by itself, also to Bare and back.
fn switching(p: &mut Probe) {
    let frames = Frame::run(2);
    let spaces = [Space::new(), Space::new()];
    for (n, space) in spaces.iter().enumerate() {
        frames.after(n as u64).set(0, 0x400 + n as u64);
        space.map(VA, frames.after(n as u64).pa(), KERNEL, 0);
    }
    let [one, two] = [spaces[0].satp(0), spaces[1].satp(0)];
    spaces[1].switch();
    let seen = Context::new(&[one, VA, two]).call(Mode::S, switch);
    p.is("S switches", seen, "0x40000000401");
    let frame = frames.pa();
    let seen = Context::new(&[0, frame, one]).call(Mode::S, switch);
    p.is("S switches to Bare and back", seen, "0x40000000400");
    p.hex("the pointer of a shared window", spaces[0].root.get(2) & 1, V);
}
