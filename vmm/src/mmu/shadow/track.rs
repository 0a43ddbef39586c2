//! What the shadow knows about each page of guest RAM: whether it backs a
//! guest page table, and which shadow entries map it writable.
//!
//! Invariant **followed-tables**: while a shadow table page has entries, the
//! guest page it mirrors is *followed* (no shadow entry maps it writable, so
//! the first write exits) or *changed* (on the list that the next fence
//! works off). A page in neither state is mirrored by empty shadow pages only.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use super::super::pte::{ENTRIES, leaf_size};
use super::pool::Slot;
use crate::addr::{Gpa, PAGE_SIZE, to_usize};
use crate::mem::GuestRam;

/// How the shadow regards a page of guest RAM.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// Not known to be a page table.
    Plain,
    /// A page table whose shadow is in step with it.
    Followed,
    /// A page table that was, or could have been, written since.
    Changed,
}

/// Table pages that may be written between two fences before the shadow
/// gives up and starts afresh; it bounds the work of a fence.
pub(super) const MAX_CHANGED: usize = 128;

/// A table that was written between so many fences of late is *hot*: it is not
/// write-protected, and compared at each fence, until so many fences in a row
/// find nothing. Linux maps each piece of code that it patches through the
/// same entry of the same table, a hundred thousand times while it boots.
const HOT: u8 = 4;
/// No table gets hotter: it cools in bounded time.
const HOTTEST: u8 = 7;
/// Tables whose heat is known; others with the same place compete for it.
const HEATS: usize = 8;

/// A table page that the next fence looks at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Change {
    /// Its page number.
    pub(super) page: u64,
    /// Since when no shadow entry maps it writable, in epochs of the guest;
    /// `None` while one may. Harts that have not flushed their TLB since can
    /// still write to it unseen.
    pub(super) protected: Option<u64>,
}

/// State of a guest's pages, by page number from the base of RAM.
pub(super) struct Tracker {
    base: u64,
    states: Box<[State]>,
    /// Per level, per region of that size: first writable mapping.
    heads: [Box<[Slot]>; 3],
    /// Per level, per region of that size: pages in it that are tables.
    tables: [Box<[u32]>; 3],
    changed: Vec<Change>,
    /// There was no room on the list: some change is not on it.
    overflowed: bool,
    /// Page numbers of tables, and how hot they are.
    heats: [(u64, u8); HEATS],
}

/// log2 of the base pages in a region of `level`.
const fn region_shift(level: u8) -> u32 {
    ENTRIES.trailing_zeros() * level as u32
}

impl Tracker {
    pub(super) fn new(ram: &GuestRam) -> Self {
        let regions = |level: u8| to_usize(ram.len().div_ceil(leaf_size(level)) + 1);
        Self {
            base: ram.base().page(),
            states: vec![State::Plain; to_usize(ram.len() / PAGE_SIZE)].into(),
            heads: [0, 1, 2].map(|level| vec![Slot::NONE; regions(level)].into()),
            tables: [0, 1, 2].map(|level| vec![0; regions(level)].into()),
            changed: Vec::with_capacity(MAX_CHANGED),
            overflowed: false,
            heats: [(0, 0); HEATS],
        }
    }

    #[inline]
    fn relative(&self, page: u64) -> usize {
        to_usize(page.wrapping_sub(self.base))
    }

    /// How `page` is regarded; what is not RAM is plain.
    #[inline]
    pub(super) fn state(&self, page: u64) -> State {
        self.states.get(self.relative(page)).copied().unwrap_or(State::Plain)
    }

    /// Changes the state of `page`, keeping the region counts and the watch
    /// on device writes.
    pub(super) fn set_state(&mut self, ram: &GuestRam, page: u64, new: State) {
        let relative = self.relative(page);
        let Some(state) = self.states.get_mut(relative) else { return };
        let old = core::mem::replace(state, new);
        if (old == State::Plain) == (new == State::Plain) {
            return;
        }
        for (level, counts) in (0..).zip(&mut self.tables) {
            if let Some(count) = counts.get_mut(relative >> region_shift(level)) {
                *count = if new == State::Plain { *count - 1 } else { *count + 1 };
            }
        }
        if new == State::Plain { ram.unwatch(page) } else { ram.watch(page) }
    }

    /// Whether the region of `level` at `gpa` holds a page table.
    #[inline]
    pub(super) fn has_tables(&self, gpa: Gpa, level: u8) -> bool {
        let region = self.relative(gpa.page()) >> region_shift(level);
        self.tables[usize::from(level)].get(region).is_none_or(|count| *count != 0)
    }

    /// Head of the list of slots that map `gpa` writable by leaves of `level`.
    #[inline]
    pub(super) fn writers(&mut self, gpa: Gpa, level: u8) -> Option<&mut Slot> {
        let region = self.relative(gpa.page()) >> region_shift(level);
        self.heads[usize::from(level)].get_mut(region)
    }

    /// A followed table is about to be written.
    #[inline]
    pub(super) fn warm(&mut self, page: u64) {
        let (known, heat) = &mut self.heats[to_usize(page) % HEATS];
        if *known == page {
            *heat = (*heat + 1).min(HOTTEST);
        } else if *heat > 0 {
            *heat -= 1;
        } else {
            (*known, *heat) = (page, 1);
        }
    }

