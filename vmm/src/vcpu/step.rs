//! Privileged instructions: what a trapped SYSTEM instruction does.
//!
//! Encodings from the privileged architecture 1.12, section 3.3 and 4.2, and
//! the Zicsr chapter of the unprivileged one.

use super::access::{Frequent, Modify};
use super::names::CsrId;
use super::status::{TSR, TVM, TW};
use super::{Effects, Env, Exception, Fence, Mode, Step, Vcpu};
use crate::addr::Gva;

const SYSTEM: u32 = 0x73;
/// `sret`
pub const SRET: u32 = 0x1020_0073;
const MRET: u32 = 0x3020_0073;
const WFI: u32 = 0x1050_0073;
/// `sfence.vma`, but for its two source registers
pub const SFENCE_VMA: u32 = 0x1200_0073;
/// Everything of `sfence.vma` but its two source registers.
pub const SFENCE_VMA_MASK: u32 = 0xfe00_7fff;

/// Two high bits of the number of a CSR that cannot be written.
const READ_ONLY: u16 = 3;
/// Two low bits of funct3: which CSR operation. 3 is to clear.
const CSR_WRITE: u32 = 1;
const CSR_SET: u32 = 2;
/// The bit of funct3 that makes the source field an operand itself.
const CSR_IMMEDIATE: u32 = 4;

impl Vcpu {
    /// Emulates a SYSTEM instruction that trapped: the CSR instructions,
    /// `sret`, `mret`, `wfi` and `sfence.vma`. All others, and these where
    /// mode or status forbid them, are illegal instructions: the result is
    /// then `Trap`, and nothing has changed.
    ///
    /// On success pc has moved on. There is one case of `Done` with pc in
    /// place: an access of `fcsr` and its parts while the virtual FS is on.
    /// It cannot have trapped unless the real FS was off; `Effects::FP` tells
    /// the caller to make it so, and the guest runs the instruction again.
    ///
    pub fn execute<E: Env>(&mut self, inst: u32, env: &E) -> Step {
        let is_system = inst & 0x7f == SYSTEM;
        if is_system && inst >> 12 & 3 != 0 {
            if let Some(effects) = self.csr_instruction(inst, env) {
                return Step::Done(effects);
            }
        } else if inst == SRET && self.supervisor_may(TSR) {
            return Step::Done(self.return_from_supervisor());
        }
        self.execute_rare(inst)
    }

    /// The short path: performs `inst` if it is an access of a frequent CSR,
    /// which is then named, or `sret`. `None`: use [`Vcpu::execute`]; nothing
    /// has changed.
    #[inline(always)]
    pub fn execute_frequent<E: Env>(
        &mut self,
        inst: u32,
        env: &E,
    ) -> Option<(Option<CsrId>, Effects)> {
        if inst & 0x7f == SYSTEM && inst >> 12 & 3 != 0 {
            let (number, m) = self.csr_operands(inst)?;
            let id = CsrId::of(number);
            return match self.csr.frequent(id, m, self.mode, env) {
                Frequent::Here(outcome) => Some((Some(id), self.retire(inst, outcome)?)),
                Frequent::Rare => None,
            };
        }
        let returns = inst == SRET && self.supervisor_may(TSR);
        returns.then(|| (None, self.return_from_supervisor()))
    }

    /// One of the six CSR instructions, or `None` if it is illegal.
    #[inline]
    fn csr_instruction<E: Env>(&mut self, inst: u32, env: &E) -> Option<Effects> {
        let (number, m) = self.csr_operands(inst)?;
        match self.csr.frequent(CsrId::of(number), m, self.mode, env) {
            Frequent::Here(outcome) => self.retire(inst, outcome),
            Frequent::Rare => self.rare_csr_instruction(inst, env),
        }
    }

    #[cold]
    #[inline(never)]
    fn rare_csr_instruction<E: Env>(&mut self, inst: u32, env: &E) -> Option<Effects> {
        let (number, m) = self.csr_operands(inst)?;
        if number >> 10 == READ_ONLY && m.writes {
            return None;
        }
        let outcome = self.csr.rare(number, m, self.mode, env);
        self.retire(inst, outcome)
    }

