//! `misa`: the extensions that both machines have, and that it is fixed.
#![no_std]
#![no_main]

use probes::Probe;
use probes::csr::{self, MISA};

probes::probe!(main);

fn main(p: &mut Probe) {
    let misa = csr::read::<MISA>();
    p.number("MXL", misa >> 62, 2);
    for letter in "ACDFIMSU".chars() {
        let bit = u32::from(letter) - u32::from('A');
        p.number(letter, misa >> bit & 1, 1);
    }
    p.number("H", misa >> 7 & 1, 0);
    csr::write::<MISA>(0);
    p.holds("writing 0 changes nothing", csr::read::<MISA>() == misa);
}
