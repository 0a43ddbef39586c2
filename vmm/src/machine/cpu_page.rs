//! Guests with a CPU page: the registers of vS in a page of the guest's own.
//!
//! A classic kernel that knows us reaches `sstatus` and its like by loads and
//! stores, at the end of its addresses, and exits only for what concerns
//! others: traps, `sret`, fences, interrupts that it waits for.
//!
//! Invariant **at-home**, as in `assisted`: the registers are in the page, and
//! stale in the virtual hart (`Seat::supervising`), only from `lay_out` on the
//! way into vS until `collect` after the exit. While vU or vM run they are at
//! home, and the page is of no account. What comes back is eight words, copied
//! once, each of which does what a `csrw` would.
//!
//! No interrupt is lost: `lay_out` says in the word `pending` what waits for
//! SIE. Whatever becomes pending later is a trap of this hart, after which
//! either SIE is found set, and it is taken, or the word is set; and the guest
//! looks at the word after it has set SIE.

use trapeze_protocol::call::{Error, Reply};
use trapeze_protocol::cpu::{self, offset};

use super::exit::low_word;
use super::seat::Seat;
use super::short::{self, ECALL, FETCH_PAGE, LOAD_PAGE, STORE_PAGE, Short};
use super::{Host, Trap};
use crate::addr::{Access, Gpa, Gva, PAGE_SIZE};
use crate::mmu::space::View;
use crate::stats::Did;
use crate::vcpu::{Cause, Effects, Exception, Mode, PageWords, Permission};

/// The CPU page of a vCPU.
pub(super) struct CpuPage {
    at: Gpa,
    /// What its registers are, as far as is known.
    there: PageWords,
    /// The mode in which the guest ran last.
    mode: Mode,
    /// What a crossing on the short path could not do.
    due: Due,
}

/// What is to be done to the shadow before the guest runs on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Due {
    Nothing,
    Fence,
    Zap,
}

impl CpuPage {
    fn registers(&self) -> Gpa {
        self.at.wrapping_add(cpu::REGISTERS)
    }

    /// The word at this offset from the end.
    fn word(&self, offset: i32) -> Gpa {
        Gpa(self.at.0.wrapping_add(cpu::SIZE).wrapping_add_signed(offset.into()))
    }
}

impl Seat {
    /// Gives the vCPU the page at `address` for its registers.
    pub(super) fn set_up_page<H: Host>(&mut self, host: &mut H, address: u64) -> Reply {
        if self.assisted {
            return Err(Error::NotSupported);
        }
        let at = Gpa(address);
        if !at.is_aligned(cpu::SIZE) || !self.may_have_page(at) {
            return Err(Error::InvalidAddress);
        }
        let page = CpuPage { at, there: [0; 8], mode: self.cpu.mode, due: Due::Nothing };
        let there = self.guest.ram.load_line(page.registers());
        let there = there.map_err(|_| Error::InvalidAddress)?;
        self.change_page(host, Some(CpuPage { there, ..page }));
        Ok(0)
    }

    /// Takes the page away, if there is one; the registers are at home.
    pub(super) fn end_page<H: Host>(&mut self, host: &mut H) {
        self.change_page(host, None);
    }

    fn change_page<H: Host>(&mut self, host: &mut H, page: Option<CpuPage>) {
        let at = page.as_ref().map(|page| page.at);
        let cpu = u8::try_from(self.index).unwrap_or(u8::MAX);
        self.guest.shadow.lock().set_cpu_page(&self.guest.ram, cpu, at);
        self.flush(host);
        self.page = page;
        self.todo |= Effects::TRANSLATION | Effects::SUPERVISOR;
    }

    /// Whether a page is RAM, and vS may load and store there.
    fn may_have_page(&self, page: Gpa) -> bool {
        let wanted = Permission::READ | Permission::WRITE;
        let allowed = self.cpu.csr.pmp.permission(page, PAGE_SIZE, Mode::Supervisor);
        self.guest.ram.hpa(page, PAGE_SIZE).is_some()
            && allowed.is_some_and(|allowed| allowed.contains(wanted))
    }

    /// PMP has changed: what vS may not touch the VMM does not touch for it.
    pub(super) fn check_page<H: Host>(&mut self, host: &mut H) {
        if self.page.as_ref().is_some_and(|page| !self.may_have_page(page.at)) {
            self.end_page(host);
        }
    }

    /// Puts the registers into the page, if vS runs on with one; `false` if
    /// the page is gone.
    #[inline]
    pub(super) fn lay_out<H: Host>(&mut self, host: &H) -> bool {
        let clock = self.clock(host);
        let Some(page) = &mut self.page else { return true };
        if self.cpu.mode != Mode::Supervisor {
            return true;
        }
        let words = self.cpu.page_words(&clock);
        if self.guest.ram.update_line(page.registers(), &mut page.there, &words).is_err() {
            return self.lose_page();
        }
        self.supervising = true;
        true
    }

    /// Takes the registers out of the page, if they are there.
    #[inline]
    pub(super) fn collect<H: Host>(&mut self, host: &H) -> Effects {
        if !core::mem::take(&mut self.supervising) {
            return Effects::empty();
        }
        let clock = self.clock(host);
        let Some(page) = &mut self.page else { return Effects::empty() };
        let Ok(now) = self.guest.ram.load_line(page.registers()) else {
            self.lose_page();
            return Effects::TRANSLATION;
        };
        let effects = self.cpu.adopt_page_words(&page.there, &now, &clock);
        page.there = now;
        effects
    }

