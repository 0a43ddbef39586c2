//! A disk by any of the drivers. Requests are numbered by slot, and each slot
//! has its buffer.

mod ata;
mod memory;
mod pv;
mod queue;

use guest_drivers::{DeviceType, HypercallTransport, Linear, Vmm};
use probes::dev::virtio;
use virtio_drivers::transport::mmio::MmioTransport;

use crate::kernel::args::Args;
use crate::kernel::interrupt::{self, Source};
pub(crate) use memory::{Arena, Buffers};

/// Requests at once, at most.
pub(crate) const DEPTH: usize = 32;
/// Bytes of a buffer.
pub(crate) const BUFFER: usize = 64 << 10;

/// What a request does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    /// Disk to memory.
    Read,
    /// Memory to disk.
    Write,
}

/// A disk with its driver. A request that fails ends the run.
pub(crate) trait Disk {
    /// Size in sectors.
    fn sectors(&self) -> u64;
    /// How many requests there can be at once.
    fn depth(&self) -> usize;
    /// The buffer of a slot that has no request.
    fn buffer(&mut self, slot: usize) -> &mut [u8];
    /// Prepares a request for a slot that has none.
    fn submit(&mut self, slot: usize, op: Op, sector: u64, bytes: usize);
    /// Tells the device.
    fn kick(&mut self);
    /// A slot whose request is done.
    fn poll(&mut self) -> Option<usize>;

    /// Waits until something may have happened.
    fn wait(&mut self) {
        interrupt::wait();
    }

    /// One request, from beginning to end.
    fn one(&mut self, slot: usize, op: Op, sector: u64, bytes: usize) {
        self.submit(slot, op, sector, bytes);
        self.kick();
        while self.poll().is_none() {
            self.wait();
        }
    }
}

/// Any of them.
pub(crate) enum Any {
    Ata(ata::Ata),
    Virtio(queue::Queue<MmioTransport<'static>>),
    Bridge(queue::Queue<HypercallTransport>),
    Pv(pv::Pv),
}

impl Any {
    pub(crate) fn as_mut(&mut self) -> &mut dyn Disk {
        match self {
            Self::Ata(disk) => disk,
            Self::Virtio(disk) => disk,
            Self::Bridge(disk) => disk,
            Self::Pv(disk) => disk,
        }
    }
}

/// Takes the disk that the command line names into service.
pub(crate) fn open(
    args: &Args,
    vmm: Option<Vmm<Linear>>,
    buffers: &'static mut Buffers,
    hart: u64,
) -> Option<Any> {
    let arena = Arena::new(buffers);
    let device = || vmm?.find(DeviceType::Block);
    let (disk, source) = match args.driver {
        "ata" => (Any::Ata(ata::Ata::new(arena)?), Source::Ata),
        "virtio" if virtio::find_block() == Some(0) => {
            (Any::Virtio(queue::Queue::new(queue::mmio()?, arena, args.polls)?), Source::Virtio)
        }
        "bridge" => {
            // SAFETY: the queue keeps what it gives until it comes back.
            let transport = unsafe { HypercallTransport::new(device()?) }.ok()?;
            (Any::Bridge(queue::Queue::new(transport, arena, args.polls)?), Source::Pv)
        }
        // A driver that waits for each request looks for its completion.
        "sync" => (Any::Pv(pv::Pv::new(device()?, arena, pv::Style::Waits)?), Source::None),
        "pv" if args.polls => {
            (Any::Pv(pv::Pv::new(device()?, arena, pv::Style::Looks)?), Source::None)
        }
        "pv" => (Any::Pv(pv::Pv::new(device()?, arena, pv::Style::Interrupts)?), Source::Pv),
        _ => return None,
    };
    interrupt::enable(if args.polls { Source::None } else { source }, hart, vmm);
    Some(disk)
}
