//! The block device (virtio 1.2, section 5.2): from a chain to a disk request
//! and back.
//!
//! A request that the disk does at once is given back at once. For the others
//! there is a slot, whose number is the tag of the disk request; the slot
//! outlives a reset by the driver, as the disk may still write to memory, and
//! no new request may be taken for the old one.

#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::vec::Vec;

use trapeze_protocol::device::DeviceType;
use trapeze_protocol::device::block::{Config, Features, Header, Kind, SECTOR, Status};
use zerocopy::IntoBytes;

use super::chain::{self, Chain, Cursor, MAX_SEGMENTS, Segment};
use super::queue::{Broken, Queue};
use super::{Device, Served};
use crate::addr::Gpa;
use crate::disk::{Disk, Op, Request, Submitted, in_range};
use crate::mem::GuestRam;

/// Data segments in one request: a chain has a header and a status, too.
const SEG_MAX: u32 = MAX_SEGMENTS as u32 - 2;
/// Bytes in a block, as the configuration names them.
const BLOCK: u32 = 512;
const _: () = assert!(BLOCK as u64 == SECTOR);
/// Data bytes in one request; Linux asks for less than a third of it.
const MAX_BYTES: u64 = 4 << 20;
/// Data bytes after which a long queue is left for later, so that a disk that
/// works at once keeps no hart for long, nor hart 0 waiting for the device.
const TURN: u64 = 4 << 20;

/// Requests that the disk may have at once, the forgotten ones included: a
/// full queue from before a reset, and one from after it.
const MAX_FLIGHTS: usize = 2 * super::queue::MAX_SIZE as usize;

/// What is to be done when the disk has finished.
#[derive(Clone, Copy)]
struct Promise {
    head: u16,
    /// Where the status byte goes.
    status: Gpa,
    /// Bytes that the device will have written if all goes well.
    written: u32,
}

/// A request that the disk works on.
#[derive(Default)]
struct Flight {
    /// `None` once the driver has forgotten about it.
    promise: Option<Promise>,
    /// Where the disk reads, or writes.
    data: Vec<Segment>,
    /// Whether it writes there.
    writes: bool,
    /// Whether the disk still has it.
    flying: bool,
}

/// A block device.
pub struct Blk {
    config: Config,
    chain: Box<Chain>,
    requests: Requests,
}

/// The disk and what it works on.
struct Requests {
    disk: Box<dyn Disk>,
    data: Vec<Segment>,
    /// By tag.
    flights: Vec<Flight>,
    /// Tags of those that the disk does not have.
    free: Vec<u16>,
}

impl Blk {
    /// A block device on `disk`.
    pub fn new(disk: Box<dyn Disk>) -> Self {
        let config = Config {
            capacity: disk.sectors(),
            seg_max: SEG_MAX,
            blk_size: BLOCK,
            ..Config::default()
        };
        let requests = Requests { disk, data: Vec::new(), flights: Vec::new(), free: Vec::new() };
        Self { config, chain: Box::default(), requests }
    }
}

impl Device for Blk {
    fn kind(&self) -> DeviceType {
        DeviceType::Block
    }

    fn queues(&self) -> usize {
        1
    }

    fn features(&self) -> u64 {
        let mut features = Features::SEG_MAX | Features::BLK_SIZE | Features::FLUSH;
        features.set(Features::RO, self.requests.disk.read_only());
        features.bits()
    }

    fn config(&self) -> &[u8] {
        self.config.as_bytes()
    }

    fn serve(
        &mut self,
        _index: usize,
        queues: &mut [Queue],
        ram: &GuestRam,
    ) -> Result<Served, Broken> {
        let Some(queue) = queues.first_mut() else { return Ok(Served::empty()) };
        let served = self.take_requests(queue, ram);
        // Also after what broke the device: the disk must end what it has.
        self.requests.disk.kick();
        let mut served = served?;
        served.set(Served::INTERRUPT, queue.should_interrupt(ram)?);
        Ok(served)
    }

    fn collect(&mut self, queues: &mut [Queue], ram: &GuestRam) -> Result<Served, Broken> {
        let Some(queue) = queues.first_mut() else { return Ok(Served::empty()) };
        let mut served = Served::empty();
        let mut result = Ok(());
        while let Some((tag, success)) = self.requests.disk.complete(ram) {
            if let Some(promise) = self.requests.land(tag, ram) {
                result = result.and(keep(queue, ram, promise, code(success)));
            }
        }
        result?;
        served.set(Served::INTERRUPT, queue.should_interrupt(ram)?);
        Ok(served)
    }

    fn abandon(&mut self, _index: usize) {
        self.requests.flights.iter_mut().for_each(|flight| flight.promise = None);
    }

    fn busy(&self) -> usize {
        self.requests.flights.iter().filter(|flight| flight.flying).count()
    }

    fn in_flight(&self, visit: &mut dyn FnMut(Segment)) {
        let flying = self.requests.flights.iter().filter(|flight| flight.flying);
        flying.flat_map(|flight| &flight.data).for_each(|segment| visit(*segment));
    }
}

