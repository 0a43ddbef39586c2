//! The first instructions of a probe, in M-mode or above a firmware.
//!
//! Hart 0 (or the one that the firmware chose) clears `.bss` and runs the
//! probe; other harts go to [`crate::smp`] and wait there. Stacks lie outside
//! the image, 64 KiB per hart.

use core::arch::naked_asm;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::context;
use crate::csr::{self, MEDELEG, MIDELEG, MIE, MSCRATCH, MTVEC, PMPADDR0, PMPCFG0, STVEC};

/// Harts that have a stack.
pub const MAX_HARTS: usize = 8;

/// The probe was started in S-mode, so that S-mode is the mode that catches.
/// In `.data`, since it is written before `.bss` is cleared.
#[unsafe(link_section = ".data.boot")]
static BOOTED_IN_S: AtomicBool = AtomicBool::new(false);

/// Whether the probe runs above a firmware, in S-mode.
#[must_use]
pub fn in_s_mode() -> bool {
    BOOTED_IN_S.load(Ordering::Relaxed)
}

unsafe extern "Rust" {
    fn probe_main(hart: u64, dtb: u64) -> !;
}

/// Where a probe that owns the machine starts, on every hart.
#[unsafe(naked)]
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.entry.m")]
extern "C" fn _start_m() -> ! {
    naked_asm!(
        "csrr a0, mhartid",
        "csrw mie, zero",
        "li t0, {harts}",
        "1: bgeu a0, t0, 1b",
        "la sp, __stacks + 0x10000",
        "slli t0, a0, 16",
        "add sp, sp, t0",
        "bnez a0, {waiting}",
        "la t0, __bss_start",
        "la t1, __bss_end",
        "2: bgeu t0, t1, 3f",
        "sd zero, 0(t0)",
        "addi t0, t0, 8",
        "j 2b",
        "3: j {main}",
        harts = const MAX_HARTS,
        waiting = sym crate::smp::wait,
        main = sym main_m,
    )
}

/// Where a probe above a firmware starts, on one hart: `a0` hart, `a1` device tree.
#[unsafe(naked)]
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.entry.s")]
extern "C" fn _start_s() -> ! {
    naked_asm!(
        "csrw sie, zero",
        "li t0, {harts}",
        "1: bgeu a0, t0, 1b",
        "la sp, __stacks + 0x10000",
        "slli t0, a0, 16",
        "add sp, sp, t0",
        "la t0, __bss_start",
        "la t1, __bss_end",
        "2: bgeu t0, t1, 3f",
        "sd zero, 0(t0)",
        "addi t0, t0, 8",
        "j 2b",
        "3: j {main}",
        harts = const MAX_HARTS,
        main = sym main_s,
    )
}

extern "C" fn main_m(hart: u64, dtb: u64) -> ! {
    own_hart();
    // SAFETY: defined by `probe!` in the executable, with this signature.
    unsafe { probe_main(hart, dtb) }
}

extern "C" fn main_s(hart: u64, dtb: u64) -> ! {
    BOOTED_IN_S.store(true, Ordering::Relaxed);
    csr::write::<STVEC>(context::vector_s as *const () as u64);
    // SAFETY: as above.
    unsafe { probe_main(hart, dtb) }
}

/// Takes this hart over: traps come to us, nothing is delegated, S and U may
/// access all memory (PMP entry 0 covers everything).
pub fn own_hart() {
    csr::write::<MSCRATCH>(0);
    csr::write::<MTVEC>(context::vector_m as *const () as u64);
    csr::write::<MEDELEG>(0);
    csr::write::<MIDELEG>(0);
    csr::write::<MIE>(0);
    csr::write::<PMPADDR0>(u64::MAX >> 10);
    csr::write::<PMPCFG0>(0x1f);
}
