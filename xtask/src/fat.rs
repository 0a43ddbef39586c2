//! Disk images with one partition and a FAT file system in it, for guests
//! that have files; made and read on the host without other tools.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use fatfs::{FileSystem, FormatVolumeOptions, FsOptions};

use crate::failure::{Context, Result};

/// Where the partition begins, as everywhere: 1 MiB.
const START: u64 = 2048 * SECTOR;
const SECTOR: u64 = 512;
/// The type of a partition with FAT16, by its number in the table.
const FAT16: u8 = 0x0e;

/// Makes an image of `size` bytes with these files, unless it is there.
///
/// # Errors
/// If it can't be written.
pub fn ensure(path: &Path, size: u64, files: &[(&str, &str)]) -> Result<()> {
    if path.exists() {
        return Ok(());
    }
    let shown = path.display();
    // Complete, or not there.
    let part = path.with_extension("part");
    create(&part, size, files).context(format!("make the disk image {shown}"))?;
    std::fs::rename(&part, path).context(format!("make the disk image {shown}"))
}

fn create(path: &Path, size: u64, files: &[(&str, &str)]) -> io::Result<()> {
    let mut file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
    file.set_len(size)?;
    file.write_all(&boot_record(size))?;
    let mut partition = Partition::new(file)?;
    fatfs::format_volume(&mut partition, FormatVolumeOptions::new().volume_label(*b"DEMO       "))?;
    let volume = FileSystem::new(&mut partition, FsOptions::new())?;
    for (name, text) in files {
        volume.root_dir().create_file(name)?.write_all(text.as_bytes())?;
    }
    volume.unmount()
}

/// The first sector of a disk, with a table of one partition. Heads and
/// cylinders are those of nobody, as is usual.
fn boot_record(size: u64) -> [u8; 512] {
    let sectors = |bytes: u64| u32::try_from(bytes / SECTOR).unwrap_or(u32::MAX).to_le_bytes();
    let mut record = [0; 512];
    let entry = &mut record[446..462];
    entry[1..8].copy_from_slice(&[0xfe, 0xff, 0xff, FAT16, 0xfe, 0xff, 0xff]);
    entry[8..12].copy_from_slice(&sectors(START));
    entry[12..16].copy_from_slice(&sectors(size.saturating_sub(START)));
    record[510..].copy_from_slice(&[0x55, 0xaa]);
    record
}

/// The contents of a file in the image's root directory; `None` if there is
/// none of this name.
///
/// # Errors
/// If the image can't be read, or has no such file system.
pub fn read(path: &Path, name: &str) -> Result<Option<Vec<u8>>> {
    let shown = path.display();
    let file = File::options().read(true).write(true).open(path);
    let partition = file.and_then(Partition::new).context(format!("open {shown}"))?;
    let volume = FileSystem::new(partition, FsOptions::new()).context(format!("read {shown}"))?;
    let opened = volume.root_dir().open_file(name);
    let mut bytes = Vec::new();
    match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.and_then(|mut file| file.read_to_end(&mut bytes)),
    }
    .context(format!("read {name} in {shown}"))?;
    Ok(Some(bytes))
}

/// The partition of an image, as a file of its own.
struct Partition(File);

impl Partition {
    fn new(mut file: File) -> io::Result<Self> {
        file.seek(SeekFrom::Start(START))?;
        Ok(Self(file))
    }
}

impl Read for Partition {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read(bytes)
    }
}

impl Write for Partition {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Seek for Partition {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let to = match to {
            SeekFrom::Start(place) => SeekFrom::Start(place.saturating_add(START)),
            other => other,
        };
        let place = self.0.seek(to)?;
        place.checked_sub(START).ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_in_an_image() {
        let dir = crate::workspace::target_dir().join("xtask");
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join(format!("fat-test-{}.img", std::process::id()));
        ensure(&path, 16 << 20, &[("one.txt", "first\n"), ("two.txt", "")]).unwrap();
        let again = ensure(&path, 16 << 20, &[]);
        let contents = ["ONE.TXT", "two.txt", "three"].map(|name| read(&path, name).unwrap());
        let size = std::fs::metadata(&path).unwrap().len();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(contents, [Some(b"first\n".to_vec()), Some(Vec::new()), None]);
        assert!(again.is_ok() && size == 16 << 20);
    }

    #[test]
    fn the_partition_is_in_the_table() {
        let record = boot_record(64 << 20);
        assert_eq!(record[450], FAT16);
        assert_eq!(record[454..462], [0, 8, 0, 0, 0, 0xf8, 1, 0]);
        assert_eq!(record[510..], [0x55, 0xaa]);
    }
}
