//! A virtio disk with registers, by the crate `virtio-drivers`.

use alloc::boxed::Box;
use alloc::vec::Vec;

use guest_drivers::Operation;
use virtio_drivers::device::blk::{BlkReq, BlkResp, VirtIOBlk};
use virtio_drivers::transport::DeviceType;
use virtio_drivers::transport::mmio::MmioTransport;

use super::Done;
use crate::tree::Found;
use crate::{dma, events};

pub(super) struct Disk {
    block: VirtIOBlk<dma::Identity, MmioTransport<'static>>,
    flights: Vec<Flight>,
    /// Requests that never were under way.
    ended: Vec<Done>,
}

/// A request under way: all of this is the device's. It is boxed, so that it
/// stays where it is.
struct Flight {
    token: u16,
    operation: Operation,
    request: Box<BlkReq>,
    response: Box<BlkResp>,
    buffer: Box<[u8]>,
}

impl Disk {
    /// The disk in `slot`.
    pub(super) fn new(slot: &Found) -> Option<Self> {
        let transport = dma::transport(slot, DeviceType::Block)?;
        let block = VirtIOBlk::new(transport).ok()?;
        events::enable(slot.irq);
        Some(Self { block, flights: Vec::new(), ended: Vec::new() })
    }
}

impl super::Disk for Disk {
    fn sectors(&self) -> u64 {
        self.block.capacity()
    }

    fn depth(&self) -> usize {
        usize::from(self.block.virt_queue_size())
    }

    fn start(
        &mut self,
        operation: Operation,
        sector: u64,
        mut buffer: Box<[u8]>,
    ) -> Result<(), Box<[u8]>> {
        if operation == Operation::Flush {
            // The crate has no flush that does not wait.
            let well = self.block.flush().is_ok();
            self.ended.push(Done { buffer, well });
            return Ok(());
        }
        let (mut request, mut response) = (Box::<BlkReq>::default(), Box::<BlkResp>::default());
        let sector = usize::try_from(sector).unwrap_or(usize::MAX);
        // SAFETY: nobody looks at the three until the device gives them back;
        // they are kept in `flights`, and a disk is never dropped.
        let token = unsafe {
            match operation {
                Operation::Write => {
                    self.block.write_blocks_nb(sector, &mut request, &buffer, &mut response)
                }
                _ => self.block.read_blocks_nb(sector, &mut request, &mut buffer, &mut response),
            }
        };
        let Ok(token) = token else { return Err(buffer) };
        self.flights.push(Flight { token, operation, request, response, buffer });
        Ok(())
    }

    fn kick(&mut self) {
        // The crate tells the device of each request.
    }

    fn finish(&mut self) -> Option<Done> {
        if let Some(done) = self.ended.pop() {
            return Some(done);
        }
        // Nothing yet: the interrupt of what was there before is over. What
        // comes after this brings another.
        let token = self.block.peek_used().or_else(|| {
            self.block.ack_interrupt();
            self.block.peek_used()
        })?;
        let place = self.flights.iter().position(|flight| flight.token == token)?;
        let mut flight = self.flights.swap_remove(place);
        let Flight { operation, request, response, buffer, .. } = &mut flight;
        // SAFETY: these are what the request was started with.
        let result = unsafe {
            match *operation {
                Operation::Write => {
                    self.block.complete_write_blocks(token, request, buffer, response)
                }
                _ => self.block.complete_read_blocks(token, request, buffer, response),
            }
        };
        Some(Done { buffer: flight.buffer, well: result.is_ok() })
    }

    fn wake_after(&mut self, _: u16) {
        // It interrupts for each.
    }
}
