//! Writes cpio archives, the kind of initramfs that Linux takes
//! (Documentation/driver-api/early-userspace/buffer-format.rst: "newc").

use std::collections::BTreeSet;

/// File types, as in `st_mode`.
const FILE: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;
const LINK: u32 = 0o120_000;
const CHARACTERS: u32 = 0o020_000;

/// An archive that is being written. Everything in it belongs to root, and
/// has no time.
#[derive(Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
    directories: BTreeSet<String>,
}

impl Archive {
    /// Adds a file; missing directories are added before it.
    pub(super) fn file(&mut self, path: &str, contents: &[u8], permissions: u32) {
        self.parents(path);
        self.entry(path, FILE | permissions, (0, 0), contents);
    }

    /// Adds a directory.
    pub(super) fn directory(&mut self, path: &str) {
        self.parents(path);
        if self.directories.insert(path.to_owned()) {
            self.entry(path, DIRECTORY | 0o755, (0, 0), &[]);
        }
    }

    /// Adds a symbolic link to `target`.
    pub(super) fn link(&mut self, path: &str, target: &str) {
        self.parents(path);
        self.entry(path, LINK | 0o777, (0, 0), target.as_bytes());
    }

    /// Adds a character device with its major and minor number.
    pub(super) fn device(&mut self, path: &str, number: (u32, u32)) {
        self.parents(path);
        self.entry(path, CHARACTERS | 0o600, number, &[]);
    }

    /// The whole archive.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    fn parents(&mut self, path: &str) {
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.directory(parent);
        }
    }

    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), contents: &[u8]) {
        self.entries += 1;
        let size = u32::try_from(contents.len()).unwrap_or(u32::MAX);
        let name_size = u32::try_from(path.len() + 1).unwrap_or(u32::MAX);
        // ino, mode, uid, gid, nlink, mtime, filesize, then the numbers of the
        // device that holds the file, and of the file as a device.
        let numbers = [self.entries, mode, 0, 0, 1, 0, size, 0, 0, device.0, device.1];
        self.bytes.extend(b"070701");
        for number in numbers.into_iter().chain([name_size, 0]) {
            self.bytes.extend(format!("{number:08x}").bytes());
        }
        self.bytes.extend(path.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(contents);
        self.pad();
    }

    /// Headers and contents start at multiples of 4.
    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads an archive: path, mode and contents of each entry.
    fn entries(mut bytes: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut found = Vec::new();
        while let Some((header, rest)) = bytes.split_at_checked(110) {
            assert_eq!(&header[..6], b"070701");
            let number = |index: usize| {
                let digits = std::str::from_utf8(&header[6 + 8 * index..14 + 8 * index]).unwrap();
                u32::from_str_radix(digits, 16).unwrap() as usize
            };
            let (size, name) = (number(6), number(11));
            // The header's length is 2 more than a multiple of 4.
            let aligned = |length: usize| (length + 2).next_multiple_of(4) - 2;
            let start = aligned(name);
            let path = String::from_utf8(rest[..name - 1].to_vec()).unwrap();
            let mode = u32::try_from(number(1)).unwrap();
            found.push((path, mode, rest[start..start + size].to_vec()));
            bytes = &rest[aligned(start + size)..];
        }
        found
    }

    #[test]
    fn directories_come_before_what_is_in_them_and_once() {
        let mut archive = Archive::default();
        archive.file("usr/bin/a", b"first", 0o755);
        archive.file("usr/bin/b", b"", 0o644);
        archive.link("usr/c", "bin/a");
        let bytes = archive.finish();
        assert!(bytes.len().is_multiple_of(4));
        let found = entries(&bytes);
        let names: Vec<_> = found.iter().map(|(path, ..)| path.as_str()).collect();
        assert_eq!(names, ["usr", "usr/bin", "usr/bin/a", "usr/bin/b", "usr/c", "TRAILER!!!"]);
        assert_eq!(found[2], ("usr/bin/a".into(), 0o100_755, b"first".to_vec()));
        assert_eq!(found[4].2, b"bin/a");
        assert_eq!(found[1].1, 0o040_755);
    }

    #[test]
    fn devices_carry_their_number() {
        let mut archive = Archive::default();
        archive.device("console", (5, 1));
        let bytes = archive.finish();
        let text = std::str::from_utf8(&bytes[..110]).unwrap();
        assert_eq!(&text[14..22], "00002180");
        assert_eq!(&text[78..94], "0000000500000001");
    }
}
