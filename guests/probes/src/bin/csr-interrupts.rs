//! `mie`, `mip` and what delegation lets S-mode see of them.
#![no_std]
#![no_main]

use probes::access::try_word;
use probes::csr::{self, MENVCFG, MIDELEG, MIE, MIP, MSTATUS, SEI, SIE, SIP, SSI, STCE, STI};
use probes::{Mode, Probe, insn};

probes::probe!(main);

/// The six interrupts of the base architecture.
const ALL: u64 = 0xaaa;

fn main(p: &mut Probe) {
    csr::write::<MSTATUS>(0);
    p.hex("mie all", csr::keep::<MIE>(ALL) & ALL, ALL);
    p.hex("mie none", csr::keep::<MIE>(0) & ALL, 0);
    // With Sstc on, STIP belongs to the comparator.
    csr::clear::<MENVCFG>(STCE);
    csr::write::<MIDELEG>(0);
    p.hex("mip all", csr::keep::<MIP>(ALL) & ALL & !0x80, SSI | STI | SEI);
    p.hex("mip none", csr::keep::<MIP>(0) & ALL & !0x80, 0);
    hidden(p);
    delegated(p);
    from_s(p);
}

/// Without delegation `sie` and `sip` are empty and unwritable.
fn hidden(p: &mut Probe) {
    csr::write::<MIE>(ALL);
    csr::write::<MIP>(SSI | STI | SEI);
    p.hex("sie undelegated", csr::read::<SIE>(), 0);
    p.hex("sip undelegated", csr::read::<SIP>(), 0);
    csr::write::<SIE>(0);
    csr::write::<SIP>(0);
    p.hex("mie after sie = 0 undelegated", csr::read::<MIE>() & ALL, ALL);
    p.hex("mip after sip = 0 undelegated", csr::read::<MIP>() & ALL & !0x80, SSI | STI | SEI);
}

/// With delegation S controls its `sie` bits and SSIP.
fn delegated(p: &mut Probe) {
    for bits in [SSI, STI, SEI, SSI | STI | SEI] {
        csr::write::<MIDELEG>(bits);
        csr::write::<MIE>(ALL);
        csr::write::<MIP>(SSI | STI | SEI);
        p.hex(format_args!("sie delegated {bits:#x}"), csr::read::<SIE>(), bits);
        p.hex(format_args!("sip delegated {bits:#x}"), csr::read::<SIP>(), bits);
        csr::write::<SIE>(0);
        csr::write::<SIP>(0);
        let mie = csr::read::<MIE>() & ALL;
        p.hex(format_args!("mie after sie = 0, delegated {bits:#x}"), mie, ALL & !bits);
        let mip = csr::read::<MIP>() & 0x222;
        p.hex(format_args!("mip after sip = 0, delegated {bits:#x}"), mip, 0x222 & !(bits & SSI));
    }
}

/// The same instructions executed by S-mode.
fn from_s(p: &mut Probe) {
    csr::write::<MIDELEG>(0x222);
    csr::write::<MIE>(0);
    csr::write::<MIP>(0);
    let _ = try_word(Mode::S, insn::csrrw(0, SIE, 10), &[u64::MAX]);
    p.hex("mie after S writes sie = ones", csr::read::<MIE>() & ALL, 0x222);
    csr::write::<MIE>(0);
    let _ = try_word(Mode::S, insn::csrrw(0, SIP, 10), &[u64::MAX]);
    p.hex("mip after S writes sip = ones", csr::read::<MIP>() & 0x222, SSI);
    p.is("S reads sip", try_word(Mode::S, insn::csrrs(10, SIP, 0), &[]), "0x2");
    let _ = try_word(Mode::S, insn::csrrci(0, SIP, 2), &[]);
    p.hex("mip after S clears SSIP", csr::read::<MIP>() & 0x222, 0);
    csr::write::<MIDELEG>(0);
}
