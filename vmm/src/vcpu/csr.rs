//! The CSR file: every register of the virtual hart.
//!
//! What a guest's instruction may do to them is in `access`; here is what
//! they are, how they start, and what the VMM itself does to them. Numbers of
//! sections are those of the privileged architecture 1.12.

use super::cause::Cause;
use super::counters::Counters;
use super::interrupts::{STCE, SUPERVISOR_INTERRUPTS};
use super::pmp::Pmp;
use super::status::{self, FS, FS_DIRTY, FS_OFF};

/// Exceptions that can be delegated: all that can occur below vM, which
/// excludes its own `ecall` (3.1.8).
pub(super) const DELEGABLE_EXCEPTIONS: u64 = 0xb3ff;

/// All registers of a virtual hart but x, f and pc.
///
/// Public fields may be set by firmware code to any value that the register
/// can hold. `f` registers and `fcsr` live in the real hart.
#[repr(C)]
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
    pub(super) software: u64,
    /// Pending bits that devices hold up.
    pub(super) lines: u64,
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
    pub(super) menvcfg: u64,
    pub(super) senvcfg: u64,
    pub(super) stimecmp: u64,
    pub(super) mhartid: u64,
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
        csr.medeleg = DELEGABLE_EXCEPTIONS & !(1 << Cause::EcallFromS.code());
        csr.mideleg = SUPERVISOR_INTERRUPTS;
        csr.menvcfg = STCE;
        csr.counters.set_machine_enable(u64::MAX);
        csr.pmp = Pmp::open();
        csr
    }

    /// Whether the F and D extensions are switched on.
    #[inline]
    pub const fn fp_enabled(&self) -> bool {
        self.mstatus & FS != FS_OFF
    }

    /// Whether FS says all there is to say: the real one cannot become Dirty
    /// where this one is not.
    #[inline]
    pub const fn fp_settled(&self) -> bool {
        // Off and Dirty, plus one, have the upper of the two bits clear.
        const ONE: u64 = FS & FS.wrapping_neg();
        ((self.mstatus & FS) + ONE) & (ONE << 1) == 0
    }

    /// Makes FS Dirty if the real FS is, unless it is Off: the real hart
    /// notes changes of FP registers where we do not see them.
    #[inline]
    pub const fn sync_fp(&mut self, dirty: bool) {
        if dirty && self.fp_enabled() {
            self.mstatus |= FS_DIRTY | status::SD;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::interrupts::SSIP;
    use super::*;

    #[test]
    fn firmware_keeps_the_sbi_call_and_opens_the_rest() {
        let csr = CsrFile::for_supervisor(1);
        assert_eq!(csr.medeleg, 0xb1ff);
        assert_eq!((csr.mideleg, csr.mie, csr.mip()), (0x222, 0, 0));
        assert_eq!(csr.counters.readable(crate::vcpu::Mode::Supervisor), 7);
    }

    #[test]
    fn an_fp_unit_that_is_off_stays_clean() {
        let mut csr = CsrFile::new(0);
        csr.sync_fp(true);
        assert_eq!(csr.mstatus, status::RESET);
        csr.mstatus |= 1 << 13;
        csr.sync_fp(false);
        assert_eq!(csr.mstatus & FS, 1 << 13);
        csr.sync_fp(true);
        assert_eq!(csr.mstatus, status::RESET | FS_DIRTY | status::SD);
    }

    #[test]
    fn fs_is_settled_where_the_hart_cannot_change_it() {
        for (fs, settled) in [(0, true), (1, false), (2, false), (3, true)] {
            let mut csr = CsrFile::new(0);
            csr.mstatus |= fs << 13;
            assert_eq!(csr.fp_settled(), settled, "{fs}");
        }
    }

    #[test]
    fn firmware_sends_software_interrupts() {
        let mut csr = CsrFile::for_supervisor(0);
        csr.set_supervisor_soft(true);
        assert_eq!(csr.mip(), SSIP);
        csr.set_supervisor_soft(false);
        assert_eq!(csr.mip(), 0);
    }
}
