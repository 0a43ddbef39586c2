//! CSRs that do not exist, and writes to read-only ones.
#![no_std]
#![no_main]

use probes::access::try_word;
use probes::csr::{MARCHID, MCONFIGPTR, MHARTID, MIMPID, MVENDORID};
use probes::{Mode, Probe, insn};

probes::probe!(main);

/// Not assigned, or of an extension that neither machine has: user-level
/// interrupts, hypervisor, vector, RV32 halves, AIA, state enable, custom.
const UNKNOWN: &[u16] = &[
    0x000, 0x004, 0x005, 0x008, 0x009, 0x00a, 0x00f, 0x015, 0x040, 0x041, 0x0ff, 0x102, 0x103,
    0x107, 0x145, 0x150, 0x151, 0x1ff, 0x200, 0x204, 0x205, 0x240, 0x241, 0x280, 0x2ff, 0x310,
    0x31a, 0x34a, 0x34b, 0x350, 0x351, 0x3a1, 0x3a3, 0x3ff, 0x400, 0x4ff, 0x5a0, 0x5c0, 0x600,
    0x602, 0x603, 0x605, 0x60a, 0x643, 0x680, 0x6ff, 0x7c0, 0x800, 0x8ff, 0x900, 0x9c0, 0xa00,
    0xac0, 0xb01, 0xb80, 0xbc0, 0xc20, 0xc21, 0xc22, 0xc80, 0xc81, 0xc82, 0xcc0, 0xd00, 0xda0,
    0xdc0, 0xe00, 0xe12, 0xec0, 0xf00, 0xf10, 0xf20, 0xfb0, 0xfc0, 0xfff,
];

const READ_ONLY: &[(&str, u16)] = &[
    ("mvendorid", MVENDORID),
    ("marchid", MARCHID),
    ("mimpid", MIMPID),
    ("mhartid", MHARTID),
    ("mconfigptr", MCONFIGPTR),
];

fn main(p: &mut Probe) {
    for number in UNKNOWN {
        for mode in [Mode::M, Mode::S, Mode::U] {
            let read = try_word(mode, insn::csrrs(10, *number, 0), &[]);
            let check = format_args!("{} reads {number:#05x}", mode.letter());
            p.is(check, read.brief(), "illegal-instruction to M");
        }
        let write = try_word(Mode::M, insn::csrrw(0, *number, 10), &[0]);
        p.is(format_args!("M writes {number:#05x}"), write.brief(), "illegal-instruction to M");
    }
    for (name, number) in READ_ONLY {
        let read = try_word(Mode::M, insn::csrrs(10, *number, 0), &[]);
        p.is(format_args!("read {name}"), read.runs(), "runs");
        let read = try_word(Mode::M, insn::csrrsi(10, *number, 0), &[]);
        p.is(format_args!("csrrsi 0 of {name}"), read.runs(), "runs");
        let write = try_word(Mode::M, insn::csrrw(10, *number, 10), &[0]);
        p.is(format_args!("write {name}"), write.brief(), "illegal-instruction to M");
        let write = try_word(Mode::M, insn::csrrsi(10, *number, 1), &[]);
        p.is(format_args!("csrrsi 1 of {name}"), write.brief(), "illegal-instruction to M");
    }
    p.is("mhartid", try_word(Mode::M, insn::csrrs(10, MHARTID, 0), &[]), "0x0");
}
