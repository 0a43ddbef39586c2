//! Which translation a vCPU runs on: from the state of the virtual hart to a
//! shadow root, and what makes roots and the hart's TLB go stale.

use core::sync::atomic::Ordering;

use spin::mutex::spin::SpinMutexGuard;

use super::super::Host;
use super::super::link::Attention;
use super::Seat;
use crate::addr::{Gpa, Gva, Hpa};
use crate::mmu::shadow::{Peers, Shadow};
use crate::mmu::space::Space;
use crate::vcpu::{Effects, Mode, status};

/// Roots that a seat remembers, so that a switch between two address spaces,
/// or between vS and vU, need not search for them.
const KNOWN_ROOTS: usize = 8;

/// These roots.
pub(super) type KnownRoots = [Option<(Space, Hpa)>; KNOWN_ROOTS];

impl Seat {
    /// The space for instruction fetches of the virtual hart as it is.
    fn fetch_space(&self, pmp: u8) -> Space {
        let cpu = &self.cpu;
        let space = self.space_of(cpu.mode, pmp);
        if self.runs_natively() {
            return space.native(cpu.mode == Mode::User).shared();
        }
        if cpu.data_mode() != cpu.mode {
            return space.fetch_only();
        }
        self.with_page(space)
    }

    /// The space of vS, if it is that of vS, with the CPU page.
    #[inline]
    fn with_page(&self, space: Space) -> Space {
        match (&self.page, u8::try_from(self.index)) {
            (Some(_), Ok(index)) if self.cpu.mode == Mode::Supervisor => space.with_page_of(index),
            _ => space,
        }
    }

    /// The space of loads and stores.
    pub(in crate::machine) fn data_space(&self) -> Space {
        let mode = self.cpu.data_mode();
        let space = self.space_of(mode, self.space.pmp);
        if mode == self.cpu.mode { self.with_page(space) } else { space }
    }

    fn space_of(&self, mode: Mode, pmp: u8) -> Space {
        let csr = &self.cpu.csr;
        if mode == Mode::Machine || csr.satp >> 60 == 0 {
            return Space::bare(mode == Mode::Machine, pmp);
        }
        let root = Gpa::from_page(csr.satp & ((1 << 44) - 1));
        let (sum, mxr) = (csr.mstatus & status::SUM != 0, csr.mstatus & status::MXR != 0);
        Space::sv39(root, mode == Mode::User, sum, mxr, pmp)
    }

    /// Adopts the translation that the virtual hart's state asks for.
    pub(in crate::machine) fn translate<H: Host>(&mut self, host: &mut H) {
        if !self.translate_known(host) {
            let root = self.find_root(host);
            self.adopt(host, root);
        }
    }

    /// The same, if its root is one of those the seat remembers.
    #[inline]
    pub(in crate::machine) fn translate_known<H: Host>(&mut self, host: &mut H) -> bool {
        let space = self.pmp.map(|pmp| self.fetch_space(pmp));
        match space.and_then(|space| self.known_root(space)) {
            Some(root) => {
                self.adopt(host, root);
                true
            }
            None => false,
        }
    }

    #[inline]
    fn adopt<H: Host>(&mut self, host: &mut H, root: Hpa) {
        if root != self.root {
            self.root = root;
            self.note_flush();
            host.set_root(root);
        }
    }

    /// Forgets roots that no longer exist, and catches up with epochs.
    pub(in crate::machine) fn follow_shadow<H: Host>(&mut self, host: &mut H) {
        let generation = self.guest.generation.load(Ordering::Acquire);
        if generation != self.generation {
            self.forget_roots(generation);
        } else if self.guest.epoch.load(Ordering::Relaxed) != self.flushed {
            self.flush(host);
        }
    }

    /// The shadow is of a new generation: no root is valid.
    pub(super) fn forget_roots(&mut self, generation: u64) {
        (self.pmp, self.known, self.root) = (None, [None; KNOWN_ROOTS], Hpa(0));
        self.generation = generation;
        self.todo |= Effects::TRANSLATION;
    }

    /// PMP changed: the space has another number.
    pub(in crate::machine) fn forget_protection(&mut self) {
        self.pmp = None;
    }

    #[inline]
    fn known_root(&mut self, space: Space) -> Option<Hpa> {
        let (known, root) = (*self.known.get(known_index(space))?)?;
        if known != space {
            return None;
        }
        self.space = space;
        Some(root)
    }

