//! The host tool as a process of its own.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The host tool, built once per test program.
pub fn xtask() -> Command {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    let path = PATH.get_or_init(|| {
        xtask::workspace::build_xtask().unwrap_or_else(|failure| panic!("{failure}"))
    });
    let mut command = Command::new(path);
    command.stdin(Stdio::null());
    command
}

/// How the tool refused something.
#[derive(Debug)]
pub struct Refusal {
    /// Exit status.
    pub status: i32,
    /// What it said on stderr.
    pub text: String,
}

/// Runs the tool with arguments that it must refuse.
pub fn refusal(command: &mut Command) -> Refusal {
    let output = command.output().expect("the tool can be started");
    let text = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
    Refusal { status: output.status.code().unwrap_or(-1), text }
}
