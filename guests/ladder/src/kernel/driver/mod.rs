//! What is measured, by any of its drivers. Requests are numbered by slot, and
//! each slot of a disk has its buffer.
//!
//! A rung more is a [`Target`], its line in [`open`], and its entry in the
//! tables of `bench/src/ladder/ways.rs`.

mod ata;
mod console;
mod memory;
mod net;
mod pv;
mod queue;

use core::ptr::NonNull;

use guest_drivers::{DeviceType, HypercallTransport, Linear, Net, Vmm};
use virtio_drivers::transport::Transport;
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
    /// Device to memory.
    Read,
    /// Memory to device.
    Write,
}

/// A device with its driver. A request that fails ends the run.
pub(crate) trait Target {
    /// What can be done with it, and what that is called.
    fn ops(&self) -> &'static [(Op, &'static str)] {
        &[(Op::Read, "read"), (Op::Write, "write")]
    }
    /// Size in sectors; zero if it keeps nothing.
    fn sectors(&self) -> u64 {
        0
    }
    /// How many requests there can be at once.
    fn depth(&self) -> usize;
    /// The buffer of a slot that has no request, of what keeps something.
    fn buffer(&mut self, _slot: usize) -> &mut [u8] {
        &mut []
    }
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

    /// Answers what others ask, until they say goodbye.
    fn serve(&mut self) {}

    /// Says goodbye.
    fn close(&mut self) {}

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
    Console(console::Shown),
    VirtioNet(net::Peer<net::Card<MmioTransport<'static>>>),
    BridgeNet(net::Peer<net::Card<HypercallTransport>>),
    PvNet(net::Peer<Net>),
}

impl Any {
    pub(crate) fn as_mut(&mut self) -> &mut dyn Target {
        match self {
            Self::Ata(disk) => disk,
            Self::Virtio(disk) => disk,
            Self::Bridge(disk) => disk,
            Self::Pv(disk) => disk,
            Self::Console(console) => console,
            Self::VirtioNet(net) => net,
            Self::BridgeNet(net) => net,
            Self::PvNet(net) => net,
        }
    }
}

/// Takes what the command line names into service.
pub(crate) fn open(
    args: &Args,
    vmm: Option<Vmm<Linear>>,
    buffers: &'static mut Buffers,
    hart: u64,
) -> Option<Any> {
    let (target, source) = match args.suite {
        "disks" => disk(args, vmm, buffers)?,
        "console" => (Any::Console(shown(args, vmm)?), Source::None),
        "network" => network(args, vmm)?,
        _ => return None,
    };
    interrupt::enable(if args.polls { Source::None } else { source }, hart, vmm);
    Some(target)
}

fn disk(
    args: &Args,
    vmm: Option<Vmm<Linear>>,
    buffers: &'static mut Buffers,
) -> Option<(Any, Source)> {
    let arena = Arena::new(buffers);
    let device = || vmm?.find(DeviceType::Block);
    Some(match args.driver {
        "ata" => (Any::Ata(ata::Ata::new(arena)?), Source::Ata),
        "virtio" => {
            let transport = mmio(DeviceType::Block)?;
            (Any::Virtio(queue::Queue::new(transport, arena, args.polls)?), Source::Virtio)
        }
        "bridge" => {
            let transport = bridge(vmm, DeviceType::Block)?;
            (Any::Bridge(queue::Queue::new(transport, arena, args.polls)?), Source::Pv)
        }
        // A driver that waits for each request looks for its completion.
        "sync" => (Any::Pv(pv::Pv::new(device()?, arena, pv::Style::Waits)?), Source::None),
        "pv" if args.polls => {
            (Any::Pv(pv::Pv::new(device()?, arena, pv::Style::Looks)?), Source::None)
        }
        "pv" => (Any::Pv(pv::Pv::new(device()?, arena, pv::Style::Interrupts)?), Source::Pv),
        _ => return None,
    })
}

fn shown(args: &Args, vmm: Option<Vmm<Linear>>) -> Option<console::Shown> {
    match args.driver {
        "uart" => Some(console::Shown::uart()),
        "virtio" => console::Shown::mmio(mmio(DeviceType::Console)?),
        "bridge" => console::Shown::bridge(bridge(vmm, DeviceType::Console)?),
        "pv" => console::Shown::pv(vmm?.find(DeviceType::Console)?),
        _ => None,
    }
}

fn network(args: &Args, vmm: Option<Vmm<Linear>>) -> Option<(Any, Source)> {
    Some(match args.driver {
        "virtio" => {
            let card = net::Card::new(mmio(DeviceType::Net)?, args.polls)?;
            (Any::VirtioNet(net::Peer::new(card, args.answers)), Source::Virtio)
        }
        "bridge" => {
            let card = net::Card::new(bridge(vmm, DeviceType::Net)?, args.polls)?;
            (Any::BridgeNet(net::Peer::new(card, args.answers)), Source::Pv)
        }
        "pv" => {
            let net = net::pv(vmm?.find(DeviceType::Net)?, args.polls)?;
            (Any::PvNet(net::Peer::new(net, args.answers)), Source::Pv)
        }
        _ => return None,
    })
}

/// The hypercalls of the first device of a type.
fn bridge(vmm: Option<Vmm<Linear>>, kind: DeviceType) -> Option<HypercallTransport> {
    // SAFETY: it goes to queues that keep what they give until it comes back.
    unsafe { HypercallTransport::new(vmm?.find(kind)?) }.ok()
}

/// The registers of the first virtio-mmio device of a type. What interrupts
/// must be in slot 0: see [`Source::Virtio`].
fn mmio(kind: DeviceType) -> Option<MmioTransport<'static>> {
    let slots = (0..8).map(|slot| 0x1000_1000 + 0x1000 * slot);
    let transports = slots.filter_map(|registers| {
        let registers = NonNull::new(core::ptr::with_exposed_provenance_mut(registers))?;
        // SAFETY: the registers of a slot, which nobody else uses.
        unsafe { MmioTransport::new(registers, 0x1000) }.ok()
    });
    transports.into_iter().find(|transport| transport.device_type() as u16 == kind as u16)
}
