//! CSR accesses, returns into vS, and fences with nothing to do, so plain that the trap entry does them itself, with three
//! registers saved (`hw/plain.rs`): most of what a kernel's locks and trap
//! handlers do to the registers of vS.
//!
//! Here is what it knows of the virtual hart: where the registers are, and
//! which changes concern nobody else. The rules themselves are in `access`;
//! the test below holds the two against each other.

use core::mem::offset_of;

use super::status::{FS, MPRV, MXR, SIE, SPIE, SPP, SSTATUS_WRITABLE, SUM, TSR, TVM};
use super::{Kept, Vcpu};

/// Bytes from the start of a [`Vcpu`] to a part of it.
macro_rules! places {
    ($($name:ident = $($field:ident).+),+ $(,)?) => {
        $(#[doc = concat!("Place of `", stringify!($($field).+), "`.")]
        pub const $name: usize = offset_of!(Vcpu, $($field).+);)+
    };
}

places! {
    X = ctx.x,
    COUNTERS = ctx.kept.counters,
    FENCE_WORK = ctx.kept.fence_work,
    FENCED = ctx.kept.fenced,
    PLAIN = ctx.kept.plain,
    MODE = mode,
    MSTATUS = csr.mstatus,
    STVEC = csr.stvec,
    SSCRATCH = csr.sscratch,
    SEPC = csr.sepc,
    SCAUSE = csr.scause,
    STVAL = csr.stval,
    MIE = csr.mie,
    MIDELEG = csr.mideleg,
    SOFTWARE = csr.software,
    LINES = csr.lines,
}

/// Bits of `sstatus` that nobody but the guest asks for, as long as SIE is not
/// set while an interrupt is pending and enabled.
pub const QUIET: u64 = SIE | SPIE | SPP;
/// All other bits that a write of `sstatus` reaches.
pub const LOUD: u64 = FS | SUM | MXR;
/// Bits of `sepc` that a write reaches, as the operand of an `andi`.
pub const SEPC_WRITABLE: i64 = !1;
/// Bits of `mstatus` with which `sret` into vS is not plain. Without SPP it goes
/// into vU, another translation.
pub const RETURN_IN_THE_WAY: u64 = TSR | MPRV;
/// Place of the bit of `mstatus` with which `sfence.vma` traps in vS.
pub const FENCE_TRAPS: u32 = TVM.trailing_zeros();
/// A vector with this bit has a mode that does not exist.
pub const VECTOR_RESERVED: u64 = 2;
/// No mode has its plain accesses done.
pub const NOBODY: u8 = 2;

const _: () = assert!(QUIET | LOUD == SSTATUS_WRITABLE && QUIET < 1 << 11);
const _: () = assert!((LOUD | RETURN_IN_THE_WAY) & 0xfff == 0);
const _: () = assert!(offset_of!(Vcpu, ctx) == 0 && size_of::<Kept>() <= 80);

#[cfg(test)]
mod tests {
    use super::super::oracle::Random;
    use super::super::testing::{CLEAR, IDLE, IMMEDIATE, SET, Still, WRITE, encode};
    use super::super::{CsrId, Effects, Mode, SRET, status};
    use super::*;

    /// What the trap entry does, in Rust; `None`: it leaves that to others.
    /// Every constant that it uses is one of those above.
    fn entry(hart: &mut Vcpu, inst: u32) -> Option<Option<CsrId>> {
        if inst == SRET { returns(hart).then_some(None) } else { access(hart, inst).map(Some) }
    }

    fn returns(hart: &mut Vcpu) -> bool {
        let csr = &mut hart.csr;
        let ready = (csr.software | csr.lines) & csr.mie != 0;
        if csr.mstatus & RETURN_IN_THE_WAY != 0 || csr.mstatus & SPP == 0 || ready {
            return false;
        }
        let sie = csr.mstatus >> 4 & SIE;
        csr.mstatus = csr.mstatus & !(SIE | SPP) | sie | SPIE;
        hart.ctx.pc = csr.sepc;
        true
    }