    /// Whether a table is likely to be written before the next fence.
    #[inline]
    pub(super) fn is_hot(&self, page: u64) -> bool {
        let (known, heat) = self.heats[to_usize(page) % HEATS];
        known == page && heat >= HOT
    }

    /// The same at a fence that found, or did not find, that it was written.
    #[inline]
    pub(super) fn stays_hot(&mut self, page: u64, written: bool) -> bool {
        if !self.is_hot(page) {
            return false;
        }
        if written {
            self.warm(page);
        } else {
            self.heats[to_usize(page) % HEATS].1 -= 1;
        }
        self.is_hot(page)
    }

    /// Puts a page on the list for the next fence; `false` if it is full: the
    /// shadow must be emptied.
    pub(super) fn push_changed(&mut self, ram: &GuestRam, change: Change) -> bool {
        let fits = self.changed.len() < MAX_CHANGED;
        if fits {
            ram.note_changed(true);
            self.changed.push(change);
        }
        self.overflowed |= !fits;
        fits
    }

    /// Whether the next fence has anything to do.
    #[inline]
    pub(super) fn any_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// Whether the list does not say all, whoever was told so before.
    pub(super) fn has_overflowed(&self) -> bool {
        self.overflowed
    }

    /// Length of the list for the next fence.
    pub(super) fn changes(&self) -> usize {
        self.changed.len()
    }

    /// The page of the change at `index`, if it is hot and the guest may write
    /// to it.
    pub(super) fn hot_change(&self, index: usize) -> Option<u64> {
        let change = self.changed.get(index)?;
        (change.protected.is_none() && self.is_hot(change.page)).then_some(change.page)
    }

    /// The page on the list, if it is one alone that the guest may write to.
    #[inline(always)]
    pub(super) fn only_change(&self) -> Option<u64> {
        match *self.changed {
            [Change { page, protected: None }] => Some(page),
            _ => None,
        }
    }

    /// Takes the change at `index` off the list; the last takes its place.
    pub(super) fn take_change(&mut self, index: usize) -> Option<Change> {
        (index < self.changed.len()).then(|| self.changed.swap_remove(index))
    }

    /// Notes that a page on the list is mapped writable again.
    pub(super) fn unprotect(&mut self, page: u64) {
        for change in self.changed.iter_mut().filter(|change| change.page == page) {
            change.protected = None;
        }
    }

    /// Empties the list.
    pub(super) fn forget_changes(&mut self) {
        self.changed.clear();
        self.overflowed = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: u64 = 0x8000_0000;

    #[test]
    fn regions_count_their_tables() {
        let ram = GuestRam::leaked(Gpa(BASE), 0x60_0000);
        let mut tracker = Tracker::new(&ram);
        let page = Gpa(BASE + 0x20_3000).page();
        assert!(!tracker.has_tables(Gpa(BASE + 0x20_0000), 1));
        tracker.set_state(&ram, page, State::Followed);
        tracker.set_state(&ram, page, State::Changed);
        assert!(tracker.has_tables(Gpa(BASE + 0x20_0000), 1));
        assert!(!tracker.has_tables(Gpa(BASE), 1));
        assert!(tracker.has_tables(Gpa(BASE), 2));
        tracker.set_state(&ram, page, State::Plain);
        assert!(!tracker.has_tables(Gpa(BASE), 2));
    }

    #[test]
    fn pages_outside_ram_are_plain_for_ever() {
        let ram = GuestRam::leaked(Gpa(BASE), 0x1000);
        let mut tracker = Tracker::new(&ram);
        for page in [0, BASE / PAGE_SIZE - 1, BASE / PAGE_SIZE + 1, u64::MAX] {
            tracker.set_state(&ram, page, State::Followed);
            assert_eq!(tracker.state(page), State::Plain);
        }
    }

    #[test]
    fn tables_get_hot_by_writing_and_cool_by_rest() {
        let mut tracker = Tracker::new(&GuestRam::leaked(Gpa(BASE), 0x1000));
        (1..HOT).for_each(|_| tracker.warm(8));
        assert!(!tracker.is_hot(8));
        (0..100).for_each(|_| tracker.warm(8));
        assert!(tracker.stays_hot(8, true));
        let rests = (0..).take_while(|_| tracker.stays_hot(8, false)).count();
        assert_eq!(rests, usize::from(HOTTEST - HOT));
        // Another table takes its place, but not at once.
        tracker.warm(16);
        assert!(!tracker.is_hot(16));
        (0..2 * HOTTEST).for_each(|_| tracker.warm(16));
        assert!(tracker.is_hot(16) && !tracker.is_hot(8));
    }

    #[test]
    fn the_list_of_changes_is_bounded() {
        let ram = GuestRam::leaked(Gpa(BASE), 0x1000);
        let mut tracker = Tracker::new(&ram);
        let change = |page| Change { page, protected: Some(1) };
        assert!((0..MAX_CHANGED as u64).all(|page| tracker.push_changed(&ram, change(page))));
        assert!(!tracker.push_changed(&ram, change(999)));
        tracker.unprotect(0);
        assert_eq!(tracker.take_change(0), Some(Change { page: 0, protected: None }));
        assert_eq!(tracker.changes(), MAX_CHANGED - 1);
        tracker.forget_changes();
        assert!(!tracker.any_changed());
    }
}
