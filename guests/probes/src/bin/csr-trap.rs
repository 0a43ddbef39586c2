//! Trap vectors, exception program counters, causes and trap values.
#![no_std]
#![no_main]

use probes::Probe;
use probes::csr::{self, MCAUSE, MEPC, MTVAL, MTVEC, SCAUSE, SEPC, STVAL, STVEC};
use probes::report::Hex;

probes::probe!(main);

fn main(p: &mut Probe) {
    vectors(p);
    counters(p);
    causes(p);
    values(p);
}

/// Mode 2 and 3 are reserved; what such a write leaves is up to the machine.
fn vectors(p: &mut Probe) {
    let ours = csr::read::<MTVEC>();
    for value in [0x8000_1000_u64, 0x8000_1001, 0x8000_1002, 0x8000_1003, 0x8000_1234, 0, 1 << 63] {
        p.show(format_args!("mtvec {value:#x}"), Hex(csr::keep::<MTVEC>(value)));
    }
    csr::write::<MTVEC>(ours);
    for value in [0x8000_1000_u64, 0x8000_1001, 0x8000_1002, 0x8000_1003, 0x8000_1234, 0, 1 << 63] {
        p.show(format_args!("stvec {value:#x}"), Hex(csr::keep::<STVEC>(value)));
    }
}

/// Bit 0 is not looked at: some machines keep it against the specification.
fn counters(p: &mut Probe) {
    for value in [0_u64, 0x8000_0002, 0x8000_0004, 0x3f_ffff_fffe, 0xffff_ffc0_0000_0000, !1] {
        p.hex(format_args!("mepc {value:#x}"), csr::keep::<MEPC>(value), value);
        p.hex(format_args!("sepc {value:#x}"), csr::keep::<SEPC>(value), value);
    }
}

fn causes(p: &mut Probe) {
    for value in [0_u64, 2, 3, 5, 8, 9, 11, 12, 13, 15, 1 << 63 | 1, 1 << 63 | 5, 1 << 63 | 9] {
        p.hex(format_args!("mcause {value:#x}"), csr::keep::<MCAUSE>(value), value);
        p.hex(format_args!("scause {value:#x}"), csr::keep::<SCAUSE>(value), value);
    }
}

fn values(p: &mut Probe) {
    for value in [0, 1, 0x3f_ffff_ffff, 0x40_0000_0000, 0xffff_ffff_ffff_f001, u64::MAX] {
        p.hex(format_args!("mtval {value:#x}"), csr::keep::<MTVAL>(value), value);
        p.hex(format_args!("stval {value:#x}"), csr::keep::<STVAL>(value), value);
    }
}