    /// Which CSR an instruction names and what it does to it, unless the mode
    /// forbids it.
    #[inline(always)]
    fn csr_operands(&self, inst: u32) -> Option<(u16, Modify)> {
        let (number, source) = (csr_number(inst), field(inst, 15));
        let immediate = inst >> 12 & CSR_IMMEDIATE != 0;
        let operand = if immediate { source as u64 } else { self.ctx.x[source] };
        let writes = source != 0;
        let m = match inst >> 12 & 3 {
            CSR_WRITE => Modify { clear: u64::MAX, set: operand, writes: true },
            CSR_SET => Modify { clear: 0, set: operand, writes },
            _ => Modify { clear: operand, set: 0, writes },
        };
        let privilege = number >> 8 & 3;
        (privilege <= self.mode as u16).then_some((number, m))
    }

    /// Ends a CSR instruction: the old value to the destination, pc onward.
    #[inline(always)]
    fn retire(&mut self, inst: u32, outcome: Option<(u64, Effects)>) -> Option<Effects> {
        let (old, effects) = outcome?;
        self.ctx.x[field(inst, 7)] = old;
        self.ctx.x[0] = 0;
        self.advance();
        Some(effects)
    }

    /// All that is not done on the fast path, including every refusal.
    #[cold]
    #[inline(never)]
    fn execute_rare(&mut self, inst: u32) -> Step {
        match inst {
            MRET if self.mode == Mode::Machine => Step::Done(self.return_from_machine()),
            WFI if self.supervisor_may(TW) => {
                self.advance();
                Step::Wait
            }
            _ if is_fp_csr(inst) && self.csr.fp_enabled() => Step::Done(Effects::FP),
            _ => match self.asks_for_fence(inst) {
                Some(fence) => {
                    self.advance();
                    Step::Fence(fence)
                }
                None => Step::Trap(Exception::illegal(inst)),
            },
        }
    }

    /// What `inst` fences, if it is an `sfence.vma` that this mode may do.
    #[inline(always)]
    pub fn asks_for_fence(&self, inst: u32) -> Option<Fence> {
        let allowed = inst & SFENCE_VMA_MASK == SFENCE_VMA && self.supervisor_may(TVM);
        allowed.then(|| self.fence(field(inst, 15), field(inst, 20)))
    }

    /// Whether this mode may do what `trap`, a bit of `mstatus`, forbids vS:
    /// vM may, vU may not, vS may if the bit is clear.
    #[inline]
    const fn supervisor_may(&self, trap: u64) -> bool {
        match self.mode {
            Mode::Machine => true,
            Mode::Supervisor => self.csr.mstatus & trap == 0,
            Mode::User => false,
        }
    }

    /// Operands of `sfence.vma`; x0 stands for all.
    #[expect(clippy::cast_possible_truncation, reason = "ASIDs have 16 bits; others are ignored")]
    fn fence(&self, address: usize, asid: usize) -> Fence {
        Fence {
            vaddr: (address != 0).then(|| Gva(self.ctx.x[address & 31])),
            asid: (asid != 0).then(|| self.ctx.x[asid & 31] as u16),
        }
    }

    /// The instruction is done.
    #[inline]
    pub const fn advance(&mut self) {
        self.ctx.pc = self.ctx.pc.wrapping_add(4);
    }
}

/// A five-bit register field.
#[inline]
const fn field(inst: u32, shift: u32) -> usize {
    (inst >> shift & 31) as usize
}

#[inline]
const fn csr_number(inst: u32) -> u16 {
    (inst >> 20) as u16
}