impl Blk {
    /// Answers or starts what is in the queue.
    fn take_requests(&mut self, queue: &mut Queue, ram: &GuestRam) -> Result<Served, Broken> {
        let mut bytes = 0;
        // The driver may fill the queue again meanwhile, but not for ever.
        let mut left = super::queue::MAX_SIZE;
        while left != 0 && bytes < TURN {
            if queue.pop(ram, &mut self.chain)? {
                bytes += self.requests.serve(queue, ram, &self.chain)?;
                left -= 1;
            } else if !queue.want_notification(ram)? {
                return Ok(Served::empty());
            }
        }
        Ok(Served::MORE)
    }
}

impl Requests {
    /// Answers or starts the request in `chain`; tells its data bytes.
    fn serve(&mut self, queue: &mut Queue, ram: &GuestRam, chain: &Chain) -> Result<u64, Broken> {
        let (header, status) = self.parse(ram, chain)?;
        let bytes = chain::total(&self.data);
        let writes = matches!(Kind(header.kind), Kind::READ | Kind::GET_ID);
        // More than 4 GiB are refused below.
        let data = if writes { u32::try_from(bytes).unwrap_or(0) } else { 0 };
        let promise = Promise { head: chain.head, status, written: data.saturating_add(1) };
        match self.begin(ram, &header, bytes, promise) {
            Ok(Submitted::Pending) => Ok(bytes),
            Ok(Submitted::Done(success)) => {
                keep(queue, ram, promise, code(success)).map(|()| bytes)
            }
            Err(code) => keep(queue, ram, promise, code).map(|()| 0),
        }
    }

    /// Takes header, data and status out of a chain (section 5.2.6), however
    /// they are divided into buffers (section 2.7.4.3).
    fn parse(&mut self, ram: &GuestRam, chain: &Chain) -> Result<(Header, Gpa), Broken> {
        let mut readable = Cursor::new(chain.readable());
        let header: Header = readable.value(ram)?.ok_or(Broken::Request)?;
        let last = chain.writable().last().ok_or(Broken::Request)?;
        let status = last.gpa.wrapping_add(last.len - 1);
        self.data.clear();
        if Kind(header.kind) == Kind::WRITE {
            self.data.extend(readable.pieces(u64::MAX));
        } else {
            let len = chain::total(chain.writable()) - 1;
            self.data.extend(Cursor::new(chain.writable()).pieces(len));
        }
        Ok((header, status))
    }

    /// Starts a request, or refuses it with a status.
    fn begin(
        &mut self,
        ram: &GuestRam,
        header: &Header,
        bytes: u64,
        promise: Promise,
    ) -> Result<Submitted, Status> {
        let op = match Kind(header.kind) {
            Kind::READ => Op::Read,
            Kind::WRITE if self.disk.read_only() => return Err(Status::IO_ERROR),
            Kind::WRITE => Op::Write,
            Kind::FLUSH => Op::Flush,
            Kind::GET_ID => return self.identify(ram).map_err(|_| Status::IO_ERROR),
            _ => return Err(Status::UNSUPPORTED),
        };
        if op == Op::Flush {
            self.data.clear();
        } else if bytes > MAX_BYTES || !in_range(header.sector, bytes, self.disk.sectors()) {
            return Err(Status::IO_ERROR);
        }
        Ok(self.submit(ram, op, header.sector, promise))
    }

    fn identify(&self, ram: &GuestRam) -> Result<Submitted, Broken> {
        Cursor::new(&self.data).write(ram, &self.disk.serial())?;
        Ok(Submitted::Done(true))
    }

    fn submit(&mut self, ram: &GuestRam, op: Op, sector: u64, promise: Promise) -> Submitted {
        let Some(tag) = self.free_tag() else { return Submitted::Done(false) };
        let submitted = self.disk.submit(Request { op, sector, data: &self.data, tag }, ram);
        if submitted != Submitted::Pending {
            self.free.push(tag);
        } else if let Some(flight) = self.flights.get_mut(usize::from(tag)) {
            (flight.promise, flight.flying) = (Some(promise), true);
            flight.writes = op == Op::Read;
            flight.data.clear();
            flight.data.extend_from_slice(&self.data);
        }
        submitted
    }

    /// The tag of a slot that no request in flight has. Only a driver that
    /// resets the device again and again finds none.
    fn free_tag(&mut self) -> Option<u16> {
        if let Some(tag) = self.free.pop() {
            return Some(tag);
        }
        let tag = u16::try_from(self.flights.len()).ok()?;
        if usize::from(tag) == MAX_FLIGHTS {
            return None;
        }
        self.flights.push(Flight::default());
        Some(tag)
    }

    /// The disk has finished request `tag`.
    fn land(&mut self, tag: u16, ram: &GuestRam) -> Option<Promise> {
        let flight = self.flights.get_mut(usize::from(tag))?;
        if core::mem::take(&mut flight.flying) {
            self.free.push(tag);
        }
        if flight.writes {
            flight.data.iter().for_each(|part| ram.note_device_write(part.gpa, part.len));
        }
        flight.promise.take()
    }
}

fn code(success: bool) -> Status {
    if success { Status::OK } else { Status::IO_ERROR }
}

/// Writes the status and gives the chain back.
fn keep(queue: &mut Queue, ram: &GuestRam, promise: Promise, code: Status) -> Result<(), Broken> {
    ram.store_u8(promise.status, code.0)?;
    // Of data that may be incomplete, nothing is claimed.
    let written = if code == Status::OK { promise.written } else { 1 };
    queue.push(ram, promise.head, written)
}
