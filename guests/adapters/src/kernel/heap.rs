//! A heap in a static, and memory for queues out of it.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;

use buddy_system_allocator::LockedHeap;
use guest_drivers::Once;
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

/// Bytes of the heap.
const SIZE: usize = 1 << 20;

#[repr(align(4096))]
struct Pages([u8; SIZE]);

static PAGES: Once<Pages> = Once::new(Pages([0; SIZE]));

/// Blocks of up to 2^31 bytes.
#[global_allocator]
static HEAP: LockedHeap<32> = LockedHeap::empty();

/// Gives the heap its memory.
pub(crate) fn init() {
    if let Some(pages) = PAGES.take() {
        let start = pages.0.as_mut_ptr().expose_provenance();
        // SAFETY: the static's memory, which is handed out once.
        unsafe { HEAP.lock().init(start, SIZE) };
    }
}

/// Memory of this kernel as `virtio-drivers` wants it: addresses are physical.
pub(crate) struct Identity;

// SAFETY: the heap gives memory that nobody else uses, of the size and
// alignment asked for, and addresses are the same for hart and device.
unsafe impl Hal for Identity {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let memory = layout(pages).map_or(core::ptr::null_mut(), |layout| {
            // SAFETY: drivers ask for at least one page.
            unsafe { HEAP.alloc_zeroed(layout) }
        });
        match NonNull::new(memory) {
            Some(memory) => (memory.expose_provenance().get() as PhysAddr, memory),
            None => (0, NonNull::dangling()),
        }
    }

    unsafe fn dma_dealloc(_: PhysAddr, memory: NonNull<u8>, pages: usize) -> i32 {
        if let Some(layout) = layout(pages) {
            // SAFETY: from `dma_alloc` with the same number of pages.
            unsafe { HEAP.dealloc(memory.as_ptr(), layout) };
        }
        0
    }

    unsafe fn mmio_phys_to_virt(_: PhysAddr, _: usize) -> NonNull<u8> {
        unreachable!("there are no registers")
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        buffer.as_ptr().cast::<u8>().expose_provenance() as PhysAddr
    }

    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}

fn layout(pages: usize) -> Option<Layout> {
    Layout::from_size_align(pages.checked_mul(PAGE_SIZE)?, PAGE_SIZE).ok()
}
