//! Hostile: page tables that map everything, point outside RAM, to devices, to
//! themselves, and to each other in circles; addresses at both ends.
#![no_std]
#![no_main]

use probes::access::{self, fetch, load, store};
use probes::csr::{self, SATP};
use probes::paging::{self, A, D, Frame, GIGA, KERNEL, R, RAM, Space, U, V, W, X};
use probes::rng::Rng;
use probes::{Mode, Probe};

probes::probe!(main);

/// Where tables and leaves shall not point.
const WILD: &[u64] = &[
    0,
    0x1000,
    0x10_0000,
    0x200_0000,
    0xc00_0000,
    0x1000_0000,
    0x1000_1000,
    0x1800_0000,
    0x7fff_f000,
    0x1_0000_0000,
    0x9_0000_0000,
    0x7f_ffff_f000,
    0x00ff_ffff_ffff_f000,
];

fn main(p: &mut Probe) {
    everything(p);
    tables(p);
    cyclic(p);
    ends(p);
    rubbish(p);
    paging::bare();
    p.holds("still here", true);
}

/// Every access at an address, from S and U.
fn try_all(va: u64) -> u64 {
    let mut done = 0;
    for mode in [Mode::S, Mode::U] {
        done += u64::from(load(mode, va).value().is_some());
        done += u64::from(access::try_access(mode, access::amoadd_w, va, 0).value().is_some());
    }
    done
}

/// All 512 root entries are 1 GiB leaves to RAM, then to all of memory.
fn everything(p: &mut Probe) {
    let space = Space::empty();
    for n in 0..512 {
        // Entry 4 is the window in which U-mode finds its code.
        let user = if n & 1 == 1 || n == 4 { U } else { 0 };
        space.root.set(n, paging::pte(RAM, KERNEL | user));
    }
    let frame = Frame::new();
    space.switch();
    let mut done = 0;
    for n in 0..512_u64 {
        done += try_all(paging::canonical(n * GIGA + (frame.pa() - RAM)));
    }
    p.number("RAM 512 times: accesses", done, 1024);
    for n in 3..512 {
        space.root.set(n, paging::pte(n as u64 * GIGA, KERNEL));
    }
    space.switch();
    for n in 3..512_u64 {
        let _ = load(Mode::S, paging::canonical(n * GIGA + 0x1234_5000));
    }
    p.show("all of memory", "touched");
}

/// Tables and leaves at places that are no RAM, at each level.
fn tables(p: &mut Probe) {
    for wild in WILD {
        for flags in [V, KERNEL, V | R | X, V | R | W, V | U, KERNEL | U] {
            for level in 0..3 {
                let space = Space::new();
                space.map(
                    0x1_4000_0000,
                    *wild & !(if level == 2 { GIGA - 1 } else { 0 }),
                    flags,
                    level,
                );
                space.switch();
                let _ = load(Mode::S, 0x1_4000_0000);
                let _ = load(Mode::U, 0x1_4000_0ff8);
                if flags & W != 0 && *wild > 0x1000_2000 {
                    let _ = store(Mode::S, 0x1_4000_0000, 0);
                }
            }
        }
        // The root itself.
        let satp = 8 << 60 | *wild >> 12;
        csr::write::<SATP>(satp);
        csr::sfence_vma();
        let _ = load(Mode::S, RAM);
        paging::bare();
    }
    p.show("wild pointers", WILD.len());
}

/// Tables that point to each other, and to themselves, 512 times.
fn cyclic(p: &mut Probe) {
    let tables = Frame::run(3);
    let space = Space::empty();
    for n in 0..512 {
        space.root.set(n, paging::pte(if n & 1 == 0 { space.root.pa() } else { tables.pa() }, V));
        tables.set(n, paging::pte(tables.after(1).pa(), V));
        tables
            .after(1)
            .set(n, paging::pte(if n & 1 == 0 { space.root.pa() } else { tables.pa() }, V));
    }
    space.root.set(2, paging::pte(RAM, KERNEL));
    space.switch();
    let mut rng = Rng::new(77);
    for _ in 0..2000 {
        let va = paging::canonical(rng.draw()) & !7;
        if !(2 * GIGA..3 * GIGA).contains(&va) {
            let _ = load(Mode::S, va);
            let _ = fetch(Mode::S, va);
        }
    }
    p.show("cyclic tables", "touched");
}

/// The last and the first bytes, aligned and not.
fn ends(p: &mut Probe) {
    let frame = Frame::new();
    let space = Space::new();
    for va in [0, 0x3f_ffff_f000, 0xffff_ffc0_0000_0000, 0xffff_ffff_ffff_f000] {
        space.map(va, frame.pa(), KERNEL & !(A | D), 0);
    }
    space.switch();
    for base in [0_u64, 0x40_0000_0000, 0xffff_ffc0_0000_0000, 0] {
        for offset in 0..16_u64 {
            let _ = load(Mode::S, base.wrapping_sub(offset));
            let _ = store(Mode::S, base.wrapping_sub(offset), 0);
            let _ = fetch(Mode::S, base.wrapping_sub(offset) & !1);
        }
    }
    p.show("ends of the address space", "touched");
}

/// A table full of random words that are not reserved in their upper bits.
fn rubbish(p: &mut Probe) {
    let mut rng = Rng::new(99);
    let table = Frame::new();
    for n in 0..512 {
        table.set(n, rng.draw() >> 10);
    }
    let space = Space::new();
    space.root.set(5, paging::pte(table.pa(), V));
    space.switch();
    for n in 0..512_u64 {
        for mode in [Mode::S, Mode::U] {
            let _ = load(mode, 5 * GIGA + (n << 21) + (n << 3));
        }
    }
    p.show("rubbish as table", "touched");
}
