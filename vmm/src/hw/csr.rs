//! The CSR accesses that the VMM makes.

use core::arch::asm;

use crate::pass::Registers;

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

read!(/// Extensions of the hart.
    extensions, "misa");
read!(/// Pending interrupts.
    pending, "mip");
read!(/// Machine status.
    status, "mstatus");
read!(/// S-mode's trap vector.
    supervisor_vector, "stvec");
read!(/// S-mode's scratch register.
    supervisor_scratch, "sscratch");
read!(/// Where S-mode's trap came from.
    supervisor_pc, "sepc");
read!(/// Why S-mode trapped.
    supervisor_cause, "scause");
read!(/// The value of S-mode's trap.
    supervisor_value, "stval");
read!(/// The delegated interrupts that S-mode enables.
    supervisor_enabled, "sie");
read!(/// Which counters S-mode passes on to U-mode.
    supervisor_counters, "scounteren");
read!(/// S-mode's environment configuration.
    supervisor_configuration, "senvcfg");
read!(/// S-mode's timer, `stimecmp`, which older assemblers do not know.
    supervisor_timer, "0x14d");
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
write!(/// Which counters S-mode passes on to U-mode.
    set_supervisor_counters, "csrw", "scounteren");
write!(/// S-mode's trap vector.
    set_supervisor_vector, "csrw", "stvec");
write!(/// S-mode's scratch register.
    set_supervisor_scratch, "csrw", "sscratch");
write!(/// Where S-mode's trap came from.
    set_supervisor_pc, "csrw", "sepc");
write!(/// Why S-mode trapped.
    set_supervisor_cause, "csrw", "scause");
write!(/// The value of S-mode's trap.
    set_supervisor_value, "csrw", "stval");
write!(/// S-mode's environment configuration.
    set_supervisor_configuration, "csrw", "senvcfg");
write!(/// Pending interrupts of S-mode; those of M-mode are not for writing.
    set_supervisor_pending, "csrw", "mip");
write!(/// S-mode's timer, `stimecmp`.
    set_supervisor_timer, "csrw", "0x14d");
write!(/// Sets bits of `menvcfg`.
    set_environment_bits, "csrs", "0x30a");
write!(/// Clears bits of `menvcfg`.
    clear_environment_bits, "csrc", "0x30a");
write!(/// The trap's scratch register (see `switch`).
    set_scratch, "csrw", "mscratch");
write!(/// Machine status.
    set_status, "csrw", "mstatus");
write!(/// Sets bits of the machine status.
    set_status_bits, "csrs", "mstatus");
write!(/// Clears bits of the machine status.
    clear_status_bits, "csrc", "mstatus");
write!(/// Exceptions that S-mode takes itself.
    set_exception_delegation, "csrw", "medeleg");
write!(/// Interrupts that S-mode takes itself.
    set_interrupt_delegation, "csrw", "mideleg");

/// `mstatus.FS`.
pub(super) const STATUS_FS: u64 = 3 << 13;
/// `menvcfg.STCE`: S-mode has a timer, `stimecmp`, which drives `mip.STIP`.
pub(super) const STCE: u64 = 1 << 63;
/// `misa.H`.
pub(super) const H: u64 = 1 << 7;
/// `mip.MSIP` and `mie.MSIE`.
pub(super) const SOFTWARE: u64 = 1 << 3;
/// `mip.MTIP` and `mie.MTIE`.
pub(super) const TIMER: u64 = 1 << 7;
/// `mip.MEIP` and `mie.MEIE`.
pub(super) const EXTERNAL: u64 = 1 << 11;
/// The interrupts that are always enabled while a guest runs.
pub(super) const MACHINE_INTERRUPTS: u64 = SOFTWARE | TIMER | EXTERNAL;
/// SSIP, STIP and SEIP.
pub(super) const SUPERVISOR_INTERRUPTS: u64 = 1 << 1 | 1 << 5 | 1 << 9;

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

/// PMP entries for registers that guests reach: all but the last three.
const OPEN: usize = 13;

/// Guards everything up to `end`, which is the machine's devices and the
/// VMM's image, from lower modes and opens the rest of physical memory to
/// them: the shadow tables decide there. They decide about `open`, too, each
/// of which is as large as it is aligned; there are entries for 13.
pub(super) fn guard(end: u64, open: &[Registers]) {
    const OFF: u64 = 0x00;
    const TOR_NONE: u64 = 0x08;
    const TOR_RWX: u64 = 0x0f;
    const NAPOT_RW: u64 = 0x1b;
    let (mut addresses, mut configs) = ([0; 16], [OFF; 16]);
    let places = addresses.iter_mut().zip(&mut configs).take(OPEN);
    for ((address, config), registers) in places.zip(open) {
        *address = registers.host.0 >> 2 | (registers.size / 8 - 1);
        *config = NAPOT_RW;
    }
    // A range ends where an entry says, and begins where the one before does.
    let last = [(0, OFF), (end >> 2, TOR_NONE), (u64::MAX >> 10, TOR_RWX)];
    for ((address, config), value) in addresses.iter_mut().zip(&mut configs).skip(OPEN).zip(last) {
        (*address, *config) = value;
    }
    let packed = |half: &[u64]| half.iter().rev().fold(0, |word, config| word << 8 | config);
    let (low, high) = configs.split_at(8);
    set_protection(&addresses, [packed(low), packed(high)]);
}

/// Sets all PMP entries.
fn set_protection(addresses: &[u64; 16], configs: [u64; 2]) {
    macro_rules! set {
        ($($n:literal)*) => {$(
            // SAFETY: PMP binds M-mode only by locked entries, and none is locked.
            unsafe {
                asm!(concat!("csrw pmpaddr", $n, ", {}"), in(reg) addresses[$n], options(nostack));
            }
        )*};
    }
    set!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
    let [low, high] = configs;
    // SAFETY: as above.
    unsafe {
        asm!("csrw pmpcfg0, {}", "csrw pmpcfg2, {}", in(reg) low, in(reg) high, options(nostack));
    }
}

/// Orders memory and device registers, either before either.
#[inline(always)]
pub(super) fn fence_io() {
    // SAFETY: a fence does nothing else.
    unsafe { asm!("fence iorw, iorw", options(nostack)) };
}
