//! Harts above a firmware: states, starting, stopping, interrupts and fences
//! between them.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU64, Ordering};

use probes::boot::MAX_HARTS;
use probes::csr::{self, SATP, SIE, SIE_BIT, SIP, SSI, SSTATUS};
use probes::sbi::{self, ALREADY_AVAILABLE, INVALID_PARAM, IPI, RFENCE};
use probes::{Context, Mode, Probe, access};

probes::probe!(main);

const HARTS: u64 = 4;

/// What each hart saw when it started, and when it was interrupted.
static STATE: [AtomicU64; MAX_HARTS] = [const { AtomicU64::new(0) }; MAX_HARTS];

fn index(hart: u64) -> usize {
    usize::try_from(hart).unwrap_or(0)
}

fn main(p: &mut Probe) {
    let boot = p.hart;
    p.number("boot hart is started", sbi::hart_status(boot).value, 0);
    let others = || (0..HARTS).filter(move |hart| *hart != boot);
    for hart in others() {
        p.is("another is stopped", sbi::hart_status(hart), "error 0, value 0x1");
    }
    refused(p, boot);
    for hart in others() {
        p.number("start", sbi::start_hart(hart, run).error.unsigned_abs(), 0);
        wait_state(hart, 1);
        p.is("it is started", sbi::hart_status(hart), "error 0, value 0x0");
    }
    fences(p);
    own(p, boot);
    // All others at once, by a mask.
    let mask = others().fold(0, |mask, hart| mask | 1 << hart);
    p.is("interrupt by mask", sbi::call3(IPI, 0, mask, 0, 0), "error 0, value 0x0");
    for hart in others() {
        wait_state(hart, 2);
    }
    for hart in others() {
        while sbi::hart_status(hart).value != 1 {}
    }
    p.show("all have stopped", "again");
    for hart in others() {
        p.number("start again", sbi::start_hart(hart, run).error.unsigned_abs(), 0);
        wait_state(hart, 1);
    }
    p.is("interrupt all", sbi::call3(IPI, 0, 0, u64::MAX, 0).error, 0);
    for hart in others() {
        wait_state(hart, 2);
    }
    p.show("all were interrupted", "yes");
}

fn wait_state(hart: u64, state: u64) {
    while STATE[index(hart)].load(Ordering::Acquire) != state {
        core::hint::spin_loop();
    }
}

/// What a hart that was started does: waits for an interrupt, and stops.
fn run(hart: u64) {
    let right = csr::read::<SATP>() == 0 && csr::read::<SSTATUS>() & SIE_BIT == 0;
    csr::write::<SIE>(SSI);
    STATE[index(hart)].store(if right { 1 } else { 99 }, Ordering::Release);
    while csr::read::<SIP>() & SSI == 0 {
        csr::wfi();
    }
    csr::clear::<SIP>(SSI);
    STATE[index(hart)].store(2, Ordering::Release);
}

fn refused(p: &mut Probe, boot: u64) {
    p.is("start the boot hart", sbi::start_hart(boot, run).error, ALREADY_AVAILABLE);
    p.is("start a hart that is not there", sbi::start_hart(4000, run).error, INVALID_PARAM);
    p.is("state of a hart that is not there", sbi::hart_status(4000).error, INVALID_PARAM);
}

/// A hart may interrupt itself.
fn own(p: &mut Probe, boot: u64) {
    p.is("interrupt myself", sbi::call3(IPI, 0, 1, boot, 0).error, 0);
    while csr::read::<SIP>() & SSI == 0 {}
    csr::write::<SIE>(SSI);
    let trap = Context::new(&[]).run(Mode::U, access::nothing);
    p.is("taken", trap.brief(), "S-software to S");
    csr::write::<SIE>(0);
    csr::clear::<SIP>(SSI);
    p.hex("cleared", csr::read::<SIP>() & SSI, 0);
}

/// `fence.i`, `sfence.vma` with and without ASID, of a page and of all.
fn fences(p: &mut Probe) {
    for (function, start, size, asid) in [
        (0, 0, 0, 0),
        (1, 0, 0, 0),
        (1, 0, u64::MAX, 0),
        (1, 0x8000_0000, 4096, 0),
        (2, 0x8000_0000, 4096, 5),
        (2, 0, u64::MAX, 5),
    ] {
        for (mask, base) in [(0xf, 0), (1, 2), (0, u64::MAX)] {
            let error = sbi::call(RFENCE, function, [mask, base, start, size, asid, 0]).error;
            p.is(
                format_args!("fence {function} of {mask:#x} from {}", base.cast_signed()),
                error,
                0,
            );
        }
    }
}
