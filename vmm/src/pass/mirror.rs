//! A passed virtio device whose queues the VMM mirrors, so that the device
//! reaches no memory but the guest's.
//!
//! ```text
//!  guest's queue ──copied, checked──► chain ──Gpa to Hpa──► ring ──► device
//!  guest's queue ◄──── head, length ───────── flight ◄───── ring ◄── device
//! ```
//!
//! The guest's queue is a [`Queue`] as in front of any device: a chain is
//! copied once and checked as a whole, each buffer with its length. What the
//! device sees is the copy, in a [`Ring`] that the guest cannot reach; so it
//! makes no difference what the guest does to its queue afterwards. Invariant
//! **only-checked-buffers**.
//!
//! Of the device's features those are offered that change what buffers mean,
//! and none that change what the rings are.

use alloc::boxed::Box;
use alloc::vec::Vec;

use trapeze_protocol::device::{DeviceType, RingFeatures};

use super::RealVirtio;
use super::ring::{Buffer, Ring};
use crate::mem::GuestRam;
use crate::virtio::chain::{Chain, MAX_SEGMENTS, Segment, total};
use crate::virtio::queue::{Broken, Queue};
use crate::virtio::{Device, Served};

/// Elements of a ring, if the device has as many: room for a whole queue of
/// the guest's, and for the longest chain beside it.
const RING: u16 = 512;
/// Bytes of configuration that a guest sees.
const CONFIG: usize = 64;
/// Features of block devices: all that are about requests, and not about
/// further queues or about writing the configuration (virtio 1.2, 5.2.3).
const BLOCK_FEATURES: u64 = 1 << 1 | 1 << 2 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 9 | 1 << 10;
/// Features of network interfaces likewise: offloads, status, and the control
/// queue (5.1.3).
const NET_FEATURES: u64 = 0xbf_ffaf;
/// In the configuration of a block device: segments of a request (5.2.4).
const SEG_MAX: core::ops::Range<usize> = 12..16;

/// What is to be done when the device is done with a chain.
#[derive(Default)]
struct Flight {
    /// `None` once the driver has forgotten about it.
    head: Option<u16>,
    /// Where the device writes.
    target: Vec<Segment>,
    /// Descriptors in the ring; none: the device does not have it.
    count: u16,
}

/// One queue of the device.
struct Lane {
    ring: Ring,
    /// By number in the ring.
    flights: Vec<Flight>,
    /// Chains wait in the guest's queue because the ring has no room.
    stalled: bool,
}

/// The device.
pub struct Mirror {
    real: Box<dyn RealVirtio>,
    kind: DeviceType,
    features: u64,
    config: Vec<u8>,
    lanes: Vec<Lane>,
    chain: Box<Chain>,
    /// The driver is ready, and the device works.
    running: bool,
}

impl Mirror {
    /// Queues of a device of type `kind`; `None`: such a one is not mirrored.
    fn queues(kind: DeviceType) -> Option<u16> {
        match kind {
            DeviceType::Block => Some(1),
            DeviceType::Net => Some(3),
            DeviceType::Console | DeviceType::Entropy | DeviceType::Balloon => None,
        }
    }

    /// Stands in front of `real`, with rings in memory from `memory`; `None`
    /// if there is too little, or for a device that cannot be mirrored.
    pub fn new(
        mut real: Box<dyn RealVirtio>,
        memory: &mut dyn FnMut(u64) -> Option<&'static mut [u8]>,
    ) -> Option<Self> {
        let kind = real.kind()?;
        let mut lanes = Vec::new();
        for index in 0..Self::queues(kind)? {
            let size = real.queue_max(index).min(RING.into());
            let size = u16::try_from(size).ok().filter(|size| *size >= MAX_SEGMENTS)?;
            let size = 1 << size.ilog2();
            let ring = Ring::new(memory(Ring::bytes(size))?, size);
            let flights = (0..size).map(|_| Flight::default()).collect();
            lanes.push(Lane { ring, flights, stalled: false });
        }
        let features = real.features() & allowed(kind);
        let config = alloc::vec![0; CONFIG];
        let (chain, running) = (Box::default(), false);
        let mut mirror = Self { real, kind, features, config, lanes, chain, running };
        mirror.read_config();
        Some(mirror)
    }

    /// Copies the configuration, as it is for a guest.
    fn read_config(&mut self) {
        self.real.config(&mut self.config);
        if self.kind == DeviceType::Block
            && let Some(bytes) = self.config.get_mut(SEG_MAX)
        {
            let most = u32::from(MAX_SEGMENTS) - 2;
            let told = <[u8; 4]>::try_from(&*bytes).map_or(most, u32::from_le_bytes);
            bytes.copy_from_slice(&told.min(most).to_le_bytes());
        }
    }
}

/// The features that a guest may have of a device.
fn allowed(kind: DeviceType) -> u64 {
    match kind {
        DeviceType::Block => BLOCK_FEATURES,
        DeviceType::Net => NET_FEATURES,
        DeviceType::Console | DeviceType::Entropy | DeviceType::Balloon => 0,
    }
}

impl Device for Mirror {
    fn kind(&self) -> DeviceType {
        self.kind
    }

    fn queues(&self) -> usize {
        self.lanes.len()
    }

    fn features(&self) -> u64 {
        self.features
    }

