//! What a CSR instruction does to the CSR file.
//!
//! It arrives as a `Modify` and leaves as the old value and `Effects`. Two
//! tables say what may be written where, one line per CSR; what needs more
//! than a mask has a method of its own. The frequent CSRs are those that
//! kernels touch on each trap; their rules are inlined into the loop that
//! runs a guest, and must call nothing.

use super::counters::{self, Counters};
use super::csr::{CsrFile, DELEGABLE_EXCEPTIONS};
use super::interrupts::{FIOM, INTERRUPTS, SSIP};
use super::names::CsrId;
use super::pmp::Pmp;
use super::status::{self, FS, MIE, MPP, MPRV, MXR, SIE, SUM, TVM};
use super::{Effects, Env, Mode};

/// RV64 with A, C, D, F, I, M, S and U. Nothing of it can be switched off.
const MISA: u64 = 2 << 62 | 1 << 20 | 1 << 18 | 1 << 12 | 1 << 8 | 1 << 5 | 1 << 3 | 1 << 2 | 1;
/// Mode field of `satp` without the bit that distinguishes Bare and Sv39.
const SATP_MODE_OTHER: u64 = 7 << 60;

/// What a CSR instruction does to a register: `(old & !clear) | set`.
///
/// All six instructions fit. One that does not write is no change at all, so
/// that most registers need not ask; and since no CSR of ours has a side
/// effect of reading, "does it read" need not be known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Modify {
    pub(super) clear: u64,
    pub(super) set: u64,
    /// Whether it is a write, be it of the same value.
    pub(super) writes: bool,
}

impl Modify {
    /// The new value of a register of which `writable` can change.
    #[inline(always)]
    pub(super) const fn apply(self, old: u64, writable: u64) -> u64 {
        (old & !(self.clear & writable)) | (self.set & writable)
    }
}

/// The old value, and what the access changed beyond the register; `None` is
/// an illegal instruction.
///
/// In all of this file, the caller has checked what the CSR number says:
/// privilege, and, but for the frequent ones of which none is read-only,
/// writes of read-only registers.
pub(super) type Outcome = Option<(u64, Effects)>;

/// How an access went that may belong to the other table.
pub(super) enum Frequent {
    Here(Outcome),
    Rare,
}

impl CsrFile {
    /// Performs an access of `id` from `mode`, if it is a frequent one.
    #[inline(always)]
    pub(super) fn frequent<E: Env>(
        &mut self,
        id: CsrId,
        m: Modify,
        mode: Mode,
        env: &E,
    ) -> Frequent {
        Frequent::Here(match id {
            CsrId::Sstatus => self.sstatus(m, env),
            CsrId::Sie => self.enable(m, self.mideleg, self.mideleg),
            CsrId::Stvec => vector(&mut self.stvec, m),
            CsrId::Sscratch => plain(&mut self.sscratch, m, u64::MAX),
            CsrId::Sepc => plain(&mut self.sepc, m, !1),
            CsrId::Scause => plain(&mut self.scause, m, u64::MAX),
            CsrId::Stval => plain(&mut self.stval, m, u64::MAX),
            CsrId::Sip => self.pending(m, self.mideleg, self.mideleg & SSIP),
            CsrId::Satp => self.satp(m, mode),
            CsrId::Mscratch => plain(&mut self.mscratch, m, u64::MAX),
            CsrId::Mepc => plain(&mut self.mepc, m, !1),
            CsrId::Mcause => plain(&mut self.mcause, m, u64::MAX),
            CsrId::Mtval => plain(&mut self.mtval, m, u64::MAX),
            _ => return Frequent::Rare,
        })
    }

