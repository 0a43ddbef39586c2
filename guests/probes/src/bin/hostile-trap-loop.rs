//! Hostile: traps without a handler. `mtvec` points to nothing, so that each
//! trap makes the next; it never ends.
#![no_std]
#![no_main]

use probes::Probe;
use probes::csr::{self, MTVEC};

probes::probe!(main);

fn main(p: &mut Probe) {
    p.show("last words", "mtvec = 0");
    csr::write::<MTVEC>(0);
    // Does not exist: the trap goes to address 0, where nothing can be fetched.
    let _ = csr::read::<0x5c0>();
    p.holds("unreachable", false);
}
