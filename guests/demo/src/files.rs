//! Files: FAT16 or FAT32 in the first partition of the disk, in its root
//! directory, with short names (8.3), by the crate `embedded-sdmmc`.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloc::{format, vec};
use core::ops::ControlFlow;

use embedded_sdmmc::{Directory, Error, Mode, TimeSource, Timestamp, VolumeIdx, VolumeManager};
use guest_drivers::{SectorDevice, Sectors};

use crate::disk::{Disk, Failed};

/// Bytes that are moved at once.
const PORTION: usize = 4096;

impl Sectors for Box<dyn Disk> {
    type Error = Failed;

    fn count(&self) -> u64 {
        self.sectors()
    }

    fn read(&mut self, sector: u64, bytes: &mut [u8; 512]) -> Result<(), Failed> {
        (**self).read(sector, bytes)
    }

    fn write(&mut self, sector: u64, bytes: &[u8; 512]) -> Result<(), Failed> {
        (**self).write(sector, bytes)
    }
}

/// This machine has no calendar.
struct NoCalendar;

impl TimeSource for NoCalendar {
    fn get_timestamp(&self) -> Timestamp {
        Timestamp {
            year_since_1970: 56,
            zero_indexed_month: 0,
            zero_indexed_day: 0,
            hours: 0,
            minutes: 0,
            seconds: 0,
        }
    }
}

/// A file in the directory.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Its name.
    pub(crate) name: String,
    /// Its size in bytes.
    pub(crate) size: u32,
}

/// The files on a disk.
pub(crate) struct Files(VolumeManager<Device, NoCalendar>);

type Device = SectorDevice<Box<dyn Disk>>;
type Root<'a> = Directory<'a, Device, NoCalendar, 4, 4, 1>;

impl Files {
    /// The files on `disk`; they are not looked at yet.
    pub(crate) fn new(disk: Box<dyn Disk>) -> Self {
        Self(VolumeManager::new(SectorDevice::new(disk), NoCalendar))
    }

    /// Does something with the disk itself.
    pub(crate) fn with_disk<T>(&self, work: impl FnOnce(&mut dyn Disk) -> T) -> T {
        self.0.device(|device| device.with(|disk| work(&mut **disk)))
    }

    /// All files.
    ///
    /// # Errors
    /// In words.
    pub(crate) fn list(&self) -> Result<Vec<Entry>, String> {
        let mut entries = Vec::new();
        self.in_root(|root| {
            root.iterate_dir(|entry| {
                if !entry.attributes.is_volume() && !entry.attributes.is_directory() {
                    entries.push(Entry { name: entry.name.to_string(), size: entry.size });
                }
                ControlFlow::Continue(())
            })
        })?;
        Ok(entries)
    }

    /// Reads a file by portions.
    ///
    /// # Errors
    /// In words.
    pub(crate) fn read(&self, name: &str, mut show: impl FnMut(&[u8])) -> Result<(), String> {
        self.in_root(|root| {
            let file = root.open_file_in_dir(name, Mode::ReadOnly)?;
            let mut buffer = vec![0; PORTION];
            while !file.is_eof() {
                let count = file.read(&mut buffer)?;
                show(&buffer[..count]);
            }
            file.close()
        })
    }

    /// Writes a file, in place of one that is there.
    ///
    /// # Errors
    /// In words.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), String> {
        self.in_root(|root| {
            let file = root.open_file_in_dir(name, Mode::ReadWriteCreateOrTruncate)?;
            file.write(bytes)?;
            file.close()
        })?;
        self.flush()
    }

    /// Removes a file.
    ///
    /// # Errors
    /// In words.
    pub(crate) fn remove(&self, name: &str) -> Result<(), String> {
        self.in_root(|root| root.delete_entry_in_dir(name))?;
        self.flush()
    }

    fn flush(&self) -> Result<(), String> {
        self.with_disk(|disk| disk.flush()).map_err(|error| error.to_string())
    }

    /// The volume is opened for each operation, so that nothing stays behind
    /// in memory when the machine ends.
    fn in_root<T>(
        &self,
        work: impl FnOnce(&Root<'_>) -> Result<T, Error<Failed>>,
    ) -> Result<T, String> {
        let done = self.0.open_volume(VolumeIdx(0)).and_then(|volume| {
            let result = volume.open_root_dir().and_then(|root| work(&root));
            volume.close()?;
            result
        });
        done.map_err(|error| match error {
            Error::NotFound => "no such file".to_string(),
            Error::FilenameError(_) => {
                "names have up to 8 letters, and 3 after a point".to_string()
            }
            Error::FormatError(problem) => format!("the disk has no FAT file system: {problem}"),
            other => other.to_string(),
        })
    }
}