    /// Performs an access, from `mode`, of a CSR that is not a frequent one.
    /// `number` tells apart those that share an identity.
    pub(super) fn rare<E: Env>(&mut self, number: u16, m: Modify, mode: Mode, env: &E) -> Outcome {
        match CsrId::of(number) {
            CsrId::Stimecmp => self.stimecmp(m, mode, env),
            CsrId::Scounteren => self.scounteren(m),
            CsrId::Senvcfg => plain(&mut self.senvcfg, m, FIOM),
            CsrId::Mstatus => self.mstatus(m, env),
            CsrId::Medeleg => plain(&mut self.medeleg, m, DELEGABLE_EXCEPTIONS),
            CsrId::Mideleg => self.mideleg(m),
            CsrId::Mie => self.enable(m, u64::MAX, INTERRUPTS),
            CsrId::Mip => self.pending(m, u64::MAX, self.writable_pending()),
            CsrId::Mtvec => vector(&mut self.mtvec, m),
            CsrId::Mcounteren => self.mcounteren(m),
            CsrId::Menvcfg => self.menvcfg(m, env),
            CsrId::Mcountinhibit => self.countinhibit(m, mode, env),
            CsrId::Pmpcfg => self.pmpcfg(m, CsrId::Pmpcfg.index_of(number)),
            CsrId::Pmpaddr => self.pmpaddr(m, CsrId::Pmpaddr.index_of(number)),
            CsrId::Mcycle => self.mcycle(m, mode, env),
            CsrId::Minstret => self.minstret(m, mode, env),
            CsrId::Cycle => self.counter(counters::CY, mode, |c| c.cycle.read(env.cycle())),
            CsrId::Time => self.counter(counters::TM, mode, |_| env.time()),
            CsrId::Instret => self.counter(counters::IR, mode, |c| c.instret.read(env.instret())),
            // Their enable bits are read-only zero.
            CsrId::Hpmcounter if mode != Mode::Machine => None,
            CsrId::Misa => read_only(MISA),
            CsrId::Mhartid => read_only(self.mhartid),
            CsrId::Hpmcounter
            | CsrId::Mhpmcounter
            | CsrId::Mhpmevent
            | CsrId::Mvendorid
            | CsrId::Marchid
            | CsrId::Mimpid
            | CsrId::Mconfigptr => read_only(0),
            _ => None,
        }
    }

    #[inline(always)]
    pub(super) fn sstatus<E: Env>(&mut self, m: Modify, env: &E) -> Outcome {
        let old = self.synced_mstatus(env);
        let new = m.apply(old, status::SSTATUS_WRITABLE);
        Some((old & status::SSTATUS, self.set_mstatus(old, new)))
    }

    fn mstatus<E: Env>(&mut self, m: Modify, env: &E) -> Outcome {
        let old = self.synced_mstatus(env);
        let new = status::with_legal_mpp(m.apply(old, status::WRITABLE));
        Some((old, self.set_mstatus(old, new)))
    }

    /// `mstatus` with an FS that is true. Needed before a write too: to make
    /// FS clean is a change if the real one is dirty.
    #[inline(always)]
    pub(super) fn synced_mstatus<E: Env>(&mut self, env: &E) -> u64 {
        if !self.fp_settled() {
            self.sync_fp(env.fp_dirty());
        }
        self.mstatus
    }

    /// Stores a new `mstatus`, legal but for SD.
    #[inline(always)]
    fn set_mstatus(&mut self, old: u64, new: u64) -> Effects {
        let changed = old ^ new;
        if changed == 0 {
            return Effects::empty();
        }
        self.mstatus = new;
        let mut effects = Effects::empty();
        if changed & (SUM | MXR | MPRV | FS | MPP) != 0 {
            self.mstatus = status::with_sd(new);
            let mpp_in_use = if new & MPRV != 0 { MPP } else { 0 };
            effects.set(Effects::TRANSLATION, changed & (SUM | MXR | MPRV | mpp_in_use) != 0);
            effects.set(Effects::FP, changed & FS != 0);
        }
        if changed & new & (SIE | MIE) != 0 {
            effects |= self.if_ready();
        }
        effects
    }

    /// A write with another mode than Bare or Sv39 has no effect (4.1.11).
    #[inline(always)]
    fn satp(&mut self, m: Modify, mode: Mode) -> Outcome {
        if mode == Mode::Supervisor && self.mstatus & TVM != 0 {
            return None;
        }
        let old = self.satp;
        let new = m.apply(old, u64::MAX);
        if new == old || new & SATP_MODE_OTHER != 0 {
            return Some((old, Effects::empty()));
        }
        self.satp = new;
        Some((old, Effects::TRANSLATION))
    }

    /// Concerns only the modes below, so that no effect is due before one of
    /// them is entered.
    fn mcounteren(&mut self, m: Modify) -> Outcome {
        let old = u64::from(self.counters.machine_enable());
        self.counters.set_machine_enable(m.apply(old, u64::MAX));
        Some((old, Effects::empty()))
    }

    /// See [`CsrFile::mcounteren`].
    fn scounteren(&mut self, m: Modify) -> Outcome {
        let old = u64::from(self.counters.supervisor_enable());
        self.counters.set_supervisor_enable(m.apply(old, u64::MAX));
        Some((old, Effects::empty()))
    }

