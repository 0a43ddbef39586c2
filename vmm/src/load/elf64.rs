//! ELF64 executables for RISC-V, loaded by physical address.

use alloc::string::ToString;
use alloc::vec::Vec;

use elf::ElfBytes;
use elf::abi::{EI_CLASS, EI_DATA, ELFCLASS64, ELFDATA2LSB};
use elf::abi::{EM_RISCV, ET_DYN, ET_EXEC, PT_LOAD};
use elf::endian::LittleEndian;
use elf::segment::ProgramHeader;

use super::{BootRequest, Entry, Kind, LoadError, Piece, Plan, inside, mode};
use crate::addr::Gpa;
use crate::mem::GuestRam;
use crate::vcpu::Mode;

/// Kernels have fewer than ten.
const MAX_SEGMENTS: usize = 64;

/// A segment that takes up memory, and its number.
type Segment = (usize, ProgramHeader);

pub(super) fn plan<'a>(
    image: &'a [u8],
    ram: &GuestRam,
    boot: BootRequest,
) -> Result<Plan<'a>, LoadError> {
    // First of all, as the other class would be taken for damage.
    if image.get(EI_CLASS..=EI_DATA).is_some_and(|ident| ident != [ELFCLASS64, ELFDATA2LSB]) {
        return Err(LoadError::NotElf64);
    }
    let file = ElfBytes::<LittleEndian>::minimal_parse(image)
        .map_err(|error| LoadError::Malformed(error.to_string()))?;
    check_header(&file)?;
    let segments = loadable(&file)?;
    let pieces =
        segments.iter().map(|segment| piece(segment, image, ram)).collect::<Result<Vec<_>, _>>()?;
    check_overlap(&segments)?;
    let pc = entry_point(file.ehdr.e_entry, &segments)?;
    let end = segments.iter().map(|(_, s)| s.p_paddr.saturating_add(s.p_memsz)).max();
    let mode = mode(boot, if pc == ram.base() { Mode::Machine } else { Mode::Supervisor });
    let entry = Entry { pc, mode, end: Gpa(end.unwrap_or(0)), kind: Kind::Elf };
    Ok(Plan { entry, pieces })
}

/// Position-independent executables (`ET_DYN`) run where they are linked too:
/// at their physical addresses they need no relocation.
fn check_header(file: &ElfBytes<'_, LittleEndian>) -> Result<(), LoadError> {
    let header = &file.ehdr;
    if header.e_machine != EM_RISCV {
        return Err(LoadError::OtherMachine(header.e_machine));
    }
    if header.e_type != ET_EXEC && header.e_type != ET_DYN {
        return Err(LoadError::NotExecutable(header.e_type));
    }
    Ok(())
}

fn loadable(file: &ElfBytes<'_, LittleEndian>) -> Result<Vec<Segment>, LoadError> {
    let table = file.segments().ok_or(LoadError::NoSegments)?;
    if table.len() > MAX_SEGMENTS {
        return Err(LoadError::TooManySegments(table.len()));
    }
    let segments: Vec<_> = table
        .iter()
        .enumerate()
        .filter(|(_, segment)| segment.p_type == PT_LOAD && segment.p_memsz > 0)
        .collect();
    if segments.is_empty() { Err(LoadError::NoSegments) } else { Ok(segments) }
}

fn piece<'a>(
    &(index, ref segment): &Segment,
    image: &'a [u8],
    ram: &GuestRam,
) -> Result<Piece<'a>, LoadError> {
    let wrong = |problem| LoadError::Segment { index, problem };
    let range = usize::try_from(segment.p_offset)
        .ok()
        .zip(usize::try_from(segment.p_filesz).ok())
        .and_then(|(start, size)| Some(start..start.checked_add(size)?));
    let bytes = range.and_then(|range| image.get(range)).ok_or(wrong("is not all in the file"))?;
    let zeroes = segment
        .p_memsz
        .checked_sub(segment.p_filesz)
        .ok_or(wrong("has more bytes in the file than in memory"))?;
    let at = Gpa(segment.p_paddr);
    inside(ram, "a segment of the kernel", at, segment.p_memsz)?;
    Ok(Piece { at, bytes, zeroes })
}

/// All segments have been found to lie in RAM, so no sum overflows.
fn check_overlap(segments: &[Segment]) -> Result<(), LoadError> {
    let mut sorted: Vec<_> = segments.iter().collect();
    sorted.sort_unstable_by_key(|(_, segment)| segment.p_paddr);
    for pair in sorted.windows(2) {
        if let [(first, low), (second, high)] = pair
            && high.p_paddr - low.p_paddr < low.p_memsz
        {
            return Err(LoadError::Overlap(*first, *second));
        }
    }
    Ok(())
}

/// The physical address of the entry point. In a kernel that is linked for
/// high virtual addresses the header has the virtual one.
fn entry_point(entry: u64, segments: &[Segment]) -> Result<Gpa, LoadError> {
    let within = |start: u64, segment: &ProgramHeader| {
        entry.checked_sub(start).filter(|offset| *offset < segment.p_memsz)
    };
    let physical = segments
        .iter()
        .find_map(|(_, s)| within(s.p_vaddr, s).map(|offset| s.p_paddr.wrapping_add(offset)))
        .or_else(|| segments.iter().find_map(|(_, s)| within(s.p_paddr, s).map(|_| entry)));
    match physical {
        Some(pc) if pc & 1 == 0 => Ok(Gpa(pc)),
        _ => Err(LoadError::BadEntry(entry)),
    }
}
