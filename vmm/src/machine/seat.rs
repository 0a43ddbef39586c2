//! One vCPU in its place: the virtual hart, and the shadow root it runs on.

use core::sync::atomic::Ordering;

use spin::mutex::spin::SpinMutexGuard;

use super::cpu_page::CpuPage;
use super::guest::Guest;
use super::link::{Attention, HartState, Link};
use super::lookaside::Lookaside;
use super::{Host, Machine};
use crate::addr::{Gpa, Gva, Hpa};
use crate::mem::FenceWork;
use crate::mmu::shadow::{Peers, Shadow};
use crate::mmu::space::Space;
use crate::stats::Stats;
use crate::vcpu::{Effects, Env, Mode, Vcpu, status};

/// Roots that a seat remembers, so that a switch between two address spaces,
/// or between vS and vU, need not search for them.
const KNOWN_ROOTS: usize = 8;

/// Which exits of a vCPU the short path may handle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Path {
    /// Those of a kernel in real U-mode.
    Classic,
    /// None: the loop is to see them all.
    Loop,
    /// Those of a guest whose vS runs in real S-mode.
    Assisted,
    /// Those of a classic kernel with a CPU page.
    Paged,
}

/// A vCPU on its hart.
pub struct Seat {
    pub(super) cpu: Vcpu,
    pub(super) machine: &'static Machine,
    pub(super) guest: &'static Guest,
    pub(super) link: &'static Link,
    /// Number of the vCPU in its guest.
    pub(super) index: usize,
    /// What is to be done before the guest runs on.
    pub(super) todo: Effects,
    /// `wfi`: nothing to run until an interrupt is pending.
    pub(super) waiting: bool,
    /// The translation in force, and its shadow root.
    pub(super) space: Space,
    pub(super) root: Hpa,
    pmp: Option<u8>,
    pub(super) generation: u64,
    /// vS runs in real S-mode.
    pub(super) assisted: bool,
    /// The registers of vS are in the real hart, or in the CPU page, and stale
    /// here: see `assisted` and `cpu_page`.
    pub(super) supervising: bool,
    /// The page in which a classic guest finds the registers of vS.
    pub(super) page: Option<CpuPage>,
    known: [Option<(Space, Hpa)>; KNOWN_ROOTS],
    /// The guest's epoch when this hart last flushed for it.
    flushed: u64,
    /// See [`Seat::known_pages`].
    lookaside: Lookaside,
    /// Which exits the short path may handle.
    pub(super) path: Path,
}

/// The clocks as the guest sees them.
pub(super) struct Clock<'a, H> {
    host: &'a H,
    guest: &'static Guest,
}

impl<H> Clock<'_, H> {
    /// What the guest's clock is ahead of the real one, in ticks.
    pub(super) fn offset(&self) -> u64 {
        self.guest.clock_offset.load(Ordering::Relaxed)
    }
}

impl<H: Host> Env for Clock<'_, H> {
    #[inline]
    fn time(&self) -> u64 {
        self.host.time().wrapping_add(self.offset())
    }

    #[inline]
    fn cycle(&self) -> u64 {
        self.host.cycle()
    }

    #[inline]
    fn instret(&self) -> u64 {
        self.host.instret()
    }

    #[inline]
    fn fp_dirty(&self) -> bool {
        self.host.fp_dirty()
    }
}

impl Seat {
    pub(super) fn new(
        machine: &'static Machine,
        guest: &'static Guest,
        index: usize,
    ) -> Option<Self> {
        Some(Self {
            cpu: Vcpu::new(index as u64),
            machine,
            guest,
            link: guest.links.get(index)?,
            index,
            todo: Effects::empty(),
            waiting: false,
            space: Space::bare(true, 0),
            root: Hpa(0),
            pmp: None,
            generation: u64::MAX,
            assisted: guest.assisted,
            supervising: false,
            page: None,
            known: [None; KNOWN_ROOTS],
            flushed: u64::MAX,
            lookaside: Lookaside::EMPTY,
            path: Path::Loop,
        })
    }