/// Whether a SYSTEM instruction is a CSR instruction on `fcsr` or its parts.
fn is_fp_csr(inst: u32) -> bool {
    let id = CsrId::of(csr_number(inst));
    let is_csr = inst & 0x7f == SYSTEM && inst >> 12 & 3 != 0;
    is_csr && matches!(id, CsrId::Fflags | CsrId::Frm | CsrId::Fcsr)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{
        CLEAR, IDLE, IMMEDIATE, SET, Still, WRITE, done, encode, illegal, modify, read, write,
    };
    use super::super::{Effects, Mode, Step, Vcpu};
    use super::*;

    const SSCRATCH: u32 = 0x140;

    #[test]
    fn one_register_can_be_source_and_destination() {
        let mut hart = Vcpu::for_supervisor(0);
        hart.csr.sscratch = 0x1111;
        hart.ctx.x[2] = 0x2222;
        hart.ctx.pc = u64::MAX - 3;
        let _ = done(&mut hart, encode(SSCRATCH, WRITE, 2, 2), &IDLE);
        assert_eq!((hart.csr.sscratch, hart.ctx.x[2], hart.ctx.pc), (0x2222, 0x1111, 0));
    }

    #[test]
    fn the_six_forms() {
        let mut hart = Vcpu::for_supervisor(0);
        let _ = write(&mut hart, SSCRATCH, 0b1100, &IDLE);
        assert_eq!(modify(&mut hart, SSCRATCH, SET, 0b0011, &IDLE).0, 0b1100);
        assert_eq!(modify(&mut hart, SSCRATCH, CLEAR, 0b0110, &IDLE).0, 0b1111);
        let _ = done(&mut hart, encode(SSCRATCH, SET | IMMEDIATE, 0b10000, 0), &IDLE);
        assert_eq!(read(&mut hart, SSCRATCH, &IDLE), 0b11001);
        let _ = done(&mut hart, encode(SSCRATCH, CLEAR | IMMEDIATE, 0b00001, 0), &IDLE);
        assert_eq!(read(&mut hart, SSCRATCH, &IDLE), 0b11000);
        let _ = done(&mut hart, encode(SSCRATCH, WRITE | IMMEDIATE, 0b11111, 0), &IDLE);
        assert_eq!(read(&mut hart, SSCRATCH, &IDLE), 0b11111);
        assert_eq!(hart.ctx.x[0], 0);
    }

    #[test]
    fn read_only_registers_take_reads_only() {
        let mut hart = Vcpu::new(7);
        let mhartid = 0xf14;
        assert_eq!(read(&mut hart, mhartid, &IDLE), 7);
        let _ = done(&mut hart, encode(mhartid, CLEAR | IMMEDIATE, 0, 1), &IDLE);
        illegal(&mut hart, encode(mhartid, WRITE, 0, 0));
        // x5 is zero, but it is a write all the same.
        illegal(&mut hart, encode(mhartid, SET, 5, 0));
        illegal(&mut hart, encode(mhartid, CLEAR | IMMEDIATE, 1, 0));
    }

    #[test]
    fn fp_registers_ask_for_the_unit_when_it_is_on() {
        let mut hart = Vcpu::for_supervisor(0);
        for csr in [1, 2, 3] {
            let inst = encode(csr, SET, 0, 5);
            hart.csr.mstatus &= !super::super::status::FS;
            illegal(&mut hart, inst);
            hart.csr.mstatus |= 1 << 13;
            let before = hart.clone();
            assert_eq!(hart.execute(inst, &IDLE), Step::Done(Effects::FP));
            assert_eq!(hart, before);
        }
    }

    #[test]
    fn instructions_of_other_extensions_are_illegal() {
        let mut hart = Vcpu::new(0);
        let svinval = [0x1600_0073, 0x1800_0073, 0x1810_0073];
        let hypervisor = [0x2200_0073, 0x6200_0073, 0x6000_4073];
        let others = [0x0020_0073, 0x7b20_0073, 0x7020_0073, 0x00d0_0073, 0x0000_0073, 0, u32::MAX];
        for inst in svinval.into_iter().chain(hypervisor).chain(others) {
            illegal(&mut hart, inst);
        }
    }

    #[test]
    fn user_mode_may_do_nothing_but_read_counters() {
        let mut hart = Vcpu::for_supervisor(0);
        let _ = write(&mut hart, 0x106, 2, &IDLE);
        hart.mode = Mode::User;
        for inst in [SRET, MRET, WFI, SFENCE_VMA, encode(SSCRATCH, SET, 0, 1)] {
            illegal(&mut hart, inst);
        }
        assert_eq!(read(&mut hart, 0xc01, &Still { time: 9, ..IDLE }), 9);
        illegal(&mut hart, encode(0xc00, SET, 0, 1));
    }

    #[test]
    fn waiting_and_fencing_move_on() {
        let mut hart = Vcpu::for_supervisor(0);
        hart.ctx.x[5] = 0x1_0042;
        hart.ctx.x[6] = 0xffff_f000;
        assert_eq!(hart.execute(WFI, &IDLE), Step::Wait);
        let both = SFENCE_VMA | 5 << 20 | 6 << 15;
        let fence = Fence { vaddr: Some(Gva(0xffff_f000)), asid: Some(0x42) };
        assert_eq!(hart.execute(both, &IDLE), Step::Fence(fence));
        let all = Fence { vaddr: None, asid: None };
        assert_eq!(hart.execute(SFENCE_VMA, &IDLE), Step::Fence(all));
        assert_eq!(hart.ctx.pc, 12);
    }
}
