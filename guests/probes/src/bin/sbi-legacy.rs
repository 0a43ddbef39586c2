//! The legacy console, interrupt and fence calls.
#![no_std]
#![no_main]

use probes::Probe;
use probes::csr::{self, SIP, SSI};
use probes::sbi;

probes::probe!(main);

fn main(p: &mut Probe) {
    for byte in b"sbi-legacy: putchar = works\r\n" {
        let _ = sbi::call3(1, 0, (*byte).into(), 0, 0);
    }
    p.is("getchar without input", sbi::call3(2, 0, 0, 0, 0).error, -1);
    // The mask is in memory.
    let mask: u64 = 1 << p.hart;
    p.is("send an interrupt", sbi::call3(4, 0, &raw const mask as u64, 0, 0).error, 0);
    while csr::read::<SIP>() & SSI == 0 {}
    csr::clear::<SIP>(SSI);
    for call in [5, 6, 7] {
        p.is(
            format_args!("fence, call {call}"),
            sbi::call3(call, 0, &raw const mask as u64, 0, 0).error,
            0,
        );
    }
    p.show("shutdown", "now");
    let _ = sbi::call3(8, 0, 0, 0, 0);
    p.holds("unreachable", false);
}
