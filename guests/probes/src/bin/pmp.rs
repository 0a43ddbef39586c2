//! Physical memory protection of S and U, in units of pages.
#![no_std]
#![no_main]

use probes::access::{fetch, load, store};
use probes::csr::{self, PMPADDR0, PMPADDR1, PMPADDR2, PMPADDR3, PMPCFG0};
use probes::paging::{self, Frame, KERNEL, PAGE, Space};
use probes::{Mode, Outcome, Probe, insn};

probes::probe!(main);

const R: u64 = 1;
const W: u64 = 2;
const X: u64 = 4;
const TOR: u64 = 1 << 3;
const NAPOT: u64 = 3 << 3;
const LOCK: u64 = 1 << 7;
/// The entry behind the test's own: everything allowed.
const REST: u64 = NAPOT | R | W | X;

/// `pmpaddr` of a naturally aligned range.
fn napot(base: u64, len: u64) -> u64 {
    (base >> 2) | ((len >> 3) - 1)
}

/// Sets entries 0 and 1 and lets entry 2 allow everything.
fn set(cfg0: u64, addr0: u64, cfg1: u64, addr1: u64) {
    csr::write::<PMPCFG0>(0);
    csr::write::<PMPADDR0>(addr0);
    csr::write::<PMPADDR1>(addr1);
    csr::write::<PMPADDR2>(u64::MAX >> 10);
    csr::write::<PMPCFG0>(REST << 16 | cfg1 << 8 | cfg0);
    csr::sfence_vma();
}

fn main(p: &mut Probe) {
    let page = Frame::run(4);
    for n in 0..4 {
        page.after(n).set(0, u64::from(insn::ECALL) << 32 | u64::from(insn::NOP));
    }
    registers(p);
    permissions(p, page.pa());
    tor(p, page.pa());
    priority(p, page.pa());
    machine(p, page);
    paged(p, page);
    locked(p, page.pa());
}

/// What the registers keep; the low bits of the addresses depend on the grain.
fn registers(p: &mut Probe) {
    csr::write::<PMPCFG0>(0);
    p.hex("pmpcfg0", csr::keep::<PMPCFG0>(0x1f_0f_1b_19), 0x1f_0f_1b_19);
    p.hex("pmpcfg0 zero", csr::keep::<PMPCFG0>(0), 0);
    p.hex("pmpaddr3", csr::keep::<PMPADDR3>(0x2000_0400) & !0x3ff, 0x2000_0400);
    let kept = csr::keep::<PMPADDR3>(u64::MAX >> 10) >> 10;
    p.hex("pmpaddr3, upper bits", kept, u64::MAX >> 20);
    csr::write::<PMPADDR3>(0);
}

fn seen(mode: Mode, va: u64) -> [char; 3] {
    let letter = |outcome: Outcome, letter| if outcome.value().is_some() { letter } else { '-' };
    [letter(load(mode, va), 'r'), letter(store(mode, va + 8, 1), 'w'), letter(fetch(mode, va), 'x')]
}

fn show(p: &mut Probe, name: core::fmt::Arguments<'_>, mode: Mode, va: u64) {
    let [r, w, x] = seen(mode, va);
    p.show(name, format_args!("{r}{w}{x} for {}", mode.letter()));
}

/// NAPOT of one page and of two, all permissions. W without R is reserved.
fn permissions(p: &mut Probe, page: u64) {
    for rwx in [0, R, X, R | W, R | X, R | W | X] {
        set(NAPOT | rwx, napot(page, PAGE), 0, 0);
        for mode in [Mode::U, Mode::S, Mode::M] {
            show(p, format_args!("NAPOT {rwx}"), mode, page);
            show(p, format_args!("NAPOT {rwx}, behind"), mode, page + PAGE);
        }
    }
    set(NAPOT, napot(page, PAGE), 0, 0);
    p.is(
        "load",
        load(Mode::U, page + 16),
        format_args!("load-access-fault to M, tval {:#x}", page + 16),
    );
    p.is(
        "store",
        store(Mode::S, page + 16, 1),
        format_args!("store-access-fault to M, tval {:#x}", page + 16),
    );
    p.is(
        "fetch",
        fetch(Mode::S, page),
        format_args!("instruction-access-fault to M, tval {page:#x}"),
    );
}

