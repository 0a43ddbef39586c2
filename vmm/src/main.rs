//! The VMM's executable: everything is in the library.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
use trapeze_vmm as _;

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("the VMM runs on a RISC-V machine: try `make qemu`");
    std::process::exit(2);
}
