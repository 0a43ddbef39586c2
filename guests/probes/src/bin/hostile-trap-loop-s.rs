//! Hostile: the same in S-mode, under translation, with everything delegated
//! and `stvec` in a page that is not there.
#![no_std]
#![no_main]

use probes::csr::{self, MEDELEG, MIDELEG};
use probes::paging::Space;
use probes::{Context, Mode, Probe, access};

probes::probe!(main);

fn main(p: &mut Probe) {
    Space::new().switch();
    csr::write::<MEDELEG>(0xb3ff);
    csr::write::<MIDELEG>(0x222);
    p.show("last words", "stvec not mapped");
    let mut context = Context::new(&[]);
    context.stvec = Some(0x4000_0000);
    let _ = context.run(Mode::U, access::nothing);
    p.holds("unreachable", false);
}
