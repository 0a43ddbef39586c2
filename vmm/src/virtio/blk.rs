//! The block device (virtio 1.2, section 5.2): from a chain to a disk request
//! and back.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::queue::{Broken, Chain, Queue, Segment};
use crate::addr::{Gpa, to_usize};
use crate::disk::{Disk, Op, Request, SECTOR, Submitted, in_range};
use crate::mem::GuestRam;

/// Device type in the transport's registers.
pub const DEVICE_ID: u32 = 2;

/// Feature bits (section 5.2.3).
const F_SEG_MAX: u64 = 1 << 2;
const F_RO: u64 = 1 << 5;
const F_BLK_SIZE: u64 = 1 << 6;
const F_FLUSH: u64 = 1 << 9;

/// Request types and statuses (section 5.2.6).
const T_IN: u32 = 0;
const T_OUT: u32 = 1;
const T_FLUSH: u32 = 4;
const T_GET_ID: u32 = 8;
const S_OK: u8 = 0;
const S_IOERR: u8 = 1;
const S_UNSUPP: u8 = 2;

/// Data segments in one request: a chain has a header and a status, too.
const SEG_MAX: u32 = super::queue::MAX_SEGMENTS - 2;
/// Data bytes in one request; it bounds what one notification can cost.
const MAX_BYTES: u64 = 4 << 20;
/// Bytes of the header.
const HEADER: usize = 16;

/// A request that the disk works on.
#[derive(Clone, Copy)]
struct Flight {
    head: u16,
    status: Gpa,
    /// Bytes that will have been written to the chain, status included.
    written: u32,
    /// The data that a device writes to, to mark watched pages.
    reads: bool,
}

/// A block device.
pub struct Blk {
    disk: Box<dyn Disk>,
    chain: Chain,
    data: Vec<Segment>,
    /// By tag.
    flights: Vec<Option<Flight>>,
    /// Where a disk that finishes later puts its data, by tag.
    targets: Vec<Vec<Segment>>,
}

/// A request as the chain states it.
struct Parsed {
    kind: u32,
    sector: u64,
    status: Gpa,
}

impl Blk {
    /// A block device on `disk`.
    pub fn new(disk: Box<dyn Disk>) -> Self {
        let (chain, data) = (Chain::default(), Vec::new());
        Self { disk, chain, data, flights: Vec::new(), targets: Vec::new() }
    }

    /// Features that the device offers.
    pub fn features(&self) -> u64 {
        let read_only = if self.disk.read_only() { F_RO } else { 0 };
        F_SEG_MAX | F_BLK_SIZE | F_FLUSH | read_only
    }

    /// The configuration space (section 5.2.4), as far as it is used.
    pub fn config(&self) -> [u8; 24] {
        let mut config = [0; 24];
        let (capacity, rest) = config.split_at_mut(8);
        capacity.copy_from_slice(&self.disk.sectors().to_le_bytes());
        let (_size_max, rest) = rest.split_at_mut(4);
        let (seg_max, rest) = rest.split_at_mut(4);
        seg_max.copy_from_slice(&SEG_MAX.to_le_bytes());
        let (_geometry, blk_size) = rest.split_at_mut(4);
        blk_size.copy_from_slice(&512u32.to_le_bytes());
        config
    }

    /// Forgets all requests. What the disk still works on ends unseen.
    pub fn reset(&mut self) {
        self.flights.iter_mut().for_each(|flight| *flight = None);
    }

    /// Requests that the disk works on.
    pub fn in_flight(&self) -> usize {
        self.flights.iter().flatten().count()
    }

    /// Serves what is in the queue; tells whether the driver is to be
    /// interrupted.
    pub fn notify(&mut self, queue: &mut Queue, ram: &GuestRam) -> Result<bool, Broken> {
        // The driver may fill the queue again meanwhile, but not for ever.
        for _ in 0..queue.size {
            let mut chain = core::mem::take(&mut self.chain);
            let popped = queue.pop(ram, &mut chain);
            let served = match popped {
                Ok(true) => self.serve(queue, ram, &chain).map(|()| true),
                other => other,
            };
            self.chain = chain;
            if !served? {
                break;
            }
        }
        queue.should_interrupt(ram)
    }

    /// Gives back what the disk has finished.
    pub fn complete(&mut self, queue: &mut Queue, ram: &GuestRam) -> Result<bool, Broken> {
        while let Some((tag, success)) = self.disk.complete() {
            let flight = self.flights.get_mut(usize::from(tag)).and_then(Option::take);
            let targets = self.targets.get_mut(usize::from(tag)).map(core::mem::take);
            if let Some(flight) = flight {
                let written = targets.unwrap_or_default();
                if flight.reads {
                    written.iter().for_each(|s| ram.note_device_write(s.gpa, s.len));
                }
                finish(queue, ram, flight, if success { S_OK } else { S_IOERR })?;
            }
        }
        queue.should_interrupt(ram)
    }

