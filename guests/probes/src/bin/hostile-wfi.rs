//! Hostile: `wfi` with nothing enabled; it never ends.
#![no_std]
#![no_main]

use probes::Probe;
use probes::csr::{self, MIE};

probes::probe!(main);

fn main(p: &mut Probe) {
    p.show("last words", "wfi");
    csr::write::<MIE>(0);
    loop {
        csr::wfi();
    }
}
