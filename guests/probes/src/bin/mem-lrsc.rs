//! Load-reserved and store-conditional.
//!
//! A reservation that is lost for no reason is legal, so successes are tried
//! until they come; failures that the architecture demands come at once.
#![no_std]
#![no_main]

use probes::paging::{self, Frame, KERNEL, Space};
use probes::{Context, Mode, Probe, snippet};

probes::probe!(main);

const VA: u64 = 0x4000_0000;

snippet! {
    /// Increments the doubleword at a0 and tells its old value.
    fn increment_d {
        "1: lr.d.aqrl a1, (a0)",
        "addi a2, a1, 1",
        "sc.d.rl a3, a2, (a0)",
        "bnez a3, 1b",
        "mv a0, a1",
    }
}

snippet! {
    /// Increments the word at a0 and tells its old value.
    fn increment_w {
        "1: lr.w.aq a1, (a0)",
        "addi a2, a1, 1",
        "sc.w.rl a3, a2, (a0)",
        "bnez a3, 1b",
        "mv a0, a1",
    }
}

snippet! {
    /// Stores conditionally without a reservation; tells whether it failed.
    fn alone {
        "sc.d a1, zero, (a0)",
        "sc.d a1, zero, (a0)",
        "snez a0, a1",
    }
}

snippet! {
    /// Uses a reservation twice; tells whether the second failed.
    fn twice {
        "1: lr.d a1, (a0)",
        "sc.d a2, a1, (a0)",
        "bnez a2, 1b",
        "sc.d a2, zero, (a0)",
        "snez a0, a2",
    }
}

snippet! {
    /// Reserves at a0 and stores conditionally at a1; tells whether it failed.
    fn elsewhere {
        "lr.d a2, (a0)",
        "sc.d a2, zero, (a1)",
        "snez a0, a2",
    }
}

snippet! {
    /// Compares and swaps: a1 expected, a2 new; a0 = 0 if swapped.
    fn compare_and_swap {
        "1: lr.d a3, (a0)",
        "bne a3, a1, 2f",
        "sc.d a4, a2, (a0)",
        "bnez a4, 1b",
        "li a0, 0",
        "ecall",
        "2: li a0, 1",
    }
}

fn main(p: &mut Probe) {
    let frame = Frame::new();
    let space = Space::new();
    space.map(VA, frame.pa(), KERNEL & !(paging::A | paging::D), 0);
    space.switch();
    frame.set(0, u64::from(u32::MAX));
    p.is("increment doubleword", Context::new(&[VA]).call(Mode::S, increment_d), "0xffffffff");
    p.hex("doubleword", frame.get(0), 1 << 32);
    frame.set(0, u64::from(u32::MAX));
    p.is("increment word", Context::new(&[VA]).call(Mode::S, increment_w), "0xffffffffffffffff");
    p.hex("its doubleword", frame.get(0), 0);
    p.is("increment upper word", Context::new(&[VA + 4]).call(Mode::S, increment_w), "0x0");
    p.hex("its doubleword", frame.get(0), 1 << 32);
    p.is("sc without lr fails", Context::new(&[VA]).call(Mode::S, alone), "0x1");
    p.is("second sc fails", Context::new(&[VA]).call(Mode::S, twice), "0x1");
    p.is("sc elsewhere fails", Context::new(&[VA, VA + 2048]).call(Mode::S, elsewhere), "0x1");
    frame.set(0, 7);
    p.is("compare and swap", Context::new(&[VA, 7, 9]).call(Mode::S, compare_and_swap), "0x0");
    p.is("compare and not swap", Context::new(&[VA, 7, 8]).call(Mode::S, compare_and_swap), "0x1");
    p.hex("swapped once", frame.get(0), 9);
    many(p, frame);
    faults(p);
    paging::bare();
}

fn many(p: &mut Probe, frame: Frame) {
    frame.set(0, 0);
    for _ in 0..1000 {
        let _ = Context::new(&[VA]).run(Mode::S, increment_d);
    }
    p.number("1000 increments", frame.get(0), 1000);
}

/// lr needs R, sc needs W, and sc tells its own cause.
fn faults(p: &mut Probe) {
    let space = Space::new();
    space.map(VA, Frame::new().pa(), KERNEL & !paging::W, 0);
    space.switch();
    p.show("lr read-only", probes::access::try_access(Mode::S, probes::access::lr_d, VA, 0));
    p.show("amo read-only", probes::access::try_access(Mode::S, probes::access::amoor_d, VA, 0));
    p.show("lr absent", probes::access::try_access(Mode::S, probes::access::lr_d, VA + 4096, 0));
}
