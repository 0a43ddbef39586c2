//! From a fault to a shadow entry.

use core::sync::atomic::Ordering;

use super::super::pte::{self, ENTRIES, Pte, ROOT_LEVEL, Rights};
use super::super::space::{Space, View};
use super::super::walk::{self, Walk, WalkFault};
use super::pool::{Key, PageId, Slot};
use super::track::{Change, State};
use super::{CPU_PAGE, Outcome, Peers, Shadow, tail_key};
use crate::addr::{Access, Gpa, Gva, Hpa, PAGE_SIZE};
use crate::mem::GuestRam;

/// Shadow pages that one fault can need: a root and what hangs below it.
const PAGES_PER_FAULT: usize = 3;

/// Where CPU pages are.
const LAST_PAGE: Gva = Gva(0u64.wrapping_sub(PAGE_SIZE));

/// One fault on its way through the tables.
struct Fill<'a> {
    ram: &'a GuestRam,
    space: Space,
    gva: Gva,
    access: Access,
    /// The guest's tables, unless the space is bare.
    walk: Option<Walk>,
    /// What the guest's leaf grants, and whether to real U-mode.
    granted: Rights,
    user: bool,
    /// The page that the access reaches.
    target: Gpa,
    /// Where that is, if it is not RAM: registers of the guest's own.
    registers: Option<Hpa>,
    /// Whether a translation that some TLB may hold was taken away.
    flush: bool,
}

impl Fill<'_> {
    /// The view of direct pages: those of kernel and user are not the same.
    fn direct_view(&self) -> View {
        let mut view = self.space.view;
        if view.contains(View::NATIVE) {
            view.set(View::USER, self.user);
        }
        view
    }
}

/// The quota is used up.
struct Full;

impl Shadow {
    /// Handles a fault of `access` at `gva` in `space`.
    pub fn fault(
        &mut self,
        ram: &GuestRam,
        space: Space,
        gva: Gva,
        access: Access,
        peers: Peers<'_>,
    ) -> Outcome {
        if self.pool.free() < PAGES_PER_FAULT + 1 {
            return Outcome::Full;
        }
        if space.is_in_tail(gva) {
            return self.fault_in_tail(ram, space, gva, access);
        }
        let walk = match self.translate(ram, space, gva, access) {
            Ok(walk) => walk,
            Err(WalkFault::Page) => return Outcome::PageFault,
            Err(WalkFault::Access) => return Outcome::AccessFault,
        };
        let (in_view, granted, user) = match &walk {
            Some(walk) => {
                let (leaf, in_view) = (walk.leaf(), space.rights(walk.leaf()));
                let granted = writable_if_dirty(space.entry_rights(leaf, in_view), leaf);
                (in_view, granted, space.for_user_mode(Some(leaf)))
            }
            None => {
                let all = space.limit(Rights::all());
                (all, all, space.for_user_mode(None))
            }
        };
        let gpa = walk.as_ref().map_or(Gpa(gva.0), |walk| walk.translate(gva));
        let target = gpa.align_down(PAGE_SIZE);
        let allowed = self.protection(space, target, PAGE_SIZE).unwrap_or(Rights::empty());
        // An entry without rights would be a pointer to the next level.
        if !(allowed & in_view).contains(Rights::from(access)) || (allowed & granted).is_empty() {
            return Outcome::AccessFault;
        }
        let memory = ram.hpa(target, PAGE_SIZE);
        let registers = if memory.is_none() { self.registers(target) } else { None };
        let Some(hpa) = memory.or(registers) else {
            let absent = ram.is_absent(target);
            return if absent { Outcome::Absent(target) } else { Outcome::Device(gpa) };
        };
        let granted = if registers.is_some() { granted - Rights::X } else { granted };
        if granted.is_empty() || (registers.is_some() && access == Access::Execute) {
            return Outcome::AccessFault;
        }
        let space = space.shared();
        let mut fill =
            Fill { ram, space, gva, access, walk, granted, user, target, registers, flush: false };
        match self.mirror(&mut fill, peers) {
            Err(Full) => Outcome::Full,
            Ok(()) => Outcome::Mapped { target: hpa, flush: fill.flush },
        }
    }

    /// The CPU page, if it is at `gva` and may be accessed so.
    fn cpu_page(&self, space: Space, gva: Gva, access: Access) -> Option<Gpa> {
        let is_there = gva.align_down(PAGE_SIZE) == LAST_PAGE && access != Access::Execute;
        let of = usize::from(space.page_of).checked_sub(1)?;
        self.cpu_pages.get(of).copied().flatten().filter(|_| is_there)
    }

