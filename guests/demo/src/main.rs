//! The kernel's executable: everything is in the library.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
use demo as _;

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("the demo is a kernel: `make qemu` runs it");
    std::process::exit(2);
}
