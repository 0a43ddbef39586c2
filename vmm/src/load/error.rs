//! What can be wrong with an image, each in one line that says what to do.

use alloc::string::String;
use core::fmt;

use crate::addr::Gpa;

/// Why a guest's images cannot be loaded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LoadError {
    /// There is no kernel.
    Empty,
    /// The image is packed in this format.
    Packed(&'static str),
    /// The ELF parser's complaint.
    Malformed(String),
    /// ELF, for 32 bits or for the other byte order.
    NotElf64,
    /// ELF for this machine, not RISC-V.
    OtherMachine(u16),
    /// ELF of a type that cannot be run, such as an object file.
    NotExecutable(u16),
    /// ELF without anything to load.
    NoSegments,
    /// ELF with more segments than any kernel has.
    TooManySegments(usize),
    /// The segment's bytes are not all in the file, or more than its memory.
    Segment {
        /// Its number among the program headers.
        index: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Two segments share memory.
    Overlap(usize, usize),
    /// The first instruction is not in what was loaded, or at an odd address.
    BadEntry(u64),
    /// A Linux `Image` that says it is big-endian.
    BigEndian,
    /// A Linux `Image` that wants to be at an offset that is not a large page.
    TextOffset(u64),
    /// Something is to be where there is no RAM.
    OutsideRam {
        /// What it is.
        what: &'static str,
        /// Where it is to be.
        at: Gpa,
        /// How many bytes it has.
        size: u64,
        /// Base and size of RAM.
        ram: (Gpa, u64),
    },
    /// Above the kernel there is too little memory.
    NoRoom {
        /// Bytes there are.
        free: u64,
        /// Bytes that initrd and device tree take.
        needed: u64,
    },
    /// The device tree has this many bytes.
    TreeTooLarge(u64),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the kernel image is empty: name a kernel"),
            Self::Packed(format) => {
                write!(f, "the kernel image is packed ({format}): unpack it first")
            }
            Self::Malformed(complaint) => {
                write!(f, "the kernel's ELF headers are damaged ({complaint}): build it again")
            }
            Self::NotElf64 => f.write_str(
                "the kernel is not a 64-bit little-endian ELF file: build it for riscv64",
            ),
            Self::OtherMachine(machine) => write!(
                f,
                "the kernel is for ELF machine {machine}, not RISC-V (243): build it for riscv64"
            ),
            Self::NotExecutable(kind) => {
                write!(f, "the kernel is of ELF type {kind}, not an executable: link it")
            }
            Self::NoSegments => {
                f.write_str("the kernel's ELF file has nothing to load: link it with a script")
            }
            Self::TooManySegments(count) => {
                write!(f, "the kernel's ELF file has {count} segments: that is no kernel")
            }
            Self::Segment { index, problem } => {
                write!(f, "ELF segment {index} {problem}: the file is cut short or damaged")
            }
            Self::Overlap(first, second) => write!(
                f,
                "ELF segments {first} and {second} share physical memory: mend the linker script"
            ),
            Self::BadEntry(entry) => write!(
                f,
                "the kernel's entry point {entry:#x} is not in its code: mend the linker script"
            ),
            Self::BigEndian => f.write_str("the Linux image is big-endian: build it little-endian"),
            Self::TextOffset(offset) => write!(
                f,
                "the Linux image has a text offset of {offset:#x}, not a multiple of 2 MiB: the \
                 file is damaged"
            ),
            Self::OutsideRam { what, at, size, ram: (base, len) } => write!(
                f,
                "{what} ({size} bytes at {at}) is not inside the guest's RAM ({len} bytes at \
                 {base}): give the guest more memory, or link the kernel for it"
            ),
            Self::NoRoom { free, needed } => write!(
                f,
                "initrd and device tree need {needed} bytes, and {free} are free above the \
                 kernel: give the guest more memory"
            ),
            Self::TreeTooLarge(size) => {
                write!(f, "the device tree has {size} bytes: shorten the kernel arguments")
            }
        }
    }
}

impl core::error::Error for LoadError {}
