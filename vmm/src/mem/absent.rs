//! Which pages of a guest's RAM are with the VMM, because the guest gave them
//! back. Most guests have none, and find that out with one load.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU16, AtomicU64, AtomicUsize, Ordering};

use super::GuestRam;
use crate::addr::{Gpa, PAGE_SHIFT, PAGE_SIZE, to_usize};

/// Pages in a block, whose absent ones are counted: a superpage of 2 MiB.
const BLOCK: usize = 512;
/// Pages in a word of bits.
const WORD: usize = u64::BITS as usize;

/// The absent pages, by their number from the start of RAM.
pub(super) struct Absent {
    count: AtomicUsize,
    blocks: Box<[AtomicU16]>,
    bits: Box<[AtomicU64]>,
}

impl Absent {
    /// Of `pages` pages, all are there.
    pub(super) fn new(pages: usize) -> Self {
        Self {
            count: AtomicUsize::new(0),
            blocks: (0..pages.div_ceil(BLOCK)).map(|_| AtomicU16::new(0)).collect(),
            bits: (0..pages.div_ceil(WORD)).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// How many are absent.
    #[inline(always)]
    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether page `page` is absent.
    pub(super) fn has(&self, page: usize) -> bool {
        let word = self.bits.get(page / WORD).map_or(0, |word| word.load(Ordering::Acquire));
        word >> (page % WORD) & 1 != 0
    }

    /// Whether any of the pages from `first` to `last` is. It looks at blocks,
    /// and at pages only of a block that is not whole.
    #[cold]
    pub(super) fn any_of(&self, first: usize, last: usize) -> bool {
        let mut page = first;
        while page <= last {
            let block = page / BLOCK;
            let end = last.min(block * BLOCK + BLOCK - 1);
            let absent = self.blocks.get(block).map_or(0, |count| count.load(Ordering::Acquire));
            if absent != 0 && (page..=end).any(|page| self.has(page)) {
                return true;
            }
            page = end + 1;
        }
        false
    }

    /// Takes `page` away; `false` if it is away already, or does not exist.
    pub(super) fn insert(&self, page: usize) -> bool {
        let Some(word) = self.bits.get(page / WORD) else { return false };
        let bit = 1 << (page % WORD);
        let new = word.fetch_or(bit, Ordering::AcqRel) & bit == 0;
        if new {
            self.blocks.get(page / BLOCK).inspect(|block| {
                block.fetch_add(1, Ordering::AcqRel);
            });
            self.count.fetch_add(1, Ordering::AcqRel);
        }
        new
    }

    /// Brings it back, if it is away.
    pub(super) fn remove(&self, page: usize) {
        let Some(word) = self.bits.get(page / WORD) else { return };
        let bit = 1 << (page % WORD);
        if word.fetch_and(!bit, Ordering::AcqRel) & bit != 0 {
            self.blocks.get(page / BLOCK).inspect(|block| {
                block.fetch_sub(1, Ordering::AcqRel);
            });
            self.count.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// All that are absent.
    pub(super) fn all(&self) -> impl Iterator<Item = usize> + '_ {
        let blocks = self.blocks.iter().enumerate();
        let some = blocks.filter(|(_, count)| count.load(Ordering::Acquire) != 0);
        let pages = some.flat_map(|(block, _)| block * BLOCK..(block + 1) * BLOCK);
        pages.filter(|page| self.has(*page))
    }
}

impl GuestRam {
    /// Number of a page from the start of RAM.
    pub(super) fn page_index(&self, gpa: Gpa) -> Option<usize> {
        let offset = gpa.0.wrapping_sub(self.base.0);
        (offset < self.len).then(|| to_usize(offset >> PAGE_SHIFT))
    }

    /// Takes the page at `gpa` away from the guest; `false` if it has none
    /// there. Nobody gets at it from now on, but who has begun may not have
    /// ended.
    pub fn withdraw(&self, gpa: Gpa) -> bool {
        self.page_index(gpa).is_some_and(|page| self.absent.insert(page))
    }

    /// Whether the guest gave back the page at `gpa`.
    pub fn is_absent(&self, gpa: Gpa) -> bool {
        self.absent.count() != 0 && self.page_index(gpa).is_some_and(|page| self.absent.has(page))
    }

    /// Bytes that it gave back.
    pub fn absent(&self) -> u64 {
        self.absent.count() as u64 * PAGE_SIZE
    }

    /// The pages that it gave back.
    pub fn absent_pages(&self) -> impl Iterator<Item = Gpa> + '_ {
        self.absent.all().map(|page| self.base.wrapping_add((page as u64) << PAGE_SHIFT))
    }

    /// Gives the guest an absent page back, full of zeroes. There is no frame
    /// of it any more.
    pub fn restore(&self, gpa: Gpa) {
        if let Some(mut frame) = self.frame(gpa) {
            frame.clear();
            self.page_index(gpa).inspect(|page| self.absent.remove(*page));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// RAM that ends in the middle of a block, and of a word.
    const PAGES: usize = 2 * BLOCK + 70;

    proptest! {
        #[test]
        fn it_is_a_set(steps in prop::collection::vec((any::<bool>(), 0..PAGES), 1..200)) {
            let (absent, mut set) = (Absent::new(PAGES), BTreeSet::new());
            for (add, page) in steps {
                if add {
                    prop_assert_eq!(absent.insert(page), set.insert(page));
                } else {
                    absent.remove(page);
                    set.remove(&page);
                }
                prop_assert_eq!(absent.count(), set.len());
                prop_assert_eq!(absent.has(page), add);
            }
            prop_assert!(absent.all().eq(set.iter().copied()));
            for (first, last) in [(0, PAGES - 1), (3, 600), (BLOCK, 2 * BLOCK - 1), (9, 9)] {
                let any = set.range(first..=last).next().is_some();
                prop_assert_eq!(absent.any_of(first, last), any);
            }
        }
    }

    #[test]
    fn pages_that_do_not_exist_are_not_taken() {
        let absent = Absent::new(64);
        assert!(!absent.insert(64));
        absent.remove(usize::MAX);
        assert!(!absent.has(usize::MAX) && absent.count() == 0);
    }
}
