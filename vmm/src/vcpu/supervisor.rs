//! The registers that belong to vS alone: what moves to the real hart while
//! vS and vU run there in S-mode and U-mode, and comes back changed.
//!
//! `mstatus`, `mie`, `mip` and the counters are shared with vM; of them, only
//! what S-mode can reach, by its own views of them, goes and comes.

use super::csr::CsrFile;
use super::interrupts::{SSIP, SUPERVISOR_INTERRUPTS};
use super::status::{self, SSTATUS_WRITABLE, TSR};
use super::{Cause, Mode, Vcpu};

/// Exceptions that real S-mode may take itself if the guest wants it so. Not
/// page faults, which the shadow must see; nor illegal instructions, which
/// are how `satp` and `sfence.vma` come to the VMM; nor calls of vS, which
/// may be for the VMM.
const DELEGABLE: u64 = 1 << Cause::InstructionMisaligned as u64
    | 1 << Cause::InstructionAccess as u64
    | 1 << Cause::Breakpoint as u64
    | 1 << Cause::LoadMisaligned as u64
    | 1 << Cause::LoadAccess as u64
    | 1 << Cause::StoreMisaligned as u64
    | 1 << Cause::StoreAccess as u64
    | 1 << Cause::EcallFromU as u64;

/// What vS and vU have of a real hart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Supervisor {
    /// The mode, vS or vU.
    pub mode: Mode,
    /// The bits of `mstatus` that are `sstatus`, and TSR.
    pub status: u64,
    /// `stvec`
    pub stvec: u64,
    /// `sscratch`
    pub sscratch: u64,
    /// `sepc`
    pub sepc: u64,
    /// `scause`
    pub scause: u64,
    /// `stval`
    pub stval: u64,
    /// `sie`
    pub sie: u64,
    /// `sip`
    pub sip: u64,
    /// `scounteren`
    pub scounteren: u64,
    /// `senvcfg`
    pub senvcfg: u64,
    /// Interrupts that S-mode takes itself.
    pub interrupts: u64,
    /// Exceptions that S-mode takes itself.
    pub exceptions: u64,
}

impl Supervisor {
    /// A hart on which no guest runs in S-mode: nothing is delegated, and
    /// U-mode has all counters that `mcounteren` leaves it.
    pub const NONE: Self = Self {
        mode: Mode::User,
        status: 0,
        stvec: 0,
        sscratch: 0,
        sepc: 0,
        scause: 0,
        stval: 0,
        sie: 0,
        sip: 0,
        scounteren: 7,
        senvcfg: 0,
        interrupts: 0,
        exceptions: 0,
    };
}

impl Vcpu {
    /// What goes to the real hart; the virtual one is in vS or vU.
    #[inline]
    pub fn supervisor(&self) -> Supervisor {
        let csr = &self.csr;
        Supervisor {
            mode: self.mode,
            status: csr.mstatus & (SSTATUS_WRITABLE | TSR),
            stvec: csr.stvec,
            sscratch: csr.sscratch,
            sepc: csr.sepc,
            scause: csr.scause,
            stval: csr.stval,
            sie: csr.mie & csr.mideleg,
            sip: csr.mip() & csr.mideleg,
            scounteren: csr.counters.supervisor_enable().into(),
            senvcfg: csr.senvcfg,
            interrupts: csr.mideleg & SUPERVISOR_INTERRUPTS,
            exceptions: csr.medeleg & DELEGABLE,
        }
    }

    /// What comes back. S-mode cannot change what is delegated to it, nor any
    /// pending bit but SSIP.
    #[inline]
    pub fn set_supervisor(&mut self, from: &Supervisor) {
        self.mode = from.mode;
        self.csr.set_supervisor(from);
    }
}

