//! The system reset extension powers off.
#![no_std]
#![no_main]

use probes::Probe;
use probes::sbi::{self, INVALID_PARAM, SRST};

probes::probe!(main);

fn main(p: &mut Probe) {
    p.is("reserved type", sbi::call3(SRST, 0, 7, 0, 0).error, INVALID_PARAM);
    p.show("shutdown", "now");
    let _ = sbi::call3(SRST, 0, 0, 0, 0);
    p.holds("unreachable", false);
}
