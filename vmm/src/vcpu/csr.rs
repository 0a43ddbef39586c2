//! The CSR file: every register of the virtual hart, and its rules.
//!
//! A CSR instruction arrives as a `Modify` and leaves as the old value and
//! `Effects`. All that may be written where is said in `CsrFile::access`,
//! one line per CSR; what needs more than a mask has a method of its own.
//! Numbers of sections are those of the privileged architecture 1.12.

use super::counters::Counters;
use super::names::CsrId;
use super::pmp::Pmp;
use super::status::{self, FS, FS_DIRTY, FS_OFF, MPP, MPRV, MXR, SUM, TVM};
use super::{Effects, Env, Interrupt, Mode};

/// RV64 with A, C, D, F, I, M, S and U. Nothing of it can be switched off.
const MISA: u64 = 2 << 62 | 1 << 20 | 1 << 18 | 1 << 12 | 1 << 8 | 1 << 5 | 1 << 3 | 1 << 2 | 1;

const SSIP: u64 = Interrupt::SupervisorSoft.bit();
const STIP: u64 = Interrupt::SupervisorTimer.bit();
const SEIP: u64 = Interrupt::SupervisorExternal.bit();
const MSIP: u64 = Interrupt::MachineSoft.bit();
const MTIP: u64 = Interrupt::MachineTimer.bit();
const MEIP: u64 = Interrupt::MachineExternal.bit();

/// Interrupts of vS: those that can be delegated (3.1.8).
const SUPERVISOR_INTERRUPTS: u64 = SSIP | STIP | SEIP;
/// Interrupts that exist.
const INTERRUPTS: u64 = SUPERVISOR_INTERRUPTS | MSIP | MTIP | MEIP;
/// Exceptions that can be delegated: all that can occur below vM, which
/// excludes its own `ecall` (3.1.8).
const DELEGABLE_EXCEPTIONS: u64 = 0xb3ff;

/// Fences order I/O too (3.1.18). We keep the bit; ours always do.
const FIOM: u64 = 1;
/// `stimecmp` is in use: it drives STIP (Sstc).
const STCE: u64 = 1 << 63;
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
    #[inline]
    const fn apply(self, old: u64, writable: u64) -> u64 {
        (old & !(self.clear & writable)) | (self.set & writable)
    }
}

/// All registers of a virtual hart but x, f and pc.
///
/// Public fields may be set by firmware code to any value that the register
/// can hold. `f` registers and `fcsr` live in the real hart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CsrFile {
    /// Machine status; `sstatus` is a view of it. Bits in [`status`].
    pub mstatus: u64,
    /// Supervisor trap vector.
    pub stvec: u64,
    /// Supervisor scratch.
    pub sscratch: u64,
    /// Supervisor exception pc.
    pub sepc: u64,
    /// Supervisor cause.
    pub scause: u64,
    /// Supervisor trap value.
    pub stval: u64,
    /// Supervisor address translation: Bare or Sv39.
    pub satp: u64,
    /// Machine interrupt enable; `sie` is a view of it.
    pub mie: u64,
    /// Machine interrupt delegation.
    pub mideleg: u64,
    /// Machine exception delegation.
    pub medeleg: u64,
    /// Pending bits that software wrote.
    software: u64,
    /// Pending bits that devices hold up.
    lines: u64,
    /// Machine trap vector.
    pub mtvec: u64,
    /// Machine scratch.
    pub mscratch: u64,
    /// Machine exception pc.
    pub mepc: u64,
    /// Machine cause.
    pub mcause: u64,
    /// Machine trap value.
    pub mtval: u64,
    menvcfg: u64,
    senvcfg: u64,
    stimecmp: u64,
    mhartid: u64,
    /// Counters and who may read them.
    pub counters: Counters,
    /// Physical memory protection.
    pub pmp: Pmp,
}

