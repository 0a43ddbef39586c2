//! The real machine's clock (goldfish RTC): asked once, at boot; afterwards
//! `time` tells how much later it is.

use core::ptr::with_exposed_provenance;

use super::csr;
use crate::addr::to_usize;

const TIME_LOW: u64 = 0x00;
const TIME_HIGH: u64 = 0x04;
/// Nanoseconds in a tick of `time`.
const TICK: u64 = 100;

/// The real time when `time` was zero, in nanoseconds since 1970, from the
/// clock whose registers are at `base`.
pub(super) fn epoch(base: u64) -> u64 {
    let read = |offset| {
        let register = with_exposed_provenance::<u32>(to_usize(base + offset));
        // SAFETY: a register of the clock, as the device tree says.
        u64::from(unsafe { register.read_volatile() })
    };
    // The low half first: it keeps the high half that belongs to it.
    let low = read(TIME_LOW);
    let now = read(TIME_HIGH) << 32 | low;
    now.wrapping_sub(csr::time().wrapping_mul(TICK))
}
