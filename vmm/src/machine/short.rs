//! The short path: exits so frequent that they are handled between two
//! halves of the world switch, with only some of the guest's registers saved.
//!
//! Whatever is not plain is left to the loop, which knows everything. What is
//! done here is done by the same code as there.

use super::seat::{Path, Seat};
use super::{Host, Trap, access};
use crate::addr::{Access, Gva};
use crate::mmu::shadow::Outcome;
use crate::mmu::space::View;
use crate::stats::Did;
use crate::vcpu::{Cause, Effects, Exception, Mode};

/// What became of a trap on the short path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum Short {
    /// Handled: the guest runs on.
    Resume = 0,
    /// Not handled, and nothing is changed.
    Unhandled = 1,
    /// Handled, but something is to be done before the guest runs on.
    Settle = 2,
}

/// The hardware's: whoever the guest is, it runs in real U-mode.
pub(super) const ECALL: u64 = Cause::EcallFromU as u64;
pub(super) const FETCH_PAGE: u64 = Cause::InstructionPage as u64;
pub(super) const LOAD_PAGE: u64 = Cause::LoadPage as u64;
pub(super) const STORE_PAGE: u64 = Cause::StorePage as u64;

/// Performs a CSR access, `sret` or a fence, if it is one that needs nothing
/// else. Of the guest's registers, those that the instruction names in the
/// places of rd and rs1 are true.
#[inline(always)]
pub fn short_instruction<H: Host>(host: &mut H, seat: &mut Seat, value: u64) -> Short {
    if seat.path != Path::Classic || !seat.trusts_mtval() {
        if seat.path == Path::Paged {
            return seat.paged_instruction(host, value);
        }
        return seat.other_instruction(host, value);
    }
    let inst = super::exit::low_word(value);
    let done = seat.cpu.execute_frequent(inst, &seat.clock(host));
    let Some((csr, effects)) = done else { return seat.short_fence(host, inst) };
    match csr {
        Some(csr) => seat.link.stats.count_csr(csr),
        None => seat.link.stats.count(Did::Sret),
    }
    if effects.is_empty() { Short::Resume } else { settle(host, seat, effects) }
}

/// Handles another exception, if it is a plain one. None of the guest's
/// registers need be true.
#[inline(always)]
pub fn short_exception<H: Host>(host: &mut H, seat: &mut Seat, trap: Trap) -> Short {
    if seat.path != Path::Classic {
        if seat.path == Path::Paged {
            return seat.paged_exception(host, trap);
        }
        return seat.other_exception(host, trap);
    }
    let effects = match trap.cause {
        ECALL => system_call(seat),
        LOAD_PAGE => data_fault(host, seat, Gva(trap.value), Access::Load),
        STORE_PAGE => data_fault(host, seat, Gva(trap.value), Access::Store),
        FETCH_PAGE => page_fault(host, seat, Gva(trap.value), Access::Execute),
        _ => None,
    };
    match effects {
        Some(effects) if effects.is_empty() => Short::Resume,
        Some(effects) => settle(host, seat, effects),
        None => Short::Unhandled,
    }
}

/// `ecall` of a user program.
#[inline(always)]
fn system_call(seat: &mut Seat) -> Option<Effects> {
    let exception = Exception { cause: Cause::EcallFromU, tval: 0 };
    (seat.cpu.mode == Mode::User).then(|| {
        seat.link.stats.count(Did::Ecall(exception));
        seat.cpu.inject(exception)
    })
}

/// A fault of a load or store, but for accesses that the VMM performs: those
/// to device registers, and those that have a translation of their own.
#[inline(always)]
fn data_fault<H: Host>(host: &mut H, seat: &mut Seat, gva: Gva, access: Access) -> Option<Effects> {
    let root = seat.root;
    let performed = seat.known_pages().device(root, gva, access).is_some()
        || seat.space.view.contains(View::FETCH_ONLY);
    if performed { None } else { page_fault(host, seat, gva, access) }
}

#[inline]
fn page_fault<H: Host>(host: &mut H, seat: &mut Seat, gva: Gva, access: Access) -> Option<Effects> {
    match fill(host, seat, gva, access)? {
        Ok(()) => Some(Effects::empty()),
        Err(exception) => Some(seat.cpu.inject(exception)),
    }
}

/// A fault that ends in a shadow entry, or in an exception for the guest. One
/// that ends at a device needs the guest's registers.
#[inline(never)]
pub(super) fn fill<H: Host>(
    host: &mut H,
    seat: &mut Seat,
    gva: Gva,
    access: Access,
) -> Option<Result<(), Exception>> {
    // This hart counts as in the guest, and who empties the shadow waits,
    // with the lock in hand, until it is not: so no waiting for the lock.
    let shadow = seat.guest.shadow.try_lock()?;
    let did = match seat.shadow_fault(shadow, gva, access) {
        Outcome::Mapped { target, flush } => {
            if flush {
                seat.flush(host);
            }
            seat.link.stats.count(Did::Fill(gva, target));
            return Some(Ok(()));
        }
        Outcome::PageFault => Exception { cause: access::page_fault(access), tval: gva.0 },
        Outcome::AccessFault => Exception { cause: access::access_fault(access), tval: gva.0 },
        Outcome::Device(_) | Outcome::Absent(_) | Outcome::Full => return None,
    };
    seat.link.stats.count(Did::PageFault(did));
    Some(Err(did))
}

impl Seat {
    /// `sfence.vma`, if that is what `inst` is, unless somebody else has the
    /// lock (see `fill`), or there is too much to do.
    #[inline(never)]
    pub(super) fn short_fence<H: Host>(&mut self, host: &mut H, inst: u32) -> Short {
        let Some(fence) = self.cpu.asks_for_fence(inst) else { return Short::Unhandled };
        let peers = self.peers();
        let (ram, root, space) = (&self.guest.ram, self.root, self.space);
        let Some(mut shadow) = self.guest.shadow.try_lock() else { return Short::Unhandled };
        let done = shadow.generation() == self.generation
            && match fence.vaddr {
                Some(gva) => shadow.fence_at(ram, root, space, gva, peers),
                None => shadow.fence(ram, None, peers),
            };
        drop(shadow);
        if !done {
            return Short::Unhandled;
        }
        self.cpu.advance();
        self.flush(host);
        self.link.stats.count(Did::Fence);
        Short::Resume
    }
}

/// A change of mode or address space is followed at once, when the new root
/// is known.
#[inline(never)]
fn settle<H: Host>(host: &mut H, seat: &mut Seat, effects: Effects) -> Short {
    if effects == Effects::TRANSLATION && seat.translate_known(host) {
        return Short::Resume;
    }
    seat.todo |= effects;
    Short::Settle
}
