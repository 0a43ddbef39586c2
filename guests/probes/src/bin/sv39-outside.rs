//! Leaves that point outside RAM: access faults, not page faults. Tables there
//! are the matter of `spec-sv39`.
#![no_std]
#![no_main]

use probes::access::{fetch, load, store};
use probes::paging::{self, GIGA, KERNEL, Space, U, USER};
use probes::{Mode, Probe};

probes::probe!(main);

/// No device and no RAM is at these.
const NOTHING: [u64; 3] = [0x1800_0000, 0x9_0000_0000, 0x00ff_ffff_ffff_f000];
const PAGE: u64 = 0x4000_0000;

fn main(p: &mut Probe) {
    for address in NOTHING {
        leaf(p, address);
    }
    root(p);
}

/// A leaf that points outside RAM.
fn leaf(p: &mut Probe, address: u64) {
    let space = Space::new();
    space.map(PAGE, address, KERNEL, 0);
    space.switch();
    all(p, format_args!("leaf to {address:#x}"), PAGE + 0x18);
    space.map(PAGE, address, USER, 0);
    space.switch();
    let outcome = load(Mode::U, PAGE + 8);
    p.is("the same for U", outcome, "load-access-fault to M, tval 0x40000008");
    space.map(PAGE, address, KERNEL & !U & !paging::R & !paging::W, 0);
    space.switch();
    let outcome = load(Mode::S, PAGE + 8);
    p.is("without permission", outcome, "load-page-fault to M, tval 0x40000008");
    paging::bare();
}

/// A gigabyte of which only a part is RAM.
fn root(p: &mut Probe) {
    let space = Space::new();
    space.map(5 * GIGA, 0x9_0000_0000 & !(GIGA - 1), KERNEL, 2);
    space.switch();
    all(p, "1 GiB of nothing", 5 * GIGA + 0x1234_5678);
    paging::bare();
}

fn all(p: &mut Probe, name: impl core::fmt::Display, va: u64) {
    p.is(
        format_args!("{name}: load"),
        load(Mode::S, va),
        format_args!("load-access-fault to M, tval {va:#x}"),
    );
    p.is(
        format_args!("{name}: store"),
        store(Mode::S, va, 1),
        format_args!("store-access-fault to M, tval {va:#x}"),
    );
    p.is(
        format_args!("{name}: fetch"),
        fetch(Mode::S, va),
        format_args!("instruction-access-fault to M, tval {va:#x}"),
    );
}
