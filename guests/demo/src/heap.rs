//! The heap: the RAM behind the kernel.

use buddy_system_allocator::LockedHeap;
use core::ptr;

/// Blocks of up to 2^31 bytes.
#[global_allocator]
static HEAP: LockedHeap<32> = LockedHeap::empty();

unsafe extern "C" {
    static __stack_end: u8;
}

/// Takes the RAM from the end of the kernel up to `end`; returns how many
/// bytes these are.
///
/// # Safety
/// Nobody else may use that memory, and this is called once.
pub(crate) unsafe fn init(end: usize) -> usize {
    let start = ptr::addr_of!(__stack_end).expose_provenance();
    let len = end.saturating_sub(start);
    // SAFETY: memory behind the kernel, as the caller says.
    unsafe { HEAP.lock().init(start, len) };
    len
}

/// Bytes in use.
pub(crate) fn used() -> usize {
    HEAP.lock().stats_alloc_actual()
}
