//! Disks: requests under way, with their buffers, and calls that wait.

mod mmio;
mod pv;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::{format, vec};
use core::fmt;

use guest_drivers::{DeviceType, Operation};

use crate::Vmm;
use crate::events;
use crate::tree::Machine;

/// Bytes of a sector.
pub(crate) const SECTOR: usize = 512;

/// A request that has ended.
#[derive(Debug)]
pub(crate) struct Done {
    /// Its buffer.
    pub(crate) buffer: Box<[u8]>,
    /// Whether it did what it should.
    pub(crate) well: bool,
}

/// A disk. Requests are started, told to the device, and end in any order.
pub(crate) trait Disk {
    /// Size in sectors.
    fn sectors(&self) -> u64;

    /// How many requests can be under way.
    fn depth(&self) -> usize;

    /// Starts a request: whole sectors from `sector` on.
    ///
    /// # Errors
    /// The buffer, if the device takes no more.
    fn start(
        &mut self,
        operation: Operation,
        sector: u64,
        buffer: Box<[u8]>,
    ) -> Result<(), Box<[u8]>>;

    /// Tells the device of what was started.
    fn kick(&mut self);

    /// The next request that has ended.
    fn finish(&mut self) -> Option<Done>;

    /// Wants to be woken once so many requests have ended.
    fn wake_after(&mut self, requests: u16);
}

/// The disk did not do what it should.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Failed;

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the disk failed")
    }
}

impl core::error::Error for Failed {}

/// The first disk of the machine, and how it is reached.
pub(crate) fn find(machine: &Machine, vmm: Option<Vmm>) -> Option<(Box<dyn Disk>, String)> {
    if let Some(device) = vmm.and_then(|vmm| vmm.find(DeviceType::Block)) {
        let how = format!("paravirtual, device {}", device.number());
        return Some((Box::new(pv::Disk::new(device)?), how));
    }
    machine.virtio.iter().find_map(|slot| {
        let disk = mmio::Disk::new(slot)?;
        let how = format!("virtio-mmio at {:#x}, interrupt {}", slot.base, slot.irq);
        Some((Box::new(disk) as Box<dyn Disk>, how))
    })
}

impl dyn Disk + '_ {
    /// Reads whole sectors, and waits.
    ///
    /// # Errors
    /// If the disk fails.
    pub(crate) fn read(&mut self, sector: u64, bytes: &mut [u8]) -> Result<(), Failed> {
        let buffer = self.run(Operation::Read, sector, vec![0; bytes.len()].into())?;
        bytes.copy_from_slice(&buffer);
        Ok(())
    }

    /// Writes whole sectors, and waits.
    ///
    /// # Errors
    /// If the disk fails.
    pub(crate) fn write(&mut self, sector: u64, bytes: &[u8]) -> Result<(), Failed> {
        self.run(Operation::Write, sector, bytes.into()).map(|_| ())
    }

    /// Makes durable what was written.
    ///
    /// # Errors
    /// If the disk fails.
    pub(crate) fn flush(&mut self) -> Result<(), Failed> {
        self.run(Operation::Flush, 0, [].into()).map(|_| ())
    }

    /// One request, with nothing else under way.
    fn run(
        &mut self,
        operation: Operation,
        sector: u64,
        buffer: Box<[u8]>,
    ) -> Result<Box<[u8]>, Failed> {
        self.start(operation, sector, buffer).map_err(|_| Failed)?;
        self.kick();
        let done = self.next();
        if done.well { Ok(done.buffer) } else { Err(Failed) }
    }

    /// Waits for the next request that ends; one must be under way.
    pub(crate) fn next(&mut self) -> Done {
        loop {
            match self.finish() {
                Some(done) => return done,
                None => events::wait(),
            }
        }
    }
}
