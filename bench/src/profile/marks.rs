//! The places where the probe reads `instret`: `rdinstret a6` before an
//! operation's loop, `rdinstret a7` behind it.

use std::collections::HashSet;
use std::path::Path;

use elf::ElfBytes;
use elf::abi::PF_X;
use elf::endian::LittleEndian;
use xtask::failure::{Context, Result};

/// `csrrs a6, instret, zero`
const BEGIN: u32 = 0xc020_2873;
/// `csrrs a7, instret, zero`
const END: u32 = 0xc020_28f3;
/// RAM is seen at several addresses that differ in the bits above.
const SAME: u64 = (1 << 31) - 1;

/// How much further up U-mode of the probes sees RAM (`probes::USER_WINDOW`).
const USER_WINDOW: u64 = 2 << 30;

/// What a mark means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mark {
    /// The first instruction that counts.
    Begin,
    /// The first that does not.
    End,
}

/// Where the marks are.
pub(super) struct Marks {
    begin: HashSet<u64>,
    end: HashSet<u64>,
}

impl Marks {
    /// Finds the marks in the code of an executable.
    ///
    /// # Errors
    /// If it is no ELF file.
    pub(super) fn read(kernel: &Path) -> Result<Self> {
        let bytes = std::fs::read(kernel).context(format!("read {}", kernel.display()))?;
        let file =
            ElfBytes::<LittleEndian>::minimal_parse(&bytes).context("understand the probe")?;
        let mut marks = Self { begin: HashSet::new(), end: HashSet::new() };
        for segment in file.segments().into_iter().flatten().filter(|part| part.p_flags & PF_X != 0)
        {
            marks.scan(segment.p_vaddr, file.segment_data(&segment).unwrap_or_default());
        }
        Ok(marks)
    }

    fn scan(&mut self, base: u64, code: &[u8]) {
        for (at, word) in (base..).step_by(4).zip(code.chunks_exact(4)) {
            match u32::from_le_bytes(word.try_into().unwrap_or_default()) {
                BEGIN => self.begin.insert(at & SAME),
                END => self.end.insert(at & SAME),
                _ => continue,
            };
        }
    }

    /// Where windows begin: where the executable is linked, and where U-mode
    /// sees that. The VMM may have code at the same addresses, and stop there;
    /// then more is logged than is needed.
    pub(super) fn begins(&self) -> impl Iterator<Item = u64> {
        let linked = self.begin.iter().map(|at| at | (SAME + 1));
        linked.flat_map(|at| [at, at + USER_WINDOW])
    }

    /// The mark at a program counter of the guest.
    pub(super) fn at(&self, pc: u64) -> Option<Mark> {
        match pc & SAME {
            pc if self.begin.contains(&pc) => Some(Mark::Begin),
            pc if self.end.contains(&pc) => Some(Mark::End),
            _ => None,
        }
    }

    #[cfg(test)]
    pub(super) fn of(begin: &[u64], end: &[u64]) -> Self {
        Self { begin: begin.iter().copied().collect(), end: end.iter().copied().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_found_at_every_address_of_their_code() {
        let mut marks = Marks::of(&[], &[]);
        let words = [0x13, BEGIN, 0x13, END];
        let code: Vec<u8> = words.iter().flat_map(|word: &u32| word.to_le_bytes()).collect();
        marks.scan(0x8000_0000, &code);
        assert_eq!(marks.at(0x8000_0004), Some(Mark::Begin));
        assert_eq!(marks.at(0x1_0000_000c), Some(Mark::End));
        assert_eq!(marks.at(0x8000_0008), None);
    }
}
