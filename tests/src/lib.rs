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
pub mod http;
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

/// `len` bytes that look random, whole words of them, so that no piece can be
/// taken for another.
pub fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let words = std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.take(len / 8).flatten().collect()
}
