//! Sv39 leaves of 4 KiB, 2 MiB and 1 GiB.
#![no_std]
#![no_main]

use probes::access::{self, load, store};
use probes::paging::{self, Frame, GIGA, KERNEL, MEGA, PAGE, RAM, Space, USER, USER_WINDOW};
use probes::{Mode, Probe};

probes::probe!(main);

/// Where the test pages are mapped.
const SMALL: u64 = 0x4000_0000;
const LARGE: u64 = 0x4020_0000;
/// Upper half of the address space.
const HIGH: u64 = 0xffff_ffc0_0000_0000;
const TOP: u64 = 0xffff_ffff_ffff_f000;

fn main(p: &mut Probe) {
    for mode in [Mode::S, Mode::U] {
        let flags = if mode == Mode::U { USER } else { KERNEL };
        let space = Space::new();
        small(p, mode, space, flags);
        large(p, mode, space, flags);
        giant(p, mode, space, flags);
        high(p, mode, space, flags);
        paging::bare();
    }
}

/// Two pages side by side, mapped crosswise.
fn small(p: &mut Probe, mode: Mode, space: Space, flags: u64) {
    let frames = Frame::run(2);
    space.map(SMALL, frames.pa() + PAGE, flags, 0);
    space.map(SMALL + PAGE, frames.pa(), flags, 0);
    space.switch();
    frames.set(511, 0x1111);
    frames.after(1).set(0, 0x2222);
    let name = mode.letter();
    p.is(format_args!("{name} loads 4 KiB, first"), load(mode, SMALL), "0x2222");
    p.is(format_args!("{name} loads 4 KiB, last"), load(mode, SMALL + 2 * PAGE - 8), "0x1111");
    p.is(
        format_args!("{name} loads behind"),
        load(mode, SMALL + 2 * PAGE).brief(),
        "load-page-fault to M",
    );
    p.is(format_args!("{name} stores"), store(mode, SMALL + 8, 0x3333), "0x3333");
    p.hex(format_args!("{name} stored"), frames.after(1).get(1), 0x3333);
}

/// 2 MiB over frames that are not its first.
fn large(p: &mut Probe, mode: Mode, space: Space, flags: u64) {
    let frame = Frame::new();
    let base = frame.pa() & !(MEGA - 1);
    space.map(LARGE, base, flags, 1);
    space.switch();
    let va = LARGE + (frame.pa() - base);
    frame.set(3, 0x4444);
    let name = mode.letter();
    p.is(format_args!("{name} loads 2 MiB"), load(mode, va + 24), "0x4444");
    p.is(format_args!("{name} stores 2 MiB"), store(mode, va + 32, 0x5555), "0x5555");
    p.hex(format_args!("{name} stored 2 MiB"), frame.get(4), 0x5555);
    p.is(
        format_args!("{name} loads behind 2 MiB"),
        load(mode, LARGE + MEGA).brief(),
        "load-page-fault to M",
    );
}

/// 1 GiB: the windows that code runs in, and a second one.
fn giant(p: &mut Probe, mode: Mode, space: Space, flags: u64) {
    let frame = Frame::new();
    let window = RAM + USER_WINDOW + GIGA;
    space.map(window, RAM, flags, 2);
    space.switch();
    frame.set(0, 0x6666);
    let va = window + (frame.pa() - RAM);
    let name = mode.letter();
    p.is(format_args!("{name} loads 1 GiB"), load(mode, va), "0x6666");
    p.is(format_args!("{name} stores 1 GiB"), store(mode, va + 8, 0x7777), "0x7777");
    p.hex(format_args!("{name} stored 1 GiB"), frame.get(1), 0x7777);
    let code = window + (access::nothing as *const () as u64 - RAM);
    p.is(format_args!("{name} runs in 1 GiB"), access::fetch(mode, code).runs(), "runs");
}

fn high(p: &mut Probe, mode: Mode, space: Space, flags: u64) {
    let frame = Frame::new();
    frame.set(1, 0x8888);
    space.map(HIGH, frame.pa(), flags, 0);
    space.map(TOP, frame.pa(), flags, 0);
    space.switch();
    let name = mode.letter();
    p.is(format_args!("{name} loads upper half"), load(mode, HIGH + 8), "0x8888");
    p.is(format_args!("{name} loads top page"), load(mode, TOP + 8), "0x8888");
    p.is(format_args!("{name} loads last doubleword"), load(mode, u64::MAX - 7), "0x0");
}
