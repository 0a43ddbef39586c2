//! The Linux `Image` (Documentation/arch/riscv/boot-image-header.rst).

use alloc::vec;

use zerocopy::{FromBytes, Immutable, KnownLayout, little_endian as le};

use super::{BootRequest, Entry, Kind, LARGE_PAGE, LoadError, Piece, Plan, inside, mode};
use crate::mem::GuestRam;
use crate::vcpu::Mode;

/// The first 64 bytes.
#[derive(FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Header {
    code: [le::U32; 2],
    /// Where the image wants to be, from the base of RAM, in bytes; it maps
    /// itself with large pages.
    text_offset: le::U64,
    /// Its size in memory, in bytes; the file has no bss.
    image_size: le::U64,
    /// Bit 0: big-endian.
    flags: le::U64,
    version: le::U32,
    reserved: [le::U32; 3],
    /// "RISCV", deprecated.
    magic: [u8; 8],
    magic2: [u8; 4],
    reserved2: le::U32,
}

const _: () = assert!(size_of::<Header>() == 64);
const MAGIC2: [u8; 4] = *b"RSC\x05";

/// Whether the image has such a header.
pub(super) fn is_image(image: &[u8]) -> bool {
    Header::ref_from_prefix(image).is_ok_and(|(header, _)| header.magic2 == MAGIC2)
}

pub(super) fn plan<'a>(
    image: &'a [u8],
    ram: &GuestRam,
    boot: BootRequest,
) -> Result<Plan<'a>, LoadError> {
    let Ok((header, _)) = Header::ref_from_prefix(image) else { return Err(LoadError::Empty) };
    if header.flags.get() & 1 != 0 {
        return Err(LoadError::BigEndian);
    }
    let offset = header.text_offset.get();
    if !offset.is_multiple_of(LARGE_PAGE) {
        return Err(LoadError::TextOffset(offset));
    }
    let file = image.len() as u64;
    // Version 0.1 kernels may leave the size at zero.
    let size = header.image_size.get().max(file);
    let pc = ram.base().wrapping_add(offset);
    let end = inside(ram, "the Linux image", pc, size)?;
    let mode = mode(boot, if offset == 0 { Mode::Machine } else { Mode::Supervisor });
    let entry = Entry { pc, mode, end, kind: Kind::LinuxImage };
    Ok(Plan { entry, pieces: vec![Piece { at: pc, bytes: image, zeroes: size - file }] })
}
