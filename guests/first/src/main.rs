//! The first process of a Linux that is measured: says when it began, reads a
//! disk if there is one, and powers the machine off.
//!
//! With `-icount shift=0` each instruction takes a nanosecond, so that `time`,
//! which programs may read, counts instructions, by the hundred. It prints
//! ticks of 100 instructions:
//!
//! ```text
//!   first: userspace = 10712345      since the machine began
//!   first: reads = 250000            for all reads of the disk together
//! ```
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod linux;

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("this is the first process of a Linux: `cargo xtask bench` runs it");
    std::process::exit(2);
}
