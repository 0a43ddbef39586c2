//! The virtual hart: what a guest believes its processor to be.
//!
//! Pure state and pure rules. `hw` moves `Context` in and out of the real
//! hart; `machine` decides when; here is only what the privileged
//! architecture says. What the rest of the VMM must do about a change is
//! returned as `Effects`, and done by the caller.
//!
//! ```text
//!   step     a trapped instruction ── access ─┬─ csr, names  the registers
//!   trap     exceptions, interrupts           ├─ status      mstatus, sstatus
//!   cause    their codes and names            ├─ interrupts  mip, mie, stimecmp
//!                                             ├─ counters    cycle, instret
//!                                             └─ pmp         protection
//!   paged       what of all this a guest may have in a page of its memory
//!   supervisor  what of all this moves to a real hart that runs vS itself
//!   plain       CSR accesses that the trap entry does without all this
//! ```
//!
//! The rules are compared with the Sail model of the architecture in `oracle`.

mod access;
mod cause;
mod counters;
mod csr;
mod interrupts;
mod names;
#[cfg(test)]
mod oracle;
mod paged;
pub mod plain;
mod pmp;
pub mod status;
mod step;
mod supervisor;
#[cfg(test)]
mod testing;
mod trap;

use bitflags::bitflags;

pub use cause::{Cause, Exception, Interrupt};
pub use counters::{Counter, Counters};
pub use csr::CsrFile;
pub use names::{COUNT, CsrId, CsrName, INDEX};
pub use paged::PageWords;
pub use pmp::{Permission, Pmp, Rules};
pub use step::{SFENCE_VMA, SFENCE_VMA_MASK, SRET};
pub use supervisor::Supervisor;

use crate::addr::Gva;
#[cfg(doc)]
use crate::mem::FenceWork;

/// Mode the guest believes it is in; the discriminants are the encodings of
/// `mstatus.MPP`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
#[repr(u8)]
pub enum Mode {
    /// vU
    User = 0,
    /// vS
    Supervisor = 1,
    /// vM
    Machine = 3,
}

impl Mode {
    /// The mode with this encoding in the two low bits. 2 is no mode, and
    /// where one is read, never stored.
    #[inline]
    pub const fn from_bits(bits: u64) -> Self {
        match bits & 3 {
            0 => Self::User,
            1 => Self::Supervisor,
            _ => Self::Machine,
        }
    }
}

/// What the world switch loads and saves: integer registers and pc.
///
/// `hw::switch` takes its offsets from this layout with `offset_of!`.
#[repr(C)]
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Context {
    /// x0 to x31; x0 stays zero.
    pub x: [u64; 32],
    /// Address of the next instruction, guest-virtual.
    pub pc: u64,
    /// What the world switch keeps for itself while the guest runs.
    pub kept: Kept,
}

/// What the world switch keeps for itself, and sets before the guest runs.
#[repr(C)]
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Kept {
    /// Its own sp, ra, s0 and s1.
    pub registers: [u64; 4],
    /// Address of the real hart's state.
    pub hart: u64,
    /// Address of the vCPU's seat.
    pub seat: u64,
    /// Address of the vCPU's counters, those of CSRs first.
    pub counters: u64,
    /// Address of the [`FenceWork`] of the guest.
    pub fence_work: u64,
    /// Not zero: the trap entry did a fence.
    pub fenced: u64,
    /// The mode whose plain CSR accesses the trap entry does by itself; 2,
    /// which is no mode, for none. See [`plain`].
    pub plain: u8,
}

/// What the virtual hart must know of the real machine.
pub trait Env {
    /// The guest's `time`, in ticks of the time base.
    fn time(&self) -> u64;
    /// The real `mcycle`.
    fn cycle(&self) -> u64;
    /// The real `minstret`.
    fn instret(&self) -> u64;
    /// Whether the real `mstatus.FS` is Dirty, on behalf of this hart.
    fn fp_dirty(&self) -> bool;
}

bitflags! {
    /// What else in the VMM a change of the virtual hart concerns.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Default)]
    #[must_use]
    pub struct Effects: u8 {
        /// Addresses may translate, or be permitted, otherwise than before:
        /// mode, `satp`, SUM, MXR, MPRV, MPP under MPRV, or PMP.
        const TRANSLATION = 1;
        /// An interrupt may be deliverable that was not: ask
        /// [`Vcpu::pending_interrupt`].
        const INTERRUPTS = 1 << 1;
        /// [`CsrFile::timer_deadline`] changed. STIP is already right.
        const TIMER = 1 << 2;
        /// `mstatus.FS` changed: the real FS is to follow.
        const FP = 1 << 3;
        /// [`Vcpu::native_counters`] changed.
        const COUNTERS = 1 << 4;
        /// [`Pmp::rules`] changed. Always with TRANSLATION.
        const PMP = 1 << 5;
        /// The registers of vS are here, and a real hart that is to run vS
        /// itself needs them: [`Vcpu::supervisor`]. No instruction has this
        /// effect; it is for those who took them back.
        const SUPERVISOR = 1 << 6;
    }
}

/// What an emulated instruction comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Step {
    /// Done; go on at pc after these have been seen to.
    Done(Effects),
    /// `sfence.vma` is to be performed on the shadow tables.
    Fence(Fence),
    /// `wfi`: wait until [`Vcpu::wakes`], or do not.
    Wait,
    /// The instruction is to trap: the caller injects this.
    Trap(Exception),
}

/// Operands of `sfence.vma`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fence {
    /// Only translations of this address, or of all.
    pub vaddr: Option<Gva>,
    /// Only those of this address space and not global ones, or of all.
    pub asid: Option<u16>,
}

/// A virtual hart.
///
/// The trap entry finds its way from the context to the registers of vS, so
/// these come early ([`plain`]).
#[repr(C)]
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Vcpu {
    /// Integer registers and pc.
    pub ctx: Context,
    /// The virtual mode.
    pub mode: Mode,
    /// Control and status registers.
    pub csr: CsrFile,
}

impl Vcpu {
    /// A hart at reset: in vM, all registers and pc zero.
    pub fn new(hart_id: u64) -> Self {
        Self { ctx: Context::default(), mode: Mode::Machine, csr: CsrFile::new(hart_id) }
    }

    /// A hart that firmware has set up and is to leave in vS; see
    /// [`CsrFile::for_supervisor`]. pc and arguments are the caller's.
    pub fn for_supervisor(hart_id: u64) -> Self {
        let csr = CsrFile::for_supervisor(hart_id);
        Self { ctx: Context::default(), mode: Mode::Supervisor, csr }
    }

    /// The mode that loads and stores have: with MPRV, the one in MPP.
    #[inline]
    pub const fn data_mode(&self) -> Mode {
        if self.csr.mstatus & status::MPRV != 0 { status::mpp(self.csr.mstatus) } else { self.mode }
    }

    /// See [`CsrFile::set_lines`].
    #[inline]
    pub const fn set_lines(&mut self, lines: u64) {
        self.csr.set_lines(lines);
    }

    /// See [`CsrFile::sync_fp`].
    #[inline]
    pub const fn sync_fp(&mut self, dirty: bool) {
        self.csr.sync_fp(dirty);
    }

    /// Counters that the real hart may serve to this mode without a trap,
    /// bits as in `mcounteren`.
    #[inline]
    pub const fn native_counters(&self) -> u32 {
        self.csr.counters.native(self.mode)
    }
}
