//! The virtual hart: what a guest believes its processor to be.
//!
//! Pure state and pure rules. `hw` moves `Context` in and out of the real
//! hart; `machine` decides when; here is only what the privileged
//! architecture says.

mod cause;
mod names;
mod pmp;

pub use cause::{Cause, Exception, Interrupt};
pub use names::{COUNT, CsrId, CsrName};
pub use pmp::{Permission, Pmp, Rules};

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

/// What the world switch loads and saves: integer registers and pc.
///
/// `hw::switch` takes its offsets from this layout with `offset_of!`.
#[repr(C)]
#[derive(Clone, Debug)]
pub struct Context {
    /// x0 to x31; x0 stays zero.
    pub x: [u64; 32],
    /// Address of the next instruction, guest-virtual.
    pub pc: u64,
    /// Host registers while the guest runs: sp, ra, s0, s1.
    pub host: [u64; 4],
}