/// TOR from the entry before, and from 0.
fn tor(p: &mut Probe, page: u64) {
    set(0, (page + PAGE) >> 2, TOR | R, (page + 3 * PAGE) >> 2);
    for n in 0..4 {
        show(p, format_args!("TOR over pages 1 and 2: page {n}"), Mode::S, page + n * PAGE);
    }
    set(0, (page + 3 * PAGE) >> 2, TOR, (page + PAGE) >> 2);
    show(p, format_args!("TOR that ends before it starts"), Mode::S, page + PAGE);
    // From 0: the probe's own code lies below, so X is allowed.
    set(TOR | R | X, (page + PAGE) >> 2, 0, 0);
    show(p, format_args!("TOR from 0: page 0"), Mode::S, page);
    show(p, format_args!("TOR from 0: page 1"), Mode::S, page + PAGE);
}

/// The lowest entry that matches decides.
fn priority(p: &mut Probe, page: u64) {
    let four = page & !(4 * PAGE - 1);
    set(NAPOT | R | W, napot(page, PAGE), NAPOT, napot(four, 4 * PAGE));
    show(p, format_args!("entry 0 before entry 1"), Mode::U, page);
    set(NAPOT, napot(four, 4 * PAGE), NAPOT | R | W, napot(page, PAGE));
    show(p, format_args!("entry 0 over entry 1"), Mode::U, page);
}

/// Entries that are not locked do not bind M, but MPRV makes it S or U.
fn machine(p: &mut Probe, page: Frame) {
    set(NAPOT, napot(page.pa(), PAGE), 0, 0);
    page.set(0, 0x99);
    p.hex("M ignores PMP", page.get(0), 0x99);
}

/// PMP also binds page-table walks and what they lead to.
fn paged(p: &mut Probe, page: Frame) {
    let space = Space::new();
    let va = 0x4000_0000;
    let leaf = space.map(va, page.pa(), KERNEL, 0);
    space.switch();
    set(NAPOT | R, napot(page.pa(), PAGE), 0, 0);
    show(p, format_args!("page that PMP lets read"), Mode::S, va);
    p.is("store there", store(Mode::S, va, 1), "store-access-fault to M, tval 0x40000000");
    set(NAPOT, napot(leaf.table.pa(), PAGE), 0, 0);
    p.is("table out of reach: load", load(Mode::S, va), "load-access-fault to M, tval 0x40000000");
    p.is(
        "table out of reach: store",
        store(Mode::S, va, 1),
        "store-access-fault to M, tval 0x40000000",
    );
    p.is(
        "table out of reach: fetch",
        fetch(Mode::S, va),
        "instruction-access-fault to M, tval 0x40000000",
    );
    set(NAPOT | R | W | X, napot(page.pa(), PAGE), 0, 0);
    p.is("all in reach again", load(Mode::S, va).runs(), "runs");
    paging::bare();
}

/// Locked entries bind M and cannot be changed.
fn locked(p: &mut Probe, page: u64) {
    set(LOCK | NAPOT | R, napot(page, PAGE), 0, 0);
    for mode in [Mode::U, Mode::S, Mode::M] {
        show(p, format_args!("locked read-only"), mode, page);
    }
    let addr = csr::read::<PMPADDR0>();
    csr::write::<PMPADDR0>(0);
    p.holds("locked address stays", csr::read::<PMPADDR0>() == addr);
    csr::write::<PMPCFG0>(0);
    p.hex("locked configuration stays", csr::read::<PMPCFG0>() & 0xff, LOCK | NAPOT | R);
    set(0, 0, LOCK | TOR | R | W | X, (page + 4 * PAGE) >> 2);
    p.hex("entry 1 locks", csr::read::<PMPCFG0>() >> 8 & 0xff, LOCK | TOR | R | W | X);
    p.hex("entry 0 still locked", csr::read::<PMPCFG0>() & 0xff, LOCK | NAPOT | R);
}
