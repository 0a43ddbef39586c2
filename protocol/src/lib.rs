//! What both sides of the line agree on: hypercalls, rings and device
//! configuration, shared by the VMM and by every guest driver.
//!
//! In the order in which a driver needs it:
//!
//! ```text
//!  call       hypercalls: numbers, arguments, errors, versions
//!  device     what a device is: type, features, status, configuration
//!  queue      the rings through which data moves
//!  interrupt  the shared line that says which devices have news
//!  cpu        the page in which the registers of S-mode live
//! ```
//!
//! `docs/protocol.md` tells the same to writers of drivers in other
//! languages; `include/trapeze.h` is made from this crate and kept identical
//! by a test. Everything is little-endian, as the machines are.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod call;
pub mod cpu;
pub mod device;
pub mod interrupt;
pub mod queue;

const _: () = assert!(cfg!(target_endian = "little"), "the layouts here are little-endian");