    /// Handles a fault where the CPU page is, and nothing else.
    #[cold]
    fn fault_in_tail(&mut self, ram: &GuestRam, space: Space, gva: Gva, access: Access) -> Outcome {
        let Some(target) = self.cpu_page(space, gva, access) else { return Outcome::PageFault };
        if !self.protection(space, target, PAGE_SIZE).is_some_and(|all| all.contains(CPU_PAGE)) {
            return Outcome::AccessFault;
        }
        let Some(hpa) = ram.hpa(target, PAGE_SIZE) else { return Outcome::Absent(target) };
        let (granted, registers) = (CPU_PAGE, None);
        let mut fill = Fill {
            ram,
            space,
            gva,
            access,
            walk: None,
            granted,
            user: true,
            target,
            registers,
            flush: false,
        };
        match self.map_in_tail(&mut fill) {
            Err(Full) => Outcome::Full,
            Ok(()) => Outcome::Mapped { target: hpa, flush: fill.flush },
        }
    }

    /// Makes the way to the CPU page, which no guest table says, and its leaf.
    /// It is a leaf like others: if the page is a guest table, stores are seen.
    fn map_in_tail(&mut self, fill: &mut Fill<'_>) -> Result<(), Full> {
        let mut page = self.root_page(fill.space).ok_or(Full)?;
        for level in (0..ROOT_LEVEL).rev() {
            let child = self.find_or_make(tail_key(fill.space.page_of, level)).ok_or(Full)?;
            self.point(fill.ram, Slot::new(page, ENTRIES - 1), child, Pte(0));
            page = child;
        }
        self.map(fill, Slot::new(page, ENTRIES - 1), 0, fill.granted, Pte(0))
    }

    /// Translates `gva` for `access` by the guest's own tables, with A and D
    /// set, for accesses that the VMM performs itself.
    pub fn translate_gva(
        &self,
        ram: &GuestRam,
        space: Space,
        gva: Gva,
        access: Access,
    ) -> Result<Gpa, WalkFault> {
        let gpa = if space.is_in_tail(gva) {
            let page = self.cpu_page(space, gva, access).ok_or(WalkFault::Page)?;
            page.wrapping_add(gva.page_offset())
        } else {
            let walk = self.translate(ram, space, gva, access)?;
            walk.map_or(Gpa(gva.0), |walk| walk.translate(gva))
        };
        let allowed = self.protection(space, gpa.align_down(PAGE_SIZE), PAGE_SIZE);
        match allowed {
            Some(rights) if rights.contains(Rights::from(access)) => Ok(gpa),
            _ => Err(WalkFault::Access),
        }
    }

    /// The guest's own translation; `None` in a bare space.
    #[inline(always)]
    fn translate(
        &self,
        ram: &GuestRam,
        space: Space,
        gva: Gva,
        access: Access,
    ) -> Result<Option<Walk>, WalkFault> {
        if space.is_bare() {
            return Ok(None);
        }
        let table_ok = |entry: Gpa| {
            let rights = self.protection(space, entry.align_down(PAGE_SIZE), PAGE_SIZE);
            rights.is_some_and(|rights| rights.contains(Rights::R))
        };
        walk::access(ram, space, gva, access, table_ok).map(Some)
    }

    /// What PMP grants in a region; `None` when not the same everywhere.
    #[inline]
    fn protection(&self, space: Space, base: Gpa, size: u64) -> Option<Rights> {
        match self.pmps.get(usize::from(space.pmp)) {
            Some(pmp) if pmp.open && !space.view.contains(View::MACHINE) => Some(Rights::all()),
            Some(pmp) => pmp.rules.permission(base, size, space.pmp_mode()).map(Rights::from),
            None => Some(Rights::all()),
        }
    }

    /// Makes the shadow tables follow the guest's, down to a leaf.
    fn mirror(&mut self, fill: &mut Fill<'_>, peers: Peers<'_>) -> Result<(), Full> {
        let mut page = self.root_page(fill.space).ok_or(Full)?;
        let mut level = ROOT_LEVEL;
        let mut leaf_level = ROOT_LEVEL;
        if let Some(walk) = &fill.walk {
            leaf_level = walk.level;
            let tables = walk.tables;
            for table in tables.into_iter().skip(leaf_level.into()) {
                self.follow(fill, table, peers)?;
            }
        }
        loop {
            let slot = Slot::new(page, pte::index(fill.gva, level));
            let entries = fill.walk.as_ref().map(|walk| &walk.entries);
            let origin = entries.and_then(|entries| entries.get(usize::from(level)).copied());
            let origin = origin.unwrap_or(Pte(0));
            let child = if level > leaf_level {
                Key { source: origin.ppn(), level: level - 1, direct: None, ..key(fill.space) }
            } else if let Some(rights) = self.leaf_rights(fill, level) {
                return self.map(fill, slot, level, rights, origin);
            } else {
                let source = fill.target.align_down(pte::leaf_size(level)).page();
                let direct = Some(fill.granted);
                Key {
                    source,
                    level: level - 1,
                    view: fill.direct_view(),
                    direct,
                    ..key(fill.space)
                }
            };
            let child = self.find_or_make(child).ok_or(Full)?;
            self.point(fill.ram, slot, child, origin);
            page = child;
            level -= 1;
        }
    }

