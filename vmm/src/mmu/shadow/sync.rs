//! Bringing the shadow back into step with the guest's tables.

use core::sync::atomic::Ordering;

use super::super::pte::{self, ENTRIES, Pte, leaf_size};
use super::pool::{Key, PageId, Slot};
use super::track::{Change, State};
use super::{Peers, Shadow};
use crate::addr::{Gpa, Gva};
use crate::mem::GuestRam;

/// What became of the shadow entries of a guest table.
struct Compared {
    /// Some are as the guest has them.
    left: bool,
    /// Some were not.
    differs: bool,
}

/// How many entries of a shadow table mirror the guest's: below a root with a
/// CPU page, what the guest's last one says is of no account.
fn mirrored(key: Key) -> usize {
    if key.page_of == 0 { ENTRIES } else { ENTRIES - 1 }
}

impl Shadow {
    /// Does what `sfence.vma` promises, for address `at` or for all, and for
    /// all address spaces: accesses from now on see the guest's tables as they
    /// are. The caller flushes this hart's TLB. The result is `false` when
    /// there was too much to do, each time until that is done: stop the other
    /// harts and `zap`.
    #[inline]
    pub fn fence(&mut self, ram: &GuestRam, at: Option<Gva>, peers: Peers<'_>) -> bool {
        if !ram.any_marked() && !self.tracker.any_changed() {
            ram.note_changed(false);
            return true;
        }
        !self.tracker.has_overflowed() && self.absorb_marks(ram) && self.sync(ram, at, peers)
    }

    /// Takes note of the tables that devices wrote to.
    fn absorb_marks(&mut self, ram: &GuestRam) -> bool {
        let mut fits = true;
        if ram.take_marked() {
            ram.drain_marks(|page| {
                if self.tracker.state(page) == State::Followed {
                    self.tracker.set_state(ram, page, State::Changed);
                    fits &= self.tracker.push_changed(ram, Change { page, protected: None });
                }
            });
        }
        fits
    }

    fn sync(&mut self, ram: &GuestRam, at: Option<Gva>, peers: Peers<'_>) -> bool {
        let mut fits = true;
        for index in (0..self.tracker.changes()).rev() {
            if let Some(gva) = at
                && let Some(hot) = self.tracker.hot_change(index)
            {
                let differs = self.compare_at(ram, hot, gva);
                if self.tracker.stays_hot(hot, differs) {
                    continue;
                }
            }
            if let Some(change) = self.tracker.take_change(index)
                && let Some(waiting) = self.sync_page(ram, change, peers)
            {
                fits &= self.tracker.push_changed(ram, waiting);
            }
        }
        fits
    }

    /// Works off one change; the result stays on the list for the next fence.
    fn sync_page(&mut self, ram: &GuestRam, change: Change, peers: Peers<'_>) -> Option<Change> {
        let page = change.page;
        let mut protected = change.protected;
        let Compared { left: mirrored, differs } = self.compare_page(ram, page);
        if self.tracker.stays_hot(page, differs) {
            return Some(Change { page, protected: None });
        }
        if mirrored && self.protect(ram, Gpa::from_page(page)) {
            protected = Some(peers.epoch.fetch_add(1, Ordering::SeqCst) + 1);
        }
        if self.smp && protected.is_some_and(|epoch| epoch > peers.settled) {
            return Some(Change { page, protected });
        }
        let state = if mirrored { State::Followed } else { State::Plain };
        self.tracker.set_state(ram, page, state);
        None
    }

    /// Drops what the guest table at `page` no longer says from all shadow
    /// pages that mirror it.
    fn compare_page(&mut self, ram: &GuestRam, page: u64) -> Compared {
        let mut compared = Compared { left: false, differs: false };
        let mut next = self.pool.of_source(page).next();
        while let Some(id) = next {
            if self.pool.key(id).direct.is_none() {
                self.compare_entries(ram, page, id, &mut compared);
            }
            next = self.pool.next_of_source(id);
        }
        compared
    }

