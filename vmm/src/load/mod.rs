//! From a kernel file to a guest that can start: image formats, and where
//! initrd and device tree go.
//!
//! | format | recognised by | goes to | boots, if not told otherwise |
//! |---|---|---|---|
//! | ELF64 | magic | physical addresses of its segments | in vM if it enters at the base of RAM, as the firmware would; in vS if anywhere else |
//! | Linux `Image` | `RSC\x05` at 0x38 | RAM base + its `text_offset` | in vS; in vM if the offset is 0, which is how a kernel without MMU is built |
//! | raw binary | nothing else | RAM base; 2 MiB above it when told to boot in vS, where a kernel for use under firmware is linked | in vM |
//!
//! A file is an allegation: each of its fields is checked before the first
//! byte is copied, and what is wrong is said in one line.
//!
//! ```text
//!  RAM base                                                         end of RAM
//!  | (room) | kernel .. Entry::end | free memory ... | initrd | tree | (rest) |
//! ```

mod elf64;
mod error;
mod linux;

#[cfg(test)]
mod tests;

use alloc::vec::Vec;

pub use error::LoadError;

/// The mode in which the user wants a kernel to start.
pub use crate::bundle::Boot as BootRequest;

use crate::addr::{Gpa, PAGE_SIZE};
use crate::mem::GuestRam;
use crate::vcpu::Mode;

/// The format that an image was found to have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// ELF64 executable.
    Elf,
    /// Linux `Image`.
    LinuxImage,
    /// Anything else: plain memory contents.
    Raw,
}

/// A kernel that is in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// First instruction.
    pub pc: Gpa,
    /// The mode to start in, vM or vS.
    pub mode: Mode,
    /// One past the last byte that the kernel claims, its bss included.
    pub end: Gpa,
    /// What the image is.
    pub kind: Kind,
}

/// A part of an image that has been checked: it lies in RAM.
struct Piece<'a> {
    at: Gpa,
    bytes: &'a [u8],
    /// How many zero bytes follow.
    zeroes: u64,
}

/// What a format makes of an image.
struct Plan<'a> {
    entry: Entry,
    pieces: Vec<Piece<'a>>,
}

/// Puts the kernel in `image` into `ram`. On error, memory is as it was.
pub fn kernel(image: &[u8], ram: &GuestRam, boot: BootRequest) -> Result<Entry, LoadError> {
    let plan = if image.starts_with(&elf::abi::ELFMAGIC) {
        elf64::plan(image, ram, boot)
    } else if linux::is_image(image) {
        linux::plan(image, ram, boot)
    } else {
        raw(image, ram, boot)
    }?;
    for piece in &plan.pieces {
        put(ram, piece.at, piece.bytes)?;
        zero(ram, piece.at.wrapping_add(piece.bytes.len() as u64), piece.zeroes)?;
    }
    Ok(plan.entry)
}

/// The mode to start in, when the image suggests `suggested`.
const fn mode(boot: BootRequest, suggested: Mode) -> Mode {
    match boot {
        BootRequest::Auto => suggested,
        BootRequest::Machine => Mode::Machine,
        BootRequest::Supervisor => Mode::Supervisor,
    }
}

/// Where kernels that run under firmware are linked, from the base of RAM;
/// also the size of a large page.
const LARGE_PAGE: u64 = 2 << 20;

fn raw<'a>(image: &'a [u8], ram: &GuestRam, boot: BootRequest) -> Result<Plan<'a>, LoadError> {
    if image.is_empty() {
        return Err(LoadError::Empty);
    }
    if let Some(format) = packed(image) {
        return Err(LoadError::Packed(format));
    }
    let mode = mode(boot, Mode::Machine);
    let offset = if mode == Mode::Machine { 0 } else { LARGE_PAGE };
    let pc = ram.base().wrapping_add(offset);
    let size = image.len() as u64;
    let end = inside(ram, "the kernel", pc, size)?;
    let entry = Entry { pc, mode, end, kind: Kind::Raw };
    Ok(Plan { entry, pieces: alloc::vec![Piece { at: pc, bytes: image, zeroes: 0 }] })
}

