//! `menvcfg`, `senvcfg` and what `menvcfg.STCE` gives to S-mode.
#![no_std]
#![no_main]

use probes::access::try_word;
use probes::csr::{self, MCOUNTEREN, MENVCFG, SENVCFG, STCE, STIMECMP};
use probes::{Mode, Probe, insn};

probes::probe!(main);

fn main(p: &mut Probe) {
    // Other fields depend on extensions that may be there or not.
    p.number("menvcfg.FIOM set", csr::keep::<MENVCFG>(1) & 1, 1);
    p.number("menvcfg.FIOM cleared", csr::keep::<MENVCFG>(0) & 1, 0);
    p.number("senvcfg.FIOM set", csr::keep::<SENVCFG>(1) & 1, 1);
    p.number("senvcfg.FIOM cleared", csr::keep::<SENVCFG>(0) & 1, 0);
    p.number("menvcfg.STCE set", csr::keep::<MENVCFG>(STCE) >> 63, 1);
    p.number("menvcfg.STCE cleared", csr::keep::<MENVCFG>(0) >> 63, 0);
    for (name, number, modes) in [("menvcfg", MENVCFG, 1), ("senvcfg", SENVCFG, 2)] {
        for (mode, level) in [(Mode::M, 3), (Mode::S, 2), (Mode::U, 0)] {
            let read = try_word(mode, insn::csrrs(10, number, 0), &[]);
            let may = level >= 4 - modes;
            let check = format_args!("{} reads {name}", mode.letter());
            p.is(check, read.runs(), if may { "runs" } else { "illegal-instruction to M" });
        }
    }
    stimecmp(p);
}

/// S-mode needs both STCE and the time bit of mcounteren.
fn stimecmp(p: &mut Probe) {
    for (stce, tm) in [(0, 0), (0, 2), (STCE, 0), (STCE, 2)] {
        csr::write::<MENVCFG>(stce);
        csr::write::<MCOUNTEREN>(tm);
        for mode in [Mode::M, Mode::S, Mode::U] {
            let read = try_word(mode, insn::csrrs(10, STIMECMP, 0), &[]);
            let may = mode == Mode::M || mode == Mode::S && stce != 0 && tm != 0;
            let check =
                format_args!("{} reads stimecmp (STCE {}, TM {tm})", mode.letter(), stce >> 63);
            p.is(check, read.runs(), if may { "runs" } else { "illegal-instruction to M" });
        }
    }
    csr::write::<STIMECMP>(u64::MAX);
    p.hex("stimecmp keeps 64 bits", csr::read::<STIMECMP>(), u64::MAX);
}
