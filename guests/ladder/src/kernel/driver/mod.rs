//! A disk by any of the drivers. Requests are numbered by slot, and each slot
//! has its buffer.

mod ata;
mod bridge;
mod memory;
mod pv;
mod queue;

use guest_drivers::{DeviceType, Ecall, Hypercall, Linear, Vmm};
use probes::dev::virtio;
use trapeze_protocol::call::{Call, Reply};

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
    Virtio(queue::Queue<virtio_drivers::transport::mmio::MmioTransport<'static>>),
    Bridge(queue::Queue<bridge::Bridge>),
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

/// A call that gives no memory away.
pub(crate) fn call(call: Call) -> Reply {
    // SAFETY: whoever calls this has found the VMM.
    unsafe { ecall(call) }
}

/// # Safety
/// As of [`Hypercall::call`]; and the VMM must be there.
unsafe fn ecall(call: Call) -> Reply {
    // SAFETY: the caller's promise.
    unsafe {
        Ecall::assume()
            .map_or(Err(trapeze_protocol::call::Error::NotSupported), |way| way.call(call))
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
            let bridge = bridge::Bridge::new(device()?.number());
            (Any::Bridge(queue::Queue::new(bridge, arena, args.polls)?), Source::Pv)
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
