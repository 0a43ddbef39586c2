//! How requests of a disk are described: header, status, and a table of
//! descriptors.

use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use trapeze_protocol::device::block::{Kind, Status};
use trapeze_protocol::queue::DescriptorFlags;

use crate::channel::{Segments, Written};
use crate::dma::Segment;
use crate::error::Error;
use crate::memory::Memory;
use crate::rings::{Descriptor, Rings};

/// The start of a request, as `trapeze_protocol::device::block::Header`.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Header {
    kind: AtomicU64,
    sector: AtomicU64,
}

impl Header {
    pub(super) const fn new() -> Self {
        Self { kind: AtomicU64::new(0), sector: AtomicU64::new(0) }
    }
}

/// Where requests are described. A slot has a table of descriptors: the
/// header, the status, and data from the third on, chained as header, data,
/// status. Only the data differs from one request to the next.
pub(super) struct Frames {
    pub(super) tables: &'static [Descriptor],
    /// Descriptors of a table.
    pub(super) stride: usize,
    pub(super) headers: &'static [Header],
    pub(super) statuses: &'static [AtomicU8],
}

const STATUS: u16 = 1;
const DATA: u16 = 2;
/// Bytes of a header.
const HEADER_LEN: u32 = 16;
/// What is no status, until the device writes one.
const NO_STATUS: u8 = 0xff;

impl Frames {
    fn table(&self, slot: u16) -> Option<&'static [Descriptor]> {
        let start = usize::from(slot) * self.stride;
        self.tables.get(start..start + self.stride)
    }

    /// Stores what is the same for all requests.
    pub(super) fn prepare(&self, rings: Rings<'static>, memory: impl Memory) -> Result<(), Error> {
        for ((slot, header), status) in (0..).zip(self.headers).zip(self.statuses) {
            let (Some(table), Some(own)) = (self.table(slot), rings.descriptor(slot)) else {
                return Err(Error::QueueSize);
            };
            own.point(Segment::shared(table, memory)?, DescriptorFlags::INDIRECT, 0);
            let [first, second, ..] = table else { return Err(Error::TooLong) };
            first.point(Segment::shared(header, memory)?, DescriptorFlags::NEXT, DATA);
            second.point(Segment::shared(status, memory)?, DescriptorFlags::WRITE, 0);
        }
        Ok(())
    }

    /// Stores what is this request's; returns how much the device may write.
    pub(super) fn describe(
        &self,
        slot: u16,
        kind: Kind,
        sector: u64,
        data: Segments<'_>,
    ) -> Result<u32, Error> {
        let place = usize::from(slot);
        let (Some(table), Some(header), Some(status)) =
            (self.table(slot), self.headers.get(place), self.statuses.get(place))
        else {
            return Err(Error::QueueSize);
        };
        let writes = matches!(kind, Kind::READ | Kind::GET_ID);
        let mut flags = DescriptorFlags::NEXT;
        flags.set(DescriptorFlags::WRITE, writes);
        let (mut last, mut next, mut bytes) = (None, DATA, 0u32);
        for segment in data {
            let (segment, cell) = (segment?, table.get(usize::from(next)));
            bytes = bytes.checked_add(segment.len()).ok_or(Error::TooLong)?;
            next += 1;
            last = Some((cell.ok_or(Error::TooLong)?, segment.len()));
            cell.ok_or(Error::TooLong)?.point(segment, flags, next);
        }
        match (last, table.first()) {
            (Some((last, len)), Some(first)) => {
                last.set_rest(len, flags, STATUS);
                first.set_rest(HEADER_LEN, DescriptorFlags::NEXT, DATA);
            }
            (_, first) => {
                first.ok_or(Error::TooLong)?.set_rest(HEADER_LEN, DescriptorFlags::NEXT, STATUS);
            }
        }
        header.kind.store(kind.0.into(), Ordering::Relaxed);
        header.sector.store(sector, Ordering::Relaxed);
        status.store(NO_STATUS, Ordering::Relaxed);
        (if writes { bytes } else { 0 }).checked_add(1).ok_or(Error::TooLong)
    }

    /// What the status says. A device that says well, and has not written
    /// all that it should, is not believed.
    pub(super) fn result(&self, written: &Written) -> Result<(), Error> {
        let status = self.statuses.get(usize::from(written.slot)).ok_or(Error::QueueSize)?;
        match Status(status.load(Ordering::Relaxed)) {
            Status::OK if written.len == written.room => Ok(()),
            Status::UNSUPPORTED => Err(Error::Unsupported),
            _ => Err(Error::Io),
        }
    }
}