    fn access(hart: &mut Vcpu, inst: u32) -> Option<CsrId> {
        let id = CsrId::of(u16::try_from(inst >> 20).unwrap());
        let [rd, source] = [inst >> 7, inst >> 15].map(|field| (field & 31) as usize);
        let (operation, operand) = (inst >> 12 & 7, hart.ctx.x[source]);
        let csr = &mut hart.csr;
        let ready = (csr.software | csr.lines) & csr.mie != 0;
        let visible = csr.mstatus & status::SSTATUS;
        let sie = crate::addr::to_usize(SIE);
        let old = match (id, operation, source) {
            (CsrId::Sstatus, SET, 0) => visible,
            (CsrId::Sstatus, WRITE, _) if rd == 0 => {
                let changed = operand ^ csr.mstatus;
                let new = csr.mstatus ^ (changed & QUIET);
                if changed & LOUD != 0 || new & SIE != 0 && ready {
                    return None;
                }
                core::mem::replace(&mut csr.mstatus, new)
            }
            (CsrId::Sstatus, op, n) if op == CLEAR | IMMEDIATE && n == sie => {
                csr.mstatus &= !SIE;
                visible
            }
            (CsrId::Sstatus, op, n) if op == SET | IMMEDIATE && n == sie && !ready => {
                csr.mstatus |= SIE;
                visible
            }
            (CsrId::Sie, SET, 0) => csr.mie & csr.mideleg,
            (CsrId::Stvec, WRITE, _) if operand & VECTOR_RESERVED != 0 => return None,
            (CsrId::Sepc, WRITE, _) => {
                core::mem::replace(&mut csr.sepc, operand & SEPC_WRITABLE.cast_unsigned())
            }
            _ => match (word(hart, id)?, operation, source) {
                (register, SET, 0) => *register,
                (register, WRITE, _) => core::mem::replace(register, operand),
                _ => return None,
            },
        };
        hart.ctx.x[rd] = old;
        hart.ctx.x[0] = 0;
        hart.ctx.pc = hart.ctx.pc.wrapping_add(4);
        Some(id)
    }

    fn word(hart: &mut Vcpu, id: CsrId) -> Option<&mut u64> {
        match id {
            CsrId::Stvec => Some(&mut hart.csr.stvec),
            CsrId::Sscratch => Some(&mut hart.csr.sscratch),
            CsrId::Sepc => Some(&mut hart.csr.sepc),
            CsrId::Scause => Some(&mut hart.csr.scause),
            CsrId::Stval => Some(&mut hart.csr.stval),
            _ => None,
        }
    }

    #[test]
    fn what_is_plain_follows_the_rules_and_concerns_nobody_else() {
        const CSRS: [u32; 8] = [0x100, 0x104, 0x105, 0x140, 0x141, 0x142, 0x143, 0x180];
        let mut random = Random::new(0x70);
        let mut plain = 0;
        for _ in 0..100_000 {
            let mut hart = Vcpu::new(0);
            random.state(&mut hart, &IDLE);
            hart.mode = Mode::Supervisor;
            let csr = random.pick(&CSRS);
            let [operation, source, rd] = [8, 32, 32].map(|bound| random.below(bound));
            // Often what kernels do: quiet bits, and SIE as an immediate.
            let source = if random.one_in(4) { 2 } else { source };
            if random.one_in(2) {
                let quiet = random.value() & QUIET;
                hart.ctx.x[source as usize] = hart.csr.mstatus & LOUD | quiet;
                hart.ctx.x[0] = 0;
            }
            let access = encode(csr, operation, source, if random.one_in(2) { 0 } else { rd });
            let inst = if random.one_in(8) { SRET } else { access };
            let used = Still { fp_dirty: random.one_in(2), ..IDLE };
            let mut ours = hart.clone();
            if hart.csr.fp_settled()
                && let Some(did) = entry(&mut ours, inst)
            {
                plain += 1;
                let done = hart.execute_frequent(inst, &used);
                assert_eq!(done, Some((did, Effects::empty())), "{inst:#010x}");
                assert_eq!(hart, ours, "{inst:#010x}");
            }
        }
        assert!(plain > 5_000, "{plain}");
    }

    #[test]
    fn nobody_is_no_mode() {
        let modes = [Mode::User, Mode::Supervisor, Mode::Machine];
        assert!(modes.iter().all(|mode| *mode as u8 != NOBODY));
    }
}
