//! Floating-point registers. The VMM itself is built without the F and D
//! extensions, so that a guest's values stay where they are until another
//! vCPU of the same hart wants to use them.

use core::arch::asm;
use core::mem::offset_of;

use super::csr;
use crate::machine::FpRegisters;

/// Stores the hart's floating-point registers.
pub(super) fn save(to: &mut FpRegisters) {
    csr::set_status_bits(csr::STATUS_FS);
    // SAFETY: FS is on; 32 doublewords and fcsr fit the layout.
    unsafe {
        asm!(
            ".option push",
            ".option arch, +d",
            ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
            "fsd f\\n, {f}+8*\\n({to})",
            ".endr",
            "frcsr {scratch}",
            "sd {scratch}, {fcsr}({to})",
            ".option pop",
            to = in(reg) to,
            scratch = out(reg) _,
            f = const offset_of!(FpRegisters, f),
            fcsr = const offset_of!(FpRegisters, fcsr),
            options(nostack)
        );
    }
}

/// Loads the hart's floating-point registers.
pub(super) fn load(from: &FpRegisters) {
    csr::set_status_bits(csr::STATUS_FS);
    // SAFETY: FS is on; the guest's values may be anything.
    unsafe {
        asm!(
            ".option push",
            ".option arch, +d",
            "ld {scratch}, {fcsr}({from})",
            "fscsr {scratch}",
            ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
            "fld f\\n, {f}+8*\\n({from})",
            ".endr",
            ".option pop",
            from = in(reg) from,
            scratch = out(reg) _,
            f = const offset_of!(FpRegisters, f),
            fcsr = const offset_of!(FpRegisters, fcsr),
            options(nostack)
        );
    }
}
