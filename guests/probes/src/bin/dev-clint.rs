//! The registers of the CLINT, with 4- and 8-byte accesses.
#![no_std]
#![no_main]

use probes::access::{self, Access, try_access};
use probes::csr::{self, MIP};
use probes::dev::clint::{self, CLINT, MSIP, MTIME, MTIMECMP};
use probes::report::Hex;
use probes::{Mode, Probe};

probes::probe!(main);

fn main(p: &mut Probe) {
    compare(p);
    software(p);
    time(p);
    widths(p);
    modes(p);
    clint::set_mtimecmp(0, u64::MAX);
}

/// `mtimecmp` as a whole and in halves.
fn compare(p: &mut Probe) {
    clint::set_mtimecmp(0, 0x7fff_0123_8765_4321);
    p.hex("mtimecmp", CLINT.read(MTIMECMP), 0x7fff_0123_8765_4321);
    p.hex("mtimecmp low", CLINT.read::<u32>(MTIMECMP).into(), 0x8765_4321);
    p.hex("mtimecmp high", CLINT.read::<u32>(MTIMECMP + 4).into(), 0x7fff_0123);
    CLINT.write(MTIMECMP, 0x1111_2222_u32);
    p.hex("after writing low", CLINT.read(MTIMECMP), 0x7fff_0123_1111_2222);
    CLINT.write(MTIMECMP + 4, 0x3333_4444_u32);
    p.hex("after writing high", CLINT.read(MTIMECMP), 0x3333_4444_1111_2222);
    CLINT.write(MTIMECMP + 4, 0_u32);
    CLINT.write(MTIMECMP, 0_u32);
    p.number("MTIP after zero in halves", csr::read::<MIP>() >> 7 & 1, 1);
    CLINT.write(MTIMECMP + 4, u32::MAX);
    p.number("MTIP after the high half is ones", csr::read::<MIP>() >> 7 & 1, 0);
}

/// One bit of `msip` counts.
fn software(p: &mut Probe) {
    for value in [1_u32, 0, 3, 2, u32::MAX, 0] {
        CLINT.write(MSIP, value);
        let check = format_args!("msip after {value:#x}");
        p.show(
            check,
            format_args!("{:#x}, MSIP {}", CLINT.read::<u32>(MSIP), csr::read::<MIP>() >> 3 & 1),
        );
    }
}

/// `mtime` in halves agrees with the whole.
fn time(p: &mut Probe) {
    let before = clint::mtime();
    let (low, high) = (CLINT.read::<u32>(MTIME), CLINT.read::<u32>(MTIME + 4));
    let after = clint::mtime();
    let halves = u64::from(high) << 32 | u64::from(low);
    p.holds("halves of mtime", before <= halves && halves <= after);
}

/// Loads and stores of each width, naturally aligned.
fn widths(p: &mut Probe) {
    for at in [MTIMECMP, MTIMECMP + 4, MTIMECMP + 2] {
        let fits = |access: &&Access| at % access.width() == 0;
        for access in access::LOADS.iter().filter(fits) {
            clint::set_mtimecmp(0, 0x7fff_0123_8765_4321);
            let outcome = try_access(Mode::M, access.code, CLINT.address(at), 0);
            p.show(format_args!("{} at mtimecmp+{}", access.name, at - MTIMECMP), outcome);
        }
        for access in access::STORES.iter().filter(fits) {
            clint::set_mtimecmp(0, 0x7fff_0123_8765_4321);
            let outcome =
                try_access(Mode::M, access.code, CLINT.address(at), 0x7eee_dddd_cccc_bbbb);
            let check = format_args!("{} at mtimecmp+{}", access.name, at - MTIMECMP);
            p.show(check, format_args!("{}, {:#x}", outcome.runs(), CLINT.read::<u64>(MTIMECMP)));
        }
    }
    for access in access::LOADS {
        let outcome = try_access(Mode::M, access.code, CLINT.address(MSIP), 0);
        p.show(format_args!("{} of msip", access.name), outcome);
    }
    p.show("far msip", Hex(CLINT.read::<u32>(MSIP + 0x3ff0).into()));
}

/// S and U reach it too, where PMP lets them.
fn modes(p: &mut Probe) {
    clint::set_mtimecmp(0, u64::MAX - 5);
    for mode in [Mode::U, Mode::S, Mode::M] {
        let outcome = access::load(mode, CLINT.address(MTIMECMP));
        p.is(format_args!("{} loads mtimecmp", mode.letter()), outcome, "0xfffffffffffffffa");
    }
}
