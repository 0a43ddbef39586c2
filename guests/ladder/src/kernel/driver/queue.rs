//! A virtio disk by the queues of `virtio-drivers`, on any transport: the
//! rungs that differ in nothing but how a device is told.

use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::Transport;
use zerocopy::{Immutable, IntoBytes};

use super::memory::Memory;
use super::{Arena, BUFFER, DEPTH, Op, Target};

/// Descriptors: three for each request.
const SIZE: usize = 128;
const _: () = assert!(SIZE >= 3 * DEPTH);

bitflags::bitflags! {
    /// Features that we use. Not EVENT_IDX: with it, `VirtQueue::should_notify`
    /// of `virtio-drivers` 0.13 says no for ever once its index has wrapped,
    /// which is after 65,536 requests. FLUSH, because QEMU makes each write
    /// durable at once for drivers that do not know it.
    #[derive(Clone, Copy, Debug)]
    struct Features: u64 {
        const FLUSH = 1 << 9;
        const VERSION_1 = 1 << 32;
    }
}

/// `struct virtio_blk_req` without data (virtio 1.2, section 5.2.6).
#[derive(IntoBytes, Immutable, Clone, Copy, Default)]
#[repr(C)]
struct Header {
    kind: u32,
    reserved: u32,
    sector: u64,
}

/// A request of a slot.
#[derive(Clone, Copy)]
struct Request {
    header: Header,
    status: u8,
    op: Op,
    bytes: usize,
}

/// The driver. It must not move while there are requests.
pub(crate) struct Queue<T: Transport> {
    transport: T,
    queue: VirtQueue<Memory, SIZE>,
    arena: Arena,
    sectors: u64,
    requests: [Request; DEPTH],
    /// The slot of a token.
    slots: [u8; SIZE],
}

impl<T: Transport> Queue<T> {
    pub(crate) fn new(mut transport: T, arena: Arena, polls: bool) -> Option<Self> {
        transport.begin_init(Features::all());
        let [low, high] = [0, 4].map(|offset| transport.read_config_space::<u32>(offset));
        let sectors = u64::from(high.ok()?) << 32 | u64::from(low.ok()?);
        let mut queue = VirtQueue::new(&mut transport, 0, false, false).ok()?;
        queue.set_dev_notify(!polls);
        transport.finish_init();
        let request = Request { header: Header::default(), status: 0, op: Op::Read, bytes: 0 };
        let (requests, slots) = ([request; DEPTH], [0; SIZE]);
        Some(Self { transport, queue, arena, sectors, requests, slots })
    }
}

impl<T: Transport> Target for Queue<T> {
    fn sectors(&self) -> u64 {
        self.sectors
    }

    fn depth(&self) -> usize {
        DEPTH
    }

    fn buffer(&mut self, slot: usize) -> &mut [u8] {
        // SAFETY: only slots without a request are asked for.
        unsafe { self.arena.slice(slot, BUFFER) }
    }

    fn submit(&mut self, slot: usize, op: Op, sector: u64, bytes: usize) {
        let request = &mut self.requests[slot % DEPTH];
        let kind = if op == Op::Read { 0 } else { 1 };
        *request =
            Request { header: Header { kind, reserved: 0, sector }, status: 0xff, op, bytes };
        let header = request.header.as_bytes();
        let status = core::slice::from_mut(&mut request.status);
        // SAFETY: header, status and buffer stay where they are, and nobody
        // uses them, until `poll` has popped the request.
        let token = unsafe {
            let data = self.arena.slice(slot, bytes);
            match op {
                Op::Read => self.queue.add(&[header], &mut [data, status]),
                Op::Write => self.queue.add(&[header, data], &mut [status]),
            }
        };
        let token = token.expect("there are descriptors for all slots");
        self.slots[usize::from(token) % SIZE] = slot.to_le_bytes()[0];
    }

    fn kick(&mut self) {
        if self.queue.should_notify() {
            self.transport.notify(0);
        }
    }

    fn poll(&mut self) -> Option<usize> {
        let token = self.queue.peek_used()?;
        let slot = usize::from(self.slots[usize::from(token) % SIZE]);
        let request = &mut self.requests[slot % DEPTH];
        let header = request.header.as_bytes();
        let status = core::slice::from_mut(&mut request.status);
        // SAFETY: the same buffers as were added.
        let popped = unsafe {
            let data = self.arena.slice(slot, request.bytes);
            match request.op {
                Op::Read => self.queue.pop_used(token, &[header], &mut [data, status]),
                Op::Write => self.queue.pop_used(token, &[header, data], &mut [status]),
            }
        };
        assert!(popped.is_ok() && request.status == 0, "a request failed");
        Some(slot)
    }
}
