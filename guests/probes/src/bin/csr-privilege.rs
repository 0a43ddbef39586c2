//! Privileged CSRs from modes that may not use them.
#![no_std]
#![no_main]

use probes::access::try_word;
use probes::csr::{
    MARCHID, MCAUSE, MCOUNTEREN, MCYCLE, MEDELEG, MENVCFG, MEPC, MHARTID, MIDELEG, MIE, MINSTRET,
    MIP, MISA, MSCRATCH, MSTATUS, MTVAL, MTVEC, MVENDORID, PMPADDR0, PMPCFG0, SATP, SCAUSE,
    SCOUNTEREN, SENVCFG, SEPC, SIE, SIP, SSCRATCH, SSTATUS, STVAL, STVEC,
};
use probes::{Mode, Probe, insn};

probes::probe!(main);

const MACHINE: &[u16] = &[
    MVENDORID, MARCHID, MHARTID, MSTATUS, MISA, MEDELEG, MIDELEG, MIE, MTVEC, MCOUNTEREN, MENVCFG,
    MSCRATCH, MEPC, MCAUSE, MTVAL, MIP, PMPCFG0, PMPADDR0, MCYCLE, MINSTRET,
];

const SUPERVISOR: &[u16] =
    &[SSTATUS, SIE, STVEC, SCOUNTEREN, SENVCFG, SSCRATCH, SEPC, SCAUSE, STVAL, SIP, SATP];

fn main(p: &mut Probe) {
    for number in MACHINE {
        refused(p, Mode::S, *number);
        refused(p, Mode::U, *number);
    }
    for number in SUPERVISOR {
        refused(p, Mode::U, *number);
        let read = try_word(Mode::S, insn::csrrs(10, *number, 0), &[]);
        p.is(format_args!("S reads {number:#05x}"), read.runs(), "runs");
    }
}

/// Reading, writing and not even changing: all are refused, with the
/// instruction in `mtval`.
fn refused(p: &mut Probe, mode: Mode, number: u16) {
    let forms = [
        ("csrr", insn::csrrs(10, number, 0)),
        ("csrw", insn::csrrw(0, number, 10)),
        ("csrsi 0", insn::csrrsi(0, number, 0)),
    ];
    for (name, word) in forms {
        let outcome = try_word(mode, word, &[0]);
        let check = format_args!("{} {name} {number:#05x}", mode.letter());
        p.illegal(check, outcome, word);
    }
}