    /// The rights of a leaf of `level` around the target; `None` when only
    /// smaller leaves are possible.
    #[inline]
    fn leaf_rights(&self, fill: &Fill<'_>, level: u8) -> Option<Rights> {
        if level == 0 {
            let allowed = self.protection(fill.space, fill.target, PAGE_SIZE)?;
            return Some(allowed & fill.granted);
        }
        let size = pte::leaf_size(level);
        let base = fill.target.align_down(size);
        let whole = fill.ram.hpa(base, size).is_some_and(|hpa| hpa.is_aligned(size));
        if !whole {
            return None;
        }
        let rights = self.protection(fill.space, base, size)? & fill.granted;
        let frozen = rights.contains(Rights::W) && self.tracker.has_tables(base, level);
        (!frozen).then_some(rights)
    }

    /// Writes the leaf.
    fn map(
        &mut self,
        fill: &mut Fill<'_>,
        slot: Slot,
        level: u8,
        mut rights: Rights,
        origin: Pte,
    ) -> Result<(), Full> {
        let size = pte::leaf_size(level);
        let base = fill.target.align_down(size);
        let hpa = fill.registers.or_else(|| fill.ram.hpa(base, size)).ok_or(Full)?;
        if level == 0 && rights.contains(Rights::W) {
            match self.tracker.state(base.page()) {
                State::Plain => {}
                State::Changed => self.tracker.unprotect(base.page()),
                State::Followed if fill.access == Access::Store => self.changed(fill.ram, base)?,
                State::Followed => rights -= Rights::W,
            }
        }
        let leaf = Pte::shadow_leaf(hpa, rights);
        let leaf = if fill.user { leaf } else { leaf.without_user() };
        let old = self.pool.get(slot);
        // The hardware faulted on what it could have used: its TLB is stale.
        // And a leaf that changes must not live on in it.
        fill.flush |= old == leaf || old.has(Pte::V);
        self.replace(fill.ram, slot, leaf, origin);
        if rights.contains(Rights::W)
            && let Some(&mut head) = self.tracker.writers(base, level)
        {
            let head = self.pool.link(slot, head);
            if let Some(first) = self.tracker.writers(base, level) {
                *first = head;
            }
        }
        Ok(())
    }

    /// Makes `slot` point to the shadow page `child`.
    #[inline]
    fn point(&mut self, ram: &GuestRam, slot: Slot, child: PageId, origin: Pte) {
        let pointer = Pte::shadow_pointer(self.pool.hpa(child));
        if self.pool.get(slot) != pointer || self.pool.origin(slot) != origin.0 {
            self.replace(ram, slot, pointer, origin);
        }
    }

    #[inline]
    fn replace(&mut self, ram: &GuestRam, slot: Slot, entry: Pte, origin: Pte) {
        self.clear(ram, slot);
        self.pool.set(slot, entry, origin.0);
    }

    /// Follows the guest table at page number `page` from now on.
    #[inline]
    fn follow(&mut self, fill: &mut Fill<'_>, page: u64, peers: Peers<'_>) -> Result<(), Full> {
        if self.tracker.state(page) != State::Plain {
            return Ok(());
        }
        if self.tracker.is_hot(page) {
            // It will be written before the next fence: the exit is spared.
            return self.list(fill.ram, Change { page, protected: None });
        }
        self.tracker.set_state(fill.ram, page, State::Followed);
        if self.protect(fill.ram, Gpa::from_page(page)) {
            fill.flush = true;
            if self.smp {
                // Other harts may write to it unseen until they flush.
                let epoch = peers.epoch.fetch_add(1, Ordering::SeqCst) + 1;
                let change = Change { page, protected: Some(epoch) };
                return self.list(fill.ram, change).inspect_err(|_| {
                    self.tracker.set_state(fill.ram, page, State::Plain);
                });
            }
        }
        Ok(())
    }

    /// The guest is about to write to a followed table.
    fn changed(&mut self, ram: &GuestRam, table: Gpa) -> Result<(), Full> {
        let page = table.page();
        self.tracker.warm(page);
        self.list(ram, Change { page, protected: None })
    }

    /// Puts a table on the list for the next fence. If that is full the table
    /// stays what it was: the caller maps nothing.
    fn list(&mut self, ram: &GuestRam, change: Change) -> Result<(), Full> {
        if !self.tracker.push_changed(ram, change) {
            return Err(Full);
        }
        self.tracker.set_state(ram, change.page, State::Changed);
        Ok(())
    }
}

/// A clean page is mapped read-only, so that the first store is seen.
#[inline]
pub(super) fn writable_if_dirty(rights: Rights, leaf: Pte) -> Rights {
    if leaf.has(Pte::D) { rights } else { rights - Rights::W }
}

/// The part of a key that is the same for all pages of a space.
#[inline]
fn key(space: Space) -> Key {
    Key { source: 0, level: 0, view: space.view, pmp: space.pmp, page_of: 0, direct: None }
}
