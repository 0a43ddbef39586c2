//! The firmware that a guest kernel booted in vS calls: SBI version 2.0.
//!
//! Sources: RISC-V Supervisor Binary Interface Specification 2.0, one
//! function here per chapter there, constants from the crate `sbi-spec`.
//!
//! What a call does to its own hart is in the [`Reply`], for the machine to
//! carry out; what it does to anything else goes through [`Firmware`]. All
//! arguments are wild until checked, and each call does bounded work: one
//! that could take long does a part, and says so in its result.
//!
//! An extension or function we do not have is `SBI_ERR_NOT_SUPPORTED`; that
//! is how guests find out, so it is no error to report.

mod console;
mod harts;
mod legacy;
mod names;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;

pub use harts::HartSet;
pub use names::name;

use sbi_spec::{base, binary::SbiRet, dbcn, hsm, legacy as old, rfnc, spi, srst, time};

use crate::addr::{Gpa, Gva};
use crate::mem::GuestRam;

/// What we call ourselves in `sbi_get_impl_id`: "TRPZ". The registered
/// identities (section 4.9) count up from 0 and are far from it.
pub const IMPLEMENTATION_ID: u64 = 0x5452_505a;

/// Version in `sbi_get_impl_version`: major in bits 23 to 16, minor, patch.
pub const IMPLEMENTATION_VERSION: u64 = 0x00_01_00;

/// `error` in a0 and `value` in a1.
pub type Ret = SbiRet<u64>;

/// The registers of an `ecall`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Args {
    /// a0 to a5.
    pub a: [u64; 6],
    /// a6: the function within the extension.
    pub fid: u64,
    /// a7: the extension.
    pub eid: u64,
}

impl Args {
    /// Takes the arguments out of x0 to x31.
    #[inline]
    pub const fn from_registers(x: &[u64; 32]) -> Self {
        Self { a: [x[10], x[11], x[12], x[13], x[14], x[15]], fid: x[16], eid: x[17] }
    }
}

/// What happens to the hart that called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Reply {
    /// a0 and a1 are written, and the hart goes on after the `ecall`.
    Return(Ret),
    /// The same for a legacy call, which must leave a1 alone (chapter 5).
    Legacy(i64),
    /// Nothing is written and pc stays: the console takes no byte now, and the
    /// call, which has to wait for it, is to be made again.
    Again,
    /// The hart is stopped, until another one starts it.
    Stop,
    /// The hart waits for an interrupt, as in `wfi`. With `None` the call then
    /// returns success; else the hart continues as [`Start`] says.
    Suspend(Option<Start>),
    /// The guest ends, or starts again.
    Reset(Reset),
}

impl From<Ret> for Reply {
    fn from(ret: Ret) -> Self {
        Self::Return(ret)
    }
}

/// Where a hart begins to run in vS: with `satp` zero, `sstatus.SIE` clear,
/// its own number in a0 and `opaque` in a1 (table 2 of chapter 9).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Start {
    /// First instruction, in RAM.
    pub pc: Gpa,
    /// What the guest wants to find in a1.
    pub opaque: u64,
}

/// State of a hart, as `sbi_hart_get_status` tells it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HartState {
    /// It runs, or is ready to.
    Started,
    /// It waits to be started.
    Stopped,
    /// It was started, and has not run yet.
    StartPending,
    /// It waits for an interrupt after `sbi_hart_suspend`.
    Suspended,
}

/// How a guest ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reset {
    /// What is to follow.
    pub kind: ResetKind,
    /// The guest's reason is a system failure.
    pub failure: bool,
}

/// What follows a reset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ResetKind {
    /// Power off.
    Shutdown,
    /// Everything anew.
    ColdReboot,
    /// Harts anew.
    WarmReboot,
}

/// A fence to be performed by other harts before the call returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RemoteFence {
    /// `fence.i`
    Instruction,
    /// `sfence.vma`
    Memory {
        /// First address and size in bytes, not zero and no more than
        /// [`FENCE_LIMIT`]; or all addresses.
        range: Option<(Gva, u64)>,
        /// One address space, or all.
        asid: Option<u16>,
    },
}

/// The largest range of addresses that is fenced one by one, in bytes; a
/// larger one is a fence of everything, which costs less and is allowed.
pub const FENCE_LIMIT: u64 = 64 << 12;

/// The `mvendorid`, `marchid` and `mimpid` of the guest's harts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Identity {
    /// `mvendorid`
    pub vendor: u64,
    /// `marchid`
    pub architecture: u64,
    /// `mimpid`
    pub implementation: u64,
}

