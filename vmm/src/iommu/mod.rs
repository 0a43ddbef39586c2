//! The tables with which an IOMMU keeps a guest's device within the guest's
//! memory (RISC-V IOMMU Architecture Specification 1.0).
//!
//! ```text
//!   directory   device number → its guest's stage, or nothing: blocked
//!   stage       guest-physical → host-physical, RAM of one guest
//!   command     what the IOMMU is to forget
//!   fault       what it refused
//! ```
//!
//! Made of atomics, since the IOMMU reads them at any time; its registers are
//! in `hw`. Invariant **only-own-dma**: a device that is not in the directory
//! reaches nothing, and one that is reaches RAM of its guest, nothing else.

mod command;
mod directory;
mod fault;
mod stage;

pub use command::Command;
pub use directory::{Directory, Format};
pub use fault::{Fault, RECORD, Told, Verdict};
pub use stage::Stage;

/// A device as the IOMMU knows it: bus, device and function number.
pub type DeviceId = u32;
