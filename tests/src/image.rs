//! Files that tests make: copies of disks, and kernels of a few instructions.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory of one test, removed at its end.
pub struct Scratch(PathBuf);

impl Scratch {
    /// A new, empty directory in cargo's target directory.
    #[expect(clippy::new_without_default, reason = "it creates a directory")]
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tests/{}-{number}", std::process::id());
        let path = xtask::workspace::target_dir().join(name);
        fs::create_dir_all(&path).expect("the target directory can be written");
        Self(path)
    }

    /// The path of a file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file.
    pub fn write(&self, name: &str, contents: &[u8]) -> PathBuf {
        fs::write(self.path(name), contents).expect("the target directory can be written");
        self.path(name)
    }

    /// Copies a file, so that a test may change it.
    pub fn copy(&self, name: &str, from: &Path) -> PathBuf {
        fs::copy(from, self.path(name)).unwrap_or_else(|error| panic!("{from:?}: {error}"));
        self.path(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A raw kernel: RISC-V instructions that start at the base of RAM.
///
/// For tests of the harness and the tool; what guests can do is the business
/// of `guests/probes`.
pub mod code {
    /// `t0` = the UART.
    const LUI_T0_UART: u32 = 0x1000_02b7;
    /// `t0` = the finisher.
    const LUI_T0_FINISHER: u32 = 0x0010_02b7;
    /// `sb t1, 0(t0)`
    const SB_T1: u32 = 0x0062_8023;
    /// `sw t1, 0(t0)`
    const SW_T1: u32 = 0x0062_a023;
    /// `j .`
    const LOOP: u32 = 0x0000_006f;

    /// Prints `text`, then runs for ever.
    pub fn prints(text: &str) -> Vec<u8> {
        bytes(&[&print(text)[..], &[LOOP]].concat())
    }

    /// Prints `text`, then writes `value` to the finisher.
    pub fn finishes(text: &str, value: u32) -> Vec<u8> {
        let high = value.wrapping_add(0x800) >> 12;
        let finish = [LUI_T0_FINISHER, high << 12 | 0x337, addi_t1(value & 0xfff, 6), SW_T1, LOOP];
        bytes(&[&print(text)[..], &finish].concat())
    }

    fn print(text: &str) -> Vec<u32> {
        let letters = text.bytes().flat_map(|byte| [addi_t1(u32::from(byte), 0), SB_T1]);
        std::iter::once(LUI_T0_UART).chain(letters).collect()
    }

    /// `addi t1, x<source>, immediate`
    fn addi_t1(immediate: u32, source: u32) -> u32 {
        immediate << 20 | source << 15 | 0x313
    }

    fn bytes(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }
}
