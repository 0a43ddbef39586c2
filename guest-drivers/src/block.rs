//! Disks.
//!
//! Many requests at once: [`submit`](Block::submit) gives one to the device,
//! [`complete`](Block::complete) takes the next that has ended, in whatever
//! order. For who has nothing else to do, [`read`](Block::read) and
//! [`write`](Block::write) wait.

mod frames;

use core::sync::atomic::AtomicU8;

use trapeze_protocol::device::block::{Config, Features, Kind, QUEUE, SERIAL};
use trapeze_protocol::device::{DeviceType, RingFeatures};

use crate::channel::{Channel, ChannelStorage, Lent, Refused, Segments, Statistics, Token};
use crate::dma::Dma;
use crate::ecall::Ecall;
use crate::error::Error;
use crate::memory::{Linear, Memory};
use crate::queue::Interrupts;
use crate::rings::Descriptor;
use crate::vmm::{Device, Hypercall};

use frames::Frames;
pub(crate) use frames::Header;

/// What a request does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// Disk to memory.
    Read,
    /// Memory to disk.
    Write,
    /// Makes durable what was written by requests that have ended. Sector
    /// and data mean nothing.
    Flush,
}

/// A request that has ended.
#[derive(Debug)]
pub struct Completion<D> {
    /// What [`Block::submit`] returned for it.
    pub token: Token,
    /// The buffers, which are yours again.
    pub data: D,
    /// Whether it did what it should.
    pub result: Result<(), Error>,
}

/// What a [`Block`] keeps for ever: put it in a static.
///
/// `SIZE` is how many requests can be in flight, a power of two; `DESCRIPTORS`
/// is two more than the buffers of the largest request.
pub struct BlockStorage<D: Dma, const SIZE: usize, const DESCRIPTORS: usize = 8> {
    channel: ChannelStorage<D, SIZE>,
    tables: [[Descriptor; DESCRIPTORS]; SIZE],
    headers: [Header; SIZE],
    statuses: [AtomicU8; SIZE],
}

impl<D: Dma, const SIZE: usize, const DESCRIPTORS: usize> BlockStorage<D, SIZE, DESCRIPTORS> {
    /// Storage of a driver that has not begun.
    pub const fn new() -> Self {
        const { assert!(DESCRIPTORS >= 3, "a request has header, data and status") };
        Self {
            channel: ChannelStorage::new(),
            tables: [const { [const { Descriptor::new() }; DESCRIPTORS] }; SIZE],
            headers: [const { Header::new() }; SIZE],
            statuses: [const { AtomicU8::new(0) }; SIZE],
        }
    }
}

impl<D: Dma, const SIZE: usize, const DESCRIPTORS: usize> Default
    for BlockStorage<D, SIZE, DESCRIPTORS>
{
    fn default() -> Self {
        Self::new()
    }
}

/// The driver of a disk. `D` is what holds the data of requests.
///
/// ```no_run
/// use guest_drivers::{Block, BlockStorage, DeviceType, Linear, Once, Operation, Vmm};
///
/// type Buffer = &'static mut [u8; 4096];
/// static STORAGE: Once<BlockStorage<Buffer, 64>> = Once::new(BlockStorage::new());
///
/// fn two_reads_at_once(vmm: Vmm<Linear>, a: Buffer, b: Buffer) -> Option<()> {
///     let mut disk = Block::new(vmm.find(DeviceType::Block)?, STORAGE.take()?).ok()?;
///     disk.enqueue(Operation::Read, 0, a).ok()?;
///     disk.enqueue(Operation::Read, 64, b).ok()?;
///     disk.kick();
///     while disk.in_flight() > 0 {
///         if let Some(done) = disk.complete() {
///             assert_eq!(done.result, Ok(()));
///         }
///     }
///     Some(())
/// }
/// ```
pub struct Block<D: Dma + 'static = &'static mut [u8], M: Memory = Linear, H: Hypercall = Ecall> {
    device: Device<M, H>,
    channel: Channel<D, M, H>,
    frames: Frames,
    config: Config,
    features: Features,
}

