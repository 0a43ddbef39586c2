//! The finisher resets the machine.
#![no_std]
#![no_main]

use probes::Probe;
use probes::dev::finisher;

probes::probe!(main);

fn main(p: &mut Probe) {
    p.show("before", "reset");
    finisher::reset()
}
