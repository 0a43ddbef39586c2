//! Hostile: eight harts, more than there are, of which seven interrupt each
//! other, and change everyone's timers, without a pause.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicBool, Ordering};

use probes::csr::{self, MIE, MSI, MTI};
use probes::dev::clint::{self, CLINT, MTIME, TICKS_PER_MS};
use probes::rng::Rng;
use probes::{Probe, smp};

probes::probe!(main);

const HARTS: u64 = 8;

static OVER: AtomicBool = AtomicBool::new(false);

fn main(p: &mut Probe) {
    for hart in 1..HARTS {
        smp::start(hart, flood);
    }
    clint::delay_ms(3000);
    OVER.store(true, Ordering::Release);
    for hart in 1..HARTS {
        smp::join(hart, 1);
    }
    p.show("harts", HARTS);
}

fn flood(hart: u64) {
    let mut rng = Rng::new(hart);
    csr::write::<MIE>(MSI | MTI);
    while !OVER.load(Ordering::Acquire) {
        let other = 1 + rng.below(HARTS - 1);
        match rng.below(8) {
            0 => clint::set_mtimecmp(other, clint::mtime() + rng.below(TICKS_PER_MS)),
            1 => CLINT.write(MTIME, clint::mtime() + rng.below(3)),
            2 => clint::set_msip(hart, 0),
            3 => csr::wfi(),
            _ => clint::set_msip(other, 1),
        }
        // Some are left to wait for the others.
        clint::set_mtimecmp(hart, clint::mtime() + TICKS_PER_MS);
    }
    csr::write::<MIE>(0);
    clint::set_mtimecmp(hart, u64::MAX);
}