impl CsrFile {
    /// The registers at reset. What the architecture leaves open is zero,
    /// but `stimecmp`, which is never.
    pub fn new(hart_id: u64) -> Self {
        Self {
            mstatus: status::RESET,
            stvec: 0,
            sscratch: 0,
            sepc: 0,
            scause: 0,
            stval: 0,
            satp: 0,
            mie: 0,
            mideleg: 0,
            medeleg: 0,
            software: 0,
            lines: 0,
            mtvec: 0,
            mscratch: 0,
            mepc: 0,
            mcause: 0,
            mtval: 0,
            menvcfg: 0,
            senvcfg: 0,
            stimecmp: u64::MAX,
            mhartid: hart_id,
            counters: Counters::new(),
            pmp: Pmp::new(),
        }
    }

    /// Registers as firmware leaves them to a kernel that starts in vS: all
    /// memory open, traps and interrupts delegated, counters and `stimecmp`
    /// allowed. `ecall` from vS is not delegated: it is the SBI.
    pub fn for_supervisor(hart_id: u64) -> Self {
        let mut csr = Self::new(hart_id);
        csr.medeleg = DELEGABLE_EXCEPTIONS & !(1 << super::Cause::EcallFromS.code());
        csr.mideleg = SUPERVISOR_INTERRUPTS;
        csr.menvcfg = STCE;
        csr.counters.set_machine_enable(u64::MAX);
        csr.pmp = Pmp::open();
        csr
    }

    /// Pending interrupts, from software and from lines.
    #[inline]
    pub const fn mip(&self) -> u64 {
        self.software | self.lines
    }

    /// The lines now held up.
    #[inline]
    pub const fn lines(&self) -> u64 {
        self.lines
    }

    /// Sets the lines: MSIP, MTIP, MEIP, SEIP, and STIP while Sstc drives it.
    /// Other bits are ignored.
    #[inline]
    pub const fn set_lines(&mut self, lines: u64) {
        let stip = if self.menvcfg & STCE != 0 { STIP } else { 0 };
        self.lines = lines & (MSIP | MTIP | MEIP | SEIP | stip);
    }

    /// Sets or clears SSIP, as firmware does for an inter-processor interrupt.
    #[inline]
    pub const fn set_supervisor_soft(&mut self, pending: bool) {
        self.software = (self.software & !SSIP) | if pending { SSIP } else { 0 };
    }

    /// `stimecmp`, if Sstc is on: the time from which STIP is pending.
    #[inline]
    pub const fn timer_deadline(&self) -> Option<u64> {
        if self.menvcfg & STCE != 0 { Some(self.stimecmp) } else { None }
    }

    /// Sets `stimecmp` as firmware would, `now` being the guest's time.
    pub const fn set_stimecmp(&mut self, value: u64, now: u64) {
        self.stimecmp = value;
        self.update_stip(now);
    }

    /// Whether the F and D extensions are switched on.
    #[inline]
    pub const fn fp_enabled(&self) -> bool {
        self.mstatus & FS != FS_OFF
    }

    /// Makes FS Dirty if the real FS is, unless it is Off: the real hart
    /// notes changes of FP registers where we do not see them.
    #[inline]
    pub const fn sync_fp(&mut self, dirty: bool) {
        if dirty && self.fp_enabled() {
            self.mstatus |= FS_DIRTY | status::SD;
        }
    }

