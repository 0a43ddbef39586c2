//! The hart: waiting, time, and what it says of an exception.

use core::arch::asm;

/// Interrupts that end [`wait`], by their bits in `sie`.
const TIMER: u64 = 1 << 5;
const EXTERNAL: u64 = 1 << 9;

/// Lets external interrupts and the timer end [`wait`]. They are never taken:
/// `sstatus.SIE` stays clear, and `wfi` does not look at it.
pub(crate) fn enable_wake_ups() {
    set_timer(u64::MAX);
    // SAFETY: no trap comes of it, see above.
    unsafe { asm!("csrs sie, {}", in(reg) TIMER | EXTERNAL, options(nomem, nostack)) };
}

/// Waits for an interrupt; may return without.
pub(crate) fn wait() {
    // SAFETY: does nothing but wait. Memory may have changed meanwhile, so
    // there is no `nomem`.
    unsafe { asm!("wfi", options(nostack)) };
}

/// What `time` says: ticks since some moment.
pub(crate) fn time() -> u64 {
    let time;
    // SAFETY: reads a counter, which whoever started us has let us read.
    unsafe { asm!("rdtime {}", out(reg) time, options(nomem, nostack)) };
    time
}

/// Ends [`wait`] from `time` on.
pub(crate) fn set_timer(time: u64) {
    // SAFETY: `stimecmp` of the extension Sstc, by its number, because it is
    // not among the extensions that the compiler knows us to have.
    unsafe { asm!("csrw 0x14d, {}", in(reg) time, options(nomem, nostack)) };
}

/// Cause, place and value of the latest exception.
pub(crate) fn exception() -> (u64, u64, u64) {
    let (cause, place, value);
    // SAFETY: reads three registers.
    unsafe {
        asm!(
            "csrr {}, scause",
            "csrr {}, sepc",
            "csrr {}, stval",
            out(reg) cause,
            out(reg) place,
            out(reg) value,
            options(nomem, nostack),
        );
    }
    (cause, place, value)
}
