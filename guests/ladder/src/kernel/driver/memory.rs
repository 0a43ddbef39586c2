//! Buffers of requests, and memory for queues.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

use guest_drivers::Once;
use virtio_drivers::{BufferDirection, Hal, PhysAddr};

use super::{BUFFER, DEPTH};

/// A buffer for each slot.
#[repr(C, align(4096))]
pub(crate) struct Buffers([[u8; BUFFER]; DEPTH]);

impl Buffers {
    pub(crate) const fn new() -> Self {
        Self([[0; BUFFER]; DEPTH])
    }
}

/// The buffers, handed out by slot. The driver knows which slots have a
/// request, and are the device's.
pub(crate) struct Arena(NonNull<Buffers>);

impl Arena {
    pub(crate) fn new(buffers: &'static mut Buffers) -> Self {
        Self(NonNull::from(buffers))
    }

    /// Where the first `bytes` of a slot's buffer are.
    #[inline]
    pub(crate) fn place(&self, slot: usize, bytes: usize) -> NonNull<[u8]> {
        // SAFETY: inside the buffers.
        let start = unsafe { self.0.cast::<u8>().byte_add(slot % DEPTH * BUFFER) };
        NonNull::slice_from_raw_parts(start, bytes.min(BUFFER))
    }

    /// The buffer of a slot.
    ///
    /// # Safety
    /// No device may have it.
    #[inline]
    pub(crate) unsafe fn slice(&mut self, slot: usize, bytes: usize) -> &mut [u8] {
        // SAFETY: ours for ever, lent by `self`, and no device's.
        unsafe { self.place(slot, bytes).as_mut() }
    }
}

/// Memory for queues of `virtio-drivers`: handed out, never taken back.
pub(crate) struct Memory;

/// Bytes of it.
const POOL: usize = 64 << 10;

#[repr(C, align(4096))]
struct Pool([u8; POOL]);

static POOL_MEMORY: Once<Pool> = Once::new(Pool([0; POOL]));
static START: AtomicUsize = AtomicUsize::new(0);
static USED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: the pool is zeroed, aligned to pages, and each part is handed out
// once. Without paging, physical addresses are virtual ones.
unsafe impl Hal for Memory {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        if let Some(pool) = POOL_MEMORY.take() {
            START.store(core::ptr::from_mut(pool).expose_provenance(), Ordering::Relaxed);
        }
        let at = USED.fetch_add(4096 * pages, Ordering::Relaxed);
        assert!(at + 4096 * pages <= POOL, "the pool is too small");
        let address = START.load(Ordering::Relaxed) + at;
        let start = core::ptr::with_exposed_provenance_mut(address);
        (address as PhysAddr, NonNull::new(start).unwrap_or(NonNull::dangling()))
    }

    unsafe fn dma_dealloc(_: PhysAddr, _: NonNull<u8>, _: usize) -> i32 {
        0
    }

    #[expect(clippy::cast_possible_truncation, reason = "both have 64 bits")]
    unsafe fn mmio_phys_to_virt(address: PhysAddr, _: usize) -> NonNull<u8> {
        let start = core::ptr::with_exposed_provenance_mut(address as usize);
        NonNull::new(start).unwrap_or(NonNull::dangling())
    }

    #[inline]
    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        buffer.as_ptr().cast::<u8>().expose_provenance() as PhysAddr
    }

    #[inline]
    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}
