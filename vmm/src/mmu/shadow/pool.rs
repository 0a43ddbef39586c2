//! Shadow pages: the tables the hardware walks, with the bookkeeping of each,
//! found again by what they shadow.
//!
//! A shadow page is either a *table* page, which mirrors one guest table
//! entry by entry, or a *direct* page, which maps a contiguous guest-physical
//! region (no translation, or a guest superpage that the shadow must split).

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use zerocopy::FromZeros;

use super::super::pte::{ENTRIES, Pte, Rights};
use super::super::space::View;
use crate::addr::{Hpa, to_usize};

/// log2 of the slots in a page.
const SLOT_BITS: u32 = ENTRIES.trailing_zeros();

/// Index of a shadow page in the pool.
pub(super) type PageId = u32;

/// One entry of one shadow page.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromZeros)]
pub(super) struct Slot(pub(super) u32);

impl Slot {
    /// Ends a list of slots.
    pub(super) const NONE: Self = Self(u32::MAX);

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the mask leaves nine bits")]
    pub(super) fn new(page: PageId, index: usize) -> Self {
        Self(page << SLOT_BITS | (index & (ENTRIES - 1)) as u32)
    }

    #[inline]
    pub(super) fn page(self) -> PageId {
        self.0 >> SLOT_BITS
    }

    #[inline]
    pub(super) fn index(self) -> usize {
        self.0 as usize % ENTRIES
    }
}

/// What a shadow page stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Key {
    /// Guest-physical page number: of the guest's table, or of the region.
    pub(super) source: u64,
    /// Level of the shadow page.
    pub(super) level: u8,
    /// The view its entries were checked for.
    pub(super) view: View,
    /// The PMP configuration, likewise.
    pub(super) pmp: u8,
    /// Whose CPU page hangs below it: see [`Space::page_of`].
    ///
    /// [`Space::page_of`]: super::super::space::Space::page_of
    pub(super) page_of: u8,
    /// The rights of the whole region, for a direct page.
    pub(super) direct: Option<Rights>,
}

/// A table as the hardware sees it.
#[derive(FromZeros)]
#[repr(C, align(4096))]
struct Frame([AtomicU64; ENTRIES]);

/// Bookkeeping of one shadow page.
struct Meta {
    key: Key,
    /// Bit per slot that holds anything.
    present: [u64; ENTRIES / 64],
    /// Next page in the same hash bucket.
    next: PageId,
}

/// The neighbours of a slot in its list of writable mappings.
#[derive(Clone, Copy, FromZeros)]
struct Links {
    next: Slot,
    prev: Slot,
}

const NO_PAGE: PageId = PageId::MAX;
const UNUSED: Key =
    Key { source: 0, level: 0, view: View::empty(), pmp: 0, page_of: 0, direct: None };

/// All shadow pages of one guest: its quota.
pub(super) struct Pool {
    frames: Box<[Frame]>,
    metas: Vec<Meta>,
    /// The guest entry that a slot was made from, for table pages.
    origins: Box<[u64]>,
    links: Box<[Links]>,
    buckets: Box<[PageId]>,
}

impl Pool {
    /// A pool of `quota` pages, at least the 8 that one fault can need;
    /// `None` when there is not enough memory.
    pub(super) fn new(quota: u32) -> Option<Self> {
        let quota = quota.clamp(8, 1 << 20) as usize;
        Some(Self {
            frames: <[Frame]>::new_box_zeroed_with_elems(quota).ok()?,
            metas: Vec::with_capacity(quota),
            origins: <[u64]>::new_box_zeroed_with_elems(quota * ENTRIES).ok()?,
            links: <[Links]>::new_box_zeroed_with_elems(quota * ENTRIES).ok()?,
            buckets: vec![NO_PAGE; (quota * 2).next_power_of_two()].into(),
        })
    }

    /// Pages that may still be made.
    pub(super) fn free(&self) -> usize {
        self.frames.len() - self.metas.len()
    }

    /// Pages in use.
    #[expect(clippy::cast_possible_truncation, reason = "the quota fits 20 bits")]
    pub(super) fn used(&self) -> PageId {
        self.metas.len() as PageId
    }

    fn bucket(&self, source: u64) -> usize {
        let mixed = source.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        to_usize(mixed) & (self.buckets.len() - 1)
    }

