//! Which translation applies: the part of a vCPU's state that decides what
//! an address means and who may use it.
//!
//! Where all guest modes run in real U-mode (classic), what hardware would
//! decide by mode, SUM and MXR at each access is decided when a shadow entry
//! is filled: there is one shadow root per guest root *and view*. Where vS
//! runs in real S-mode (assisted), hardware decides: shadow entries have the
//! guest's U bit, all views of a guest root share one shadow root, and the
//! view says only who took a fault.

use bitflags::bitflags;

use super::pte::{Pte, Rights};
use crate::addr::{Gpa, Gva};
use crate::vcpu::Mode;

bitflags! {
    /// The circumstances under which shadow entries are valid.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub struct View: u8 {
        /// vU looks.
        const USER = 1 << 0;
        /// vS looks and `sstatus.SUM` is set.
        const SUM = 1 << 1;
        /// `sstatus.MXR` is set.
        const MXR = 1 << 2;
        /// No translation: GVA = GPA.
        const BARE = 1 << 3;
        /// vM looks: PMP binds only by locked entries.
        const MACHINE = 1 << 4;
        /// Only instruction fetches: loads and stores use another space
        /// (`mstatus.MPRV`) and are emulated one by one.
        const FETCH_ONLY = 1 << 5;
        /// Real S-mode and U-mode look: assisted.
        const NATIVE = 1 << 6;
    }
}

/// One translation: guest root, view and PMP configuration.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Space {
    /// Page number of the guest's root table; 0 in a bare view.
    pub root: u64,
    /// How it is looked at.
    pub view: View,
    /// Which of the guest's interned PMP configurations binds.
    pub pmp: u8,
    /// Whose CPU page is the last page: the vCPU's number and one, or zero for
    /// nobody's. The tables below the root are the same for all.
    pub page_of: u8,
}

/// Where the addresses begin that are not the guest's in a space with a CPU
/// page: what one entry of the root maps.
const TAIL: Gva = Gva(0u64.wrapping_sub(trapeze_protocol::cpu::TAIL));

impl Space {
    /// The space of an Sv39 root for vS or vU.
    pub fn sv39(root: Gpa, user: bool, sum: bool, mxr: bool, pmp: u8) -> Self {
        let mut view = View::empty();
        view.set(View::USER, user);
        view.set(View::SUM, sum && !user);
        view.set(View::MXR, mxr);
        Self { root: root.page(), view, pmp, page_of: 0 }
    }

    /// The space without translation.
    pub fn bare(machine: bool, pmp: u8) -> Self {
        let view = if machine { View::BARE | View::MACHINE } else { View::BARE };
        Self { root: 0, view, pmp, page_of: 0 }
    }

    /// The same translation with the CPU page of this vCPU.
    #[inline]
    pub fn with_page_of(self, cpu: u8) -> Self {
        Self { page_of: cpu + 1, ..self }
    }

    /// Whether `gva` belongs to the CPU page, and not to the guest.
    #[inline(always)]
    pub fn is_in_tail(self, gva: Gva) -> bool {
        self.page_of != 0 && gva >= TAIL
    }

    /// The same translation for instruction fetches alone.
    pub fn fetch_only(self) -> Self {
        Self { view: self.view | View::FETCH_ONLY, ..self }
    }

    /// The same translation where vS and vU, which `user` says it is now, run
    /// in real S-mode and U-mode.
    #[inline]
    pub fn native(self, user: bool) -> Self {
        let mut view = self.view | View::NATIVE;
        view.set(View::USER, user);
        Self { view, ..self }
    }

    /// What all spaces have in common that share a shadow root with this one.
    /// Without translation there is no U bit that would let them share it.
    #[inline]
    pub fn shared(self) -> Self {
        if self.view.contains(View::NATIVE) && !self.is_bare() {
            return Self { view: View::NATIVE, ..self };
        }
        self
    }

    /// Whether there is no translation.
    #[inline]
    pub fn is_bare(self) -> bool {
        self.view.contains(View::BARE)
    }

