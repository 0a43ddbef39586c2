//! The real machine's CLINT: inter-processor interrupts and timers.
//! (QEMU `virt`; SiFive U54-MC manual, chapter "CLINT".)

use core::ptr::with_exposed_provenance_mut;

use super::csr;

const BASE: usize = 0x0200_0000;
const MTIMECMP: usize = BASE + 0x4000;

fn msip(hart: usize) -> *mut u32 {
    with_exposed_provenance_mut(BASE + 4 * hart)
}

/// Interrupts `hart`, which then sees all that was written before.
pub(super) fn kick(hart: usize) {
    csr::fence_io();
    // SAFETY: a CLINT register of an existing hart.
    unsafe { msip(hart).write_volatile(1) };
}

/// Takes note of a kick on `hart`, and then of what it was for.
pub(super) fn clear_kick(hart: usize) {
    // SAFETY: a CLINT register of an existing hart.
    unsafe { msip(hart).write_volatile(0) };
    csr::fence_io();
}

/// Asks for a timer interrupt at `deadline`, in ticks; `u64::MAX` is never.
/// An interrupt that nobody waits for is parked there: pending but masked it
/// would still slow down each exit under QEMU.
pub(super) fn set_timer(hart: usize, deadline: u64) {
    let register = with_exposed_provenance_mut::<u64>(MTIMECMP + 8 * hart);
    // SAFETY: a CLINT register of an existing hart.
    unsafe { register.write_volatile(deadline) };
}
