//! The page walk that hardware would do, in software (privileged
//! specification, "Virtual Address Translation Process").
//!
//! The walk reads the guest's tables by guest-physical address. Nothing it
//! finds there is trusted: a table outside RAM is an access fault, a reserved
//! encoding a page fault, and three levels are all it ever follows.

use super::pte::{self, Pte, ROOT_LEVEL, Rights};
use super::space::Space;
use crate::addr::{Access, Gpa, Gva};
use crate::mem::GuestRam;

/// Why an access cannot be translated; the caller adds the kind of access.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WalkFault {
    /// The tables do not allow it.
    Page,
    /// A table, or the target, is not memory that may be used.
    Access,
}

/// The entries that a walk passed, root first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Walk {
    /// The entry read at each level, by level; those below the leaf are 0.
    pub entries: [Pte; 3],
    /// The page number of the table read at each level, by level.
    pub tables: [u64; 3],
    /// Level of the leaf.
    pub level: u8,
}

impl Walk {
    /// The leaf entry.
    #[inline]
    pub fn leaf(&self) -> Pte {
        self.entries[usize::from(self.level & 3) % 3]
    }

    /// First guest-physical address that the leaf maps.
    #[inline]
    pub fn target(&self) -> Gpa {
        self.leaf().gpa()
    }

    /// What `gva` translates to.
    #[inline]
    pub fn translate(&self, gva: Gva) -> Gpa {
        let within = gva.0 & (pte::leaf_size(self.level) - 1);
        Gpa(self.target().0 | within)
    }
}

/// Where the entry for `gva` lies in the table at page `table`.
#[inline]
fn entry_address(table: u64, gva: Gva, level: u8) -> Gpa {
    Gpa(Gpa::from_page(table).0 + 8 * pte::index(gva, level) as u64)
}

/// Finds the leaf for `gva`; `table_ok` says whether PMP lets the walk read
/// an entry. Permissions are not looked at.
#[inline(always)]
pub fn walk(
    ram: &GuestRam,
    root: u64,
    gva: Gva,
    table_ok: impl Fn(Gpa) -> bool,
) -> Result<Walk, WalkFault> {
    if !pte::is_canonical(gva) {
        return Err(WalkFault::Page);
    }
    let mut found = Walk { entries: [Pte(0); 3], tables: [0; 3], level: ROOT_LEVEL };
    let mut table = root;
    loop {
        let level = found.level;
        let address = entry_address(table, gva, level);
        if !table_ok(address) {
            return Err(WalkFault::Access);
        }
        let entry = Pte(ram.load_u64(address).map_err(|_| WalkFault::Access)?);
        if !entry.is_valid() {
            return Err(WalkFault::Page);
        }
        found.entries[usize::from(level)] = entry;
        found.tables[usize::from(level)] = table;
        if entry.is_leaf() {
            let aligned = entry.gpa().is_aligned(pte::leaf_size(level));
            return if aligned { Ok(found) } else { Err(WalkFault::Page) };
        }
        if level == 0 || !entry.is_clean_pointer() {
            return Err(WalkFault::Page);
        }
        table = entry.ppn();
        found.level = level - 1;
    }
}

/// Walks, checks that `space` grants `access`, and sets A and D as hardware
/// with Svadu does. The leaf in the result is the updated one.
#[inline(always)]
pub fn access(
    ram: &GuestRam,
    space: Space,
    gva: Gva,
    access: Access,
    table_ok: impl Fn(Gpa) -> bool,
) -> Result<Walk, WalkFault> {
    // A racing hart can change the entry under our feet a few times, not
    // for ever: after that the guest takes the fault again by itself.
    for _ in 0..4 {
        let mut found = walk(ram, space.root, gva, &table_ok)?;
        let leaf = found.leaf();
        if !space.rights(leaf).contains(Rights::from(access)) {
            return Err(WalkFault::Page);
        }
        let wanted = Pte(leaf.0 | Pte::A | if access == Access::Store { Pte::D } else { 0 });
        if wanted == leaf {
            return Ok(found);
        }
        let level = usize::from(found.level);
        let address = entry_address(found.tables[level], gva, found.level);
        match ram.compare_exchange_u64(address, leaf.0, wanted.0) {
            Ok(Ok(_)) => {
                found.entries[level] = wanted;
                return Ok(found);
            }
            Ok(Err(_)) => {}
            Err(_) => return Err(WalkFault::Access),
        }
    }
    Err(WalkFault::Page)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: u64 = 0x8000_0000;
    const ROOT: u64 = BASE >> 12;

    fn ram_with(entries: &[(u64, u64)]) -> GuestRam {
        let ram = GuestRam::leaked(Gpa(BASE), 0x10_0000);
        for &(offset, value) in entries {
            ram.store_u64(Gpa(BASE + offset), value).unwrap();
        }
        ram
    }

    fn pointer(page: u64) -> u64 {
        (BASE + page * 0x1000) >> 2 | Pte::V
    }

    fn space() -> Space {
        Space::sv39(Gpa(BASE), false, false, false, 0)
    }

    fn find(ram: &GuestRam, gva: u64, kind: Access) -> Result<Walk, WalkFault> {
        access(ram, space(), Gva(gva), kind, |_| true)
    }

    #[test]
    fn three_levels_lead_to_a_page_and_set_a_and_d() {
        let leaf = (BASE + 0x5000) >> 2 | Pte::V | Pte::R | Pte::W;
        let ram = ram_with(&[(0, pointer(1)), (0x1000, pointer(2)), (0x2018, leaf)]);
        let walk = find(&ram, 0x3123, Access::Load).unwrap();
        assert_eq!(walk.translate(Gva(0x3123)), Gpa(BASE + 0x5123));
        assert_eq!(ram.load_u64(Gpa(BASE + 0x2018)), Ok(leaf | Pte::A));
        find(&ram, 0x3000, Access::Store).unwrap();
        assert_eq!(ram.load_u64(Gpa(BASE + 0x2018)), Ok(leaf | Pte::A | Pte::D));
        assert_eq!(find(&ram, 0x3000, Access::Execute), Err(WalkFault::Page));
    }

    #[test]
    fn superpages_must_be_aligned() {
        let flags = Pte::V | Pte::R | Pte::A;
        let ram = ram_with(&[(0, BASE >> 2 | flags), (8, (BASE + 0x20_0000) >> 2 | flags)]);
        let walk = find(&ram, 0x1234_5678, Access::Load).unwrap();
        assert_eq!((walk.level, walk.translate(Gva(0x1234_5678))), (2, Gpa(BASE + 0x1234_5678)));
        assert_eq!(find(&ram, 0x4000_0000, Access::Load), Err(WalkFault::Page));
    }

    #[test]
    fn tables_outside_ram_or_forbidden_are_access_faults() {
        let ram = ram_with(&[(0, 0x1000 >> 2 | Pte::V), (8, pointer(1))]);
        assert_eq!(find(&ram, 0, Access::Load), Err(WalkFault::Access));
        let forbidden = walk(&ram, ROOT, Gva(0), |_| false);
        assert_eq!(forbidden, Err(WalkFault::Access));
    }

    #[test]
    fn cycles_and_dirty_pointers_end_in_a_page_fault() {
        let ram = ram_with(&[(0, pointer(0)), (8, pointer(1) | Pte::A)]);
        assert_eq!(find(&ram, 0, Access::Load), Err(WalkFault::Page));
        assert_eq!(find(&ram, 0x4000_0000, Access::Load), Err(WalkFault::Page));
        assert_eq!(find(&ram, 1 << 39, Access::Load), Err(WalkFault::Page));
    }
}
