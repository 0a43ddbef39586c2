//! Disks as `embedded-sdmmc` wants them, for its FAT file systems.

use core::cell::RefCell;

use embedded_sdmmc::{Block as Sector, BlockCount, BlockDevice, BlockIdx};

use crate::block::Block;
use crate::dma::Dma;
use crate::error::Error;
use crate::memory::Memory;
use crate::vmm::Hypercall;

/// What reads and writes sectors of 512 bytes, and waits: a [`Block`], or
/// what a kernel makes of its disks.
pub trait Sectors {
    /// What goes wrong.
    type Error: core::error::Error + 'static;

    /// How many there are.
    fn count(&self) -> u64;

    /// Reads one.
    ///
    /// # Errors
    /// If it does not work.
    fn read(&mut self, sector: u64, bytes: &mut [u8; 512]) -> Result<(), Self::Error>;

    /// Writes one.
    ///
    /// # Errors
    /// If it does not work.
    fn write(&mut self, sector: u64, bytes: &[u8; 512]) -> Result<(), Self::Error>;
}

impl<D: Dma + 'static, M: Memory, H: Hypercall> Sectors for Block<D, M, H> {
    type Error = Error;

    fn count(&self) -> u64 {
        self.capacity()
    }

    fn read(&mut self, sector: u64, bytes: &mut [u8; 512]) -> Result<(), Error> {
        Self::read(self, sector, bytes)
    }

    fn write(&mut self, sector: u64, bytes: &[u8; 512]) -> Result<(), Error> {
        Self::write(self, sector, bytes)
    }
}

/// A disk under a `VolumeManager`. That crate does not flush:
/// [`with`](Self::with) lets the kernel do it.
///
/// ```no_run
/// use embedded_sdmmc::{TimeSource, VolumeIdx, VolumeManager};
/// use guest_drivers::{Block, SectorDevice};
///
/// fn volume_is_there(disk: Block, clock: impl TimeSource) -> bool {
///     let volumes = VolumeManager::new(SectorDevice::new(disk), clock);
///     volumes.open_volume(VolumeIdx(0)).is_ok()
/// }
/// ```
#[derive(Debug)]
pub struct SectorDevice<S>(RefCell<S>);

impl<S: Sectors> SectorDevice<S> {
    /// That disk.
    pub const fn new(disk: S) -> Self {
        Self(RefCell::new(disk))
    }

    /// Does something with the disk itself.
    ///
    /// # Panics
    /// If `work` uses the file system on it.
    pub fn with<T>(&self, work: impl FnOnce(&mut S) -> T) -> T {
        work(&mut self.0.borrow_mut())
    }
}

impl<S: Sectors> BlockDevice for SectorDevice<S> {
    type Error = S::Error;

    fn read(&self, blocks: &mut [Sector], start: BlockIdx) -> Result<(), S::Error> {
        self.with(|disk| {
            let mut all = blocks.iter_mut().zip(start.0.into()..);
            all.try_for_each(|(block, sector)| disk.read(sector, &mut block.contents))
        })
    }

    fn write(&self, blocks: &[Sector], start: BlockIdx) -> Result<(), S::Error> {
        self.with(|disk| {
            let mut all = blocks.iter().zip(start.0.into()..);
            all.try_for_each(|(block, sector)| disk.write(sector, &block.contents))
        })
    }

    /// As many as have a number: of a larger disk, the first 2 TiB.
    fn num_blocks(&self) -> Result<BlockCount, S::Error> {
        Ok(BlockCount(self.with(|disk| u32::try_from(disk.count()).unwrap_or(u32::MAX))))
    }
}
