//! The finisher ends the machine with a failure code.
#![no_std]
#![no_main]

use probes::Probe;
use probes::dev::finisher;

probes::probe!(main);

fn main(p: &mut Probe) {
    p.show("fail with code", 7);
    finisher::fail(7)
}
