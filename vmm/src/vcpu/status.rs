//! `mstatus`, its shadow `sstatus`, and what traps do to both.
//!
//! Privileged architecture 1.12, sections 3.1.6 and 4.1.1. The register is a
//! plain `u64`; what is legal to hold and how the interrupt-enable stack
//! moves is written here once.

use super::Mode;

/// Supervisor interrupt enable.
pub const SIE: u64 = 1 << 1;
/// Machine interrupt enable.
pub const MIE: u64 = 1 << 3;
/// SIE before the trap into vS.
pub const SPIE: u64 = 1 << 5;
/// MIE before the trap into vM.
pub const MPIE: u64 = 1 << 7;
/// Mode before the trap into vS.
pub const SPP: u64 = 1 << 8;
/// Mode before the trap into vM, two bits.
pub const MPP: u64 = 3 << MPP_SHIFT;
/// Position of MPP.
pub const MPP_SHIFT: u32 = 11;
/// Floating-point state: Off, Initial, Clean, Dirty.
pub const FS: u64 = 3 << 13;
/// FS of a unit that is switched off.
pub const FS_OFF: u64 = 0;
/// FS of a unit whose registers were changed since software said clean.
pub const FS_DIRTY: u64 = FS;
/// Loads and stores use the mode in MPP.
pub const MPRV: u64 = 1 << 17;
/// vS may access pages of vU.
pub const SUM: u64 = 1 << 18;
/// Loads may read executable pages.
pub const MXR: u64 = 1 << 19;
/// `satp` and `sfence.vma` trap in vS.
pub const TVM: u64 = 1 << 20;
/// `wfi` traps in vS.
pub const TW: u64 = 1 << 21;
/// `sret` traps in vS.
pub const TSR: u64 = 1 << 22;
/// Width of vU; reads 2, for 64 bits.
pub const UXL: u64 = 3 << 32;
/// Some state is dirty: FS is Dirty, as there is no other state.
pub const SD: u64 = 1 << 63;

/// UXL and SXL both at 64 bits, and nothing else.
pub const RESET: u64 = 2 << 32 | 2 << 34;
/// What a write of `mstatus` reaches. VS, XS and the endianness bits are zero.
pub const WRITABLE: u64 = SSTATUS_WRITABLE | MIE | MPIE | MPP | MPRV | TVM | TW | TSR;
/// What a write of `sstatus` reaches.
pub const SSTATUS_WRITABLE: u64 = SIE | SPIE | SPP | FS | SUM | MXR;
/// What a read of `sstatus` shows.
pub const SSTATUS: u64 = SSTATUS_WRITABLE | UXL | SD;

/// The value with SD as FS demands.
#[inline]
pub const fn with_sd(value: u64) -> u64 {
    // Both bits of FS, moved to the place of SD.
    (value & !SD) | ((value << 49) & (value << 50) & SD)
}

/// The value with an MPP that names an existing mode; 2 becomes vU.
#[inline]
pub const fn with_legal_mpp(value: u64) -> u64 {
    if value & MPP == 2 << MPP_SHIFT { value & !MPP } else { value }
}

/// The mode in MPP.
#[inline]
pub const fn mpp(value: u64) -> Mode {
    Mode::from_bits(value >> MPP_SHIFT)
}

/// `mstatus` after a trap from `mode` into vM.
#[inline]
pub const fn trap_to_machine(value: u64, mode: Mode) -> u64 {
    let pie = (value & MIE) << 4;
    (value & !(MIE | MPIE | MPP)) | pie | (mode as u64) << MPP_SHIFT
}

/// `mstatus` after a trap from `mode`, vU or vS, into vS.
#[inline]
pub const fn trap_to_supervisor(value: u64, mode: Mode) -> u64 {
    let pie = (value & SIE) << 4;
    (value & !(SIE | SPIE | SPP)) | pie | (mode as u64 & 1) << 8
}

/// `mstatus` after `mret`, and the mode it goes to.
#[inline]
pub const fn mret(value: u64) -> (u64, Mode) {
    let mode = mpp(value);
    let ie = (value & MPIE) >> 4;
    let mprv = if matches!(mode, Mode::Machine) { 0 } else { MPRV };
    ((value & !(MIE | MPP | mprv)) | ie | MPIE, mode)
}

/// `mstatus` after `sret`, and the mode it goes to.
#[inline]
pub const fn sret(value: u64) -> (u64, Mode) {
    let mode = if value & SPP != 0 { Mode::Supervisor } else { Mode::User };
    let ie = (value & SPIE) >> 4;
    ((value & !(SIE | SPP | MPRV)) | ie | SPIE, mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sd_follows_fs() {
        for fs in 0..4u64 {
            let expected = if fs == 3 { SD } else { 0 };
            assert_eq!(with_sd(fs << 13) & SD, expected);
            assert_eq!(with_sd(SD | fs << 13) & SD, expected);
        }
        assert_eq!(with_sd(RESET), RESET);
    }

    #[test]
    fn mpp_two_is_not_a_mode() {
        assert_eq!(mpp(with_legal_mpp(2 << 11 | SIE)), Mode::User);
        assert_eq!(mpp(with_legal_mpp(MPP)), Mode::Machine);
        assert_eq!(mpp(with_legal_mpp(1 << 11)), Mode::Supervisor);
    }

    #[test]
    fn a_trap_and_its_return_cancel() {
        for ie in [0, SIE] {
            let before = RESET | ie;
            let (after, mode) = sret(trap_to_supervisor(before, Mode::User));
            assert_eq!((after & !SPIE, mode), (before, Mode::User));
        }
        for ie in [0, MIE] {
            let before = RESET | ie;
            let (after, mode) = mret(trap_to_machine(before, Mode::Supervisor));
            assert_eq!((after & !MPIE, mode), (before, Mode::Supervisor));
        }
    }

    #[test]
    fn leaving_machine_mode_ends_mprv() {
        assert_eq!(mret(RESET | MPRV | MPP).0 & MPRV, MPRV);
        assert_eq!(mret(RESET | MPRV).0 & MPRV, 0);
        assert_eq!(sret(RESET | MPRV | SPP).0 & MPRV, 0);
    }
}