    /// The mode that PMP looks at. Implicit accesses of a page walk count as
    /// vS (privileged specification, "Physical Memory Protection").
    #[inline]
    pub fn pmp_mode(self) -> Mode {
        if self.view.contains(View::MACHINE) { Mode::Machine } else { Mode::Supervisor }
    }

    /// What a guest leaf grants in this view (section "Virtual Address
    /// Translation Process", steps 5 to 7, without A and D).
    #[inline]
    pub fn rights(self, leaf: Pte) -> Rights {
        let mut rights = leaf.rights();
        if self.view.contains(View::MXR) && rights.contains(Rights::X) {
            rights |= Rights::R;
        }
        match (leaf.has(Pte::U), self.view.contains(View::USER)) {
            (true, true) | (false, false) => {}
            (true, false) if self.view.contains(View::SUM) => rights -= Rights::X,
            _ => rights = Rights::empty(),
        }
        self.limit(rights)
    }

    /// What the shadow entry for a guest leaf grants, of what it is known to
    /// grant in this view: the hardware looks at the rest itself, or not.
    #[inline]
    pub fn entry_rights(self, leaf: Pte, in_view: Rights) -> Rights {
        if self.view.contains(View::NATIVE) { leaf.rights() } else { in_view }
    }

    /// Whether the shadow entry for a guest leaf is one for real U-mode.
    #[inline]
    pub fn for_user_mode(self, leaf: Option<Pte>) -> bool {
        match leaf {
            _ if !self.view.contains(View::NATIVE) => true,
            Some(leaf) => leaf.has(Pte::U),
            None => self.view.contains(View::USER),
        }
    }

    /// Takes away what the view never grants.
    #[inline]
    pub fn limit(self, rights: Rights) -> Rights {
        if self.view.contains(View::FETCH_ONLY) { rights & Rights::X } else { rights }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER_RWX: Pte = Pte(Pte::V | Pte::R | Pte::W | Pte::X | Pte::U);
    const KERNEL_X: Pte = Pte(Pte::V | Pte::X);

    fn space(user: bool, sum: bool, mxr: bool) -> Space {
        Space::sv39(Gpa(0x8000_0000), user, sum, mxr, 0)
    }

    #[test]
    fn user_pages_need_sum_in_supervisor_mode_and_never_execute() {
        assert_eq!(space(true, false, false).rights(USER_RWX), Rights::all());
        assert_eq!(space(false, false, false).rights(USER_RWX), Rights::empty());
        assert_eq!(space(false, true, false).rights(USER_RWX), Rights::R | Rights::W);
    }

    #[test]
    fn mxr_makes_executable_pages_readable() {
        assert_eq!(space(false, false, false).rights(KERNEL_X), Rights::X);
        assert_eq!(space(false, false, true).rights(KERNEL_X), Rights::X | Rights::R);
        assert_eq!(space(true, false, true).rights(KERNEL_X), Rights::empty());
    }

    #[test]
    fn sum_means_nothing_to_user_mode() {
        assert_eq!(space(true, true, false), space(true, false, false));
    }

    #[test]
    fn real_modes_share_a_root_and_tell_pages_apart_by_their_u_bit() {
        let (kernel, user) = (space(false, true, true), space(true, false, false));
        assert_eq!(kernel.native(false).shared(), user.native(true).shared());
        let bare = Space::bare(false, 0);
        assert_ne!(bare.native(false).shared(), bare.native(true).shared());
        for space in [kernel.native(false), user.native(true)] {
            assert!(space.for_user_mode(Some(USER_RWX)) && !space.for_user_mode(Some(KERNEL_X)));
            assert_eq!(space.entry_rights(KERNEL_X, Rights::all()), Rights::X);
        }
        assert!(bare.native(true).for_user_mode(None) && !bare.native(false).for_user_mode(None));
        assert!(user.for_user_mode(Some(KERNEL_X)) && bare.for_user_mode(None));
    }

    #[test]
    fn a_fetch_only_view_grants_nothing_else() {
        assert_eq!(space(true, false, true).fetch_only().rights(USER_RWX), Rights::X);
    }
}