/// What the calls need of the machine. Harts are numbered from 0, as in
/// `mhartid`, and each number passed is below [`harts`](Self::harts).
pub trait Firmware {
    /// How many harts the guest has: 1 to 64.
    fn harts(&self) -> usize;
    /// What a hart is doing.
    fn hart_state(&self, hart: usize) -> HartState;
    /// What the guest's harts are.
    fn identity(&self) -> Identity;
    /// The guest's memory.
    fn ram(&self) -> &GuestRam;
    /// Clears the hart's pending timer interrupt, and raises it when `time`
    /// reaches `deadline`.
    fn set_timer(&mut self, hart: usize, deadline: u64);
    /// Sets `sip.SSIP` of each hart.
    fn send_ipi(&mut self, to: HartSet);
    /// Clears `sip.SSIP` of the hart, and tells whether it was set.
    fn clear_ipi(&mut self, hart: usize) -> bool;
    /// Has each hart perform the fence before it runs again; one that runs
    /// meanwhile must be made to.
    fn fence(&mut self, on: HartSet, fence: RemoteFence);
    /// Starts a stopped hart. `false`: another hart was quicker.
    fn start(&mut self, hart: usize, at: Start) -> bool;
    /// Writes to the guest's console without waiting; returns how many bytes
    /// it took.
    fn console_write(&mut self, bytes: &[u8]) -> usize;
    /// Reads what was typed, without waiting; returns how many bytes.
    fn console_read(&mut self, bytes: &mut [u8]) -> usize;
    /// The doubleword at a virtual address, as the hart would load it in vS.
    fn read_virtual(&mut self, hart: usize, address: Gva) -> Option<u64>;
}

/// Serves the call that hart `from` makes with `args`.
pub fn call(args: &Args, from: usize, host: &mut impl Firmware) -> Reply {
    match word(args.eid) {
        base::EID_BASE => base_call(args, host).into(),
        time::EID_TIME => timer(args, from, host).into(),
        spi::EID_SPI => harts::ipi(args, host).into(),
        rfnc::EID_RFNC => harts::remote_fence(args, host).into(),
        hsm::EID_HSM => harts::state(args, host),
        srst::EID_SRST => reset(args),
        dbcn::EID_DBCN => console::call(args, host),
        old::LEGACY_SET_TIMER..=old::LEGACY_SHUTDOWN => legacy::call(args, from, host),
        _ => Ret::not_supported().into(),
    }
}

/// A register as `sbi-spec` has its constants. No truncation: host and target
/// have 64 bits.
fn word(register: u64) -> usize {
    usize::try_from(register).unwrap_or(usize::MAX)
}

/// A parameter that the specification declares `uint32_t`: the high half of
/// its register depends on how the guest extends it.
#[expect(clippy::cast_possible_truncation, reason = "the parameter has 32 bits")]
const fn low_word(register: u64) -> u32 {
    register as u32
}

/// Chapter 4.
fn base_call(args: &Args, host: &impl Firmware) -> Ret {
    Ret::success(match word(args.fid) {
        base::GET_SBI_SPEC_VERSION => 2 << 24,
        base::GET_SBI_IMPL_ID => IMPLEMENTATION_ID,
        base::GET_SBI_IMPL_VERSION => IMPLEMENTATION_VERSION,
        base::PROBE_EXTENSION => u64::from(has_extension(args.a[0])),
        base::GET_MVENDORID => host.identity().vendor,
        base::GET_MARCHID => host.identity().architecture,
        base::GET_MIMPID => host.identity().implementation,
        _ => return Ret::not_supported(),
    })
}

/// Those that are served here, and that of the paravirtual interface.
fn has_extension(eid: u64) -> bool {
    let served = matches!(
        word(eid),
        base::EID_BASE
            | time::EID_TIME
            | spi::EID_SPI
            | rfnc::EID_RFNC
            | hsm::EID_HSM
            | srst::EID_SRST
            | dbcn::EID_DBCN
            | old::LEGACY_SET_TIMER..=old::LEGACY_SHUTDOWN
    );
    served || eid == trapeze_protocol::call::EXTENSION
}

/// Chapter 6.
fn timer(args: &Args, from: usize, host: &mut impl Firmware) -> Ret {
    if word(args.fid) != time::SET_TIMER {
        return Ret::not_supported();
    }
    host.set_timer(from, args.a[0]);
    Ret::success(0)
}

/// Chapter 10.
fn reset(args: &Args) -> Reply {
    if word(args.fid) != srst::SYSTEM_RESET {
        return Ret::not_supported().into();
    }
    let kind = match low_word(args.a[0]) {
        srst::RESET_TYPE_SHUTDOWN => ResetKind::Shutdown,
        srst::RESET_TYPE_COLD_REBOOT => ResetKind::ColdReboot,
        srst::RESET_TYPE_WARM_REBOOT => ResetKind::WarmReboot,
        _ => return Ret::invalid_param().into(),
    };
    let failure = match low_word(args.a[1]) {
        srst::RESET_REASON_NO_REASON => false,
        srst::RESET_REASON_SYSTEM_FAILURE => true,
        _ => return Ret::invalid_param().into(),
    };
    Reply::Reset(Reset { kind, failure })
}
