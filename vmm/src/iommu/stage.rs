//! The guest stage: what a guest's devices find at a guest-physical address.
//! Tables of Sv39x4 (privileged specification, "Two-Stage Address
//! Translation"), filled once: a guest's memory never moves.

use alloc::boxed::Box;
use alloc::vec::Vec;

use zerocopy::FromZeros;

use crate::addr::{Gpa, Hpa, PAGE_SIZE, to_usize};
use crate::mmu::pte::{ENTRIES, Pte, ROOT_LEVEL, Rights, leaf_size};

/// Entries of the root, which has two more bits of the address than others.
const ROOT_ENTRIES: usize = 4 * ENTRIES;
/// `iohgatp.MODE`.
const SV39X4: u64 = 8;

// Both are made where they stay: a stack has no room for them.
#[derive(FromZeros)]
#[repr(C, align(16384))]
struct Root([u64; ROOT_ENTRIES]);

#[derive(FromZeros)]
#[repr(C, align(4096))]
struct Table([u64; ENTRIES]);

/// The tables of one guest.
pub struct Stage {
    root: Box<Root>,
    /// The others.
    tables: Vec<Box<Table>>,
}

impl Stage {
    /// Tables that map `len` bytes at `gpa` to memory at `hpa`, all multiples
    /// of the page size, for loads and stores. `None` if they can't, or if there
    /// is no memory for them.
    pub fn new(gpa: Gpa, hpa: Hpa, len: u64) -> Option<Self> {
        let mut stage = Self { root: Root::new_box_zeroed().ok()?, tables: Vec::new() };
        let mut done = 0;
        while done < len {
            let (at, to) = (gpa.wrapping_add(done), hpa.wrapping_add(done));
            let fits = |level: &u8| {
                let size = leaf_size(*level);
                at.is_aligned(size) && to.is_aligned(size) && size <= len - done
            };
            let level = (1..=ROOT_LEVEL).rev().find(fits).unwrap_or(0);
            // Bits as of a shadow leaf: U, since devices are users to it.
            let leaf = Pte::shadow_leaf(to, Rights::R | Rights::W);
            *stage.entry(at, level)? = leaf.0;
            done += leaf_size(level).max(PAGE_SIZE);
        }
        Some(stage)
    }

    /// The entry of `level` for `gpa`, with the tables above it.
    fn entry(&mut self, gpa: Gpa, level: u8) -> Option<&mut u64> {
        let index = |level: u8| to_usize(gpa.0 >> (12 + 9 * u32::from(level)));
        let (top, middle) = (index(ROOT_LEVEL), index(1) % ENTRIES);
        if level == ROOT_LEVEL {
            return self.root.0.get_mut(top);
        }
        let (mut table, pointer) = self.below(*self.root.0.get(top)?)?;
        *self.root.0.get_mut(top)? = pointer;
        if level == 0 {
            let (last, pointer) = self.below(self.tables.get(table)?.0[middle])?;
            self.tables.get_mut(table)?.0[middle] = pointer;
            table = last;
        }
        Some(&mut self.tables.get_mut(table)?.0[index(level) % ENTRIES])
    }

    /// The table that `entry` points to, by its place, and the entry; made if
    /// there is none. `None` if the entry is a leaf.
    fn below(&mut self, entry: u64) -> Option<(usize, u64)> {
        if entry == 0 {
            let table = Table::new_box_zeroed().ok()?;
            let pointer = Pte::shadow_pointer(address(&*table)).0;
            self.tables.push(table);
            return Some((self.tables.len() - 1, pointer));
        }
        let target = Pte(entry).hpa();
        let place = self.tables.iter().position(|table| address(&**table) == target)?;
        Some((place, entry))
    }

    /// `iohgatp` for these tables, whose translations go by `number`.
    pub fn pointer(&self, number: u16) -> u64 {
        SV39X4 << 60 | u64::from(number) << 44 | address(&*self.root).page()
    }
}

/// Where the hardware finds a table.
fn address<T>(table: &T) -> Hpa {
    Hpa(core::ptr::from_ref(table) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the hardware finds: address, and size of the leaf.
    fn walk(stage: &Stage, gpa: u64) -> Option<(u64, u64)> {
        let mut entry = Pte(*stage.root.0.get(to_usize(gpa >> 30))?);
        let mut level = ROOT_LEVEL;
        loop {
            if !entry.has(Pte::V) {
                return None;
            }
            if entry.is_leaf() {
                assert!(entry.has(Pte::R | Pte::W | Pte::U | Pte::A | Pte::D));
                assert!(!entry.has(Pte::X));
                let size = leaf_size(level);
                return Some((entry.hpa().0 | gpa & (size - 1), size));
            }
            level = level.checked_sub(1)?;
            let table = stage.tables.iter().find(|table| address(&***table) == entry.hpa())?;
            entry = Pte(table.0[to_usize(gpa >> (12 + 9 * u32::from(level))) % ENTRIES]);
        }
    }

    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;

    #[test]
    fn memory_is_mapped_to_its_last_byte_and_no_further() {
        let cases = [
            (0x8000_0000, 0x8860_0000, 128 * MIB, 2 * MIB),
            (0x8000_0000, 0xc000_0000, 2 * GIB, GIB),
            (0x8000_0000, 0x8860_0000, 2 * GIB + 2 * MIB, 2 * MIB),
            (0x8000_0000, 0x8860_1000, 3 * MIB, 4096),
            (0, 0x8860_0000, 4 * MIB, 2 * MIB),
        ];
        for (gpa, hpa, len, leaf) in cases {
            let stage = Stage::new(Gpa(gpa), Hpa(hpa), len).unwrap();
            assert_eq!(walk(&stage, gpa), Some((hpa, leaf)));
            for offset in [0, 1, 4096, len / 2 + 123, len - 4096, len - 1] {
                let found = walk(&stage, gpa + offset).map(|(found, _)| found);
                assert_eq!(found, Some(hpa + offset), "{gpa:#x} {offset:#x}");
            }
            for outside in [gpa + len, gpa + len + GIB, gpa.wrapping_sub(1), 0x4000_0000, 1 << 40] {
                assert_eq!(walk(&stage, outside), None, "{outside:#x}");
            }
        }
    }

    #[test]
    fn each_table_is_made_once() {
        let stage = Stage::new(Gpa(0x8000_0000), Hpa(0x8860_1000), 4 * MIB).unwrap();
        assert_eq!(stage.tables.len(), 3, "one for the gibibyte, two for pages");
        let stage = Stage::new(Gpa(0x8000_0000), Hpa(0x8860_0000), 512 * MIB).unwrap();
        assert_eq!(stage.tables.len(), 1);
    }

    #[test]
    fn the_pointer_names_mode_number_and_root() {
        let stage = Stage::new(Gpa(0), Hpa(0), 0).unwrap();
        let pointer = stage.pointer(5);
        assert_eq!((pointer >> 60, pointer >> 44 & 0xffff), (8, 5));
        let root = (pointer & ((1 << 44) - 1)) << 12;
        assert_eq!((root, root % 16384), (address(&*stage.root).0, 0));
    }

    #[test]
    fn what_cannot_be_expressed_is_refused() {
        assert!(Stage::new(Gpa(1 << 41), Hpa(0x8000_0000), 4096).is_none());
    }
}
