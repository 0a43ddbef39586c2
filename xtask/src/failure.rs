//! How the tool fails: one line that says what is wrong and what to do, and
//! an exit status that says whose fault it is.

use std::fmt;

/// Exit status for a mistake of the user; nothing was started.
pub const MISTAKE: u8 = 2;
/// Exit status when the tool itself could not do its work.
pub const TOOL: u8 = 103;
/// Exit status when `--timeout` passed (as `timeout` of coreutils has it).
pub const TIMEOUT: u8 = 124;
/// Exit status when the run ended before `--expect` was satisfied.
pub const UNMET: u8 = 125;
/// Exit status after Ctrl-C or another signal (as shells have it).
pub const INTERRUPTED: u8 = 130;

/// The end of the tool's work, told in one line.
#[derive(Debug)]
pub struct Failure {
    /// Exit status of the process.
    pub status: u8,
    message: String,
}

/// What all fallible functions of the tool return.
pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// A failure with an exit status of its own.
    pub fn new(status: u8, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// The user asked for something that can't be: say what, and what to do.
pub fn mistake(message: impl Into<String>) -> Failure {
    Failure::new(MISTAKE, message)
}

/// The tool could not do its work.
pub fn broken(message: impl Into<String>) -> Failure {
    Failure::new(TOOL, message)
}

/// Adds what was being done to an error of the standard library.
pub trait Context<T> {
    /// `doing` completes the sentence "can't ...".
    fn context(self, doing: impl fmt::Display) -> Result<T>;
}

impl<T, E: fmt::Display> Context<T> for std::result::Result<T, E> {
    fn context(self, doing: impl fmt::Display) -> Result<T> {
        self.map_err(|error| broken(format!("can't {doing}: {error}")))
    }
}
