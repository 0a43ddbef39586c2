//! A guest that uses its paravirtual devices as other crates want them.
//!
//! ```text
//!   borrowed   the drivers of `virtio-drivers`, on our transport
//!   own        our drivers, as `embedded-io`, `log` and `rand_core` want them
//!   heap       which some of the borrowed drivers need
//! ```
//!
//! What it prints is `adapters: check = value`, as the probes do; `cargo test
//! --package tests --test adapters` runs it.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod kernel;

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("this is a kernel: `cargo xtask test` runs it");
    std::process::exit(2);
}