impl<D: Dma + 'static, M: Memory, H: Hypercall> Block<D, M, H> {
    /// Takes a disk into service. It interrupts for nothing until
    /// [`set_interrupts`](Self::set_interrupts).
    ///
    /// # Errors
    /// If it is no disk, or cannot be taken into service. The storage is lost.
    pub fn new<const SIZE: usize, const DESCRIPTORS: usize>(
        device: Device<M, H>,
        storage: &'static mut BlockStorage<D, SIZE, DESCRIPTORS>,
    ) -> Result<Self, Error> {
        if device.kind() != Some(DeviceType::Block) {
            return Err(Error::WrongDevice);
        }
        let BlockStorage { channel, tables, headers, statuses } = storage;
        let agreed = device.begin(WANTED)?;
        let event_idx = check(agreed)?;
        let channel = Channel::new(device, QUEUE, event_idx, channel)?;
        let tables = tables.as_flattened();
        let frames = Frames { tables, stride: DESCRIPTORS, headers, statuses };
        frames.prepare(channel.rings(), device.vmm().memory())?;
        let features = Features::from_bits_truncate(agreed);
        let config = device.config()?;
        device.finish()?;
        Ok(Self { device, channel, frames, config, features })
    }

    /// Size in sectors of 512 bytes.
    pub fn capacity(&self) -> u64 {
        self.config.capacity
    }

    /// Whether it cannot be written.
    pub fn read_only(&self) -> bool {
        self.features.contains(Features::RO)
    }

    /// The best unit of requests in bytes.
    pub fn block_size(&self) -> u32 {
        let known = self.features.contains(Features::BLK_SIZE);
        if known { self.config.blk_size } else { 512 }
    }

    /// The device that this drives.
    pub fn device(&self) -> Device<M, H> {
        self.device
    }

    /// How many requests the device has.
    pub fn in_flight(&self) -> u16 {
        self.channel.flying()
    }

    /// What was done until now.
    pub fn statistics(&self) -> Statistics {
        self.channel.statistics()
    }

    /// Gives a request to the device, and tells it.
    ///
    /// # Errors
    /// [`Error::Full`] if all slots are taken, or what is wrong with the
    /// request. The data comes back with it.
    pub fn submit(
        &mut self,
        operation: Operation,
        sector: u64,
        data: D,
    ) -> Result<Token, Refused<D>> {
        let token = self.enqueue(operation, sector, data)?;
        self.kick();
        Ok(token)
    }

    /// Gives a request to the device, which may not notice until the next
    /// [`kick`](Self::kick): one for many requests costs one exit, or none.
    ///
    /// # Errors
    /// As for [`submit`](Self::submit).
    pub fn enqueue(
        &mut self,
        operation: Operation,
        sector: u64,
        data: D,
    ) -> Result<Token, Refused<D>> {
        let (frames, kind) = (&self.frames, operation.kind());
        self.channel.submit(data, |slot, data| frames.describe(slot, kind, sector, data))
    }

    /// Tells the device of new requests, if it does not look by itself.
    pub fn kick(&mut self) {
        self.channel.kick();
    }

    /// The next request that has ended.
    ///
    /// Where interrupts are wanted there is one for the next after `None`: so
    /// the handler calls this until it says so.
    pub fn complete(&mut self) -> Option<Completion<D>> {
        let landed = self.channel.complete()?;
        let result = landed.outcome.and_then(|written| self.frames.result(&written));
        Some(Completion { token: landed.token, data: landed.data, result })
    }

    /// Says when the device is to interrupt, by the
    /// [`InterruptLine`](crate::InterruptLine).
    pub fn set_interrupts(&mut self, interrupts: Interrupts) {
        self.channel.set_interrupts(interrupts);
    }

    /// Looks whether the device has given up: for when the interrupt line
    /// says that something [changed](crate::News::has_changed). If it has, all
    /// requests end with [`Error::Broken`].
    pub fn handle_change(&mut self) {
        self.channel.look_after();
    }

    /// Takes the device into service again, after it broke down and all
    /// requests have been [completed](Self::complete).
    ///
    /// # Errors
    /// [`Error::Full`] if there are requests to be completed; others as for
    /// [`new`](Self::new).
    pub fn restart(&mut self) -> Result<(), Error> {
        if !self.channel.is_broken() {
            self.channel.break_down();
        }
        let agreed = self.device.begin(WANTED)?;
        self.channel.restart(check(agreed)?)?;
        self.frames.prepare(self.channel.rings(), self.device.vmm().memory())?;
        self.device.finish()
    }

    /// Reads whole sectors from `sector` on, and waits until it is done.
    ///
    /// Other requests that end meanwhile are kept for
    /// [`complete`](Self::complete), and may have had their only interrupt.
    ///
    /// # Errors
    /// If it does not work; `bytes` may have changed all the same.
    pub fn read(&mut self, sector: u64, bytes: &mut [u8]) -> Result<(), Error> {
        self.transfer(Kind::READ, sector, Lent::Write(bytes))
    }

    /// Writes whole sectors from `sector` on; otherwise as
    /// [`read`](Self::read).
    ///
    /// # Errors
    /// If it does not work; some of it may have been written all the same.
    pub fn write(&mut self, sector: u64, bytes: &[u8]) -> Result<(), Error> {
        self.transfer(Kind::WRITE, sector, Lent::Read(bytes))
    }

    /// Makes durable what was written, and waits until it is.
    ///
    /// # Errors
    /// If it does not work.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.transfer(Kind::FLUSH, 0, Lent::Read(&[]))
    }

    /// Reads the serial number, padded with zeroes.
    ///
    /// # Errors
    /// If the device does not tell.
    pub fn serial(&mut self, number: &mut [u8; SERIAL]) -> Result<(), Error> {
        self.transfer(Kind::GET_ID, 0, Lent::Write(number))
    }

    fn transfer(&mut self, kind: Kind, sector: u64, lent: Lent<'_>) -> Result<(), Error> {
        let frames = &self.frames;
        let describe = |slot, data: Segments<'_>| frames.describe(slot, kind, sector, data);
        let written = self.channel.transfer(lent, describe)?;
        self.frames.result(&written)
    }
}

impl<D: Dma + 'static, M: Memory, H: Hypercall> Drop for Block<D, M, H> {
    /// Stops the device. The storage, and buffers in flight, are not used
    /// again.
    fn drop(&mut self) {
        self.device.reset();
    }
}

const WANTED: u64 =
    Features::all().bits() | RingFeatures::INDIRECT_DESC.bits() | RingFeatures::EVENT_IDX.bits();

/// Whether events have indices, if the features are enough.
fn check(agreed: u64) -> Result<bool, Error> {
    let ring = RingFeatures::from_bits_truncate(agreed);
    match ring.contains(RingFeatures::INDIRECT_DESC) {
        true => Ok(ring.contains(RingFeatures::EVENT_IDX)),
        false => Err(Error::Features),
    }
}

impl Operation {
    fn kind(self) -> Kind {
        match self {
            Self::Read => Kind::READ,
            Self::Write => Kind::WRITE,
            Self::Flush => Kind::FLUSH,
        }
    }
}