    /// Performs one CSR access from `mode`: the old value and what the access
    /// changed, or `None` if it is an illegal instruction. The caller has
    /// checked what the CSR number says: privilege, and writes of read-only
    /// registers.
    #[inline(always)]
    pub(super) fn access<E: Env>(
        &mut self,
        number: u16,
        m: Modify,
        mode: Mode,
        env: &E,
    ) -> Option<(u64, Effects)> {
        let bank = usize::from(number);
        Some(match CsrId::of(number) {
            CsrId::Sstatus => self.sstatus(m, env),
            CsrId::Sie => self.enable(m, self.mideleg, self.mideleg),
            CsrId::Stvec => vector(&mut self.stvec, m),
            CsrId::Sscratch => plain(&mut self.sscratch, m, u64::MAX),
            CsrId::Sepc => plain(&mut self.sepc, m, !1),
            CsrId::Scause => plain(&mut self.scause, m, u64::MAX),
            CsrId::Stval => plain(&mut self.stval, m, u64::MAX),
            CsrId::Sip => self.pending(m, self.mideleg, self.mideleg & SSIP),
            CsrId::Satp => return self.satp(m, mode),
            CsrId::Stimecmp => return self.stimecmp(m, mode, env),
            CsrId::Scounteren => self.counteren(m, mode, CsrId::Scounteren),
            CsrId::Senvcfg => plain(&mut self.senvcfg, m, FIOM),
            CsrId::Mstatus => self.mstatus(m, env),
            CsrId::Medeleg => plain(&mut self.medeleg, m, DELEGABLE_EXCEPTIONS),
            CsrId::Mideleg => self.mideleg(m),
            CsrId::Mie => self.enable(m, u64::MAX, INTERRUPTS),
            CsrId::Mtvec => vector(&mut self.mtvec, m),
            CsrId::Mcounteren => self.counteren(m, mode, CsrId::Mcounteren),
            CsrId::Menvcfg => self.menvcfg(m, env),
            CsrId::Mcountinhibit => self.countinhibit(m, mode, env),
            CsrId::Mscratch => plain(&mut self.mscratch, m, u64::MAX),
            CsrId::Mepc => plain(&mut self.mepc, m, !1),
            CsrId::Mcause => plain(&mut self.mcause, m, u64::MAX),
            CsrId::Mtval => plain(&mut self.mtval, m, u64::MAX),
            CsrId::Mip => self.pending(m, u64::MAX, self.writable_pending()),
            CsrId::Pmpcfg => self.pmpcfg(m, bank & 0xf),
            CsrId::Pmpaddr => self.pmpaddr(m, bank - 0x3b0),
            CsrId::Mcycle => self.mcycle(m, mode, env),
            CsrId::Minstret => self.minstret(m, mode, env),
            CsrId::Cycle | CsrId::Time | CsrId::Instret | CsrId::Hpmcounter => {
                return self.counter(bank & 0x1f, mode, env);
            }
            CsrId::Misa => read_only(MISA),
            CsrId::Mhartid => read_only(self.mhartid),
            CsrId::Mhpmevent
            | CsrId::Mhpmcounter
            | CsrId::Mvendorid
            | CsrId::Marchid
            | CsrId::Mimpid
            | CsrId::Mconfigptr => read_only(0),
            // The FP registers trap only while they are off.
            CsrId::Unknown | CsrId::Fflags | CsrId::Frm | CsrId::Fcsr => return None,
        })
    }

    #[inline]
    fn sstatus<E: Env>(&mut self, m: Modify, env: &E) -> (u64, Effects) {
        let old = self.synced_mstatus(env);
        let new = status::with_sd(m.apply(old, status::SSTATUS_WRITABLE));
        (old & status::SSTATUS, self.set_mstatus(old, new))
    }

    fn mstatus<E: Env>(&mut self, m: Modify, env: &E) -> (u64, Effects) {
        let old = self.synced_mstatus(env);
        let new = status::with_legal_mpp(m.apply(old, status::WRITABLE));
        (old, self.set_mstatus(old, status::with_sd(new)))
    }

    /// `mstatus` with an FS that is true. Needed before a write too: to make
    /// FS clean is a change if the real one is dirty.
    #[inline]
    fn synced_mstatus<E: Env>(&mut self, env: &E) -> u64 {
        let fs = self.mstatus & FS;
        if fs != FS_OFF && fs != FS_DIRTY {
            self.sync_fp(env.fp_dirty());
        }
        self.mstatus
    }

