//! Fields of `mstatus` and their view in `sstatus`.
#![no_std]
#![no_main]

use probes::csr::{self, FS, MPP, MSTATUS, SD, SSTATUS};
use probes::report::Hex;
use probes::{Mode, Probe, access, insn};

probes::probe!(main);

/// One-bit fields that software may set and clear.
const BITS: &[(&str, u32)] = &[
    ("SIE", 1),
    ("MIE", 3),
    ("SPIE", 5),
    ("MPIE", 7),
    ("SPP", 8),
    ("MPRV", 17),
    ("SUM", 18),
    ("MXR", 19),
    ("TVM", 20),
    ("TW", 21),
    ("TSR", 22),
];

/// Fields that exist in `sstatus`: SIE SPIE UBE SPP FS XS SUM MXR UXL SD. VS
/// is left out, since the vector extension may be there or not.
const VISIBLE: u64 = SD | 3 << 32 | 0xd_e162;
/// Read-only fields: UBE, SBE, MBE, XS, and WPRI bits 0, 2, 4.
const ZERO: u64 = 1 << 6 | 3 << 36 | 3 << 15 | 0x15;
/// UXL and SXL, both "64 bits".
const XL: u64 = 0xa_0000_0000;

fn main(p: &mut Probe) {
    // MPP stays M all the time, so that MPRV has no effect.
    csr::write::<MSTATUS>(MPP | XL);
    for (name, bit) in BITS {
        csr::set::<MSTATUS>(1 << bit);
        let set = csr::read::<MSTATUS>() >> bit & 1;
        csr::clear::<MSTATUS>(1 << bit);
        let cleared = csr::read::<MSTATUS>() >> bit & 1;
        p.is(name, format_args!("set {set}, cleared {cleared}"), "set 1, cleared 0");
    }
    mpp(p);
    floating(p);
    p.hex("read-only fields", csr::keep::<MSTATUS>(MPP | XL | ZERO) & ZERO, 0);
    p.hex("UXL and SXL", csr::read::<MSTATUS>() >> 32 & 15, 10);
    sstatus(p);
    csr::write::<MSTATUS>(XL);
}

fn mpp(p: &mut Probe) {
    for mode in [Mode::U, Mode::S, Mode::M] {
        let bits = (mode as u64) << csr::MPP_SHIFT;
        let kept = csr::keep::<MSTATUS>(XL | bits) & MPP;
        p.hex(format_args!("MPP {}", mode.letter()), kept, bits);
    }
}

fn floating(p: &mut Probe) {
    for fs in 0..4 {
        let kept = csr::keep::<MSTATUS>(MPP | XL | fs << 13);
        p.hex(format_args!("FS {fs}"), kept & FS, fs << 13);
        p.hex(format_args!("SD with FS {fs}"), kept & SD, if fs == 3 { SD } else { 0 });
    }
    p.hex("SD is read-only", csr::keep::<MSTATUS>(MPP | XL | SD) & SD, 0);
}

/// `sstatus` shows and changes a part of `mstatus`.
fn sstatus(p: &mut Probe) {
    csr::write::<MSTATUS>(MPP | XL);
    p.hex("sstatus after nothing", csr::read::<SSTATUS>() & !(3 << 9), 2 << 32);
    csr::write::<SSTATUS>(!(1 << 32));
    p.show("mstatus after sstatus = ones", Hex(csr::read::<MSTATUS>() & !(3 << 9)));
    p.show("sstatus after sstatus = ones", Hex(csr::read::<SSTATUS>() & VISIBLE));
    csr::write::<MSTATUS>(MPP | XL | 0x7e_00aa);
    csr::write::<SSTATUS>(2 << 32);
    p.hex("mstatus after sstatus = 0", csr::read::<MSTATUS>(), MPP | XL | 0x72_0088);
    csr::write::<MSTATUS>(XL);
    from_s(p);
}

/// The same from S-mode itself.
fn from_s(p: &mut Probe) {
    for (bit, name) in
        [(1_u64, "SIE"), (5, "SPIE"), (8, "SPP"), (18, "SUM"), (19, "MXR"), (3, "MIE")]
    {
        let _ = access::try_word(Mode::S, insn::csrrs(0, SSTATUS, 10), &[1 << bit]);
        let seen = csr::clear::<MSTATUS>(1 << bit) >> bit & 1;
        p.number(format_args!("S sets {name}"), seen, u64::from(name != "MIE"));
    }
}
