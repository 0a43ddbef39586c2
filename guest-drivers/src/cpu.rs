//! The registers of S-mode: in the CPU page where the VMM gives one, else by
//! instructions. A kernel that uses [`Cpu`] is right on every machine, and
//! where it matters an access is a load or a store instead of an exit.
//!
//! ```no_run
//! use guest_drivers::{Cpu, CpuPage, Linear, Vmm};
//!
//! static PAGE: CpuPage = CpuPage::new();
//!
//! fn with_interrupts_off(vmm: Vmm<Linear>, work: impl FnOnce()) {
//!     // SAFETY: this kernel runs in S-mode, and has nothing in the last GiB.
//!     let Some(cpu) = (unsafe { Cpu::set_up(vmm, &PAGE) }) else { return };
//!     let were_on = cpu.interrupts_off();
//!     work();
//!     if were_on {
//!         cpu.interrupts_on();
//!     }
//! }
//! ```
//!
//! One of the places where `unsafe` is allowed: the page is at an address that
//! no pointer stands for, and the registers decide what runs. Trap entries in
//! assembly are in `docs/protocol.md`, "The CPU page"; [`offset`] has its numbers.
#![allow(unsafe_code)]

use core::fmt;

use crate::atomic::AtomicU64;
use crate::memory::Memory;
use crate::vmm::{Hypercall, Vmm};

pub use trapeze_protocol::cpu::offset;

/// Memory for the CPU page of one hart. Its first half, and the last quarter,
/// are the kernel's own.
#[repr(C, align(4096))]
pub struct CpuPage([AtomicU64; 512]);

impl CpuPage {
    /// A page of zeroes.
    pub const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; 512])
    }
}

impl Default for CpuPage {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for CpuPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CpuPage")
    }
}

/// How the registers of S-mode are reached on this hart.
#[derive(Clone, Copy, Debug)]
pub struct Cpu {
    paged: bool,
    here: machine::Here,
}

/// Reading and writing a register of this name.
macro_rules! registers {
    ($($read:ident, $write:ident = $at:ident, $csr:literal;)+) => {
        $(
            #[doc = concat!("`", $csr, "`")]
            #[inline(always)]
            pub fn $read(self) -> u64 {
                machine::read!(self, $at, $csr)
            }

            #[doc = concat!("Sets `", $csr, "`.")]
            ///
            /// # Safety
            /// The kernel must go on well with it. Interrupts are unmasked by
            /// [`interrupts_on`](Self::interrupts_on), not here.
            #[inline(always)]
            pub unsafe fn $write(self, value: u64) {
                machine::write!(self, $at, $csr, value);
            }
        )+
    };
}

impl Cpu {
    /// The registers of this hart, in `page` if the VMM is one that gives
    /// pages, and by instructions if not; `None` on other machines than RISC-V.
    ///
    /// # Safety
    /// The hart must be in S-mode whenever the value is used, and no other
    /// hart may use it. The last GiB of the kernel's addresses must be unused,
    /// and `page` nobody else's.
    pub unsafe fn set_up<M: Memory, H: Hypercall>(
        vmm: Vmm<M, H>,
        page: &'static CpuPage,
    ) -> Option<Self> {
        let paged = vmm.set_cpu_page(page).is_ok();
        Some(Self { paged, here: machine::HERE? })
    }

    /// The same on a machine without the VMM: by instructions.
    ///
    /// # Safety
    /// The hart must be in S-mode whenever the value is used.
    pub const unsafe fn by_instructions() -> Option<Self> {
        match machine::HERE {
            Some(here) => Some(Self { paged: false, here }),
            None => None,
        }
    }

    /// Whether the registers are in a page.
    pub const fn is_paged(self) -> bool {
        self.paged
    }

    registers! {
        sstatus, set_sstatus = SSTATUS, "sstatus";
        stvec, set_stvec = STVEC, "stvec";
        sscratch, set_sscratch = SSCRATCH, "sscratch";
        sepc, set_sepc = SEPC, "sepc";
        scause, set_scause = SCAUSE, "scause";
        stval, set_stval = STVAL, "stval";
    }

    /// `sie`
    #[inline(always)]
    pub fn sie(self) -> u64 {
        machine::read!(self, SIE, "sie")
    }

    /// Sets `sie`. Always by the instruction, which sees what waits.
    #[inline]
    pub fn set_sie(self, value: u64) {
        self.here.set_sie(value);
    }

    /// Masks interrupts; tells whether they were on. In the page, SPIE is
    /// cleared, too: it means something in trap handlers only.
    #[inline(always)]
    pub fn interrupts_off(self) -> bool {
        self.here.interrupts_off(self.paged)
    }

    /// Unmasks interrupts. One that waits is taken before this returns.
    #[inline(always)]
    pub fn interrupts_on(self) {
        self.here.interrupts_on(self.paged);
    }

