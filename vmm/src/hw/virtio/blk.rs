//! A real virtio disk, driven with many requests in flight: data moves
//! between the device and guest RAM without a copy.
//!
//! `virtio-drivers` has a block driver, but its flush waits and its requests
//! have one segment; so this uses the crate's queue and transport directly.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::ptr::slice_from_raw_parts_mut;

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
    /// say no for ever once 65,536 requests were made.
    #[derive(Clone, Copy, Debug)]
    struct Features: u64 {
        const RO = 1 << 5;
        const FLUSH = 1 << 9;
        const INDIRECT_DESC = 1 << 28;
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

/// A request that the device has, or will have.
struct Flight {
    header: Header,
    kind: Kind,
    segments: Vec<(Hpa, u64)>,
    status: u8,
    tag: u64,
}

impl Flight {
    /// The buffers, those that the device reads first.
    ///
    /// # Safety
    /// The segments must be memory that no Rust reference covers; the slices
    /// must not be read or written, only passed to the queue.
    unsafe fn buffers(&mut self) -> (Vec<&[u8]>, Vec<&mut [u8]>) {
        let mut inputs = alloc::vec![self.header.as_bytes()];
        let mut outputs = Vec::with_capacity(self.segments.len() + 1);
        for (hpa, length) in &self.segments {
            let start = core::ptr::with_exposed_provenance_mut::<u8>(to_usize(hpa.0));
            // SAFETY: the caller's promise.
            let data = unsafe { &mut *slice_from_raw_parts_mut(start, to_usize(*length)) };
            if self.kind == Kind::Write { inputs.push(data) } else { outputs.push(data) }
        }
        outputs.push(core::slice::from_mut(&mut self.status));
        (inputs, outputs)
    }
}

/// One disk.
pub(in crate::hw) struct Disk {
    transport: Mmio,
    queue: VirtQueue<MachineHal, QUEUE_SIZE>,
    features: Features,
    capacity: u64,
    in_flight: BTreeMap<u16, Box<Flight>>,
    /// Requests that did not fit the queue.
    waiting: VecDeque<Box<Flight>>,
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
        let indirect = features.contains(Features::INDIRECT_DESC);
        let queue = VirtQueue::new(&mut transport, 0, indirect, false).ok()?;
        transport.finish_init();
        let capacity = u64::from(high) << 32 | u64::from(low);
        let (in_flight, waiting) = (BTreeMap::new(), VecDeque::new());
        Some(Self { transport, queue, features, capacity, in_flight, waiting, news: false })
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
        self.submit(Kind::Identify, 0, alloc::vec![(place, 20)], 0);
        self.kick();
        while self.complete().is_none() {
            core::hint::spin_loop();
        }
        *serial
    }

    /// Takes a request, which begins with the next `kick` at the latest; `tag`
    /// comes back from `complete`. The segments must be guest RAM, and of a
    /// multiple of 512 bytes together.
    pub(in crate::hw) fn submit(
        &mut self,
        kind: Kind,
        sector: u64,
        segments: Vec<(Hpa, u64)>,
        tag: u64,
    ) {
        let header = Header { kind: kind as u32, reserved: 0, sector };
        self.waiting.push_back(Box::new(Flight { header, kind, segments, status: 0xff, tag }));
        self.pump();
    }

    /// Moves waiting requests to the device.
    fn pump(&mut self) {
        while let Some(mut flight) = self.waiting.pop_front() {
            if flight.kind == Kind::Flush && !self.features.contains(Features::FLUSH) {
                // Nothing to flush: the device writes through.
                flight.kind = Kind::Identify;
            }
            // SAFETY: guest RAM is never behind a reference, and the flight
            // stays boxed in `in_flight` until the device is done with it.
            let token = unsafe {
                let (inputs, mut outputs) = flight.buffers();
                self.queue.add(&inputs, &mut outputs)
            };
            match token {
                Ok(token) => {
                    self.in_flight.insert(token, flight);
                    self.news = true;
                }
                Err(_) => {
                    self.waiting.push_front(flight);
                    break;
                }
            }
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
        let mut flight = self.in_flight.remove(&token)?;
        // SAFETY: the same buffers as given to `add`.
        let popped = unsafe {
            let (inputs, mut outputs) = flight.buffers();
            self.queue.pop_used(token, &inputs, &mut outputs)
        };
        if !self.waiting.is_empty() {
            self.pump();
            self.kick();
        }
        Some((flight.tag, popped.is_ok() && flight.status == 0))
    }

    /// Quietens the device's interrupt line.
    pub(super) fn acknowledge(&mut self) {
        self.transport.ack_interrupt();
    }
}