/// Formats that are never a kernel as it is, though a user may think so.
fn packed(image: &[u8]) -> Option<&'static str> {
    let starts = |magic: &[u8]| image.starts_with(magic);
    match () {
        () if starts(b"\x1f\x8b") => Some("gzip"),
        () if starts(b"\x28\xb5\x2f\xfd") => Some("zstd"),
        () if starts(b"\xfd7zXZ\0") => Some("xz"),
        () if starts(b"BZh") => Some("bzip2"),
        () if starts(b"\x04\x22\x4d\x18") | starts(b"\x02\x21\x4c\x18") => Some("lz4"),
        () if starts(b"MZ") && image.get(4..8) == Some(b"zimg") => Some("EFI zboot"),
        () => None,
    }
}

/// The end of a range, if it is RAM.
fn inside(ram: &GuestRam, what: &'static str, at: Gpa, size: u64) -> Result<Gpa, LoadError> {
    match (ram.hpa(at, size), at.checked_add(size)) {
        (Some(_), Some(end)) => Ok(end),
        _ => Err(LoadError::OutsideRam { what, at, size, ram: (ram.base(), ram.len()) }),
    }
}

fn put(ram: &GuestRam, at: Gpa, bytes: &[u8]) -> Result<(), LoadError> {
    let size = bytes.len() as u64;
    let outside = || LoadError::OutsideRam { what: "it", at, size, ram: (ram.base(), ram.len()) };
    ram.write_bytes(at, bytes).map_err(|_| outside())
}

/// Memory may hold the remains of an earlier boot, so bss is cleared.
fn zero(ram: &GuestRam, mut at: Gpa, mut size: u64) -> Result<(), LoadError> {
    let zeroes = [0; 4096];
    while size > 0 {
        let now = size.min(zeroes.len() as u64);
        put(ram, at, zeroes.get(..usize::try_from(now).unwrap_or(0)).unwrap_or_default())?;
        at = at.wrapping_add(now);
        size -= now;
    }
    Ok(())
}

const GIB: u64 = 1 << 30;

/// Room for the device tree, in bytes. Ours are a tenth of it, and Linux takes
/// up to 2 MiB.
pub const TREE_ROOM: u64 = 64 << 10;

/// Where initrd and device tree go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Placement {
    /// Start and end of the initrd, if there is one; the start is page-aligned.
    pub initrd: Option<(Gpa, Gpa)>,
    /// The device tree.
    pub tree: Gpa,
}

/// Finds room for an initrd of `initrd` bytes (0: none) and the device tree.
///
/// Both go to the top, out of the way of a kernel that starts to use memory
/// right above itself before it has read the tree. The tree starts a large
/// page, as QEMU has it, so that early page tables map it with one entry, or a
/// page, where RAM is too small for that; neither lies beyond the first GiB,
/// which is as far as the first page table of many kernels reaches. Linux wants
/// nothing more of them (Documentation/arch/riscv/boot.rst).
pub fn place(ram: &GuestRam, entry: &Entry, initrd: u64) -> Result<Placement, LoadError> {
    let end = Gpa(ram.base().0.saturating_add(ram.len().min(GIB)));
    let free = entry.end.0.checked_next_multiple_of(PAGE_SIZE).unwrap_or(u64::MAX);
    let under = |top: Gpa, size: u64, align: u64| {
        let start = Gpa(top.0.checked_sub(size)?).align_down(align);
        (start.0 >= free).then_some(start)
    };
    let both = |align: u64| {
        let tree = under(end, TREE_ROOM, align)?;
        let start = under(tree, initrd, PAGE_SIZE)?;
        let initrd = (initrd > 0).then(|| (start, start.wrapping_add(initrd)));
        Some(Placement { initrd, tree })
    };
    both(LARGE_PAGE).or_else(|| both(PAGE_SIZE)).ok_or(LoadError::NoRoom {
        free: end.0.saturating_sub(free),
        needed: initrd.saturating_add(TREE_ROOM),
    })
}

impl Placement {
    /// Copies both to their places.
    pub fn fill(&self, ram: &GuestRam, initrd: &[u8], tree: &[u8]) -> Result<(), LoadError> {
        if tree.len() as u64 > TREE_ROOM {
            return Err(LoadError::TreeTooLarge(tree.len() as u64));
        }
        if let Some((start, _)) = self.initrd {
            put(ram, start, initrd)?;
        }
        put(ram, self.tree, tree)
    }
}
