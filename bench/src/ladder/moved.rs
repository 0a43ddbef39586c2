//! The ladder as a plain image that runs wherever it is loaded: what a guest
//! with `dma=trusted` needs, whose memory is not where it usually is.

use elf::ElfBytes;
use elf::abi::{PT_LOAD, R_RISCV_RELATIVE, SHT_RELA};
use elf::endian::LittleEndian;
use xtask::failure::{Context, Result, broken};

/// Room for stacks, which are behind what the executable tells of.
const STACKS: usize = 1 << 20;
/// More than any of our kernels has.
const MOST: u64 = 64 << 20;

/// The segments of an executable that is linked at 0, as they are in memory.
///
/// # Errors
/// If it is no such executable, or can't run elsewhere.
pub(super) fn image(executable: &[u8]) -> Result<Vec<u8>> {
    let file = ElfBytes::<LittleEndian>::minimal_parse(executable)
        .context("understand the ladder that can be moved")?;
    let relocations = file.section_headers().into_iter().flatten();
    for section in relocations.filter(|section| section.sh_type == SHT_RELA) {
        let mut all = file.section_data_as_relas(&section).context("read relocations")?;
        if let Some(other) = all.find(|one| one.r_type != R_RISCV_RELATIVE) {
            return Err(broken(format!("the ladder can't move: relocation {}", other.r_type)));
        }
    }
    let mut image = Vec::new();
    for segment in file.segments().into_iter().flatten().filter(|part| part.p_type == PT_LOAD) {
        let end = segment.p_vaddr.saturating_add(segment.p_memsz);
        let bytes = file.segment_data(&segment).context("read the ladder")?;
        let place = usize::try_from(segment.p_vaddr).ok().filter(|_| end < MOST);
        let place = place.ok_or_else(|| broken("the ladder that can be moved is not at 0"))?;
        let end = place + usize::try_from(segment.p_memsz).unwrap_or(bytes.len());
        image.resize(image.len().max(end), 0);
        if let Some(to) = image.get_mut(place..place + bytes.len()) {
            to.copy_from_slice(bytes);
        }
    }
    image.resize(image.len() + STACKS, 0);
    Ok(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An executable (ELF-64, little-endian) with one segment.
    fn executable(address: u64) -> Vec<u8> {
        let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
        bytes.resize(16, 0);
        let halves = |bytes: &mut Vec<u8>, all: &[u16]| {
            all.iter().for_each(|half| bytes.extend(half.to_le_bytes()));
        };
        let doubles = |bytes: &mut Vec<u8>, all: &[u64]| {
            all.iter().for_each(|double| bytes.extend(double.to_le_bytes()));
        };
        // ET_DYN, EM_RISCV, version; entry, program and section headers, flags.
        halves(&mut bytes, &[3, 243, 1, 0]);
        doubles(&mut bytes, &[0, 64, 0]);
        halves(&mut bytes, &[0, 0, 64, 56, 1, 64, 0, 0]);
        // PT_LOAD, flags; file offset, addresses, sizes, alignment.
        halves(&mut bytes, &[1, 0, 5, 0]);
        doubles(&mut bytes, &[120, address, address, 3, 8, 1]);
        bytes.extend(b"abc");
        bytes
    }

    #[test]
    fn segments_are_where_they_belong_and_memory_is_zero() {
        let image = image(&executable(4)).unwrap();
        assert_eq!(image[..12], *b"\0\0\0\0abc\0\0\0\0\0");
        assert_eq!(image.len(), 12 + STACKS);
    }

    #[test]
    fn what_is_linked_elsewhere_is_refused() {
        assert!(image(&executable(0x8000_0000)).is_err());
        assert!(image(b"no executable").is_err());
    }
}
