//! Hostile: rubbish in the PMP registers, with S and U trying what they allow.
#![no_std]
#![no_main]

use probes::access::{load, nothing, store};
use probes::csr::{
    self, PMPADDR0, PMPADDR1, PMPADDR2, PMPADDR3, PMPADDR4, PMPADDR5, PMPADDR15, PMPCFG0, PMPCFG2,
};
use probes::paging::{self, Frame, KERNEL, Space};
use probes::rng::Rng;
use probes::{Context, Mode, Probe};

probes::probe!(main);

/// The lock bit of eight configurations: it would bind M-mode, and so us.
const LOCKS: u64 = 0x8080_8080_8080_8080;

fn main(p: &mut Probe) {
    let mut rng = Rng::new(0xfeed_f00d);
    let frame = Frame::new();
    let space = Space::new();
    space.map(0x4000_0000, frame.pa(), KERNEL, 0);
    let mut ran = 0_u64;
    for round in 0..1500 {
        rubbish(&mut rng);
        if round & 1 == 0 {
            space.switch();
        } else {
            paging::bare();
        }
        for mode in [Mode::S, Mode::U] {
            ran += u64::from(Context::new(&[]).run(mode, nothing).is_ecall());
            let _ = load(mode, frame.pa() + rng.below(512) * 8);
            let _ = store(mode, 0x4000_0000 + rng.below(512) * 8, 0);
            let _ = load(mode, rng.draw() >> rng.below(64));
        }
    }
    paging::bare();
    p.show("rounds", 1500);
    p.holds("M-mode is not bound", ran < 3001);
    locked(p);
}

fn rubbish(rng: &mut Rng) {
    csr::write::<PMPADDR0>(rng.draw() >> rng.below(64));
    csr::write::<PMPADDR1>(rng.draw() >> rng.below(64));
    csr::write::<PMPADDR2>(0x2000_0000 + rng.below(1 << 22));
    csr::write::<PMPADDR3>(0x2000_0000 + rng.below(1 << 22));
    csr::write::<PMPADDR4>(u64::MAX);
    csr::write::<PMPADDR5>(rng.draw());
    csr::write::<PMPADDR15>(rng.draw() >> rng.below(64));
    csr::write::<PMPCFG0>(rng.draw() & !LOCKS);
    csr::write::<PMPCFG2>(rng.draw() & !LOCKS);
    csr::sfence_vma();
}

/// Locks all entries over ranges that the probe does not need, then writes
/// rubbish over them.
fn locked(p: &mut Probe) {
    csr::write::<PMPCFG0>(0);
    csr::write::<PMPCFG2>(0);
    for _ in 0..2 {
        csr::write::<PMPADDR0>(0x1000);
        csr::write::<PMPADDR1>(0x1000);
        csr::write::<PMPADDR2>(0x1000);
        csr::write::<PMPADDR3>(0x1000);
        csr::write::<PMPCFG0>(0x8888_8888);
    }
    let mut rng = Rng::new(1);
    for _ in 0..200 {
        csr::write::<PMPADDR0>(rng.draw());
        csr::write::<PMPADDR3>(rng.draw());
        csr::write::<PMPCFG0>(rng.draw() & !LOCKS);
    }
    p.hex("locked entries", csr::read::<PMPCFG0>() & 0xffff_ffff, 0x8888_8888);
}
