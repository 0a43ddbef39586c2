//! Hostile: a clock that is set back and forth, and timers that follow each
//! other a tick apart: whoever shares the hart must get its turn.
#![no_std]
#![no_main]

use probes::Probe;
use probes::csr::{self, MIE, MIP, MTI};
use probes::dev::clint::{self, CLINT, MTIME, TICKS_PER_MS};

probes::probe!(main);

fn main(p: &mut Probe) {
    csr::write::<MIE>(MTI);
    // Not so near to the end that it comes round before the timer is seen.
    for start in [0, 1, u64::MAX - 60_000 * TICKS_PER_MS, 1 << 63, 5000 * TICKS_PER_MS] {
        CLINT.write(MTIME, start);
        clint::set_mtimecmp(0, start.saturating_add(2 * TICKS_PER_MS));
        csr::wfi();
        p.hex("timer is due", csr::read::<MIP>() & MTI, MTI);
    }
    let end = clint::mtime() + 3000 * TICKS_PER_MS;
    let mut turns = 0_u64;
    while clint::mtime() < end {
        clint::set_mtimecmp(0, clint::mtime() + 1 + turns % 3);
        csr::wfi();
        turns += 1;
    }
    p.holds("timers went off", turns > 100);
    clint::set_mtimecmp(0, u64::MAX);
    csr::write::<MIE>(0);
}