    fn serve(&mut self, queue: &mut Queue, ram: &GuestRam, chain: &Chain) -> Result<(), Broken> {
        let parsed = self.parse(ram, chain)?;
        let bytes: u64 = self.data.iter().map(|segment| segment.len).sum();
        let reads = matches!(parsed.kind, T_IN | T_GET_ID);
        let written = if reads { u32::try_from(bytes).unwrap_or(0) + 1 } else { 1 };
        let flight = Flight { head: chain.head, status: parsed.status, written, reads };
        let op = match parsed.kind {
            T_IN => Op::Read,
            T_OUT if !self.disk.read_only() => Op::Write,
            T_FLUSH => Op::Flush,
            T_GET_ID => return finish(queue, ram, flight, self.identify(ram)),
            T_OUT => return finish(queue, ram, flight, S_IOERR),
            _ => return finish(queue, ram, Flight { written: 1, ..flight }, S_UNSUPP),
        };
        if op == Op::Flush {
            self.data.clear();
        } else if bytes > MAX_BYTES || !in_range(parsed.sector, bytes, self.disk.sectors()) {
            return finish(queue, ram, Flight { written: 1, ..flight }, S_IOERR);
        }
        self.submit(queue, ram, op, parsed.sector, flight)
    }

    fn submit(
        &mut self,
        queue: &mut Queue,
        ram: &GuestRam,
        op: Op,
        sector: u64,
        flight: Flight,
    ) -> Result<(), Broken> {
        let tag = self.free_tag();
        let Ok(number) = u16::try_from(tag) else {
            return finish(queue, ram, flight, S_IOERR);
        };
        let request = Request { op, sector, data: &self.data, tag: number };
        match self.disk.submit(request, ram) {
            Submitted::Done(success) => {
                finish(queue, ram, flight, if success { S_OK } else { S_IOERR })
            }
            Submitted::Pending => {
                if let (Some(slot), Some(target)) =
                    (self.flights.get_mut(tag), self.targets.get_mut(tag))
                {
                    *slot = Some(flight);
                    target.clone_from(&self.data);
                }
                Ok(())
            }
        }
    }

    /// A tag that no request in flight has. There are as many as requests in
    /// flight, and these are bounded by the size of the queue.
    fn free_tag(&mut self) -> usize {
        let free = self.flights.iter().position(Option::is_none);
        free.unwrap_or_else(|| {
            self.flights.push(None);
            self.targets.push(Vec::new());
            self.flights.len() - 1
        })
    }

    /// Takes header, data and status out of a chain (section 5.2.6).
    fn parse(&mut self, ram: &GuestRam, chain: &Chain) -> Result<Parsed, Broken> {
        let mut header = [0; HEADER];
        self.data.clear();
        let mut have = 0;
        for segment in chain.readable() {
            let part = to_usize(segment.len).min(HEADER - have);
            ram.read_bytes(segment.gpa, header.get_mut(have..have + part).unwrap_or_default())?;
            have += part;
            let (gpa, len) = (segment.gpa.wrapping_add(part as u64), segment.len - part as u64);
            if len != 0 {
                self.data.push(Segment { gpa, len });
            }
        }
        let (last, writable) = chain.writable().split_last().ok_or(Broken)?;
        if have < HEADER {
            return Err(Broken);
        }
        let [kind, _, low, high] = [0, 4, 8, 12].map(|at| word(&header, at));
        if matches!(kind, T_IN | T_GET_ID) {
            self.data.clear();
        }
        if kind != T_OUT {
            self.data.extend_from_slice(writable);
            if last.len > 1 {
                self.data.push(Segment { gpa: last.gpa, len: last.len - 1 });
            }
        }
        let status = last.gpa.wrapping_add(last.len - 1);
        Ok(Parsed { kind, sector: u64::from(high) << 32 | u64::from(low), status })
    }

    /// Writes the serial number to the data segments.
    fn identify(&self, ram: &GuestRam) -> u8 {
        let serial = self.disk.serial();
        let mut rest = &serial[..];
        for segment in &self.data {
            let part = to_usize(segment.len).min(rest.len());
            let (bytes, left) = rest.split_at(part);
            if ram.write_bytes(segment.gpa, bytes).is_err() {
                return S_IOERR;
            }
            rest = left;
        }
        S_OK
    }

    /// The disk's size in sectors.
    pub fn sectors(&self) -> u64 {
        self.disk.sectors()
    }
}

/// Writes the status and gives the chain back.
fn finish(queue: &mut Queue, ram: &GuestRam, flight: Flight, status: u8) -> Result<(), Broken> {
    ram.store_u8(flight.status, status)?;
    queue.push(ram, flight.head, flight.written)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..at + 4).and_then(|word| word.try_into().ok());
    word.map_or(0, u32::from_le_bytes)
}

const _: () = assert!(SECTOR == 512);
