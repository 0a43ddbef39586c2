//! The short way from a fault to a shadow entry, when the shadow tables are
//! there already and only the leaf is missing, or to a page fault of the
//! guest: nearly always.
//!
//! The shadow's own tables lead to the last one, as a hart's cache of upper
//! levels would, so that one entry of the guest remains to be read. They may
//! be stale until a fence, as such a cache may.

use super::super::pte::{self, ENTRIES, Pte, ROOT_LEVEL, Rights};
use super::super::space::Space;
use super::fill::writable_if_dirty;
use super::pool::{PageId, Slot};
use super::sync::entry_at;
use super::track::State;
use super::{Outcome, Shadow};
use crate::addr::{Access, Gpa, Gva, Hpa, PAGE_SIZE};
use crate::mem::GuestRam;

/// Entries of a guest's table that are looked at together. The first fault
/// among them maps the others, too, as far as that needs no change of the
/// guest's table: a TLB may hold whatever the tables allow.
const TOGETHER: usize = 8;

impl Shadow {
    /// Handles a fault of `access` at `gva` in `space`, the root of which is
    /// `root`, if it is a plain one. `None`: ask [`Shadow::fault`]; nothing
    /// has changed.
    #[inline(always)]
    pub fn refill(
        &mut self,
        ram: &GuestRam,
        root: Hpa,
        space: Space,
        gva: Gva,
        access: Access,
    ) -> Option<Outcome> {
        if space.is_in_tail(gva) {
            return None;
        }
        let (table, level) = self.deepest(root, gva)?;
        if !(self.mirrors(table, space) && pte::is_canonical(gva)) {
            return None;
        }
        let slot = Slot::new(table, pte::index(gva, level));
        let at = entry_at(self.pool.key(table).source, slot);
        let found = Pte(ram.load_u64(at).ok()?);
        if !found.is_valid() {
            return Some(Outcome::PageFault);
        }
        if level != 0 {
            return None;
        }
        // A pointer, which must not be here, grants nothing.
        let rights = space.rights(found);
        if !rights.contains(Rights::from(access)) {
            return Some(Outcome::PageFault);
        }
        let wanted = Pte(found.0 | Pte::A | if access == Access::Store { Pte::D } else { 0 });
        let leaf = self.plain_leaf(ram, space, rights, wanted)?;
        let old = self.pool.get(slot);
        if old.has(Pte::V | Pte::W) {
            return None;
        }
        if wanted != found && !matches!(ram.compare_exchange_u64(at, found.0, wanted.0), Ok(Ok(_)))
        {
            return None;
        }
        let first = self.pool.is_empty(table, slot.index(), TOGETHER);
        self.write_leaf(ram, slot, leaf, wanted);
        if first {
            self.refill_around(ram, space, at, slot);
        }
        Some(Outcome::Mapped { target: leaf.hpa(), flush: old.0 != 0 })
    }

    /// The last shadow table that the hardware reaches for `gva` from `root`,
    /// and its level; `None` if there is a leaf above.
    #[inline(always)]
    pub(super) fn deepest(&self, root: Hpa, gva: Gva) -> Option<(PageId, u8)> {
        let mut page = self.pool.page_at(root);
        for level in (1..=ROOT_LEVEL).rev() {
            let entry = self.pool.entry(page, pte::index(gva, level));
            if entry.0 == 0 {
                return Some((page, level));
            }
            if entry.is_leaf() {
                return None;
            }
            page = self.pool.page_at(entry.hpa());
        }
        Some((page, 0))
    }

    /// The shadow leaf for the guest's `leaf`, which grants `in_view` in
    /// `space`; `None` when it is none that could be used, not RAM, or a page
    /// table that the guest may write.
    #[inline(always)]
    fn plain_leaf(&self, ram: &GuestRam, space: Space, in_view: Rights, leaf: Pte) -> Option<Pte> {
        let rights = writable_if_dirty(space.entry_rights(leaf, in_view), leaf);
        let hpa = ram.hpa(leaf.gpa(), PAGE_SIZE)?;
        let plain = !rights.contains(Rights::W) || self.tracker.state(leaf.ppn()) == State::Plain;
        if rights.is_empty() || !plain {
            return None;
        }
        let entry = Pte::shadow_leaf(hpa, rights);
        Some(if space.for_user_mode(Some(leaf)) { entry } else { entry.without_user() })
    }

    /// Writes `leaf`, made from the guest's `origin`, where no writable leaf is.
    #[inline(always)]
    fn write_leaf(&mut self, ram: &GuestRam, slot: Slot, leaf: Pte, origin: Pte) {
        self.pool.set(slot, leaf, origin.0);
        if leaf.has(Pte::W)
            && let Some(head) = self.tracker.writers(ram.gpa(leaf.hpa()), 0)
        {
            *head = self.pool.link(slot, *head);
        }
    }

    /// Maps the neighbours of `slot`, made from the guest's entry at `at`,
    /// that the guest has touched before.
    #[inline(never)]
    fn refill_around(&mut self, ram: &GuestRam, space: Space, at: Gpa, slot: Slot) {
        let Ok(entries) = ram.load_line(at) else { return };
        let first = slot.index() & (ENTRIES - TOGETHER);
        for (index, entry) in (first..).zip(entries.map(Pte)) {
            if index != slot.index() {
                self.copy_entry(ram, space, Slot::new(slot.page(), index), entry);
            }
        }
    }

    /// Maps what the guest's `entry` says, if the guest has touched it before,
    /// in a `slot` that is empty.
    #[inline(always)]
    pub(super) fn copy_entry(&mut self, ram: &GuestRam, space: Space, slot: Slot, entry: Pte) {
        if entry.has(Pte::V | Pte::A)
            && entry.is_valid()
            && let Some(leaf) = self.plain_leaf(ram, space, space.rights(entry), entry)
        {
            self.write_leaf(ram, slot, leaf, entry);
        }
    }

    /// Whether `table` mirrors one of the guest's, and PMP says nothing.
    #[inline(always)]
    pub(super) fn mirrors(&self, table: PageId, space: Space) -> bool {
        let key = self.pool.key(table);
        let open = self.pmps.get(usize::from(space.pmp)).is_some_and(|pmp| pmp.open);
        open && key.direct.is_none() && self.tracker.state(key.source) != State::Plain
    }
}
