//! A real virtio disk, driven with many requests in flight: data moves
//! between the device and guest RAM without a copy.
//!
//! `virtio-drivers` has a block driver, but its flush waits and its requests
//! have one segment; so this uses the crate's queue and transport directly.
//! A request allocates nothing once there were as many at a time: memory of
//! those that are done is used again.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::ptr::{NonNull, slice_from_raw_parts_mut, with_exposed_provenance_mut};
use core::slice;

use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::Transport;
use zerocopy::{Immutable, IntoBytes};

use super::{MachineHal, Mmio};
use crate::addr::{Hpa, to_usize};
use crate::virtio::chain::MAX_SEGMENTS;

/// Descriptors of the device's queue: what QEMU offers, and enough for the
/// largest request of a guest, which would wait for ever otherwise.
const QUEUE_SIZE: usize = 256;
const _: () = assert!(MAX_SEGMENTS as usize <= QUEUE_SIZE);

bitflags::bitflags! {
    /// Features that we use (virtio 1.2, sections 5.2.3 and 6). Not EVENT_IDX:
    /// `VirtQueue::should_notify` compares its index without wrapping, and may
    /// say no for ever once 65,536 requests were made. Not INDIRECT_DESC: the
    /// crate allocates a table for each request then.
    #[derive(Clone, Copy, Debug)]
    struct Features: u64 {
        const RO = 1 << 5;
        const FLUSH = 1 << 9;
        const VERSION_1 = 1 << 32;
    }
}

/// What a request does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub(in crate::hw) enum Kind {
    /// Device to memory.
    Read = 0,
    /// Memory to device.
    Write = 1,
    /// Make written data durable.
    Flush = 4,
    /// The serial number.
    Identify = 8,
}

/// `struct virtio_blk_req` without data (section 5.2.6).
#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct Header {
    kind: u32,
    reserved: u32,
    sector: u64,
}

/// A request that the device has, or will have; or one that is over.
struct Flight {
    header: Header,
    status: u8,
    tag: u64,
    /// Header, data and status; first those that the device reads.
    buffers: Vec<NonNull<[u8]>>,
    readable: usize,
}

// SAFETY: the buffers are memory that belongs to no hart: the flight's own,
// and guest RAM.
unsafe impl Send for Flight {}

impl Flight {
    /// One for any request.
    fn new() -> Box<Self> {
        let header = Header { kind: 0, reserved: 0, sector: 0 };
        Box::new(Self { header, status: 0, tag: 0, buffers: Vec::new(), readable: 0 })
    }

    /// Makes it a new request; `false` if there is no memory behind a segment.
    fn prepare(
        &mut self,
        (kind, sector): (Kind, u64),
        segments: impl Iterator<Item = Option<(Hpa, u64)>>,
    ) -> bool {
        self.header = Header { kind: kind as u32, reserved: 0, sector };
        self.status = 0xff;
        self.buffers.clear();
        self.buffers.push(NonNull::from(self.header.as_bytes()));
        for segment in segments {
            let place = segment.and_then(|(hpa, len)| {
                let start = with_exposed_provenance_mut(to_usize(hpa.0));
                NonNull::new(slice_from_raw_parts_mut(start, to_usize(len)))
            });
            let Some(place) = place else { return false };
            self.buffers.push(place);
        }
        self.readable = if kind == Kind::Write { self.buffers.len() } else { 1 };
        self.buffers.push(NonNull::from(slice::from_mut(&mut self.status)));
        true
    }

    /// The buffers in the form that the queue wants.
    ///
    /// # Safety
    /// The slices must not be read or written, only passed to the queue.
    unsafe fn parts(&mut self) -> (&[&[u8]], &mut [&mut [u8]]) {
        let (inputs, outputs) = self.buffers.split_at_mut(self.readable);
        // SAFETY: references have the layout of `NonNull`, and point to this
        // flight, which is boxed, or to guest RAM, which no reference covers.
        unsafe {
            (
                slice::from_raw_parts(inputs.as_ptr().cast(), inputs.len()),
                slice::from_raw_parts_mut(outputs.as_mut_ptr().cast(), outputs.len()),
            )
        }
    }
}

