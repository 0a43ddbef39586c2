//! One vCPU in its place: the virtual hart, and the shadow root it runs on.

mod translation;

use core::sync::atomic::Ordering;

use super::cpu_page::CpuPage;
use super::guest::Guest;
use super::link::{Attention, HartState, Link};
use super::lookaside::Lookaside;
use super::{Host, Machine};
use crate::addr::Hpa;
use crate::mem::FenceWork;
use crate::mmu::space::Space;
use crate::stats::Stats;
use crate::vcpu::{Effects, Env, Mode, Vcpu};
use translation::KnownRoots;

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
    known: KnownRoots,
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
            known: KnownRoots::default(),
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

    /// The hart comes from another vCPU: nothing of this one is in it.
    pub(super) fn arrive(&mut self) {
        self.root = Hpa(0);
        self.todo |= Effects::COUNTERS | Effects::TRANSLATION | Effects::SUPERVISOR;
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
