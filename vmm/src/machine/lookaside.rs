//! What the VMM itself looked up last: the page of the instruction that
//! exited, and the device pages that it accessed.
//!
//! Drivers poll the same register from the same loop; this saves two walks
//! of the shadow tables per access. Like a TLB it may be stale until the
//! vCPU's own fence: it is emptied whenever this hart's TLB is flushed for
//! the vCPU.

use crate::addr::{Access, Gpa, Gva, Hpa};

/// One remembered translation below a shadow root.
#[derive(Clone, Copy, Debug)]
struct Entry {
    root: Hpa,
    page: u64,
    target: u64,
}

/// Matches nothing: no shadow root is at the end of the address space.
const NOTHING: Entry = Entry { root: Hpa(u64::MAX), page: 0, target: 0 };

impl Entry {
    #[inline]
    fn new(root: Hpa, gva: Gva, gpa: Gpa) -> Self {
        Self { root, page: gva.page(), target: gpa.page() }
    }

    #[inline]
    fn find(&self, root: Hpa, gva: Gva) -> Option<Gpa> {
        let hit = self.page == gva.page() && self.root == root;
        hit.then(|| Gpa(Gpa::from_page(self.target).0 | gva.page_offset()))
    }
}

/// Device pages that are remembered for each kind of access: an interrupt of a
/// disk has to do with two, its handler may print.
const DEVICES: usize = 8;

/// The last lookups of one vCPU.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lookaside {
    code: Entry,
    /// Some entry below is in use.
    devices: bool,
    /// By load and store: a page may allow one and not the other.
    device: [[Entry; DEVICES]; 2],
}

/// Which entry is for the page of `gva`. Pages of the PLIC that one handler
/// needs are 2 MiB apart in most kernels' maps.
#[inline(always)]
fn place(gva: Gva) -> usize {
    crate::addr::to_usize(gva.page() ^ gva.page() >> 9) % DEVICES
}

impl Lookaside {
    pub(super) const EMPTY: Self =
        Self { code: NOTHING, devices: false, device: [[NOTHING; DEVICES]; 2] };

    /// Forgets everything.
    #[inline]
    pub(super) fn clear(&mut self) {
        self.code.root = NOTHING.root;
        if self.devices {
            self.devices = false;
            self.device.as_flattened_mut().iter_mut().for_each(|entry| entry.root = NOTHING.root);
        }
    }

    /// Where the instruction at `pc` is.
    #[inline]
    pub(super) fn code(&self, root: Hpa, pc: Gva) -> Option<Gpa> {
        self.code.find(root, pc)
    }

    /// The device register that `access` at `gva` reaches.
    #[inline]
    pub(super) fn device(&self, root: Hpa, gva: Gva, access: Access) -> Option<Gpa> {
        let [load, store] = &self.device;
        let entries = if access == Access::Store { store } else { load };
        entries[place(gva)].find(root, gva)
    }

    pub(super) fn set_code(&mut self, root: Hpa, pc: Gva, gpa: Gpa) {
        self.code = Entry::new(root, pc, gpa);
    }

    pub(super) fn set_device(&mut self, root: Hpa, gva: Gva, access: Access, gpa: Gpa) {
        let [load, store] = &mut self.device;
        self.devices = true;
        let entries = if access == Access::Store { store } else { load };
        entries[place(gva)] = Entry::new(root, gva, gpa);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_belong_to_a_root_a_page_and_a_kind_of_access() {
        let mut known = Lookaside::EMPTY;
        let (root, gva, gpa) = (Hpa(0x9000), Gva(0x1005), Gpa(0x1000_0005));
        assert_eq!(known.device(root, gva, Access::Load), None);
        known.set_device(root, gva, Access::Load, gpa);
        assert_eq!(known.device(root, Gva(0x1007), Access::Load), Some(Gpa(0x1000_0007)));
        assert_eq!(known.device(root, gva, Access::Store), None);
        assert_eq!(known.device(Hpa(0xa000), gva, Access::Load), None);
        assert_eq!(known.device(root, Gva(0x2005), Access::Load), None);
        assert_eq!(known.code(root, gva), None);
        // A second page does not push the first one out.
        let second = Gva(0x20_1000);
        known.set_device(root, second, Access::Load, Gpa(0x0c20_1000));
        assert!([gva, second].iter().all(|at| known.device(root, *at, Access::Load).is_some()));
        known.clear();
        assert_eq!(known.device(root, gva, Access::Load), None);
    }
}
