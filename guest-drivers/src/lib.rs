//! What a guest kernel links to use the paravirtual devices of the VMM.
//!
//! No allocator, no threads, no kernel of a certain kind is needed: a driver
//! keeps what it needs in a static of yours, and all it has to know is how
//! your addresses translate ([`Memory`]).
//!
//! ```no_run
//! use guest_drivers::{Block, BlockStorage, DeviceType, Linear, Once, detect};
//!
//! static DISK: Once<BlockStorage<&'static mut [u8], 64>> = Once::new(BlockStorage::new());
//!
//! fn boot_block(device_tree: &[u8]) -> Option<[u8; 512]> {
//!     // SAFETY: this kernel's memory is mapped where it is.
//!     let memory = unsafe { Linear::identity() };
//!     let vmm = detect::by_device_tree(device_tree, memory)?;
//!     let mut disk = Block::new(vmm.find(DeviceType::Block)?, DISK.take()?).ok()?;
//!     let mut sector = [0; 512];
//!     disk.read(0, &mut sector).ok()?;
//!     Some(sector)
//! }
//! ```
//!
//! # Map
//!
//! ```text
//!  detect      am I a guest?
//!  vmm         hypercalls, and devices as the VMM describes them
//!  counters    what the VMM has counted
//!  memory      where devices find this kernel's memory
//!  interrupt   the line that all devices share
//!  cpu         the registers of S-mode, in memory
//!  block, console, entropy, net    drivers
//!   └ channel  a queue, and who owns the memory of its requests
//!      ├ dma   buffers that are given to devices
//!      └ queue, rings    the driver's side of a split virtqueue
//!  ecall       the one instruction of it all
//!  adapters    the drivers as other crates want them
//! ```
//!
//! # Features
//!
//! `alloc`, `device-tree` (the default), and adapters to other crates, named
//! after them: `embedded-io`, `embedded-sdmmc`, `log`, `rand_core`, `smoltcp`,
//! `virtio-drivers`. The README has a table.
//!
//! # Who owns a buffer
//!
//! A buffer in flight is the device's. So drivers take buffers by value
//! ([`Dma`]) and give them back with the completion; calls that wait borrow
//! them. Whatever else safe code does, such as to forget a driver, at worst
//! leaks a buffer. What the device says is checked: one that gives back what
//! it does not have, or claims to have written more than there was room for,
//! is reset, and its requests end with [`Error::Broken`].
#![no_std]

#[cfg(test)]
extern crate std;

/// The examples of the README, compiled.
#[cfg(all(doctest, feature = "device-tree"))]
#[doc = include_str!("../README.md")]
struct Readme;

mod adapters;
mod block;
mod channel;
mod console;
mod counters;
mod cpu;
pub mod detect;
mod dma;
mod ecall;
mod entropy;
mod error;
mod interrupt;
mod memory;
mod net;
mod plain;
mod queue;
mod rings;
mod storage;
mod vmm;

/// The atomics that rings are made of; the crate `ordering` has others.
mod atomic {
    pub(crate) use core::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering, fence};
}

#[cfg(feature = "virtio-drivers")]
pub use adapters::HypercallTransport;
#[cfg(feature = "log")]
pub use adapters::LogWriter;
#[cfg(feature = "embedded-sdmmc")]
pub use adapters::{SectorDevice, Sectors};
pub use block::{Block, BlockStorage, Completion, Operation};
pub use channel::{Refused, Statistics, Token};
pub use console::{Console, ConsoleStorage};
pub use counters::COUNTER_NAME;
pub use cpu::{Cpu, CpuPage, offset as cpu_offset};
pub use dma::{Dma, RawBuffer};
pub use ecall::Ecall;
pub use entropy::{Entropy, EntropyStorage};
pub use error::Error;
pub use interrupt::{InterruptLine, News};
pub use memory::{Linear, Memory, Once};
pub use net::{Net, NetStorage};
pub use queue::Interrupts;
pub use trapeze_protocol as protocol;
pub use trapeze_protocol::device::DeviceType;
pub use trapeze_protocol::interrupt::Line;
pub use vmm::{Device, Hypercall, Vmm};
