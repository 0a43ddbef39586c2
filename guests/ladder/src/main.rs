//! Measures one device: the same workload by any of its drivers, so that what
//! differs is the path to the device.
//!
//! ```text
//!   ata      disk: task file and data port, each access of which traps
//!   uart     console: a byte at a time
//!   virtio   all: virtio-mmio, version 1 or 2, by the queues of `virtio-drivers`
//!   bridge   all: the same queues, on the paravirtual transport
//!   sync     disk: `guest-drivers`, one request at a time
//!   pv       all: `guest-drivers`, many requests at a time
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
