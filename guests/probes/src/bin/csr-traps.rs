//! `mstatus.TVM`, `TW` and `TSR`: what M-mode can take away from S-mode.
#![no_std]
#![no_main]

use probes::access::try_word;
use probes::csr::{self, MIDELEG, MIE, MIP, MSTATUS, SEPC, SSI, STVEC, TSR, TVM, TW};
use probes::{Context, Mode, Probe, access, insn};

probes::probe!(main);

/// Instruction, and the bit that makes it trap in S-mode.
const TRAPPED: &[(&str, u32, u64)] = &[
    ("csrr satp", 0x1800_2573, TVM),
    ("csrw satp, a0", 0x1805_1073, TVM),
    ("csrsi satp, 0", 0x1800_6073, TVM),
    ("sfence.vma", insn::SFENCE_VMA, TVM),
    ("sfence.vma a0", 0x1205_0073, TVM),
    ("sfence.vma x0, a1", 0x12b0_0073, TVM),
    ("wfi", insn::WFI, TW),
    ("csrr sepc", 0x1410_2573, 0),
    ("csrw stvec, a0", 0x1055_1073, 0),
];

fn main(p: &mut Probe) {
    for bits in [0, TVM, TW, TSR, TVM | TW | TSR] {
        supervisor(p, bits);
        sret(p, bits);
        user(p, bits);
    }
    csr::write::<MSTATUS>(0);
}

/// In S-mode each needs its bit to be clear. A pending interrupt that is masked
/// by `sstatus.SIE` lets `wfi` return.
fn supervisor(p: &mut Probe, bits: u64) {
    csr::write::<MIDELEG>(SSI);
    csr::write::<MIE>(SSI);
    csr::write::<MIP>(SSI);
    for (name, word, needs) in TRAPPED {
        let a0 = if name.ends_with("stvec, a0") { csr::read::<STVEC>() } else { 0 };
        csr::write::<MSTATUS>(bits);
        let outcome = try_word(Mode::S, *word, &[a0]);
        let check = format_args!("{name} in S with {}", Bits(bits));
        if bits & needs == 0 {
            p.is(check, outcome.runs(), "runs");
        } else {
            p.illegal(check, outcome, *word);
        }
    }
    csr::write::<MIP>(0);
}

/// `sret` in S-mode goes to sepc in U-mode, or traps.
fn sret(p: &mut Probe, bits: u64) {
    csr::write::<MSTATUS>(bits);
    csr::write::<SEPC>(access::nothing as *const () as u64);
    let trap = access::execute(Mode::S, &mut Context::new(&[]), insn::SRET);
    let check = format_args!("sret in S with {}", Bits(bits));
    if bits & TSR == 0 {
        p.is(check, trap, "ecall-from-U to M, tval 0x0");
    } else {
        p.illegal(check, trap, insn::SRET);
    }
}

/// U-mode may not use any of them, whatever the bits say.
fn user(p: &mut Probe, bits: u64) {
    csr::write::<MSTATUS>(bits);
    for (name, word, _) in TRAPPED {
        let outcome = try_word(Mode::U, *word, &[]);
        p.illegal(format_args!("{name} in U with {}", Bits(bits)), outcome, *word);
    }
    for (mode, name, word) in [
        (Mode::U, "sret", insn::SRET),
        (Mode::U, "mret", insn::MRET),
        (Mode::S, "mret", insn::MRET),
    ] {
        let outcome = try_word(mode, word, &[]);
        let check = format_args!("{name} in {} with {}", mode.letter(), Bits(bits));
        p.illegal(check, outcome, word);
    }
}

/// The three bits in words.
struct Bits(u64);

impl core::fmt::Display for Bits {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for (name, bit) in [("TVM", TVM), ("TW", TW), ("TSR", TSR)] {
            f.write_str(if self.0 & bit != 0 { name } else { "-" })?;
        }
        Ok(())
    }
}
