//! What the specification demands where QEMU 7.2 is known to do otherwise:
//! a guest must see the specification, so there is no native run to compare.
#![no_std]
#![no_main]

use probes::access::{self, try_word};
use probes::csr::{self, MEPC, MHARTID, MPP, MPRV, MSTATUS, PMPADDR0, PMPADDR3, PMPCFG0, SEPC};
use probes::{Context, Mode, Probe, insn, snippet};

probes::probe!(main);

/// No device and no RAM is here.
const NOTHING: u64 = 0x1800_0000;

snippet! {
    /// In M: returns with `mret` to a `mstatus` given in a0; a1 = landing.
    fn do_mret { "csrw mstatus, a0", "csrw mepc, a1", "mret" }
}

snippet! {
    /// In M: returns with `sret` to a `mstatus` given in a0; a1 = landing.
    fn do_sret { "csrw mstatus, a0", "csrw sepc, a1", "sret" }
}

fn main(p: &mut Probe) {
    mprv(p);
    counters(p);
    amo(p);
    mpp(p);
    read_only(p);
    pmp(p);
}

/// Privileged ISA 1.12, 3.1.6.3: xRET to a mode below M clears MPRV.
fn mprv(p: &mut Probe) {
    for (mode, kept) in [(Mode::U, 0), (Mode::S, 0), (Mode::M, 1)] {
        let before = (mode as u64) << csr::MPP_SHIFT | MPRV;
        let trap =
            Context::new(&[before, access::nothing as *const () as u64]).run(Mode::M, do_mret);
        p.number(
            format_args!("mret to {} leaves MPRV", mode.letter()),
            trap.status >> 17 & 1,
            kept,
        );
        csr::clear::<MSTATUS>(MPRV);
    }
    let before = MPP | MPRV;
    let trap = Context::new(&[before, access::nothing as *const () as u64]).run(Mode::M, do_sret);
    p.number("sret leaves MPRV", trap.status >> 17 & 1, 0);
    csr::clear::<MSTATUS>(MPRV);
}

/// 3.1.14: the low bit of an exception program counter is always zero.
fn counters(p: &mut Probe) {
    p.hex("mepc bit 0", csr::keep::<MEPC>(0x8000_0001), 0x8000_0000);
    p.hex("sepc bit 0", csr::keep::<SEPC>(0x8000_0001), 0x8000_0000);
}

/// 3.1.15, table of causes: 7 is "Store/AMO access fault".
fn amo(p: &mut Probe) {
    for mode in [Mode::U, Mode::S, Mode::M] {
        for access in access::AMOS {
            let outcome = access::try_access(mode, access.code, NOTHING, 1);
            let check = format_args!("{} in {}", access.name, mode.letter());
            p.is(check, outcome, "store-access-fault to M, tval 0x18000000");
        }
    }
}

/// MPP is WARL: mode 2 does not exist.
fn mpp(p: &mut Probe) {
    csr::write::<MSTATUS>(MPP);
    let kept = csr::keep::<MSTATUS>(2 << csr::MPP_SHIFT) & MPP;
    p.holds("MPP does not become 2", kept != 2 << csr::MPP_SHIFT);
}

/// Zicsr: rs1 other than x0 means a write, even if it holds zero.
fn read_only(p: &mut Probe) {
    let word = insn::csrrs(11, MHARTID, 10);
    p.illegal("csrrs a1, mhartid, a0 with a0 = 0", try_word(Mode::M, word, &[0]), word);
}

/// 3.7.1: `pmpaddr` has 54 bits; without a matching entry an access of S or U
/// fails, but the `mret` that leads there does not.
fn pmp(p: &mut Probe) {
    p.hex("pmpaddr3 above bit 53", csr::keep::<PMPADDR3>(u64::MAX) >> 54, 0);
    csr::write::<PMPADDR3>(0);
    csr::write::<PMPCFG0>(0);
    csr::sfence_vma();
    for mode in [Mode::U, Mode::S] {
        let trap = Context::new(&[]).run(mode, access::nothing);
        let check = format_args!("{} without PMP entries", mode.letter());
        p.is(check, trap.brief(), "instruction-access-fault to M");
        p.is(check, trap.from().letter(), mode.letter());
    }
    csr::write::<PMPADDR0>(u64::MAX >> 10);
    csr::write::<PMPCFG0>(0x1f);
}