    /// The page for `key`, if there is one.
    #[inline]
    pub(super) fn find(&self, key: Key) -> Option<PageId> {
        self.of_source(key.source).find(|&id| self.key(id) == key)
    }

    /// All pages whose source is page number `source`.
    pub(super) fn of_source(&self, source: u64) -> impl Iterator<Item = PageId> + '_ {
        let first = self.chain(self.buckets[self.bucket(source)], source);
        core::iter::successors(first, |&id| self.next_of_source(id))
    }

    /// The page after `id` that has the same source.
    pub(super) fn next_of_source(&self, id: PageId) -> Option<PageId> {
        let meta = self.metas.get(id as usize)?;
        self.chain(meta.next, meta.key.source)
    }

    /// The first page for `source` in the bucket list from `at` on.
    #[inline]
    fn chain(&self, mut at: PageId, source: u64) -> Option<PageId> {
        loop {
            let meta = self.metas.get(at as usize)?;
            if meta.key.source == source {
                return Some(at);
            }
            at = meta.next;
        }
    }

    /// Takes a fresh page for `key`, or `None` when the quota is used up.
    pub(super) fn make(&mut self, key: Key) -> Option<PageId> {
        if self.free() == 0 {
            return None;
        }
        let id = PageId::try_from(self.metas.len()).ok()?;
        let bucket = self.bucket(key.source);
        let next = core::mem::replace(&mut self.buckets[bucket], id);
        self.metas.push(Meta { key, present: [0; ENTRIES / 64], next });
        Some(id)
    }

    /// What page `id` stands for.
    #[inline]
    pub(super) fn key(&self, id: PageId) -> Key {
        self.metas.get(id as usize).map_or(UNUSED, |meta| meta.key)
    }

    /// Where page `id` lies for the hardware.
    #[inline]
    pub(super) fn hpa(&self, id: PageId) -> Hpa {
        Hpa((&raw const self.frames[id as usize]) as u64)
    }

    /// The page that lies at `hpa`.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the quota fits 20 bits")]
    pub(super) fn page_at(&self, hpa: Hpa) -> PageId {
        ((hpa.0 - self.hpa(0).0) / size_of::<Frame>() as u64) as PageId
    }

    /// The shadow entry at `index` of page `id`.
    #[inline]
    pub(super) fn entry(&self, id: PageId, index: usize) -> Pte {
        let cell = self.frames.get(id as usize).map(|frame| &frame.0[index % ENTRIES]);
        Pte(cell.map_or(0, |cell| cell.load(Ordering::Relaxed)))
    }

    #[inline]
    fn cell(&self, slot: Slot) -> &AtomicU64 {
        &self.frames[slot.page() as usize].0[slot.index()]
    }

    /// The shadow entry in `slot`.
    #[inline]
    pub(super) fn get(&self, slot: Slot) -> Pte {
        Pte(self.cell(slot).load(Ordering::Relaxed))
    }

    /// Writes `entry`, which was made from the guest's `origin`, to `slot`.
    #[inline]
    pub(super) fn set(&mut self, slot: Slot, entry: Pte, origin: u64) {
        self.origins[slot.0 as usize] = origin;
        let index = slot.index();
        if let Some(meta) = self.metas.get_mut(slot.page() as usize) {
            meta.present[index / 64] |= 1 << (index % 64);
        }
        self.cell(slot).store(entry.0, Ordering::Release);
    }

    /// Changes the entry of a slot that stays in use.
    #[inline]
    pub(super) fn update(&mut self, slot: Slot, entry: Pte) {
        self.cell(slot).store(entry.0, Ordering::Release);
    }

    /// Empties `slot`.
    #[inline]
    pub(super) fn clear(&mut self, slot: Slot) {
        let index = slot.index();
        if let Some(meta) = self.metas.get_mut(slot.page() as usize) {
            meta.present[index / 64] &= !(1 << (index % 64));
        }
        self.cell(slot).store(0, Ordering::Release);
    }

    /// The guest entry that `slot` was made from.
    #[inline]
    pub(super) fn origin(&self, slot: Slot) -> u64 {
        self.origins[slot.0 as usize]
    }

    /// The first slot in use of page `id`, from `index` on.
    #[inline]
    pub(super) fn next_present(&self, id: PageId, index: usize) -> Option<usize> {
        let present = &self.metas.get(id as usize)?.present;
        let mut word = index / 64;
        let mut bits = *present.get(word)? & (!0 << (index % 64));
        while bits == 0 {
            word += 1;
            bits = *present.get(word)?;
        }
        Some(word * 64 + bits.trailing_zeros() as usize)
    }

    /// Whether the aligned run of `count` slots around `index` of page `id`,
    /// at most 64 and a power of two, is empty.
    #[inline]
    pub(super) fn is_empty(&self, id: PageId, index: usize, count: usize) -> bool {
        let first = index & (ENTRIES - 1) & !(count - 1);
        let run = u64::MAX >> (64 - count) << (first % 64);
        self.metas.get(id as usize).is_some_and(|meta| meta.present[first / 64] & run == 0)
    }

    /// Forgets all pages; each slot must have been cleared.
    pub(super) fn reset(&mut self) {
        self.metas.clear();
        self.buckets.fill(NO_PAGE);
    }

    /// Puts `slot` at the head of a list; the new head is returned.
    #[inline]
    pub(super) fn link(&mut self, slot: Slot, head: Slot) -> Slot {
        self.links[slot.0 as usize] = Links { next: head, prev: Slot::NONE };
        if let Some(links) = self.links.get_mut(head.0 as usize) {
            links.prev = slot;
        }
        slot
    }

    /// Takes `slot` out of the list that starts at `head`; the head after it
    /// is returned.
    #[inline]
    pub(super) fn unlink(&mut self, slot: Slot, head: Slot) -> Slot {
        let Links { next, prev } = self.links[slot.0 as usize];
        if let Some(links) = self.links.get_mut(next.0 as usize) {
            links.prev = prev;
        }
        match self.links.get_mut(prev.0 as usize) {
            Some(links) => {
                links.next = next;
                head
            }
            None => next,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(source: u64, level: u8) -> Key {
        Key { source, level, ..UNUSED }
    }

    #[test]
    fn pages_are_found_by_what_they_shadow() {
        let mut pool = Pool::new(8).unwrap();
        let a = pool.make(key(5, 0)).unwrap();
        let b = pool.make(key(5, 1)).unwrap();
        assert_eq!(pool.find(key(5, 0)), Some(a));
        assert_eq!(pool.find(key(5, 1)), Some(b));
        assert_eq!(pool.find(key(6, 1)), None);
        assert_eq!(pool.of_source(5).count(), 2);
        assert_eq!(pool.page_at(pool.hpa(b)), b);
    }

    #[test]
    fn the_quota_holds() {
        let mut pool = Pool::new(8).unwrap();
        assert!((0..8).all(|n| pool.make(key(n, 0)).is_some()));
        assert_eq!(pool.make(key(9, 0)), None);
        pool.reset();
        assert_eq!((pool.free(), pool.find(key(3, 0))), (8, None));
    }

    #[test]
    fn present_slots_are_visited_in_order() {
        let mut pool = Pool::new(8).unwrap();
        let id = pool.make(key(0, 0)).unwrap();
        for index in [3, 64, 511] {
            pool.set(Slot::new(id, index), Pte(1), 0);
        }
        pool.clear(Slot::new(id, 64));
        assert_eq!(pool.next_present(id, 0), Some(3));
        assert_eq!(pool.next_present(id, 4), Some(511));
        assert_eq!(pool.next_present(id, 512), None);
        assert!(!pool.is_empty(id, 0, 8) && !pool.is_empty(id, 7, 8) && pool.is_empty(id, 8, 8));
        assert!(pool.is_empty(id, 66, 64) && !pool.is_empty(id, 448, 64));
    }

    #[test]
    fn lists_survive_removal_anywhere() {
        let mut pool = Pool::new(8).unwrap();
        let mut head = Slot::NONE;
        for n in 0..3 {
            head = pool.link(Slot(n), head);
        }
        head = pool.unlink(Slot(1), head);
        assert_eq!((head, pool.links[2].next), (Slot(2), Slot(0)));
        head = pool.unlink(Slot(2), head);
        head = pool.unlink(Slot(0), head);
        assert_eq!(head, Slot::NONE);
    }
}
