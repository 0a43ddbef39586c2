//! Time, and instructions executed.

use core::arch::asm;

/// Ticks of [`now`] in a millisecond.
pub(crate) const PER_MS: u64 = 10_000;

/// The time in ticks of 100 ns.
#[inline]
pub(crate) fn now() -> u64 {
    let ticks;
    // SAFETY: reads a counter.
    unsafe { asm!("rdtime {}", out(reg) ticks, options(nomem, nostack)) };
    ticks
}

/// Instructions of the hart, those of a VMM below us included.
#[inline]
pub(crate) fn instructions() -> u64 {
    let count;
    // SAFETY: reads a counter.
    unsafe { asm!("rdinstret {}", out(reg) count, options(nomem, nostack)) };
    count
}

/// Marks the beginning of what a profile shows.
#[inline(never)]
pub(crate) fn begin_window() {
    // SAFETY: reads a counter. A profile finds the instruction by its register.
    unsafe { asm!(".balign 4", "rdinstret a6", out("a6") _, options(nostack)) };
}

/// Marks its end.
#[inline(never)]
pub(crate) fn end_window() {
    // SAFETY: as above.
    unsafe { asm!(".balign 4", "rdinstret a7", out("a7") _, options(nostack)) };
}
