//! The CPU page: a page of a vCPU's own in which the registers of S-mode
//! live, so that a kernel reaches each with one load or store and no exit.
//!
//! While the vCPU is in virtual S-mode, the page is the last one of its
//! addresses, whatever its tables say, and the upper half is what `x0` with
//! an offset reaches: `ld a0, -2048(x0)` reads `sstatus`. See
//! `docs/protocol.md`, "The CPU page", for what a store means, and when.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes of the page; it is aligned to as many.
pub const SIZE: u64 = 4096;
/// Bytes at the end of the address space that are not the kernel's own, in
/// S-mode, while it has a page: all of them but the page fault.
pub const TAIL: u64 = 1 << 30;
/// Where the VMM's half of the page begins in it.
pub const REGISTERS: u64 = 2048;

/// Offsets from `x0` of what lies in the page.
pub mod offset {
    use core::mem::offset_of;

    use super::{CpuPage, Registers, SIZE};

    #[expect(clippy::cast_possible_truncation, reason = "within a page")]
    const fn from_the_end(place: usize) -> i32 {
        place as i32 - SIZE as i32
    }

    const fn register(place: usize) -> i32 {
        from_the_end(offset_of!(CpuPage, registers) + place)
    }

    /// `sstatus`. Of its lowest byte, SIE and SPIE are all.
    pub const SSTATUS: i32 = register(offset_of!(Registers, sstatus));
    /// `sie`
    pub const SIE: i32 = register(offset_of!(Registers, sie));
    /// `stvec`
    pub const STVEC: i32 = register(offset_of!(Registers, stvec));
    /// `sscratch`
    pub const SSCRATCH: i32 = register(offset_of!(Registers, sscratch));
    /// `sepc`
    pub const SEPC: i32 = register(offset_of!(Registers, sepc));
    /// `scause`
    pub const SCAUSE: i32 = register(offset_of!(Registers, scause));
    /// `stval`
    pub const STVAL: i32 = register(offset_of!(Registers, stval));
    /// Interrupts that wait for SIE.
    pub const PENDING: i32 = register(offset_of!(Registers, pending));
    /// The `satp` that a trap from U-mode brings.
    pub const KERNEL_SATP: i32 = from_the_end(offset_of!(CpuPage, kernel_satp));
    /// The `satp` that an `sret` to U-mode brings.
    pub const USER_SATP: i32 = from_the_end(offset_of!(CpuPage, user_satp));
    /// 128 words of the kernel's own, up to the end.
    pub const SCRATCH: i32 = from_the_end(offset_of!(CpuPage, scratch));
}

/// The registers that the VMM and the kernel exchange.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Registers {
    /// `sstatus`
    pub sstatus: u64,
    /// `sie`
    pub sie: u64,
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
    /// Interrupts that are pending and enabled in `sie`, and wait for
    /// `sstatus.SIE`: bits as in `sip`. Written by the VMM.
    pub pending: u64,
}

/// The page.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(4096))]
pub struct CpuPage {
    /// The kernel's own. `x0` does not reach it.
    pub own: [u64; 256],
    /// The registers.
    pub registers: Registers,
    /// Zero, or what `satp` becomes, with a fence of all, by a trap from
    /// U-mode into S-mode.
    pub kernel_satp: u64,
    /// Zero, or what `satp` becomes, likewise, by an `sret` to U-mode.
    pub user_satp: u64,
    /// Zero.
    pub reserved: [u64; 118],
    /// The kernel's own.
    pub scratch: [u64; 128],
}

const _: () = assert!(size_of::<CpuPage>() as u64 == SIZE);
const _: () = assert!(core::mem::offset_of!(CpuPage, registers) as u64 == REGISTERS);
const _: () = assert!(offset::SSTATUS == -2048 && offset::SCRATCH == -1024);