    fn config(&self) -> &[u8] {
        &self.config
    }

    fn start(&mut self, features: u64) -> Result<(), Broken> {
        let features = features & self.features | RingFeatures::VERSION_1.bits();
        self.lanes.iter_mut().for_each(Lane::clear);
        let places: Option<Vec<_>> = self.lanes.iter().map(|lane| lane.ring.place()).collect();
        self.running = places.is_some_and(|places| self.real.start(features, &places));
        if self.running { Ok(()) } else { Err(Broken::Request) }
    }

    fn reset(&mut self) {
        self.real.reset();
        self.running = false;
    }

    fn serve(
        &mut self,
        index: usize,
        queues: &mut [Queue],
        ram: &GuestRam,
    ) -> Result<Served, Broken> {
        let (lane, queue) = (self.lanes.get_mut(index), queues.get_mut(index));
        let Some((lane, queue)) = lane.zip(queue).filter(|_| self.running) else {
            return Ok(Served::empty());
        };
        let filled = lane.fill(queue, &mut self.chain, ram);
        if lane.ring.must_notify() {
            self.real.notify(u16::try_from(index).unwrap_or(0));
        }
        filled.map(|()| Served::empty())
    }

    fn collect(&mut self, queues: &mut [Queue], ram: &GuestRam) -> Result<Served, Broken> {
        let mut served = Served::empty();
        if self.real.acknowledge() {
            self.read_config();
            served |= Served::CONFIGURATION;
        }
        if !self.running {
            return Ok(served);
        }
        for index in 0..self.lanes.len() {
            let (lane, queue) = (self.lanes.get_mut(index), queues.get_mut(index));
            let Some((lane, queue)) = lane.zip(queue) else { continue };
            lane.land(queue, ram)?;
            served.set(
                Served::INTERRUPT,
                served.contains(Served::INTERRUPT) | queue.should_interrupt(ram)?,
            );
            if core::mem::take(&mut lane.stalled) {
                served |= self.serve(index, queues, ram)?;
            }
        }
        Ok(served)
    }

    fn abandon(&mut self, index: usize) {
        if let Some(lane) = self.lanes.get_mut(index) {
            lane.flights.iter_mut().for_each(|flight| flight.head = None);
            lane.stalled = false;
        }
    }

    /// A device that was reset has dropped all requests, once it is quiet.
    fn busy(&self) -> usize {
        match self.running {
            true => self.lanes.iter().map(Lane::busy).sum(),
            false => usize::from(!self.real.is_quiet()),
        }
    }
}

impl Lane {
    /// As before the first chain; the device has stopped.
    fn clear(&mut self) {
        self.ring.clear();
        self.flights.iter_mut().for_each(|flight| *flight = Flight::default());
        self.stalled = false;
    }

    /// How many chains the device has.
    fn busy(&self) -> usize {
        self.flights.iter().filter(|flight| flight.count != 0).count()
    }

    /// Moves chains from the guest's queue to the ring. One that does not fit
    /// is left there, as the longest one might have to.
    fn fill(&mut self, queue: &mut Queue, chain: &mut Chain, ram: &GuestRam) -> Result<(), Broken> {
        while self.ring.room() >= MAX_SEGMENTS.into() {
            if queue.pop(ram, chain)? {
                self.launch(chain, ram)?;
            } else if !queue.want_notification(ram)? {
                return Ok(());
            }
        }
        self.stalled = true;
        queue.refuse_notifications(ram)
    }

    /// Gives a chain to the device, at the real addresses of its buffers.
    fn launch(&mut self, chain: &Chain, ram: &GuestRam) -> Result<(), Broken> {
        let mut buffers: Vec<Buffer> = Vec::new();
        for (segments, writable) in [(chain.readable(), false), (chain.writable(), true)] {
            for Segment { gpa, len } in segments {
                let host = ram.hpa(*gpa, *len).ok_or(Broken::Memory)?;
                let len = u32::try_from(*len).map_err(|_| Broken::Memory)?;
                buffers.push(Buffer { host, len, writable });
            }
        }
        let count = u16::try_from(buffers.len()).map_err(|_| Broken::Buffers)?;
        let number = self.ring.add(buffers.into_iter()).ok_or(Broken::Request)?;
        if let Some(flight) = self.flights.get_mut(usize::from(number)) {
            *flight = Flight { head: Some(chain.head), target: chain.writable().to_vec(), count };
        }
        Ok(())
    }

    /// Gives back what the device is done with: no more than the ring holds.
    fn land(&mut self, queue: &mut Queue, ram: &GuestRam) -> Result<(), Broken> {
        let Self { ring, flights, .. } = self;
        let count = |number: u16| flights.get(usize::from(number)).map_or(0, |f| f.count);
        let mut done = Vec::new();
        while done.len() < RING.into()
            && let Some(used) = ring.take(count)
        {
            done.push(used);
        }
        for (number, written) in done {
            let Some(flight) = self.flights.get_mut(usize::from(number)) else { continue };
            let Flight { head, target, .. } = core::mem::take(flight);
            target.iter().for_each(|part| ram.note_device_write(part.gpa, part.len));
            let written = u64::from(written).min(total(&target));
            if let Some(head) = head {
                queue.push(ram, head, u32::try_from(written).unwrap_or(u32::MAX))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