    /// Asks the shadow for the root, making room if need be.
    fn find_root<H: Host>(&mut self, host: &mut H) -> Hpa {
        loop {
            let mut shadow = self.guest.shadow.lock();
            if shadow.generation() != self.generation {
                self.forget_roots(shadow.generation());
            }
            if let Some(pmp) = self.pmp.or_else(|| shadow.intern(self.cpu.csr.pmp.rules())) {
                self.pmp = Some(pmp);
                self.space = self.fetch_space(pmp);
                if let Some(root) = shadow.root(self.space) {
                    if let Some(slot) = self.known.get_mut(known_index(self.space)) {
                        *slot = Some((self.space, root));
                    }
                    return root;
                }
            }
            drop(shadow);
            self.zap(host);
        }
    }

    /// The shadow, if it is the one that this vCPU's root belongs to. Else
    /// it was emptied since the guest was left, and a fault says nothing.
    #[inline]
    pub(in crate::machine) fn shadow(&self) -> Option<SpinMutexGuard<'static, Shadow>> {
        let shadow = self.guest.shadow.lock();
        (shadow.generation() == self.generation).then_some(shadow)
    }

    /// Empties the guest's shadow; afterwards the root is found anew.
    ///
    /// Invariant **no-void-root**: no hart runs on a root of an earlier
    /// generation. Whoever has not claimed its entry finds ROOTS, and waits
    /// for the shadow's lock; whoever has, is expelled.
    pub(in crate::machine) fn zap<H: Host>(&mut self, host: &mut H) {
        self.rebuild(host, |_| ());
    }

    /// The same, with a `change` of what the shadow is made from.
    pub(in crate::machine) fn rebuild<H: Host>(
        &mut self,
        host: &mut H,
        change: impl FnOnce(&mut Shadow),
    ) {
        let mut shadow = self.guest.shadow.lock();
        let others = || self.guest.links.iter().enumerate().filter(|(n, _)| *n != self.index);
        others().for_each(|(_, link)| link.remind(Attention::ROOTS));
        core::sync::atomic::fence(Ordering::SeqCst);
        others().for_each(|(_, link)| link.expel(host));
        change(&mut shadow);
        shadow.zap(&self.guest.ram);
        self.guest.generation.store(shadow.generation(), Ordering::Release);
        self.forget_roots(shadow.generation());
    }

    /// `sfence.vma` for an address or all, or the remote one of another vCPU.
    pub(in crate::machine) fn fence<H: Host>(&mut self, host: &mut H, at: Option<Gva>) {
        let peers = self.peers();
        let fits = self.guest.shadow.lock().fence(&self.guest.ram, at, peers);
        if !fits {
            self.zap(host);
        }
        self.flush(host);
    }

    /// What the shadow must know about the guest's other vCPUs.
    pub(in crate::machine) fn peers(&self) -> Peers<'static> {
        let settled = if self.guest.smp { self.oldest_flush() } else { u64::MAX };
        Peers { epoch: &self.guest.epoch, settled }
    }

    /// The epoch in which all other vCPUs have flushed, or will have before
    /// they are in the guest again. That holds of no epoch that begins after
    /// this look: one of them may enter the guest meanwhile.
    fn oldest_flush(&self) -> u64 {
        let now = self.guest.epoch.load(Ordering::SeqCst);
        core::sync::atomic::fence(Ordering::SeqCst);
        let others = self.guest.links.iter().enumerate().filter(|(n, _)| *n != self.index);
        let running = others.filter(|(_, link)| link.in_guest.load(Ordering::SeqCst));
        running.map(|(_, link)| link.flushed.load(Ordering::SeqCst)).fold(now, u64::min)
    }

    /// Flushes this hart's translations for the current epoch.
    pub(in crate::machine) fn flush<H: Host>(&mut self, host: &mut H) {
        self.note_flush();
        host.flush();
    }

    /// A flush is about to happen: it is good for the epoch that is now.
    #[inline]
    fn note_flush(&mut self) {
        self.lookaside.clear();
        self.flushed = self.guest.epoch.load(Ordering::SeqCst);
        if self.guest.smp {
            self.link.flushed.store(self.flushed, Ordering::SeqCst);
        }
    }
}

#[inline]
fn known_index(space: Space) -> usize {
    let mixed = space.root ^ space.root >> 3 ^ u64::from(space.view.bits()).wrapping_mul(3);
    crate::addr::to_usize(mixed) % KNOWN_ROOTS
}
