//! CSR numbers, bits and accessors.
//!
//! Writing is a safe function: the probe runs in M-mode, where neither `satp`
//! nor PMP (entries are never locked against its own memory) changes what its
//! pointers mean, and `mstatus.MPRV` is only set inside snippets. Probes above
//! a firmware leave `satp` at 0.

use core::arch::asm;

macro_rules! numbers {
    ($($name:ident = $number:literal),* $(,)?) => {
        $(#[doc = concat!("Number of the CSR ", stringify!($name), ".")]
        pub const $name: u16 = $number;)*
    };
}

numbers! {
    FFLAGS = 0x001, FRM = 0x002, FCSR = 0x003,
    CYCLE = 0xc00, TIME = 0xc01, INSTRET = 0xc02,
    SSTATUS = 0x100, SIE = 0x104, STVEC = 0x105, SCOUNTEREN = 0x106, SENVCFG = 0x10a,
    SSCRATCH = 0x140, SEPC = 0x141, SCAUSE = 0x142, STVAL = 0x143, SIP = 0x144,
    STIMECMP = 0x14d, SATP = 0x180,
    MVENDORID = 0xf11, MARCHID = 0xf12, MIMPID = 0xf13, MHARTID = 0xf14, MCONFIGPTR = 0xf15,
    MSTATUS = 0x300, MISA = 0x301, MEDELEG = 0x302, MIDELEG = 0x303, MIE = 0x304, MTVEC = 0x305,
    MCOUNTEREN = 0x306, MENVCFG = 0x30a, MCOUNTINHIBIT = 0x320,
    MSCRATCH = 0x340, MEPC = 0x341, MCAUSE = 0x342, MTVAL = 0x343, MIP = 0x344,
    PMPCFG0 = 0x3a0, PMPCFG2 = 0x3a2, PMPADDR0 = 0x3b0, PMPADDR1 = 0x3b1, PMPADDR2 = 0x3b2,
    PMPADDR3 = 0x3b3, PMPADDR4 = 0x3b4, PMPADDR5 = 0x3b5, PMPADDR15 = 0x3bf,
    MCYCLE = 0xb00, MINSTRET = 0xb02,
}

/// `sstatus.SIE`.
pub const SIE_BIT: u64 = 1 << 1;
/// `mstatus.MIE`.
pub const MIE_BIT: u64 = 1 << 3;
/// `sstatus.SPIE`.
pub const SPIE: u64 = 1 << 5;
/// `mstatus.MPIE`.
pub const MPIE: u64 = 1 << 7;
/// `sstatus.SPP`.
pub const SPP: u64 = 1 << 8;
/// Where `mstatus.MPP` starts.
pub const MPP_SHIFT: u32 = 11;
/// `mstatus.MPP`, both bits.
pub const MPP: u64 = 3 << MPP_SHIFT;
/// `sstatus.FS`, both bits (dirty).
pub const FS: u64 = 3 << 13;
/// `sstatus.FS` = initial.
pub const FS_INITIAL: u64 = 1 << 13;
/// `sstatus.FS` = clean.
pub const FS_CLEAN: u64 = 2 << 13;
/// `mstatus.MPRV`.
pub const MPRV: u64 = 1 << 17;
/// `sstatus.SUM`.
pub const SUM: u64 = 1 << 18;
/// `sstatus.MXR`.
pub const MXR: u64 = 1 << 19;
/// `mstatus.TVM`.
pub const TVM: u64 = 1 << 20;
/// `mstatus.TW`.
pub const TW: u64 = 1 << 21;
/// `mstatus.TSR`.
pub const TSR: u64 = 1 << 22;
/// `sstatus.SD`.
pub const SD: u64 = 1 << 63;

/// Supervisor software interrupt, in `mip`, `mie`, `mideleg`.
pub const SSI: u64 = 1 << 1;
/// Machine software interrupt.
pub const MSI: u64 = 1 << 3;
/// Supervisor timer interrupt.
pub const STI: u64 = 1 << 5;
/// Machine timer interrupt.
pub const MTI: u64 = 1 << 7;
/// Supervisor external interrupt.
pub const SEI: u64 = 1 << 9;
/// Machine external interrupt.
pub const MEI: u64 = 1 << 11;

/// `menvcfg.STCE`: Sstc is on.
pub const STCE: u64 = 1 << 63;

/// Reads a CSR that exists in the probe's mode.
#[must_use]
pub fn read<const CSR: u16>() -> u64 {
    let value;
    // SAFETY: reading has no effect on memory.
    unsafe { asm!("csrr {0}, {csr}", out(reg) value, csr = const CSR, options(nostack)) };
    value
}

/// Writes a CSR.
pub fn write<const CSR: u16>(value: u64) {
    // SAFETY: see the top of the file.
    unsafe { asm!("csrw {csr}, {0}", in(reg) value, csr = const CSR, options(nostack)) };
}

/// Sets bits of a CSR and returns what it held.
pub fn set<const CSR: u16>(bits: u64) -> u64 {
    let old;
    // SAFETY: see the top of the file.
    unsafe {
        asm!("csrrs {0}, {csr}, {1}", out(reg) old, in(reg) bits, csr = const CSR, options(nostack));
    }
    old
}

/// Clears bits of a CSR and returns what it held.
pub fn clear<const CSR: u16>(bits: u64) -> u64 {
    let old;
    // SAFETY: see the top of the file.
    unsafe {
        asm!("csrrc {0}, {csr}, {1}", out(reg) old, in(reg) bits, csr = const CSR, options(nostack));
    }
    old
}

/// Writes a CSR and reads back what it kept.
#[must_use]
pub fn keep<const CSR: u16>(value: u64) -> u64 {
    write::<CSR>(value);
    read::<CSR>()
}

/// `fence.i`: later fetches see earlier stores of this hart.
pub fn fence_i() {
    // SAFETY: a fence only.
    unsafe { asm!("fence.i", options(nostack)) };
}

/// `sfence.vma` of everything, on this hart.
pub fn sfence_vma() {
    // SAFETY: drops translations, which M-mode does not use.
    unsafe { asm!("sfence.vma", options(nostack)) };
}

/// Waits for an interrupt that is enabled in `mie` (`sie`), taken or not.
pub fn wfi() {
    // SAFETY: waits only.
    unsafe { asm!("wfi", options(nostack)) };
}
