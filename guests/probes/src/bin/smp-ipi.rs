//! Other harts: they start, tell who they are, get and send interrupts.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU64, Ordering};

use probes::boot::MAX_HARTS;
use probes::context::A0;
use probes::csr::{self, MHARTID, MIE, MIP, MSI, SSCRATCH};
use probes::dev::clint;
use probes::{Context, Mode, Probe, smp, snippet};

probes::probe!(main);

/// What each hart says of itself.
static SEEN: [AtomicU64; MAX_HARTS] = [const { AtomicU64::new(u64::MAX) }; MAX_HARTS];
/// Trap causes that each hart met.
static CAUSE: [AtomicU64; MAX_HARTS] = [const { AtomicU64::new(0) }; MAX_HARTS];

const HARTS: u64 = 4;

snippet! {
    /// Runs in place until an interrupt comes.
    fn forever { "1: j 1b" }
}

snippet! {
    /// In S: own registers are own.
    fn own {
        "csrw sscratch, a0",
        "li t0, 1000",
        "1: addi t0, t0, -1",
        "bnez t0, 1b",
        "csrr a0, sscratch",
    }
}

fn index(hart: u64) -> usize {
    usize::try_from(hart).unwrap_or(0)
}

fn main(p: &mut Probe) {
    p.number("boot hart", csr::read::<MHARTID>(), 0);
    for hart in 1..HARTS {
        smp::start(hart, identify);
        smp::join(hart, 1);
        p.number("hart", SEEN[index(hart)].load(Ordering::Relaxed), hart);
    }
    together(p);
    interrupts(p);
    chain(p);
}

fn identify(hart: u64) {
    let id = csr::read::<MHARTID>();
    SEEN[index(hart)].store(if id == hart { id } else { u64::MAX }, Ordering::Relaxed);
}

/// All at once; CSRs and registers do not mix.
fn together(p: &mut Probe) {
    for hart in 1..HARTS {
        smp::start(hart, own_registers);
    }
    own_registers(0);
    for hart in 1..HARTS {
        smp::join(hart, 2);
    }
    for hart in 0..HARTS {
        p.number(
            format_args!("hart {hart}: own sscratch, times"),
            SEEN[index(hart)].load(Ordering::Relaxed),
            50,
        );
    }
}

fn own_registers(hart: u64) {
    let mut right = 0;
    for round in 0..50 {
        let mut context = Context::new(&[hart << 32 | round]);
        let _ = context.run(Mode::S, own);
        let same = context.x[A0] == hart << 32 | round && csr::read::<SSCRATCH>() == context.x[A0];
        right += u64::from(same);
    }
    SEEN[index(hart)].store(right, Ordering::Relaxed);
}

/// Each runs in U-mode until the boot hart interrupts it.
fn interrupts(p: &mut Probe) {
    for hart in 1..HARTS {
        SEEN[index(hart)].store(0, Ordering::Relaxed);
        smp::start(hart, wait_in_u);
    }
    for hart in (1..HARTS).rev() {
        // It must be in U-mode, or about to be: the interrupt stays pending.
        while SEEN[index(hart)].load(Ordering::Acquire) != 1 {}
        clint::set_msip(hart, 1);
        smp::join(hart, 3);
        p.hex(
            format_args!("hart {hart}: cause"),
            CAUSE[index(hart)].load(Ordering::Relaxed),
            1 << 63 | 3,
        );
    }
}

fn wait_in_u(hart: u64) {
    csr::write::<MIE>(MSI);
    SEEN[index(hart)].store(1, Ordering::Release);
    let trap = Context::new(&[]).run(Mode::U, forever);
    clint::set_msip(hart, 0);
    csr::write::<MIE>(0);
    CAUSE[index(hart)].store(trap.cause, Ordering::Relaxed);
}

/// Hart n wakes hart n+1 out of `wfi`, the last wakes the first, many times.
fn chain(p: &mut Probe) {
    for hart in 1..HARTS {
        SEEN[index(hart)].store(0, Ordering::Relaxed);
        smp::start(hart, pass_on);
    }
    csr::write::<MIE>(MSI);
    let mut rounds = 0;
    for _ in 0..200 {
        clint::set_msip(1, 1);
        while csr::read::<MIP>() & MSI == 0 {
            csr::wfi();
        }
        clint::set_msip(0, 0);
        rounds += 1;
    }
    csr::write::<MIE>(0);
    for hart in 1..HARTS {
        smp::join(hart, 4);
        p.number(
            format_args!("hart {hart}: woken"),
            SEEN[index(hart)].load(Ordering::Relaxed),
            200,
        );
    }
    p.number("rounds", rounds, 200);
}

fn pass_on(hart: u64) {
    csr::write::<MIE>(MSI);
    for _ in 0..200 {
        while csr::read::<MIP>() & MSI == 0 {
            csr::wfi();
        }
        clint::set_msip(hart, 0);
        SEEN[index(hart)].fetch_add(1, Ordering::Relaxed);
        clint::set_msip((hart + 1) % HARTS, 1);
    }
    csr::write::<MIE>(0);
}