    #[inline]
    fn set_mstatus(&mut self, old: u64, new: u64) -> Effects {
        self.mstatus = new;
        let changed = old ^ new;
        let mut effects = Effects::empty();
        if changed & (SUM | MXR | MPRV | FS | MPP) != 0 {
            let mpp_in_use = if new & MPRV != 0 { MPP } else { 0 };
            effects.set(Effects::TRANSLATION, changed & (SUM | MXR | MPRV | mpp_in_use) != 0);
            effects.set(Effects::FP, changed & FS != 0);
        }
        if changed & new & (status::SIE | status::MIE) != 0 {
            effects |= self.if_ready();
        }
        effects
    }

    /// INTERRUPTS if any interrupt is pending and enabled by `mie`.
    #[inline]
    pub(super) const fn if_ready(&self) -> Effects {
        if self.mip() & self.mie != 0 { Effects::INTERRUPTS } else { Effects::empty() }
    }

    /// `mie`, or its view `sie`.
    #[inline]
    fn enable(&mut self, m: Modify, visible: u64, writable: u64) -> (u64, Effects) {
        let old = self.mie;
        self.mie = m.apply(old, writable);
        let more = self.mie & !old != 0;
        (old & visible, if more { self.if_ready() } else { Effects::empty() })
    }

    /// `mip`, or its view `sip`. Only the bits that software wrote take part
    /// in set and clear; a read shows the lines too (3.1.9, on SEIP).
    #[inline]
    fn pending(&mut self, m: Modify, visible: u64, writable: u64) -> (u64, Effects) {
        let old = self.mip();
        self.software = m.apply(self.software, writable);
        let more = self.mip() & !old != 0;
        (old & visible, if more { self.if_ready() } else { Effects::empty() })
    }

    /// Bits of `mip` that vM can write: while Sstc drives STIP, not that one.
    const fn writable_pending(&self) -> u64 {
        if self.menvcfg & STCE != 0 { SSIP | SEIP } else { SSIP | SEIP | STIP }
    }

    fn mideleg(&mut self, m: Modify) -> (u64, Effects) {
        let old = self.mideleg;
        self.mideleg = m.apply(old, SUPERVISOR_INTERRUPTS);
        (old, if self.mideleg == old { Effects::empty() } else { self.if_ready() })
    }

