//! A paravirtual disk: an exit to start requests, if the VMM does not look at
//! the queue already, and an exit to wait for them.

use alloc::boxed::Box;

use guest_drivers::{Block, BlockStorage, Device, Interrupts, Linear, Once, Operation};

use super::Done;

/// Requests that can be under way.
const DEPTH: usize = 64;

static STORAGE: Once<BlockStorage<Box<[u8]>, DEPTH>> = Once::new(BlockStorage::new());

pub(super) struct Disk(Block<Box<[u8]>>);

impl Disk {
    /// Takes the device into service; the first one only.
    pub(super) fn new(device: Device<Linear>) -> Option<Self> {
        let mut block = Block::new(device, STORAGE.take()?).ok()?;
        block.set_interrupts(Interrupts::After(1));
        Some(Self(block))
    }
}

impl super::Disk for Disk {
    fn sectors(&self) -> u64 {
        self.0.capacity()
    }

    fn depth(&self) -> usize {
        DEPTH
    }

    fn start(
        &mut self,
        operation: Operation,
        sector: u64,
        buffer: Box<[u8]>,
    ) -> Result<(), Box<[u8]>> {
        let taken = self.0.enqueue(operation, sector, buffer);
        taken.map(|_| ()).map_err(|refused| refused.data)
    }

    fn kick(&mut self) {
        self.0.kick();
    }

    fn finish(&mut self) -> Option<Done> {
        let done = self.0.complete()?;
        Some(Done { buffer: done.data, well: done.result.is_ok() })
    }

    fn wake_after(&mut self, requests: u16) {
        self.0.set_interrupts(Interrupts::After(requests));
    }
}