    /// What the next fence has to look at, if the trap entry may do fences by
    /// itself. Other vCPUs take notice of fences, and fences of them.
    #[inline(always)]
    pub fn fence_work(&self) -> &'static FenceWork {
        static ALWAYS: FenceWork = FenceWork::new(true);
        if self.guest.smp { &ALWAYS } else { self.guest.ram.fence_work() }
    }

    /// What the VMM itself looked up since the vCPU's last fence.
    #[inline(always)]
    pub(super) fn known_pages(&mut self) -> &mut Lookaside {
        if self.cpu.ctx.kept.fenced != 0 {
            self.forget_pages();
        }
        &mut self.lookaside
    }

    #[cold]
    #[inline(never)]
    fn forget_pages(&mut self) {
        self.cpu.ctx.kept.fenced = 0;
        self.lookaside.clear();
    }

    /// Whether `mtval` holds the instruction that was illegal. QEMU 10 leaves
    /// an older one there for `mret`, which only vM has a use for.
    #[inline(always)]
    pub(super) fn trusts_mtval(&self) -> bool {
        self.cpu.mode != Mode::Machine
    }

    /// The virtual hart, for the world switch.
    #[inline(always)]
    pub fn vcpu(&mut self) -> &mut Vcpu {
        &mut self.cpu
    }

    /// The counters of this vCPU's exits.
    #[inline(always)]
    pub fn stats(&self) -> &'static Stats {
        &self.link.stats
    }

    /// The mode whose plain CSR accesses the trap entry may do by itself, if
    /// any; see `vcpu::plain`. What decides it changes in the loop only.
    #[inline(always)]
    pub fn plain_mode(&self) -> Option<Mode> {
        let plain = self.path == Path::Classic && self.cpu.csr.fp_settled();
        plain.then_some(Mode::Supervisor)
    }

    /// Whether the vCPU has something to run or to look at.
    pub(super) fn is_runnable(&self) -> bool {
        let may_run = self.link.state() == HartState::Started && !self.guest.is_paused();
        self.link.wants_attention() || (may_run && !self.waiting)
    }

    /// Puts the virtual hart to its first instruction.
    pub(super) fn start(&mut self) {
        let [pc, a1] = [0, 1].map(|n| self.link.start[n].load(Ordering::Acquire));
        let hart = self.index as u64;
        self.cpu = match self.guest.boot_mode() {
            Mode::Machine => Vcpu::new(hart),
            _ => Vcpu::for_supervisor(hart),
        };
        self.cpu.ctx.pc = pc;
        self.cpu.ctx.x[10] = hart;
        self.cpu.ctx.x[11] = a1;
        (self.waiting, self.pmp, self.page) = (false, None, None);
        self.todo = Effects::all();
        self.link.set_state(HartState::Started);
    }

    #[inline]
    pub(super) fn clock<'a, H: Host>(&self, host: &'a H) -> Clock<'a, H> {
        Clock { host, guest: self.guest }
    }

    /// Claims that the guest is entered, and checks that nothing stands
    /// against it; after a `false`, `settle` and ask again.
    ///
    /// Order matters between harts: first the claim, then the look at the
    /// epoch; who starts an epoch does it the other way round.
    #[inline(always)]
    pub(super) fn claim_entry<const SMP: bool>(&self) -> bool {
        if SMP {
            self.link.in_guest.store(true, Ordering::SeqCst);
            core::sync::atomic::fence(Ordering::SeqCst);
        }
        let idle = self.todo.is_empty() && !self.link.wants_attention();
        idle && (!SMP || self.guest.epoch.load(Ordering::Relaxed) == self.flushed)
    }

    /// The guest is left.
    #[inline(always)]
    pub(super) fn left_guest<const SMP: bool>(&self) {
        if SMP {
            self.link.in_guest.store(false, Ordering::Release);
        }
    }

    /// What the shadow must know about the guest's other vCPUs.
    pub(super) fn peers(&self) -> Peers<'static> {
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
    pub(super) fn flush<H: Host>(&mut self, host: &mut H) {
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

    /// The hart comes from another vCPU: nothing of this one is in it.
    pub(super) fn arrive(&mut self) {
        self.root = Hpa(0);
        self.todo |= Effects::COUNTERS | Effects::TRANSLATION | Effects::SUPERVISOR;
    }

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
        match (&self.page, u8::try_from(self.index)) {
            (Some(_), Ok(index)) if cpu.mode == Mode::Supervisor => space.with_page_of(index),
            _ => space,
        }
    }

    /// The space of loads and stores.
    pub(super) fn data_space(&self) -> Space {
        self.space_of(self.cpu.data_mode(), self.space.pmp)
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
    pub(super) fn translate<H: Host>(&mut self, host: &mut H) {
        if !self.translate_known(host) {
            let root = self.find_root(host);
            self.adopt(host, root);
        }
    }

    /// The same, if its root is one of those the seat remembers.
    #[inline]
    pub(super) fn translate_known<H: Host>(&mut self, host: &mut H) -> bool {
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
    pub(super) fn follow_shadow<H: Host>(&mut self, host: &mut H) {
        let generation = self.guest.generation.load(Ordering::Acquire);
        if generation != self.generation {
            self.forget_roots(generation);
        } else if self.guest.epoch.load(Ordering::Relaxed) != self.flushed {
            self.flush(host);
        }
    }

    /// The shadow is of a new generation: no root is valid.
    fn forget_roots(&mut self, generation: u64) {
        (self.pmp, self.known, self.root) = (None, [None; KNOWN_ROOTS], Hpa(0));
        self.generation = generation;
        self.todo |= Effects::TRANSLATION;
    }

    /// PMP changed: the space has another number.
    pub(super) fn forget_protection(&mut self) {
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
    pub(super) fn shadow(&self) -> Option<SpinMutexGuard<'static, Shadow>> {
        let shadow = self.guest.shadow.lock();
        (shadow.generation() == self.generation).then_some(shadow)
    }

    /// Empties the guest's shadow; afterwards the root is found anew.
    ///
    /// Invariant **no-void-root**: no hart runs on a root of an earlier
    /// generation. Whoever has not claimed its entry finds ROOTS, and waits
    /// for the shadow's lock; whoever has, is expelled.
    pub(super) fn zap<H: Host>(&mut self, host: &mut H) {
        self.rebuild(host, |_| ());
    }

    /// The same, with a `change` of what the shadow is made from.
    pub(super) fn rebuild<H: Host>(&mut self, host: &mut H, change: impl FnOnce(&mut Shadow)) {
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
    pub(super) fn fence<H: Host>(&mut self, host: &mut H, at: Option<Gva>) {
        let peers = self.peers();
        let fits = self.guest.shadow.lock().fence(&self.guest.ram, at, peers);
        if !fits {
            self.zap(host);
        }
        self.flush(host);
    }

    /// Sees to what others asked of this vCPU.
    pub(super) fn look<H: Host>(&mut self, host: &mut H, attention: Attention) {
        if attention.contains(Attention::SOFT) {
            self.cpu.csr.set_supervisor_soft(true);
        }
        if attention.contains(Attention::ROOTS) {
            let generation = self.guest.shadow.lock().generation();
            if generation != self.generation {
                self.forget_roots(generation);
            }
        }
        if attention.contains(Attention::FENCE) {
            self.fence(host, None);
        }
        if attention.contains(Attention::FENCE_I) {
            host.fence_i();
        }
        if attention.contains(Attention::BALLOON) {
            self.withdraw(host);
        }
        if attention.contains(Attention::PASS_BY) {
            self.pass_by(host);
        }
        if attention.contains(Attention::CLOCK) {
            self.todo |= Effects::COUNTERS | Effects::TIMER;
        }
        self.refresh_lines(host);
        self.todo |= Effects::INTERRUPTS;
    }
}

#[inline]
fn known_index(space: Space) -> usize {
    let mixed = space.root ^ space.root >> 3 ^ u64::from(space.view.bits()).wrapping_mul(3);
    crate::addr::to_usize(mixed) % KNOWN_ROOTS
}