    /// The guest gave the page back: it goes on without one.
    #[cold]
    fn lose_page(&mut self) -> bool {
        self.page = None;
        self.todo |= Effects::TRANSLATION;
        false
    }

    /// The mode has changed: between vS and vU, the guest may want another
    /// address space to come with it. Whether it does; a fence is due then.
    #[inline]
    fn crosses(&mut self) -> bool {
        let to = self.cpu.mode;
        let Some(page) = &mut self.page else { return false };
        let from = core::mem::replace(&mut page.mode, to);
        let place = match (from, to) {
            (Mode::User, Mode::Supervisor) => page.word(offset::KERNEL_SATP),
            (Mode::Supervisor, Mode::User) => page.word(offset::USER_SATP),
            _ => return false,
        };
        self.guest.ram.load_u64(place).is_ok_and(|satp| self.cpu.cross_to(satp))
    }

    /// A crossing, with all the time in the world.
    pub(super) fn cross<H: Host>(&mut self, host: &mut H) {
        let crosses = self.crosses();
        let Some(page) = &mut self.page else { return };
        let mut due = core::mem::replace(&mut page.due, Due::Nothing);
        if crosses {
            self.todo |= Effects::TRANSLATION;
            due = if due == Due::Zap { due } else { Due::Fence };
        }
        match due {
            Due::Nothing => {}
            Due::Fence => self.fence(host, None),
            Due::Zap => self.zap(host),
        }
    }

    /// A crossing on the short path. vS and vU have a root each, so that the
    /// change of roots that follows flushes.
    #[inline]
    fn cross_short(&mut self) -> Effects {
        if !self.crosses() {
            return Effects::empty();
        }
        let peers = self.peers();
        // This hart counts as in the guest: no waiting (see `short`).
        let due = match self.guest.shadow.try_lock() {
            Some(shadow) if shadow.generation() != self.generation => Due::Fence,
            Some(mut shadow) => {
                if shadow.fence(&self.guest.ram, None, peers) {
                    return Effects::TRANSLATION;
                }
                Due::Zap
            }
            None => Due::Fence,
        };
        if let Some(page) = &mut self.page {
            page.due = due;
        }
        Effects::TRANSLATION | Effects::SUPERVISOR
    }

    /// The short path of guests with a CPU page, for an instruction.
    #[inline(never)]
    pub(super) fn paged_instruction<H: Host>(&mut self, host: &mut H, value: u64) -> Short {
        if !self.trusts_mtval() {
            return Short::Unhandled;
        }
        let found = self.collect(host);
        if found.contains(Effects::FP) {
            // The real FS is to follow before anybody looks at it.
            return self.leave_to_loop(found);
        }
        let done = self.cpu.execute_frequent(low_word(value), &self.clock(host));
        let Some((csr, effects)) = done else { return self.leave_to_loop(found) };
        match csr {
            Some(csr) => self.link.stats.count_csr(csr),
            None => self.link.stats.count(Did::Sret),
        }
        let crossed = self.cross_short();
        self.go_on(host, found | effects | crossed)
    }

    /// The same for other exceptions.
    #[inline(never)]
    pub(super) fn paged_exception<H: Host>(&mut self, host: &mut H, trap: Trap) -> Short {
        let found = self.collect(host);
        let access = match trap.cause {
            ECALL if self.cpu.mode == Mode::User => {
                let exception = Exception { cause: Cause::EcallFromU, tval: 0 };
                self.link.stats.count(Did::Ecall(exception));
                return self.deliver(host, found, exception);
            }
            LOAD_PAGE => Access::Load,
            STORE_PAGE => Access::Store,
            FETCH_PAGE => Access::Execute,
            _ => return self.leave_to_loop(found),
        };
        if found.contains(Effects::TRANSLATION) {
            // SUM was stored since the guest was entered: it tries again.
            return self.go_on(host, found);
        }
        let gva = Gva(trap.value);
        let root = self.root;
        let performed = access != Access::Execute
            && (self.known_pages().device(root, gva, access).is_some()
                || self.space.view.contains(View::FETCH_ONLY));
        if performed {
            return self.leave_to_loop(found);
        }
        match short::fill(host, self, gva, access) {
            None => self.leave_to_loop(found),
            Some(Ok(())) => self.go_on(host, found),
            Some(Err(exception)) => self.deliver(host, found, exception),
        }
    }

    /// Gives the guest an exception.
    fn deliver<H: Host>(&mut self, host: &mut H, found: Effects, exception: Exception) -> Short {
        let effects = self.cpu.inject(exception);
        let crossed = self.cross_short();
        self.go_on(host, found | effects | crossed)
    }

    fn leave_to_loop(&mut self, found: Effects) -> Short {
        self.todo |= found | Effects::SUPERVISOR;
        Short::Unhandled
    }

    /// Back to the guest at once, if nothing else is due.
    #[inline]
    fn go_on<H: Host>(&mut self, host: &mut H, effects: Effects) -> Short {
        let moved = effects.contains(Effects::TRANSLATION);
        let plain = (effects - Effects::TRANSLATION).is_empty();
        if plain && (!moved || self.translate_known(host)) && self.lay_out(host) {
            return Short::Resume;
        }
        self.todo |= effects | Effects::SUPERVISOR;
        Short::Settle
    }
}
