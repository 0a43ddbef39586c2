//! `sfence.vma` in each operand form: after it, the new PTE counts.
//!
//! Only what the architecture guarantees is looked at: never that an old
//! translation is still used, and never a form that does not name the page.
#![no_std]
#![no_main]

use probes::access::{load, store};
use probes::context::Snippet;
use probes::csr::{self, SATP};
use probes::paging::{self, Frame, GIGA, KERNEL, Leaf, MEGA, PAGE, R, RAM, Space, W};
use probes::{Context, Mode, Probe, snippet};

probes::probe!(main);

const VA: u64 = 0x4000_0000;
const ASID: u64 = 7;

snippet! {
    /// In S: fences everything.
    fn all { "sfence.vma" }
}
snippet! {
    /// In S: fences the address a0.
    fn address { "sfence.vma a0" }
}
snippet! {
    /// In S: fences the ASID a1.
    fn asid { "sfence.vma x0, a1" }
}
snippet! {
    /// In S: fences the address a0 in the ASID a1.
    fn both { "sfence.vma a0, a1" }
}

/// The forms, and the ASID under which they are tried.
const FORMS: &[(&str, Snippet)] =
    &[("all", all), ("address", address), ("asid", asid), ("address and asid", both)];

fn main(p: &mut Probe) {
    let frames = Frame::run(2);
    frames.set(0, 0xaaa);
    frames.after(1).set(0, 0xbbb);
    for (name, fence) in FORMS {
        let space = Space::new();
        let leaf = space.map(VA, frames.pa(), KERNEL, 0);
        csr::write::<SATP>(space.satp(ASID));
        csr::sfence_vma();
        let fence = Fence { name, code: *fence };
        fence.leaf(p, leaf, frames);
        fence.upper(p, space, frames);
        fence.superpage(p, space, frames);
    }
    paging::bare();
    within(p, frames);
}

struct Fence {
    name: &'static str,
    code: Snippet,
}

impl Fence {
    fn run(&self) {
        let _ = Context::new(&[VA + 0x123, ASID]).run(Mode::S, self.code);
    }

    fn see(&self, p: &mut Probe, what: &str, want: &str) {
        p.is(format_args!("{}: {what}", self.name), load(Mode::S, VA).brief(), want);
    }

    /// Another page, no permission to write, no page, a page again.
    fn leaf(&self, p: &mut Probe, leaf: Leaf, frames: Frame) {
        self.see(p, "first page", "0xaaa");
        leaf.set(paging::pte(frames.pa() + PAGE, KERNEL));
        self.run();
        self.see(p, "second page", "0xbbb");
        p.is("writable", store(Mode::S, VA + 8, 1), "0x1");
        leaf.set(paging::pte(frames.pa() + PAGE, KERNEL & !W));
        self.run();
        p.is("read-only", store(Mode::S, VA + 8, 1), "store-page-fault to M, tval 0x40000008");
        leaf.set(paging::pte(frames.pa(), KERNEL & !R & !W));
        self.run();
        self.see(p, "no longer readable", "load-page-fault to M");
        leaf.set(0);
        self.run();
        self.see(p, "no page", "load-page-fault to M");
        leaf.set(paging::pte(frames.pa(), KERNEL));
        self.run();
        self.see(p, "first page again", "0xaaa");
    }

    /// The table above is exchanged.
    fn upper(&self, p: &mut Probe, space: Space, frames: Frame) {
        let table = Frame::new();
        table.set(0, paging::pte(frames.pa() + PAGE, KERNEL));
        let pointer = space.leaf(VA, 1);
        pointer.set(paging::pte(table.pa(), paging::V));
        self.run();
        self.see(p, "another last table", "0xbbb");
        let middle = Frame::new();
        middle.set(0, paging::pte(table.pa(), paging::V));
        table.set(0, paging::pte(frames.pa(), KERNEL));
        space.root.set(1, paging::pte(middle.pa(), paging::V));
        self.run();
        self.see(p, "another middle table", "0xaaa");
        space.root.set(1, 0);
        self.run();
        self.see(p, "no table", "load-page-fault to M");
    }

    /// A superpage takes the place of a table, and the other way round.
    fn superpage(&self, p: &mut Probe, space: Space, frames: Frame) {
        let middle = Frame::new();
        space.root.set(1, paging::pte(middle.pa(), paging::V));
        let base = frames.pa() & !(MEGA - 1);
        middle.set(0, paging::pte(base, KERNEL));
        self.run();
        let at = VA + (frames.pa() - base);
        // Forms that name an address name one of this very superpage.
        p.is(format_args!("{}: superpage", self.name), load(Mode::S, at), "0xaaa");
        middle.set(0, 0);
        self.run();
        let gone = load(Mode::S, at).brief();
        p.is(format_args!("{}: superpage gone", self.name), gone, "load-page-fault to M");
        space.root.set(1, paging::pte(RAM, KERNEL));
        self.run();
        let at = VA + (frames.pa() - RAM) % GIGA;
        p.is(format_args!("{}: 1 GiB", self.name), load(Mode::S, at), "0xaaa");
        space.root.set(1, paging::pte(middle.pa(), paging::V));
        self.run();
        self.see(p, "1 GiB gone", "load-page-fault to M");
    }
}

snippet! {
    /// In S: reads a0, makes a2 the PTE at a1, fences a0, reads again.
    fn remap {
        "ld a3, 0(a0)",
        "sd a2, 0(a1)",
        "sfence.vma a0",
        "ld a4, 0(a0)",
        "slli a3, a3, 16",
        "or a0, a3, a4",
    }
}

/// A kernel that edits its own page table, in one run.
fn within(p: &mut Probe, frames: Frame) {
    let space = Space::new();
    let leaf = space.map(VA, frames.pa(), KERNEL, 0);
    space.switch();
    let new = paging::pte(frames.pa() + PAGE, KERNEL);
    let seen = Context::new(&[VA, leaf.pa(), new]).call(Mode::S, remap);
    p.is("S remaps its own page", seen, "0xaaa0bbb");
    paging::bare();
}