/// One disk.
pub(in crate::hw) struct Disk {
    transport: Mmio,
    queue: VirtQueue<MachineHal, QUEUE_SIZE>,
    features: Features,
    capacity: u64,
    /// By the queue's token.
    in_flight: Vec<Option<Box<Flight>>>,
    /// Requests that did not fit the queue.
    waiting: VecDeque<Box<Flight>>,
    /// Those that are over.
    #[expect(clippy::vec_box, reason = "the device knows where a flight is, so it does not move")]
    idle: Vec<Box<Flight>>,
    /// Whether there are requests in the queue that the device may not have
    /// noticed.
    news: bool,
}

impl Disk {
    /// Takes the disk behind `transport` into service.
    pub(super) fn new(mut transport: Mmio) -> Option<Self> {
        let features = transport.begin_init(Features::all());
        let low: u32 = transport.read_config_space(0).ok()?;
        let high: u32 = transport.read_config_space(4).ok()?;
        let queue = VirtQueue::new(&mut transport, 0, false, false).ok()?;
        transport.finish_init();
        let capacity = u64::from(high) << 32 | u64::from(low);
        let in_flight = (0..QUEUE_SIZE).map(|_| None).collect();
        let (waiting, idle, news) = (VecDeque::new(), Vec::new(), false);
        Some(Self { transport, queue, features, capacity, in_flight, waiting, idle, news })
    }

    /// Size in sectors of 512 bytes.
    pub(in crate::hw) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Whether it cannot be written.
    pub(in crate::hw) fn read_only(&self) -> bool {
        self.features.contains(Features::RO)
    }

    /// The serial number, asked for while nothing else is in flight.
    pub(super) fn serial(&mut self) -> [u8; 20] {
        let mut serial = Box::new([0u8; 20]);
        let place = Hpa(serial.as_mut_ptr() as u64);
        self.submit(Kind::Identify, 0, [Some((place, 20))].into_iter(), 0);
        self.kick();
        while self.complete().is_none() {
            core::hint::spin_loop();
        }
        *serial
    }

    /// Takes a request, which begins with the next `kick` at the latest; `tag`
    /// comes back from `complete`. The segments must be guest RAM, and of a
    /// multiple of 512 bytes together; `false` if one is none.
    pub(in crate::hw) fn submit(
        &mut self,
        kind: Kind,
        sector: u64,
        segments: impl Iterator<Item = Option<(Hpa, u64)>>,
        tag: u64,
    ) -> bool {
        let nothing = kind == Kind::Flush && !self.features.contains(Features::FLUSH);
        // Without that feature, the device writes through.
        let kind = if nothing { Kind::Identify } else { kind };
        let mut flight = self.idle.pop().unwrap_or_else(Flight::new);
        flight.tag = tag;
        let complete = flight.prepare((kind, sector), segments);
        if complete {
            self.waiting.push_back(flight);
            self.pump();
        } else {
            self.idle.push(flight);
        }
        complete
    }

    /// Moves waiting requests to the device.
    fn pump(&mut self) {
        while let Some(mut flight) = self.waiting.pop_front() {
            // SAFETY: guest RAM is never behind a reference, and the flight
            // stays boxed in `in_flight` until the device is done with it.
            let token = unsafe {
                let (inputs, outputs) = flight.parts();
                self.queue.add(inputs, outputs)
            };
            let seat = token.ok().and_then(|token| self.in_flight.get_mut(usize::from(token)));
            let Some(seat) = seat else {
                self.waiting.push_front(flight);
                break;
            };
            *seat = Some(flight);
            self.news = true;
        }
    }

    /// Tells the device what it has to do: once for many requests, so that it
    /// can take them together.
    pub(in crate::hw) fn kick(&mut self) {
        if core::mem::take(&mut self.news) && self.queue.should_notify() {
            self.transport.notify(0);
        }
    }

    /// The next request that is done: its tag, and whether it succeeded.
    pub(in crate::hw) fn complete(&mut self) -> Option<(u64, bool)> {
        let token = self.queue.peek_used()?;
        let mut flight = self.in_flight.get_mut(usize::from(token))?.take()?;
        // SAFETY: the same buffers as given to `add`.
        let popped = unsafe {
            let (inputs, outputs) = flight.parts();
            self.queue.pop_used(token, inputs, outputs)
        };
        let told = (flight.tag, popped.is_ok() && flight.status == 0);
        self.idle.push(flight);
        if !self.waiting.is_empty() {
            self.pump();
            self.kick();
        }
        Some(told)
    }

    /// Quietens the device's interrupt line.
    pub(super) fn acknowledge(&mut self) {
        self.transport.ack_interrupt();
    }
}