    /// The same for the entries that translate `gva`, of a table that stays on
    /// the list; tells whether one had been written, or is new.
    fn compare_at(&mut self, ram: &GuestRam, page: u64, gva: Gva) -> bool {
        let mut differs = false;
        let mut next = self.pool.of_source(page).next();
        while let Some(id) = next {
            let key = self.pool.key(id);
            let index = pte::index(gva, key.level);
            if key.direct.is_none() && index < mirrored(key) {
                let slot = Slot::new(id, index);
                let entry = Pte(ram.load_u64(entry_at(page, slot)).unwrap_or(0));
                let known = self.pool.get(slot).0 != 0;
                if known && entry.0 != self.pool.origin(slot) {
                    differs = true;
                    self.clear(ram, slot);
                }
                differs |= !known && entry.is_valid();
            }
            next = self.pool.next_of_source(id);
        }
        differs
    }

    fn compare_entries(&mut self, ram: &GuestRam, page: u64, id: PageId, compared: &mut Compared) {
        let mut from = 0;
        let end = mirrored(self.pool.key(id));
        while let Some(index) = self.pool.next_present(id, from).filter(|n| *n < end) {
            from = index + 1;
            let slot = Slot::new(id, index);
            if ram.load_u64(entry_at(page, slot)) == Ok(self.pool.origin(slot)) {
                compared.left = true;
            } else {
                compared.differs = true;
                self.clear(ram, slot);
            }
        }
    }

    /// Takes away all writable mappings of the page at `page`; tells whether
    /// there were any.
    pub(super) fn protect(&mut self, ram: &GuestRam, page: Gpa) -> bool {
        let mut any = false;
        while let Some(&mut slot) = self.tracker.writers(page, 0)
            && slot != Slot::NONE
        {
            let entry = self.pool.get(slot);
            self.unlink(ram, slot, entry, 0);
            self.pool.update(slot, Pte(entry.0 & !Pte::W));
            any = true;
        }
        for level in 1..3 {
            while let Some(&mut slot) = self.tracker.writers(page, level)
                && slot != Slot::NONE
            {
                self.clear(ram, slot);
                any = true;
            }
        }
        any
    }

    /// Empties a slot, whatever it holds.
    #[inline]
    pub(super) fn clear(&mut self, ram: &GuestRam, slot: Slot) {
        let entry = self.pool.get(slot);
        if entry.0 == 0 {
            return;
        }
        if entry.has(Pte::V | Pte::W) {
            self.unlink(ram, slot, entry, self.pool.key(slot.page()).level);
        }
        self.pool.clear(slot);
    }

    /// Takes a writable leaf out of its list.
    fn unlink(&mut self, ram: &GuestRam, slot: Slot, entry: Pte, level: u8) {
        let target = ram.gpa(entry.hpa()).align_down(leaf_size(level));
        if let Some(&mut head) = self.tracker.writers(target, level) {
            let head = self.pool.unlink(slot, head);
            if let Some(first) = self.tracker.writers(target, level) {
                *first = head;
            }
        }
    }

    /// Empties the whole shadow (full-is-empty). No hart may be running in
    /// the guest; all roots are invalid after it.
    pub fn zap(&mut self, ram: &GuestRam) {
        for id in 0..self.pool.used() {
            let mut from = 0;
            while let Some(index) = self.pool.next_present(id, from) {
                from = index + 1;
                self.clear(ram, Slot::new(id, index));
            }
            let key = self.pool.key(id);
            if key.direct.is_none() {
                self.tracker.set_state(ram, key.source, State::Plain);
            }
        }
        self.tracker.forget_changes();
        self.pool.reset();
        self.pmps.clear();
        self.hot = None;
        self.generation += 1;
    }
}

/// Where the entry of the guest table at `page` is that `slot` mirrors.
#[inline]
pub(super) fn entry_at(page: u64, slot: Slot) -> Gpa {
    Gpa::from_page(page).wrapping_add(8 * slot.index() as u64)
}
