//! Harts other than the first: they sleep until they are given a function.

use core::mem;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::boot::{self, MAX_HARTS};
use crate::csr::{self, MIE, MSI};
use crate::dev::clint;

/// What a waiting hart shall run (a `fn(u64)`), or 0. In `.data`, because a
/// hart may look before the boot hart has cleared `.bss`.
#[unsafe(link_section = ".data.smp")]
static CALL: [AtomicUsize; MAX_HARTS] = [const { AtomicUsize::new(0) }; MAX_HARTS];

/// Calls that each hart has finished.
#[unsafe(link_section = ".data.smp")]
static DONE: [AtomicU64; MAX_HARTS] = [const { AtomicU64::new(0) }; MAX_HARTS];

/// Where harts without work live: `wfi` until an IPI comes, then look.
pub(crate) extern "C" fn wait(hart: u64) -> ! {
    boot::own_hart();
    let index = usize::try_from(hart).unwrap_or(0);
    loop {
        csr::write::<MIE>(MSI);
        csr::wfi();
        clint::set_msip(hart, 0);
        let call = CALL[index].swap(0, Ordering::Acquire);
        if call != 0 {
            csr::write::<MIE>(0);
            // SAFETY: only `start` stores here, and it stores a `fn(u64)`.
            let call = unsafe { mem::transmute::<usize, fn(u64)>(call) };
            call(hart);
            DONE[index].fetch_add(1, Ordering::Release);
        }
    }
}

/// Runs `call` on another hart. Returns when that hart has taken it, so that
/// an interrupt sent after is not lost among those that wake it.
pub fn start(hart: u64, call: fn(u64)) {
    let index = usize::try_from(hart).unwrap_or(0);
    CALL[index].store(call as *const () as usize, Ordering::Release);
    clint::set_msip(hart, 1);
    while CALL[index].load(Ordering::Acquire) != 0 {
        core::hint::spin_loop();
    }
}

/// Calls that `hart` has finished since power-on.
#[must_use]
pub fn done(hart: u64) -> u64 {
    DONE[usize::try_from(hart).unwrap_or(0)].load(Ordering::Acquire)
}

/// Waits until `hart` has finished `calls` calls since power-on.
pub fn join(hart: u64, calls: u64) {
    while done(hart) < calls {
        core::hint::spin_loop();
    }
}
