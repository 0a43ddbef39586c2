//! Hostile: PTEs whose accessed and dirty bits lie where the update is itself an
//! event: in the page that is stored to, in device registers, in tables that
//! PMP or their own leaf makes read-only.
#![no_std]
#![no_main]

use probes::access::{self, fetch, load, store};
use probes::csr::{self, PMPADDR0, PMPADDR1, PMPCFG0};
use probes::paging::{self, A, D, Frame, GIGA, KERNEL, PAGE, R, RAM, Space, V, W, X};
use probes::{Mode, Probe};

probes::probe!(main);

const VA: u64 = 0x4000_0000;

fn main(p: &mut Probe) {
    own_page(p);
    devices(p);
    protected(p);
    root_as_page(p);
    paging::bare();
}

/// The page of the PTE is the page it maps; the store hits the PTE, its
/// neighbours, or both at once across.
fn own_page(p: &mut Probe) {
    let space = Space::new();
    let leaf = space.map(VA, 0, 0, 0);
    let table = leaf.table;
    let before = paging::pte(table.pa(), V | R | W | X);
    space.switch();
    for offset in 0..16 {
        for value in [0, before, before | A, before | A | D, u64::MAX, 0x11] {
            leaf.replace(before);
            let _ = store(Mode::S, VA + offset, value);
            let _ = load(Mode::S, VA);
            leaf.replace(before);
            let _ = access::try_access(Mode::S, access::amoswap_d, VA + (offset & 8), value);
            let _ = fetch(Mode::S, VA + (offset & 8));
        }
    }
    leaf.replace(before);
    p.is("store to the neighbour", store(Mode::S, VA + 0x800, 1), "0x1");
    p.hex("A and D", leaf.get() & (A | D), A | D);
}

/// Tables inside device windows: what is read there is no PTE.
fn devices(p: &mut Probe) {
    for device in [0x10_0000_u64, 0x200_4000, 0xc00_0000, 0xc20_0000, 0x1000_0000, 0x1000_1000] {
        let space = Space::new();
        let table = device & !(PAGE - 1);
        space.root.set(1, paging::pte(table, V));
        let middle = Frame::new();
        middle.set(0, paging::pte(table, V));
        space.root.set(5, paging::pte(middle.pa(), V));
        space.switch();
        for n in 0..512_u64 {
            let _ = load(Mode::S, GIGA + (n << 21));
            let _ = store(Mode::S, 5 * GIGA + (n << 12), 0);
        }
    }
    p.show("tables in devices", "touched");
}

/// The table is out of reach or read-only for S by PMP: no A, no D.
fn protected(p: &mut Probe) {
    let space = Space::new();
    let leaf = space.map(VA, Frame::new().pa(), KERNEL & !(A | D), 0);
    space.switch();
    for rwx in [0_u64, 1, 3, 4, 7] {
        csr::write::<PMPCFG0>(0);
        csr::write::<PMPADDR0>(leaf.table.pa() >> 2 | 0x1ff);
        csr::write::<PMPADDR1>(u64::MAX >> 10);
        csr::write::<PMPCFG0>(0x1f18 | rwx);
        csr::sfence_vma();
        leaf.replace(leaf.get() & !(A | D));
        let _ = store(Mode::S, VA, 1);
        let _ = load(Mode::S, VA);
    }
    csr::write::<PMPADDR0>(u64::MAX >> 10);
    csr::write::<PMPCFG0>(0x1f);
    csr::sfence_vma();
    p.show("tables under PMP", "touched");
}

/// The root is mapped writable by itself, as giant and small page, and each
/// entry of it is stored to.
fn root_as_page(p: &mut Probe) {
    let space = Space::new();
    space.map(VA, space.root.pa(), V | R | W, 0);
    let kernel = [2, 4].map(|n| space.root.get(n));
    space.switch();
    for n in (0..512).filter(|n| *n != 2 && *n != 4 && *n != 1) {
        let _ = store(Mode::S, VA + 8 * n, paging::pte(RAM, V | R | W | n << 3 & 0x1f0));
        let _ = load(Mode::S, paging::canonical(n * GIGA));
    }
    csr::sfence_vma();
    p.holds("the windows are untouched", kernel[0] & V != 0 && space.root.get(2) & V != 0);
}
