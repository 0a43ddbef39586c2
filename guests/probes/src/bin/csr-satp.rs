//! `satp`: modes, ASID and PPN that are kept, modes that are refused.
#![no_std]
#![no_main]

use probes::access::try_word;
use probes::csr::{self, SATP};
use probes::report::Hex;
use probes::{Mode, Probe, insn};

probes::probe!(main);

/// The PPN field.
const PPN: u64 = (1 << 44) - 1;
/// Sv39, ASID 0x1234, PPN 0x80001.
const SV39: u64 = 8 << 60 | 0x1234 << 44 | 0x8_0001;

fn main(p: &mut Probe) {
    p.hex("bare", csr::keep::<SATP>(0), 0);
    p.hex("sv39", csr::keep::<SATP>(8 << 60 | 0x8_0001), 8 << 60 | 0x8_0001);
    p.show("sv39 with ASID", Hex(csr::keep::<SATP>(SV39)));
    p.show("ASID bits", Hex(csr::keep::<SATP>(8 << 60 | 0xffff << 44) >> 44 & 0xffff));
    p.show("PPN bits", Hex(csr::keep::<SATP>(8 << 60 | PPN) & PPN));
    // Sv48 and Sv57 (modes 9, 10) may exist or not; these do not.
    for mode in [1_u64, 2, 3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        csr::write::<SATP>(SV39);
        let kept = csr::keep::<SATP>(mode << 60 | 0x8_0002);
        p.hex(format_args!("mode {mode} leaves"), kept, SV39);
    }
    csr::write::<SATP>(0);
    p.hex("mode 1 over bare leaves", csr::keep::<SATP>(1 << 60 | 1), 0);
    from_s(p);
}

fn from_s(p: &mut Probe) {
    // Setting and clearing ASID bits under Bare has no effect on S itself.
    p.is("S reads satp", try_word(Mode::S, insn::csrrs(10, SATP, 0), &[]), "0x0");
    p.is(
        "U reads satp",
        try_word(Mode::U, insn::csrrs(10, SATP, 0), &[]),
        "illegal-instruction to M, tval 0x18002573",
    );
    p.is(
        "U writes satp",
        try_word(Mode::U, insn::csrrw(0, SATP, 10), &[0]),
        "illegal-instruction to M, tval 0x18051073",
    );
    csr::write::<SATP>(0);
}
