//! `cycle`, `time` and `instret`: who may read them, and that they go on.
#![no_std]
#![no_main]

use probes::access::try_word;
use probes::csr::{self, CYCLE, INSTRET, MCOUNTEREN, MCYCLE, MINSTRET, SCOUNTEREN, TIME};
use probes::dev::clint;
use probes::{Mode, Probe, insn};

probes::probe!(main);

const COUNTERS: &[(&str, u16)] = &[("cycle", CYCLE), ("time", TIME), ("instret", INSTRET)];

fn main(p: &mut Probe) {
    p.hex("mcounteren CY TM IR", csr::keep::<MCOUNTEREN>(7) & 7, 7);
    p.hex("scounteren CY TM IR", csr::keep::<SCOUNTEREN>(7) & 7, 7);
    for (bit, (name, number)) in COUNTERS.iter().enumerate() {
        readable(p, 1 << bit, name, *number);
        read_only(p, name, *number);
    }
    growing(p);
    agreeing(p);
}

/// M always reads; S needs mcounteren; U needs both.
fn readable(p: &mut Probe, bit: u64, name: &str, number: u16) {
    for (m, s) in [(0, 0), (0, bit), (bit, 0), (bit, bit), (7 - bit, 7), (7, 7 - bit)] {
        csr::write::<MCOUNTEREN>(m);
        csr::write::<SCOUNTEREN>(s);
        for mode in [Mode::M, Mode::S, Mode::U] {
            let may = match mode {
                Mode::M => true,
                Mode::S => m & bit != 0,
                Mode::U => m & s & bit != 0,
            };
            let read = try_word(mode, insn::csrrs(10, number, 0), &[]);
            let check = format_args!("{} reads {name} (m {m}, s {s})", mode.letter());
            p.is(check, read.runs(), if may { "runs" } else { "illegal-instruction to M" });
        }
    }
}

fn read_only(p: &mut Probe, name: &str, number: u16) {
    csr::write::<MCOUNTEREN>(7);
    csr::write::<SCOUNTEREN>(7);
    for mode in [Mode::M, Mode::S, Mode::U] {
        let write = try_word(mode, insn::csrrw(0, number, 10), &[0]);
        let check = format_args!("{} writes {name}", mode.letter());
        p.is(check, write.brief(), "illegal-instruction to M");
    }
}

/// Each counter moves on, and none goes back.
fn growing(p: &mut Probe) {
    p.holds("cycle grows", grows(csr::read::<CYCLE>));
    p.holds("time grows", grows(csr::read::<TIME>));
    p.holds("instret grows", grows(csr::read::<INSTRET>));
    p.holds("mcycle grows", grows(csr::read::<MCYCLE>));
    p.holds("minstret grows", grows(csr::read::<MINSTRET>));
    p.holds("mtime grows", grows(clint::mtime));
}

fn grows(read: fn() -> u64) -> bool {
    let first = read();
    let mut last = first;
    for _ in 0..100_000 {
        let now = read();
        if now < last {
            return false;
        }
        last = now;
    }
    last > first
}

/// `time` shows the CLINT's `mtime`.
fn agreeing(p: &mut Probe) {
    let between = (0..100).all(|_| {
        let (before, time, after) = (clint::mtime(), csr::read::<TIME>(), clint::mtime());
        before <= time && time <= after
    });
    p.holds("time agrees with mtime", between);
}