impl CsrFile {
    #[inline]
    fn set_supervisor(&mut self, from: &Supervisor) {
        let status = self.mstatus & !SSTATUS_WRITABLE | from.status & SSTATUS_WRITABLE;
        self.mstatus = status::with_sd(status);
        (self.stvec, self.sscratch) = (from.stvec, from.sscratch);
        (self.sepc, self.scause, self.stval) = (from.sepc, from.scause, from.stval);
        let delegated = self.mideleg & SUPERVISOR_INTERRUPTS;
        self.mie = self.mie & !delegated | from.sie & delegated;
        let soft = delegated & SSIP;
        self.software = self.software & !soft | from.sip & soft;
        if from.scounteren != u64::from(self.counters.supervisor_enable()) {
            self.counters.adopt_supervisor_enable(from.scounteren);
        }
        self.senvcfg = from.senvcfg;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{IDLE, SET, WRITE, modify, read};
    use super::*;

    const SSTATUS: u32 = 0x100;
    const SIE: u32 = 0x104;
    const SIP: u32 = 0x144;

    /// The supervisor's own CSRs with the fields of `Supervisor` that are them.
    fn registers(of: &Supervisor) -> [(u32, u64); 9] {
        [
            (0x105, of.stvec),
            (0x140, of.sscratch),
            (0x141, of.sepc),
            (0x142, of.scause),
            (0x143, of.stval),
            (SIE, of.sie),
            (SIP, of.sip),
            (0x106, of.scounteren),
            (0x10a, of.senvcfg),
        ]
    }

    proptest! {
        /// What S-mode reads in the real registers is what it would read by
        /// trapping, and taking them back unchanged changes nothing.
        #[test]
        fn both_places_say_the_same(
            writes in prop::collection::vec((0..12usize, any::<u64>()), 0..40),
            delegated in any::<(u64, u64)>(),
        ) {
            let mut hart = Vcpu::for_supervisor(0);
            (hart.csr.mideleg, hart.csr.medeleg) = (delegated.0 & 0x222, delegated.1 & 0xb3ff);
            let names = [0x100, 0x104, 0x105, 0x106, 0x10a, 0x140, 0x141, 0x142, 0x143, 0x144];
            for (n, value) in writes {
                match names.get(n) {
                    Some(&csr) => drop(modify(&mut hart, csr, WRITE, value, &IDLE)),
                    None => hart.set_lines(value),
                }
            }
            let there = hart.supervisor();
            for (csr, value) in registers(&there) {
                prop_assert_eq!(read(&mut hart, csr, &IDLE), value, "{:#x}", csr);
            }
            let seen = read(&mut hart, SSTATUS, &IDLE) & SSTATUS_WRITABLE;
            prop_assert_eq!(there.status & SSTATUS_WRITABLE, seen);
            let before = hart.clone();
            hart.set_supervisor(&there);
            prop_assert_eq!(hart, before);
        }
    }

    #[test]
    fn what_the_supervisor_did_comes_back() {
        let mut hart = Vcpu::for_supervisor(0);
        hart.csr.mstatus |= status::MIE | status::TVM;
        hart.csr.mie = 0x808;
        let mut there = hart.supervisor();
        there.mode = Mode::User;
        there.status = status::FS | status::SUM | status::SPIE;
        (there.stvec, there.sie, there.sip) = (0x8000_0001, 0x22, 2);
        (there.scounteren, there.senvcfg) = (0xffff_ffff, 1);
        hart.set_supervisor(&there);
        assert_eq!(hart.mode, Mode::User);
        let machine = status::MIE | status::TVM | status::RESET;
        assert_eq!(hart.csr.mstatus, machine | there.status | status::SD);
        assert_eq!((hart.csr.stvec, hart.csr.mie, hart.csr.mip()), (0x8000_0001, 0x82a, 2));
        assert_eq!(hart.csr.counters.readable(Mode::User), 7);
        assert_eq!(hart.supervisor(), there);
    }

    /// Bits that are not delegated are the monitor's own, and no real
    /// interrupt of S-mode.
    #[test]
    fn what_is_not_delegated_stays() {
        let mut hart = Vcpu::for_supervisor(0);
        hart.csr.mideleg = 0x20;
        hart.csr.mie = 0x222;
        let _ = modify(&mut hart, SIP, SET, 2, &IDLE);
        hart.csr.set_supervisor_soft(true);
        hart.set_lines(0x200);
        let mut there = hart.supervisor();
        assert_eq!((there.sie, there.sip, there.interrupts), (0x20, 0, 0x20));
        there.sie = 0;
        hart.set_supervisor(&there);
        assert_eq!((hart.csr.mie, hart.csr.mip()), (0x202, 0x202));
        assert_eq!(there.exceptions & (1 << 2 | 1 << 9 | 1 << 12 | 1 << 13 | 1 << 15), 0);
    }
}
