//! A small kernel on the crate `guest-drivers`: an example to copy from.
//!
//! It runs as a guest of Trapeze, on paravirtual devices, and the same image
//! on the bare machine, on virtio-mmio and a UART. It has one hart, no
//! address translation and no processes: what is left is how a kernel finds
//! its VMM, drives its devices, and waits.
//!
//! ```text
//!  boot       first instructions: from M-mode, or above an SBI, to S-mode
//!  serve      the loop that serves everything
//!  shell      commands
//!  kernel     what there is
//!   ├ tree      the machine, as the device tree describes it
//!   ├ events    waiting: for the VMM's interrupt line, or the PLIC
//!   ├ console   output, and keys
//!   ├ disk      one trait; by hypercalls and rings, or by virtio-mmio
//!   ├ files     FAT on the disk
//!   ├ net       TCP/IP: a web server, ping, fetch
//!   └ counters  what the VMM has counted for us: exits, by cause
//!  hart, heap, power, dma   the rest of the machine
//!  line, text   pure, with tests on the host
//! ```
//!
//! Interrupts are wake-ups here: they are never taken, only waited for with
//! `wfi`, because one loop serves everything. That saves a trap into the
//! kernel and back for each, which is a lot for a guest.
#![cfg_attr(target_os = "none", no_std)]

extern crate alloc;

pub mod line;
pub mod text;

#[cfg(target_os = "none")]
mod boot;
#[cfg(target_os = "none")]
mod console;
#[cfg(target_os = "none")]
mod counters;
#[cfg(target_os = "none")]
mod disk;
#[cfg(target_os = "none")]
mod dma;
#[cfg(target_os = "none")]
mod events;
#[cfg(target_os = "none")]
mod files;
#[cfg(target_os = "none")]
mod hart;
#[cfg(target_os = "none")]
mod heap;
#[cfg(target_os = "none")]
mod kernel;
#[cfg(target_os = "none")]
mod mmio;
#[cfg(target_os = "none")]
mod net;
#[cfg(target_os = "none")]
mod plic;
#[cfg(target_os = "none")]
mod power;
#[cfg(target_os = "none")]
mod serve;
#[cfg(target_os = "none")]
mod shell;
#[cfg(target_os = "none")]
mod tree;

/// The VMM, as this kernel has it: no address is translated.
#[cfg(target_os = "none")]
type Vmm = guest_drivers::Vmm<guest_drivers::Linear>;
