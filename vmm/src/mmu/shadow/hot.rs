//! Fences of one address.
//!
//! Who fences one address has most likely just written its entry, and is
//! about to use it: it is mapped at once, which spares the fault. And it is
//! often the same one again. Linux patches its code through one entry of one
//! table, ninety thousand times while it boots, with a fence after it maps a
//! page there and one after it takes it away. So the last entry is remembered.

use super::super::pte::{self, Pte};
use super::super::space::Space;
use super::pool::Slot;
use super::sync::entry_at;
use super::{Peers, Shadow};
use crate::addr::{Gpa, Gva, Hpa};
use crate::mem::GuestRam;

/// An entry that the guest writes again and again. As long as its table is
/// the only one that changed, a fence of its address concerns no other.
#[derive(Clone, Copy, Debug)]
pub(super) struct HotEntry {
    root: Hpa,
    page: u64,
    /// The guest's table, hot; one shadow table mirrors it (`find_or_make`
    /// forgets the entry when it makes another).
    table: u64,
    slot: Slot,
    at: Gpa,
}

impl Shadow {
    /// [`Shadow::fence`] for one address of the space that `root` belongs to.
    #[inline(always)]
    pub fn fence_at(
        &mut self,
        ram: &GuestRam,
        root: Hpa,
        space: Space,
        gva: Gva,
        peers: Peers<'_>,
    ) -> bool {
        if ram.any_marked() {
            return self.fence_anywhere(ram, root, space, gva, peers);
        }
        if !self.tracker.any_changed() {
            return true;
        }
        match self.hot {
            Some(hot)
                if hot.page == gva.page()
                    && hot.root == root
                    && self.tracker.only_change() == Some(hot.table) =>
            {
                self.fence_hot(ram, space, hot)
            }
            _ => self.fence_anywhere(ram, root, space, gva, peers),
        }
    }

    #[inline(always)]
    fn fence_hot(&mut self, ram: &GuestRam, space: Space, hot: HotEntry) -> bool {
        let entry = Pte(ram.load_u64(hot.at).unwrap_or(0));
        let known = self.pool.get(hot.slot).0 != 0;
        let written = if known { entry.0 != self.pool.origin(hot.slot) } else { entry.is_valid() };
        if written {
            self.clear(ram, hot.slot);
            self.copy_entry(ram, space, hot.slot, entry);
        }
        // One that has cooled is left for the next fence.
        if !self.tracker.stays_hot(hot.table, written) {
            self.hot = None;
        }
        true
    }

    #[inline(never)]
    fn fence_anywhere(
        &mut self,
        ram: &GuestRam,
        root: Hpa,
        space: Space,
        gva: Gva,
        peers: Peers<'_>,
    ) -> bool {
        let done = self.fence(ram, Some(gva), peers);
        if done && let Some((id, 0)) = self.deepest(root, gva) {
            let slot = Slot::new(id, pte::index(gva, 0));
            let table = self.pool.key(id).source;
            if self.mirrors(id, space) {
                let at = entry_at(table, slot);
                if self.pool.get(slot).0 == 0 {
                    let entry = ram.load_u64(at).unwrap_or(0);
                    self.copy_entry(ram, space, slot, Pte(entry));
                }
                let alone = self.pool.of_source(table).count() == 1;
                let hot = HotEntry { root, page: gva.page(), table, slot, at };
                self.hot = (alone && self.tracker.is_hot(table)).then_some(hot);
            }
        }
        done
    }
}
