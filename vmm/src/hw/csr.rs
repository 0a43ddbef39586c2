//! The CSR accesses that the VMM makes.

use core::arch::asm;

macro_rules! read {
    ($(#[$doc:meta])* $name:ident, $csr:literal) => {
        $(#[$doc])*
        #[inline(always)]
        pub(super) fn $name() -> u64 {
            let value: u64;
            // SAFETY: reading this CSR has no side effect.
            unsafe { asm!(concat!("csrr {}, ", $csr), out(reg) value, options(nomem, nostack)) };
            value
        }
    };
}

macro_rules! write {
    ($(#[$doc:meta])* $name:ident, $instruction:literal, $csr:literal) => {
        $(#[$doc])*
        #[inline(always)]
        pub(super) fn $name(value: u64) {
            // SAFETY: the VMM runs in M-mode without translation, so that no
            // value can pull the ground from under its own code; what the
            // guest may do with it is the caller's business.
            unsafe { asm!(concat!($instruction, " ", $csr, ", {}"), in(reg) value, options(nostack)) };
        }
    };
}

read!(/// Pending interrupts.
    pending, "mip");
read!(/// Machine status.
    status, "mstatus");
read!(/// Cycle counter.
    cycle, "mcycle");
read!(/// Retired instructions.
    instret, "minstret");
read!(/// Wall-clock ticks.
    time, "time");
write!(/// Sets the trap vector.
    set_trap_vector, "csrw", "mtvec");
write!(/// Sets the enabled interrupts.
    set_enabled, "csrw", "mie");
write!(/// Sets the root of the tables that the guest runs on.
    set_satp, "csrw", "satp");
write!(/// Sets which counters U-mode may read.
    set_counters, "csrw", "mcounteren");
write!(/// Lets S-mode pass counters on to U-mode.
    set_supervisor_counters, "csrw", "scounteren");
write!(/// The trap's scratch register (see `switch`).
    set_scratch, "csrw", "mscratch");
write!(/// Sets bits of the machine status.
    set_status_bits, "csrs", "mstatus");
write!(/// Clears bits of the machine status.
    clear_status_bits, "csrc", "mstatus");
write!(/// Exceptions that S-mode takes itself: none.
    set_exception_delegation, "csrw", "medeleg");
write!(/// Interrupts that S-mode takes itself: none.
    set_interrupt_delegation, "csrw", "mideleg");

/// `mstatus.FS`.
pub(super) const STATUS_FS: u64 = 3 << 13;
/// `mstatus.MPP`.
pub(super) const STATUS_MPP: u64 = 3 << 11;
/// `mip.MSIP` and `mie.MSIE`.
pub(super) const SOFTWARE: u64 = 1 << 3;
/// `mip.MTIP` and `mie.MTIE`.
pub(super) const TIMER: u64 = 1 << 7;
/// `mip.MEIP` and `mie.MEIE`.
pub(super) const EXTERNAL: u64 = 1 << 11;

/// Throws away all translations of this hart.
#[inline(always)]
pub(super) fn flush_tlb() {
    // SAFETY: the VMM itself uses no translation.
    unsafe { asm!("sfence.vma", options(nostack)) };
}

/// Makes this hart's fetches see earlier stores.
#[inline(always)]
pub(super) fn fence_i() {
    // SAFETY: affects caches only.
    unsafe { asm!("fence.i", options(nostack)) };
}

/// Waits until an enabled interrupt is pending.
#[inline(always)]
pub(super) fn wait() {
    // SAFETY: resumes at the next instruction; `mstatus.MIE` is clear.
    unsafe { asm!("wfi", options(nomem, nostack)) };
}

/// Guards everything up to `end`, which is the machine's devices and the
/// VMM's image, from lower modes and opens the rest of physical memory to
/// them: the shadow tables decide there.
pub(super) fn guard_up_to(end: u64) {
    const TOR_NONE: u64 = 0x08;
    const TOR_RWX: u64 = 0x0f;
    let config = TOR_NONE | TOR_RWX << 8;
    // SAFETY: PMP binds M-mode only by locked entries, and none is locked.
    unsafe {
        asm!(
            "csrw pmpaddr0, {end}",
            "csrw pmpaddr1, {all}",
            "csrw pmpcfg0, {config}",
            end = in(reg) end >> 2,
            all = in(reg) u64::MAX >> 10,
            config = in(reg) config,
            options(nostack)
        );
    }
}

/// Orders memory and device registers, either before either.
#[inline(always)]
pub(super) fn fence_io() {
    // SAFETY: a fence does nothing else.
    unsafe { asm!("fence iorw, iorw", options(nostack)) };
}