    fn countinhibit<E: Env>(&mut self, m: Modify, mode: Mode, env: &E) -> Outcome {
        let before = self.counters.native(mode);
        let old = u64::from(self.counters.inhibit());
        self.counters.set_inhibit(m.apply(old, u64::MAX), env.cycle(), env.instret());
        Some((old, self.counters_changed(before, mode)))
    }

    fn mcycle<E: Env>(&mut self, m: Modify, mode: Mode, env: &E) -> Outcome {
        let (before, real) = (self.counters.native(mode), env.cycle());
        let old = self.counters.cycle.read(real);
        if m.writes {
            self.counters.set_cycle(m.apply(old, u64::MAX), real);
        }
        Some((old, self.counters_changed(before, mode)))
    }

    fn minstret<E: Env>(&mut self, m: Modify, mode: Mode, env: &E) -> Outcome {
        let (before, real) = (self.counters.native(mode), env.instret());
        let old = self.counters.instret.read(real);
        if m.writes {
            self.counters.set_instret(m.apply(old, u64::MAX), real);
        }
        Some((old, self.counters_changed(before, mode)))
    }

    fn counters_changed(&self, before: u32, mode: Mode) -> Effects {
        let same = self.counters.native(mode) == before;
        if same { Effects::empty() } else { Effects::COUNTERS }
    }

    /// A counter that `mode` may read only with this enable bit.
    fn counter(&self, bit: u32, mode: Mode, read: impl FnOnce(&Counters) -> u64) -> Outcome {
        let readable = self.counters.readable(mode) & bit != 0;
        readable.then(|| (read(&self.counters), Effects::empty()))
    }

    fn pmpcfg(&mut self, m: Modify, register: usize) -> Outcome {
        let old = self.pmp.read_config(register);
        let new = m.apply(old, u64::MAX);
        Some((old, self.change_pmp(m, |pmp| pmp.write_config(register, new))))
    }

    fn pmpaddr(&mut self, m: Modify, entry: usize) -> Outcome {
        let old = self.pmp.read_address(entry);
        let new = m.apply(old, u64::MAX);
        Some((old, self.change_pmp(m, |pmp| pmp.write_address(entry, new))))
    }

    /// What is read of PMP need not be what is stored, so that only a real
    /// write may write back.
    fn change_pmp(&mut self, m: Modify, change: impl FnOnce(&mut Pmp)) -> Effects {
        if !m.writes {
            return Effects::empty();
        }
        let before = self.pmp.rules().clone();
        change(&mut self.pmp);
        let same = *self.pmp.rules() == before;
        if same { Effects::empty() } else { Effects::TRANSLATION | Effects::PMP }
    }
}

/// A register with no rule but which bits exist.
#[inline(always)]
const fn plain(register: &mut u64, m: Modify, writable: u64) -> Outcome {
    let old = *register;
    *register = m.apply(old, writable);
    Some((old, Effects::empty()))
}

/// A register whose writes are ignored, or cannot happen.
#[inline(always)]
const fn read_only(value: u64) -> Outcome {
    Some((value, Effects::empty()))
}

/// A trap vector: direct or vectored; another mode leaves the mode as it was
/// (3.1.7).
#[inline(always)]
pub(super) const fn vector(register: &mut u64, m: Modify) -> Outcome {
    let old = *register;
    let new = m.apply(old, u64::MAX);
    *register = if new & 2 != 0 { (new & !3) | (old & 3) } else { new };
    Some((old, Effects::empty()))
}

#[cfg(test)]
mod tests {
    use super::super::Vcpu;
    use super::super::interrupts::{MTIP, STCE};
    use super::super::testing::{CLEAR, IDLE, SET, Still, modify, read, write};
    use super::*;

    const SSTATUS: u32 = 0x100;
    const SATP: u32 = 0x180;
    const MSTATUS: u32 = 0x300;
    const MEDELEG: u32 = 0x302;
    const MIE: u32 = 0x304;

    #[test]
    fn what_cannot_be_written_reads_zero() {
        let mut hart = Vcpu::new(3);
        let banks = [0x323, 0x33f, 0x3a4, 0x3ae, 0x3c0, 0x3ef, 0xb03, 0xb1f];
        for csr in banks.into_iter().chain([0x320, 0x10a, 0x30a]) {
            let nothing = !7 & !STCE;
            assert_eq!(write(&mut hart, csr, nothing, &IDLE), Effects::empty());
            assert_eq!(read(&mut hart, csr, &IDLE), 0, "{csr:#x}");
        }
        assert_eq!(read(&mut hart, 0xf14, &IDLE), 3);
        let _ = write(&mut hart, 0x301, 0, &IDLE);
        assert_eq!(read(&mut hart, 0x301, &IDLE), 0x8000_0000_0014_112d);
    }

