//! What each trap means.
//!
//! The hottest come first: CSR accesses and `sret` of a deprivileged kernel.

use super::hart::Hart;
use super::seat::Seat;
use super::{Host, Trap};
use trapeze_protocol::call::EXTENSION;

use crate::addr::{Access, Gva};
use crate::decode::{self, Inst};
use crate::stats::Did;
use crate::vcpu::{Cause, CsrId, Effects, Exception, Mode, SRET, Step};

/// Top bit of `mcause`.
const INTERRUPT: u64 = 1 << 63;
/// `mcause` of an illegal instruction.
const ILLEGAL: u64 = Cause::Illegal as u64;
/// `funct3` of an instruction; zero in SYSTEM instructions that are no CSR
/// accesses.
const FUNCT3: u32 = 7 << 12;
const MRET: u32 = 0x3020_0073;

impl<H: Host> Hart<H> {
    /// The short path: a CSR access or `sret` of a deprivileged kernel, which
    /// are nearly all exits there are. `false`: not one of these.
    #[inline(always)]
    pub(super) fn handle_frequent(&mut self, seat: &mut Seat, trap: Trap) -> bool {
        if trap.cause != ILLEGAL || trap.value == 0 || !seat.trusts_mtval() {
            return false;
        }
        let done = seat.cpu.execute_frequent(low_word(trap.value), &seat.clock(&self.host));
        let Some((csr, effects)) = done else { return false };
        seat.todo |= effects;
        match csr {
            Some(csr) => seat.link.stats.count_csr(csr),
            None => seat.link.stats.count(Did::Sret),
        }
        true
    }

    /// Handles any trap of the guest.
    #[inline(never)]
    pub(super) fn handle_counted(&mut self, n: usize, seat: &mut Seat, trap: Trap) {
        let did = self.handle(n, seat, trap);
        seat.link.stats.count(did);
    }

    /// Handles one trap of the guest.
    #[inline(always)]
    pub(super) fn handle(&mut self, n: usize, seat: &mut Seat, trap: Trap) -> Did {
        match trap.cause {
            ILLEGAL => self.illegal(n, seat, trap.value),
            8 | 9 => self.ecall(seat),
            13 => self.page_fault(n, seat, Gva(trap.value), Access::Load),
            15 => self.page_fault(n, seat, Gva(trap.value), Access::Store),
            12 => self.page_fault(n, seat, Gva(trap.value), Access::Execute),
            cause if cause & INTERRUPT != 0 => self.interrupted(seat, cause & !INTERRUPT),
            cause => match Cause::from_code(cause) {
                Some(cause) => inject(seat, cause, trap.value),
                None => Did::Retry,
            },
        }
    }

    /// An instruction that real U-mode does not have: most likely one that
    /// the guest's mode has.
    #[inline(always)]
    fn illegal(&mut self, n: usize, seat: &mut Seat, value: u64) -> Did {
        let Some(inst) = self.trapped_instruction(seat, value) else { return Did::Retry };
        let step = seat.cpu.execute(inst, &seat.clock(&self.host));
        match step {
            Step::Done(effects) => {
                seat.todo |= effects;
                match inst {
                    _ if inst & FUNCT3 != 0 => Did::Csr(CsrId::of((inst >> 20) as u16)),
                    SRET => Did::Sret,
                    _ => Did::Mret,
                }
            }
            Step::Fence(fence) => {
                seat.fence(&mut self.host, fence.vaddr);
                Did::Fence
            }
            Step::Wait => {
                // News that the guest has taken must not end its wait.
                if seat.lines_may_be_down() {
                    seat.refresh_lines(&self.host);
                }
                seat.waiting = !seat.cpu.wakes();
                seat.todo |= Effects::INTERRUPTS;
                Did::Wfi
            }
            Step::Trap(exception) => self.refused(n, seat, inst, exception),
        }
    }

    /// The instruction that trapped: from `mtval`; from memory where that is
    /// zero, or where it may be another one's and memory holds an `mret`.
    #[inline(always)]
    pub(super) fn trapped_instruction(&mut self, seat: &mut Seat, value: u64) -> Option<u32> {
        if value != 0 && (seat.trusts_mtval() || self.fetch(seat) != Some(MRET)) {
            return Some(low_word(value));
        }
        let inst = self.fetch(seat)?;
        let compressed = decode::length(low_half(inst)) == 2;
        Some(if compressed { low_half(inst).into() } else { inst })
    }

    /// Neither a privileged instruction nor allowed: an FP instruction while
    /// the registers belong to another vCPU, or the guest's own fault.
    #[cold]
    fn refused(&mut self, n: usize, seat: &mut Seat, inst: u32, exception: Exception) -> Did {
        let wants_fp = decode::uses_float(decode::decode(inst)) || is_fp_memory(inst);
        // With a CPU page, it may have been switched on since the guest was entered.
        let is_off = !self.has_fp(n) || seat.todo.contains(Effects::FP);
        if wants_fp && seat.cpu.csr.fp_enabled() && is_off {
            self.adopt_fp(n, seat);
            return Did::Fp;
        }
        seat.todo |= seat.cpu.inject(exception);
        Did::Exception(exception)
    }

    /// `ecall`: the guest's own business, unless we are its firmware.
    fn ecall(&mut self, seat: &mut Seat) -> Did {
        let cause = match seat.cpu.mode {
            Mode::User => Cause::EcallFromU,
            _ if seat.cpu.ctx.x[17] == EXTENSION => return self.hypercall(seat),
            Mode::Supervisor if seat.guest.boot_mode() == Mode::Supervisor => {
                return self.firmware_call(seat);
            }
            Mode::Supervisor => Cause::EcallFromS,
            Mode::Machine => Cause::EcallFromM,
        };
        let exception = Exception { cause, tval: 0 };
        seat.todo |= seat.cpu.inject(exception);
        Did::Ecall(exception)
    }
}

/// The instruction in `mtval`.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "an instruction has 32 bits")]
pub(super) fn low_word(value: u64) -> u32 {
    value as u32
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the first half of an instruction")]
fn low_half(inst: u32) -> u16 {
    inst as u16
}

/// Gives the guest an exception.
pub(super) fn inject(seat: &mut Seat, cause: Cause, tval: u64) -> Did {
    let exception = Exception { cause, tval };
    seat.todo |= seat.cpu.inject(exception);
    match cause {
        Cause::InstructionPage | Cause::LoadPage | Cause::StorePage => Did::PageFault(exception),
        _ => Did::Exception(exception),
    }
}

/// Whether `inst` loads or stores a floating-point register.
fn is_fp_memory(inst: u32) -> bool {
    use decode::MemKind::{FpLoad, FpStore};
    matches!(decode::decode(inst), Inst::Mem(op) if matches!(op.kind, FpLoad { .. } | FpStore { .. }))
}
