//! The real machine's PLIC, as far as the VMM uses it: all sources go to the
//! M-mode context of hart 0.

use core::ptr::with_exposed_provenance_mut;

const BASE: usize = 0x0c00_0000;
const ENABLE: usize = BASE + 0x2000;
const CONTEXT: usize = BASE + 0x20_0000;

/// Register at `address`, which must be one of the PLIC's.
fn register(address: usize) -> *mut u32 {
    with_exposed_provenance_mut(address)
}

/// Lets interrupt `source` reach hart 0.
pub(super) fn enable(source: u32) {
    let source = source as usize;
    let word = register(ENABLE + 4 * (source / 32));
    // SAFETY: priority, enable and threshold registers of the real PLIC;
    // only hart 0 calls this, at boot.
    unsafe {
        register(BASE + 4 * source).write_volatile(1);
        word.write_volatile(word.read_volatile() | 1 << (source % 32));
        register(CONTEXT).write_volatile(0);
    }
}

/// The interrupt that waits for hart 0, which must `complete` it.
pub(super) fn claim() -> Option<u32> {
    // SAFETY: the claim register of context 0.
    let source = unsafe { register(CONTEXT + 4).read_volatile() };
    (source != 0).then_some(source)
}

/// Ends the handling of `source`.
pub(super) fn complete(source: u32) {
    // SAFETY: the complete register of context 0.
    unsafe { register(CONTEXT + 4).write_volatile(source) };
}
