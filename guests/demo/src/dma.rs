//! How the crate `virtio-drivers` gets memory that it shares with devices.

use alloc::alloc::{Layout, alloc_zeroed, dealloc};
use core::ptr::{NonNull, with_exposed_provenance_mut};

use virtio_drivers::transport::DeviceType;
use virtio_drivers::transport::mmio::{MmioTransport, VirtIOHeader};
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

use crate::tree::Found;

/// Addresses are physical here, and memory is coherent with devices.
#[derive(Debug)]
pub(crate) struct Identity;

// SAFETY: the heap gives memory that nobody else uses, of the size and
// alignment asked for, and addresses are the same for hart and device.
unsafe impl Hal for Identity {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let memory = layout(pages).map_or(core::ptr::null_mut(), |layout| {
            // SAFETY: drivers ask for at least one page.
            unsafe { alloc_zeroed(layout) }
        });
        match NonNull::new(memory) {
            Some(memory) => (memory.expose_provenance().get() as PhysAddr, memory),
            None => (0, NonNull::dangling()),
        }
    }

    unsafe fn dma_dealloc(_: PhysAddr, memory: NonNull<u8>, pages: usize) -> i32 {
        if let Some(layout) = layout(pages) {
            // SAFETY: from `dma_alloc` with the same number of pages.
            unsafe { dealloc(memory.as_ptr(), layout) };
        }
        0
    }

    unsafe fn mmio_phys_to_virt(address: PhysAddr, _: usize) -> NonNull<u8> {
        let pointer = with_exposed_provenance_mut(usize::try_from(address).unwrap_or(0));
        NonNull::new(pointer).unwrap_or(NonNull::dangling())
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        buffer.as_ptr().cast::<u8>().expose_provenance() as PhysAddr
    }

    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}

fn layout(pages: usize) -> Option<Layout> {
    Layout::from_size_align(pages.checked_mul(PAGE_SIZE)?, PAGE_SIZE).ok()
}

/// Offset of the register that says what a device is.
const DEVICE_ID: usize = 8;

/// The virtio-mmio device in `slot`, if it is of this kind. Others are left
/// alone: a transport that is given up resets its device.
pub(crate) fn transport(slot: &Found, kind: DeviceType) -> Option<MmioTransport<'static>> {
    let registers = slot.registers();
    if registers.read(DEVICE_ID) != kind as u32 {
        return None;
    }
    let header = registers.pointer::<VirtIOHeader>()?;
    // SAFETY: the device tree says that there is a slot, and the caller makes
    // one driver of it.
    unsafe { MmioTransport::new(header, slot.len) }.ok()
}