    /// Lets `satp` change with the mode: a trap from U-mode brings `kernel`,
    /// an `sret` to U-mode `user`, each with a fence of all; zero leaves it
    /// alone. `false` without a page: the kernel does it itself.
    ///
    /// # Safety
    /// Trap handler and stack must be mapped by `kernel`, and the program by
    /// `user`.
    pub unsafe fn set_spaces(self, kernel: u64, user: u64) -> bool {
        self.here.set_spaces(self.paged, kernel, user)
    }
}

#[cfg(target_arch = "riscv64")]
mod machine {
    use core::arch::asm;

    use super::offset;

    /// Shows that this is a RISC-V machine.
    #[derive(Clone, Copy, Debug)]
    pub(super) struct Here;

    pub(super) const HERE: Option<Here> = Some(Here);

    macro_rules! read {
        ($cpu:ident, $at:ident, $csr:literal) => {{
            let value: u64;
            // SAFETY: S-mode may read the register; it is where `paged` says.
            unsafe {
                if $cpu.paged {
                    core::arch::asm!("ld {}, {}(zero)", out(reg) value, const offset::$at,
                        options(nostack));
                } else {
                    core::arch::asm!(concat!("csrr {}, ", $csr), out(reg) value,
                        options(nostack));
                }
            }
            value
        }};
    }

    macro_rules! write {
        ($cpu:ident, $at:ident, $csr:literal, $value:ident) => {{
            // SAFETY: as in `read`; the kernel goes on well, says the caller.
            unsafe {
                if $cpu.paged {
                    core::arch::asm!("sd {}, {}(zero)", in(reg) $value, const offset::$at,
                        options(nostack));
                } else {
                    core::arch::asm!(concat!("csrw ", $csr, ", {}"), in(reg) $value,
                        options(nostack));
                }
            }
        }};
    }

    pub(super) use {read, write};

    /// `sstatus.SIE`
    const SIE: u64 = 2;

    impl Here {
        #[inline]
        pub(super) fn set_sie(self, value: u64) {
            // SAFETY: which interrupts come is no matter of memory.
            unsafe { asm!("csrw sie, {}", in(reg) value, options(nostack)) };
        }

        #[inline(always)]
        pub(super) fn interrupts_off(self, paged: bool) -> bool {
            let old: u64;
            // SAFETY: interrupts that stay away do no harm; of the lowest byte
            // of `sstatus`, SIE and SPIE are all.
            unsafe {
                if paged {
                    asm!("lb {}, {at}(zero)", "sb zero, {at}(zero)", out(reg) old,
                        at = const offset::SSTATUS, options(nostack));
                } else {
                    asm!("csrrci {}, sstatus, 2", out(reg) old, options(nostack));
                }
            }
            old & SIE != 0
        }

        #[inline(always)]
        pub(super) fn interrupts_on(self, paged: bool) {
            // SAFETY: the kernel has a trap handler. The store comes before
            // the look, so that no interrupt falls between them.
            unsafe {
                if paged {
                    asm!(
                        "sb {sie}, {status}(zero)",
                        "ld {waits}, {pending}(zero)",
                        "beqz {waits}, 2f",
                        "csrr zero, sip",
                        "2:",
                        sie = in(reg) SIE,
                        waits = out(reg) _,
                        status = const offset::SSTATUS,
                        pending = const offset::PENDING,
                        options(nostack),
                    );
                } else {
                    asm!("csrsi sstatus, 2", options(nostack));
                }
            }
        }

        pub(super) fn set_spaces(self, paged: bool, kernel: u64, user: u64) -> bool {
            if paged {
                // SAFETY: the page is there; the caller promises the rest.
                unsafe {
                    asm!("sd {}, {}(zero)", in(reg) kernel, const offset::KERNEL_SATP,
                        options(nostack));
                    asm!("sd {}, {}(zero)", in(reg) user, const offset::USER_SATP,
                        options(nostack));
                }
            }
            paged
        }
    }
}

/// There is no value of `Here`, and so none of `Cpu`.
#[cfg(not(target_arch = "riscv64"))]
mod machine {
    #[derive(Clone, Copy, Debug)]
    pub(super) enum Here {}

    pub(super) const HERE: Option<Here> = None;

    macro_rules! read {
        ($cpu:ident, $at:ident, $csr:literal) => {
            match $cpu.here {}
        };
    }

    macro_rules! write {
        ($cpu:ident, $at:ident, $csr:literal, $value:ident) => {{
            let _: u64 = $value;
            match $cpu.here {}
        }};
    }

    pub(super) use {read, write};

    impl Here {
        pub(super) fn set_sie(self, _: u64) {
            match self {}
        }

        pub(super) fn interrupts_off(self, _: bool) -> bool {
            match self {}
        }

        pub(super) fn interrupts_on(self, _: bool) {
            match self {}
        }

        pub(super) fn set_spaces(self, _: bool, _: u64, _: u64) -> bool {
            match self {}
        }
    }
}