    /// A write with another mode than Bare or Sv39 has no effect (4.1.11).
    fn satp(&mut self, m: Modify, mode: Mode) -> Option<(u64, Effects)> {
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

    /// Below vM only with STCE and TM (Sstc, 2.2).
    fn stimecmp<E: Env>(&mut self, m: Modify, mode: Mode, env: &E) -> Option<(u64, Effects)> {
        let allowed =
            self.menvcfg & STCE != 0 && self.counters.machine_enable() & super::counters::TM != 0;
        if mode != Mode::Machine && !allowed {
            return None;
        }
        let old = self.stimecmp;
        self.stimecmp = m.apply(old, u64::MAX);
        if self.stimecmp == old {
            return Some((old, Effects::empty()));
        }
        Some((old, self.timer_changed(env)))
    }

    fn menvcfg<E: Env>(&mut self, m: Modify, env: &E) -> (u64, Effects) {
        let old = self.menvcfg;
        self.menvcfg = m.apply(old, FIOM | STCE);
        if (self.menvcfg ^ old) & STCE == 0 {
            return (old, Effects::empty());
        }
        // STIP changes hands, and starts anew on either side.
        self.software &= !STIP;
        (old, self.timer_changed(env))
    }

    fn timer_changed<E: Env>(&mut self, env: &E) -> Effects {
        self.update_stip(env.time());
        Effects::TIMER | self.if_ready()
    }

    const fn update_stip(&mut self, now: u64) {
        let due = self.menvcfg & STCE != 0 && now >= self.stimecmp;
        self.lines = (self.lines & !STIP) | if due { STIP } else { 0 };
    }

    fn counteren(&mut self, m: Modify, mode: Mode, id: CsrId) -> (u64, Effects) {
        let before = self.counters.native(mode);
        let old = if id == CsrId::Mcounteren {
            let old = u64::from(self.counters.machine_enable());
            self.counters.set_machine_enable(m.apply(old, u64::MAX));
            old
        } else {
            let old = u64::from(self.counters.supervisor_enable());
            self.counters.set_supervisor_enable(m.apply(old, u64::MAX));
            old
        };
        (old, self.counters_changed(before, mode))
    }

    fn countinhibit<E: Env>(&mut self, m: Modify, mode: Mode, env: &E) -> (u64, Effects) {
        let before = self.counters.native(mode);
        let old = u64::from(self.counters.inhibit());
        self.counters.set_inhibit(m.apply(old, u64::MAX), env.cycle(), env.instret());
        (old, self.counters_changed(before, mode))
    }

    fn mcycle<E: Env>(&mut self, m: Modify, mode: Mode, env: &E) -> (u64, Effects) {
        let (before, real) = (self.counters.native(mode), env.cycle());
        let old = self.counters.cycle.read(real);
        self.counters.set_cycle(m.apply(old, u64::MAX), real);
        (old, self.counters_changed(before, mode))
    }

    fn minstret<E: Env>(&mut self, m: Modify, mode: Mode, env: &E) -> (u64, Effects) {
        let (before, real) = (self.counters.native(mode), env.instret());
        let old = self.counters.instret.read(real);
        self.counters.set_instret(m.apply(old, u64::MAX), real);
        (old, self.counters_changed(before, mode))
    }

    fn counters_changed(&self, before: u32, mode: Mode) -> Effects {
        let same = self.counters.native(mode) == before;
        if same { Effects::empty() } else { Effects::COUNTERS }
    }

    fn counter<E: Env>(&self, index: usize, mode: Mode, env: &E) -> Option<(u64, Effects)> {
        if self.counters.readable(mode) >> index & 1 == 0 {
            return None;
        }
        Some(read_only(match index {
            0 => self.counters.cycle.read(env.cycle()),
            1 => env.time(),
            2 => self.counters.instret.read(env.instret()),
            _ => 0,
        }))
    }

    fn pmpcfg(&mut self, m: Modify, register: usize) -> (u64, Effects) {
        let old = self.pmp.read_config(register);
        (old, self.change_pmp(|pmp| pmp.write_config(register, m.apply(old, u64::MAX))))
    }

    fn pmpaddr(&mut self, m: Modify, entry: usize) -> (u64, Effects) {
        let old = self.pmp.read_address(entry);
        if !m.writes {
            // What is read is not what is stored: a read must not write back.
            return (old, Effects::empty());
        }
        (old, self.change_pmp(|pmp| pmp.write_address(entry, m.apply(old, u64::MAX))))
    }

    fn change_pmp(&mut self, change: impl FnOnce(&mut Pmp)) -> Effects {
        let before = self.pmp.rules().clone();
        change(&mut self.pmp);
        let same = *self.pmp.rules() == before;
        if same { Effects::empty() } else { Effects::TRANSLATION | Effects::PMP }
    }
}

/// A register with no rule but which bits exist.
#[inline(always)]
const fn plain(register: &mut u64, m: Modify, writable: u64) -> (u64, Effects) {
    let old = *register;
    *register = m.apply(old, writable);
    (old, Effects::empty())
}

/// A register whose writes are ignored, or cannot happen.
#[inline(always)]
const fn read_only(value: u64) -> (u64, Effects) {
    (value, Effects::empty())
}

/// A trap vector: direct or vectored; another mode leaves the mode as it was
/// (3.1.7).
#[inline(always)]
const fn vector(register: &mut u64, m: Modify) -> (u64, Effects) {
    let old = *register;
    let new = m.apply(old, u64::MAX);
    *register = if new & 2 != 0 { (new & !3) | (old & 3) } else { new };
    (old, Effects::empty())
}
