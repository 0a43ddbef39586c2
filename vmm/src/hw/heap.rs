//! The VMM's heap. Guest RAM does not come from here.

use buddy_system_allocator::LockedHeap;

/// The largest block is 2^31 bytes.
#[global_allocator]
static HEAP: LockedHeap<32> = LockedHeap::empty();

/// Gives `[start, start + size)` to the heap.
///
/// # Safety
/// The memory must be unused, and stay so by others.
pub(super) unsafe fn add(start: u64, size: u64) {
    let [start, size] = [start, size].map(crate::addr::to_usize);
    // SAFETY: the caller's promise.
    unsafe { HEAP.lock().add_to_heap(start, start + size) };
}