    #[test]
    fn delegation_keeps_what_exists() {
        let mut hart = Vcpu::new(0);
        let _ = write(&mut hart, MEDELEG, u64::MAX, &IDLE);
        assert_eq!(read(&mut hart, MEDELEG, &IDLE), 0xb3ff);
        let _ = write(&mut hart, 0x303, u64::MAX, &IDLE);
        assert_eq!(read(&mut hart, 0x303, &IDLE), 0x222);
    }

    #[test]
    fn a_used_fp_unit_reads_dirty() {
        let used = Still { fp_dirty: true, ..IDLE };
        for (fs, expected) in [(0, 0), (1, 3), (2, 3), (3, 3)] {
            let mut hart = Vcpu::for_supervisor(0);
            hart.csr.mstatus = status::with_sd(status::RESET | fs << 13);
            let sstatus = read(&mut hart, SSTATUS, &used);
            assert_eq!(sstatus >> 13 & 3, expected);
            assert_eq!(sstatus >> 63 == 1, expected == 3);
        }
    }

    #[test]
    fn cleaning_a_used_fp_unit_is_a_change() {
        let used = Still { fp_dirty: true, ..IDLE };
        let mut hart = Vcpu::for_supervisor(0);
        let clean = 2 << 13;
        hart.csr.mstatus |= clean;
        // Without a read, and though our copy of FS says Clean already.
        assert_eq!(write(&mut hart, SSTATUS, clean, &used), Effects::FP);
        assert_eq!(hart.csr.mstatus & (FS | status::SD), clean);
        assert_eq!(write(&mut hart, SSTATUS, clean, &IDLE), Effects::empty());
        assert_eq!(modify(&mut hart, SSTATUS, CLEAR, FS, &used).1, Effects::FP);
        assert!(!hart.csr.fp_enabled());
    }

    #[test]
    fn effects_name_what_changed_and_no_more() {
        let mut hart = Vcpu::for_supervisor(0);
        assert_eq!(write(&mut hart, SATP, 8 << 60 | 1, &IDLE), Effects::TRANSLATION);
        assert_eq!(write(&mut hart, SATP, 8 << 60 | 1, &IDLE), Effects::empty());
        assert_eq!(write(&mut hart, SATP, 9 << 60 | 2, &IDLE), Effects::empty());
        assert_eq!(modify(&mut hart, SSTATUS, SET, SUM, &IDLE).1, Effects::TRANSLATION);
        assert_eq!(modify(&mut hart, SSTATUS, SET, SUM, &IDLE).1, Effects::empty());
        assert_eq!(modify(&mut hart, SSTATUS, SET, SIE, &IDLE).1, Effects::empty());
        hart.mode = Mode::Machine;
        hart.set_lines(MTIP);
        assert_eq!(modify(&mut hart, MIE, SET, MTIP, &IDLE).1, Effects::INTERRUPTS);
        assert_eq!(modify(&mut hart, MIE, CLEAR, MTIP, &IDLE).1, Effects::empty());
        assert_eq!(modify(&mut hart, MSTATUS, SET, MPP, &IDLE).1, Effects::empty());
        assert_eq!(modify(&mut hart, MSTATUS, SET, MPRV, &IDLE).1, Effects::TRANSLATION);
        assert_eq!(modify(&mut hart, MSTATUS, CLEAR, MPP, &IDLE).1, Effects::TRANSLATION);
        let pmp = Effects::TRANSLATION | Effects::PMP;
        assert_eq!(write(&mut hart, 0x3a0, 0, &IDLE), pmp);
        assert_eq!(write(&mut hart, 0x3b1, 0x2000_0000, &IDLE), Effects::empty());
    }

    #[test]
    fn written_counters_are_no_longer_native() {
        let mut hart = Vcpu::new(0);
        let env = Still { cycle: 1000, instret: 500, ..IDLE };
        assert_eq!(hart.native_counters(), 7);
        assert_eq!(write(&mut hart, 0xb00, 5, &env), Effects::COUNTERS);
        assert_eq!((read(&mut hart, 0xc00, &env), read(&mut hart, 0xb00, &env)), (5, 5));
        assert_eq!(read(&mut hart, 0xb02, &env), 500);
        assert_eq!(write(&mut hart, 0x320, 4, &env), Effects::COUNTERS);
        assert_eq!(hart.native_counters(), 2);
    }
}
