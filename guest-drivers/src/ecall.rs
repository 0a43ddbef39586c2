//! The machine: the instruction that calls the VMM, and ways to find out
//! whether there is one.
//!
//! One of the places where `unsafe` is allowed, and the only one with
//! assembly. On other machines than RISC-V there is no [`Ecall`] to be had.
#![allow(unsafe_code)]

/// The way to the VMM by the instruction `ecall`. Having one means that the
/// VMM is there.
#[derive(Clone, Copy, Debug)]
pub struct Ecall(Machine);

#[cfg(target_arch = "riscv64")]
type Machine = ();
/// Cannot be.
#[cfg(not(target_arch = "riscv64"))]
type Machine = core::convert::Infallible;

#[cfg(not(target_arch = "riscv64"))]
mod other {
    use trapeze_protocol::call::{Call, Reply};

    use super::Ecall;
    use crate::vmm::Hypercall;

    impl Ecall {
        /// `None`: this is no RISC-V machine.
        ///
        /// # Safety
        /// No harm is done.
        pub const unsafe fn assume() -> Option<Self> {
            None
        }

        pub(crate) unsafe fn by_sbi() -> Option<Self> {
            None
        }

        pub(crate) unsafe fn by_trap() -> Option<Self> {
            None
        }
    }

    // SAFETY: there is no value to call anything by.
    unsafe impl Hypercall for Ecall {
        unsafe fn call(self, _: Call) -> Reply {
            match self.0 {}
        }
    }
}

#[cfg(target_arch = "riscv64")]
mod riscv {
    use core::arch::asm;

    use trapeze_protocol::call::{self, Call, EXTENSION, Reply};

    use super::Ecall;
    use crate::vmm::Hypercall;

    impl Ecall {
        /// The way to a VMM that is there; `None` on other machines than
        /// RISC-V.
        ///
        /// # Safety
        /// The kernel must run as a guest of Trapeze, in vS or vM.
        pub const unsafe fn assume() -> Option<Self> {
            Some(Self(()))
        }

        /// # Safety
        /// The kernel must run in S-mode on an SBI.
        pub(crate) unsafe fn by_sbi() -> Option<Self> {
            // SAFETY: as the caller says.
            unsafe { probe() }.then_some(Self(()))
        }

        /// # Safety
        /// The kernel must run in M-mode, real or virtual.
        pub(crate) unsafe fn by_trap() -> Option<Self> {
            // SAFETY: as the caller says.
            unsafe { trap_probe() }.then_some(Self(()))
        }
    }

    // SAFETY: the VMM is there and keeps the protocol; who made the value
    // promised that.
    unsafe impl Hypercall for Ecall {
        #[inline]
        unsafe fn call(self, call: Call) -> Reply {
            let [a0, a1, a2, a3, a4, a5] = call.arguments();
            let (error, value);
            // SAFETY: changes a0, a1 and what the caller says. It may read
            // and write memory, which the compiler assumes of it.
            unsafe {
                asm!(
                    "ecall",
                    inlateout("a0") a0 => error,
                    inlateout("a1") a1 => value,
                    in("a2") a2,
                    in("a3") a3,
                    in("a4") a4,
                    in("a5") a5,
                    in("a6") call.function() as u64,
                    in("a7") EXTENSION,
                    options(nostack),
                );
            }
            call::reply_from_registers([error, value])
        }
    }

    /// Whether the SBI has the extension (SBI 2.0, section 4.4).
    ///
    /// # Safety
    /// The kernel must run in S-mode on an SBI.
    unsafe fn probe() -> bool {
        const BASE: u64 = 0x10;
        const PROBE_EXTENSION: u64 = 3;
        let (error, value): (u64, u64);
        // SAFETY: an SBI is there, and changes a0 and a1 only.
        unsafe {
            asm!(
                "ecall",
                inlateout("a0") EXTENSION => error,
                lateout("a1") value,
                in("a6") PROBE_EXTENSION,
                in("a7") BASE,
                options(nostack),
            );
        }
        error == 0 && value != 0
    }

    /// Calls `version` from M-mode, where on real hardware the `ecall` goes to
    /// our own trap handler: for the moment, to one that skips it.
    ///
    /// # Safety
    /// The kernel must run in M-mode, real or virtual.
    unsafe fn trap_probe() -> bool {
        let error: i64;
        // SAFETY: interrupts are off meanwhile, so that the handler sees the
        // `ecall` or nothing; all registers that the handler or the trap
        // change are named, or put back.
        unsafe {
            asm!(
                "csrrci {mstatus}, mstatus, 8", // MIE
                "csrr {mepc}, mepc",
                "csrr {mcause}, mcause",
                "csrr {mtval}, mtval",
                "la {scratch}, 2f",
                "csrrw {mtvec}, mtvec, {scratch}",
                "ecall",
                "j 3f",
                ".balign 4", // mtvec has no room for lower bits
                "2:",
                "csrr {scratch}, mepc",
                "addi {scratch}, {scratch}, 4",
                "csrw mepc, {scratch}",
                "mret",
                "3:",
                "csrw mtvec, {mtvec}",
                "csrw mtval, {mtval}",
                "csrw mcause, {mcause}",
                "csrw mepc, {mepc}",
                "csrw mstatus, {mstatus}",
                mstatus = out(reg) _,
                mepc = out(reg) _,
                mcause = out(reg) _,
                mtval = out(reg) _,
                mtvec = out(reg) _,
                scratch = out(reg) _,
                inlateout("a0") -1i64 => error,
                lateout("a1") _,
                in("a6") call::Function::Version as u64,
                in("a7") EXTENSION,
                options(nostack),
            );
        }
        error == 0
    }
}
