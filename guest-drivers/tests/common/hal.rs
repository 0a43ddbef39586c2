//! The guest's memory as `virtio-drivers` wants it, and what of its interface
//! is unsafe. Buffers of tests are not in that memory, so they are copied.
#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::ptr::{NonNull, copy_nonoverlapping};

use guest_drivers::protocol::device::RingFeatures;
use guest_drivers::{DeviceType, HypercallTransport, Memory};
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::Transport as _;
use virtio_drivers::{BufferDirection, Hal, PhysAddr};

use crate::common::{Machine, Ram};

/// The transport to a device of a machine.
pub(crate) type Transport = HypercallTransport<Ram, &'static Machine>;

/// The transport to a machine's device of this type.
pub(crate) fn transport(machine: &'static Machine, kind: DeviceType) -> Transport {
    let device = machine.guest().find(kind).expect("a device");
    // SAFETY: it goes to the drivers of `virtio-drivers`.
    unsafe { HypercallTransport::new(device) }.expect("a type that is known")
}

/// The queue of a source of random bytes, with several requests for each
/// notification, which the drivers of `virtio-drivers` do not have.
pub(crate) struct Batches {
    transport: Transport,
    queue: VirtQueue<Copied, 4>,
}

impl Batches {
    /// Takes the source into service, with all ring features that there are.
    pub(crate) fn new(mut transport: Transport) -> Self {
        let features = transport.begin_init(RingFeatures::all());
        let event_idx = features.contains(RingFeatures::EVENT_IDX);
        let queue = VirtQueue::new(&mut transport, 0, false, event_idx).expect("a queue");
        transport.finish_init();
        Self { transport, queue }
    }

    /// Has four buffers filled; `false` if the device was not told.
    pub(crate) fn fill(&mut self, buffers: &mut [[u8; 8]; 4]) -> bool {
        // SAFETY: nobody touches the buffers until they are back. If they
        // never are, the device has copies, which are not used again.
        unsafe {
            let tokens = buffers.each_mut().map(|buffer| self.queue.add(&[], &mut [buffer]));
            if self.queue.should_notify() {
                self.transport.notify(0);
            }
            tokens.into_iter().zip(buffers).all(|(token, buffer)| {
                token.is_ok_and(|token| self.queue.pop_used(token, &[], &mut [buffer]) == Ok(8))
            })
        }
    }
}

/// A copy of each buffer, in the memory of the machine of this thread.
pub(crate) struct Copied;

/// Bytes of a copy, and of memory for a queue, at most.
const BLOCK: usize = 0x4000;

thread_local! {
    static MACHINE: Cell<Option<&'static Machine>> = const { Cell::new(None) };
    /// Blocks that were used and are not any more.
    static FREE: RefCell<Vec<NonNull<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Drivers of this thread run on `machine`: one machine for each test.
pub(crate) fn use_machine(machine: &'static Machine) {
    MACHINE.set(Some(machine));
}

fn machine() -> &'static Machine {
    MACHINE.get().expect("a machine in use")
}

fn address(block: NonNull<u8>, len: usize) -> PhysAddr {
    machine().guest_memory().physical(block, len).expect("guest memory")
}

fn block() -> NonNull<u8> {
    let used = FREE.with_borrow_mut(Vec::pop);
    used.unwrap_or_else(|| NonNull::from(machine().buffer(BLOCK)).cast())
}

// SAFETY: blocks are aligned to pages, and nobody's who has not got them; new
// ones are zero.
unsafe impl Hal for Copied {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let memory = NonNull::from(machine().buffer(4096 * pages)).cast();
        (address(memory, 4096 * pages), memory)
    }

    unsafe fn dma_dealloc(_: PhysAddr, _: NonNull<u8>, _: usize) -> i32 {
        0
    }

    unsafe fn mmio_phys_to_virt(_: PhysAddr, _: usize) -> NonNull<u8> {
        unreachable!("there are no registers")
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        let (block, len) = (block(), buffer.len());
        assert!(len <= BLOCK);
        // SAFETY: the buffer is valid, as the caller says, and fits.
        unsafe { copy_nonoverlapping(buffer.cast().as_ptr(), block.as_ptr(), len) };
        address(block, len)
    }

    unsafe fn unshare(address: PhysAddr, buffer: NonNull<[u8]>, direction: BufferDirection) {
        let block = machine().block_at(address);
        if direction != BufferDirection::DriverToDevice {
            // SAFETY: as above; the device has let go.
            unsafe { copy_nonoverlapping(block.as_ptr(), buffer.cast().as_ptr(), buffer.len()) };
        }
        FREE.with_borrow_mut(|free| free.push(block));
    }
}
