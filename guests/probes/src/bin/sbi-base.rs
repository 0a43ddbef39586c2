//! The state in which a firmware starts a kernel, and the base extension.
#![no_std]
#![no_main]

use probes::Probe;
use probes::csr::{self, SATP, SIE_BIT, SSTATUS};
use probes::sbi::{self, BASE, HSM, IPI, NOT_SUPPORTED, RFENCE, SRST, TIME};

probes::probe!(main);

/// The first word of a flattened device tree.
const FDT_MAGIC: u32 = 0xd00d_feed;

fn main(p: &mut Probe) {
    p.hex("satp", csr::read::<SATP>(), 0);
    p.hex("sstatus.SIE", csr::read::<SSTATUS>() & SIE_BIT, 0);
    p.number("a0 is a hart", p.hart, 0);
    // SAFETY: the firmware hands over the address of a device tree in RAM.
    let magic = unsafe { core::ptr::read_volatile(p.dtb as *const u32) };
    p.hex("a1 is a device tree", u32::from_be(magic).into(), FDT_MAGIC.into());
    let version = sbi::call3(BASE, 0, 0, 0, 0);
    p.holds("specification is 0.2 or later", version.error == 0 && version.value >= 2);
    for (name, function) in [("implementation id", 1), ("implementation version", 2)] {
        p.number(name, sbi::call3(BASE, function, 0, 0, 0).error.unsigned_abs(), 0);
    }
    for (name, function) in [("mvendorid", 4), ("marchid", 5), ("mimpid", 6)] {
        p.number(name, sbi::call3(BASE, function, 0, 0, 0).error.unsigned_abs(), 0);
    }
    for (name, extension) in [
        ("BASE", BASE),
        ("TIME", TIME),
        ("IPI", IPI),
        ("RFENCE", RFENCE),
        ("HSM", HSM),
        ("SRST", SRST),
    ] {
        p.holds(name, sbi::has(extension));
    }
    for extension in [0x0123_4567, 0x0900_0000_u64, 0x0a00_0000 - 1] {
        p.holds(format_args!("not {extension:#x}"), !sbi::has(extension));
    }
    unknown(p);
}

fn unknown(p: &mut Probe) {
    for (extension, function) in [
        (BASE, 7),
        (BASE, 99),
        (TIME, 1),
        (IPI, 1),
        (RFENCE, 99),
        (HSM, 99),
        (SRST, 1),
        (0x0123_4567, 0),
    ] {
        let error = sbi::call3(extension, function, 1, 2, 3).error;
        let check = format_args!("function {function} of {extension:#x}");
        p.number(check, error.unsigned_abs(), NOT_SUPPORTED.unsigned_abs());
    }
}
