//! Measures one disk: the same workload by any of five drivers, so that what
//! differs is the path to the disk.
//!
//! ```text
//!   ata      task file and data port, each access of which traps
//!   virtio   virtio-mmio, version 1 or 2, by the queues of `virtio-drivers`
//!   bridge   the same queues and driver, on the paravirtual transport
//!   sync     `guest-drivers`, one request at a time
//!   pv       `guest-drivers`, many requests at a time
//! ```
//!
//! The command line says which, and what to measure (see `kernel/args.rs`). A driver
//! that does not give back what was written ends the run with a failure.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod kernel;

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("this is a kernel: `cargo xtask bench` runs it");
    std::process::exit(2);
}
