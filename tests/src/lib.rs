//! Boots guests in QEMU and looks at what they do.
//!
//! A test builds a [`Vm`], waits for patterns on its console, types, and looks
//! at how it ended:
//!
//! ```no_run
//! # use tests::Vm;
//! let mut vm = Vm::builder("kernel").disk("fs.img", "version=1").cpus(3).start();
//! vm.expect(r"\$ ");
//! vm.type_line("ls");
//! vm.expect("README");
//! ```
//!
//! It goes through `cargo xtask run`, as users do. There are no fixed sleeps:
//! each wait ends with what it waits for, or fails at its deadline and shows
//! the console. What a test starts is gone when it ends, however it ends.

mod builder;
mod console;
mod image;
pub mod linux;
mod vm;
mod xtask_process;

pub use builder::Builder;
pub use image::{Scratch, code};
pub use vm::{Outcome, Vm};
pub use xtask_process::{Refusal, refusal, xtask};

/// Says that a test did not run, and why; also when all output is captured.
pub fn skip(test: &str, why: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why} ({test})");
}
