//! A machine that runs, as a test sees it.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin};
use std::time::{Duration, Instant};
use std::{fs, thread};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use regex::bytes::Regex;
use serde_json::Value;

use crate::builder::Builder;
use crate::console::{Console, voice};
use crate::image::Scratch;

/// How long a test waits for things that take seconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long the tool may take to end a machine.
const GRACE: Duration = Duration::from_secs(10);

/// A running machine; it ends with this value.
pub struct Vm {
    child: Child,
    /// The tool and QEMU are a process group of their own, so that both can
    /// be killed for sure.
    group: Pid,
    keyboard: Option<ChildStdin>,
    console: Console,
    messages: Console,
    /// What comes before has been looked at.
    seen: usize,
    stats: Option<std::path::PathBuf>,
    _scratch: Scratch,
}

/// How a machine ended.
#[derive(Debug)]
pub struct Outcome {
    /// Exit status of the tool.
    pub status: i32,
    /// Everything on the console.
    pub console: String,
    /// What the tool said.
    pub messages: String,
    /// The VMM's statistics, if they were asked for and it reported.
    pub stats: Option<Value>,
}

impl Vm {
    /// Begins to describe a machine for `kernel`.
    pub fn builder(kernel: impl AsRef<Path>) -> Builder {
        Builder::new(kernel)
    }

    pub(crate) fn spawn(mut builder: Builder) -> Self {
        let mut child = builder.command.process_group(0).spawn().expect("the tool can be started");
        let console = Console::collect(child.stdout.take().expect("stdout is a pipe"));
        let messages = Console::collect(child.stderr.take().expect("stderr is a pipe"));
        Self {
            group: Pid::from_raw(child.id().cast_signed()),
            keyboard: child.stdin.take(),
            child,
            console,
            messages,
            seen: 0,
            stats: builder.stats,
            _scratch: builder.scratch,
        }
    }

    /// Waits for `pattern` on the console, after what was expected before;
    /// returns the text up to the end of the match.
    ///
    /// # Panics
    /// If it does not come in time; the console is shown.
    pub fn expect(&mut self, pattern: &str) -> String {
        self.expect_within(pattern, PATIENCE)
    }

    /// [`Vm::expect`] for things that take long.
    ///
    /// # Panics
    /// If it does not come in time; the console is shown.
    pub fn expect_within(&mut self, pattern: &str, patience: Duration) -> String {
        self.find(pattern, patience).unwrap_or_else(|problem| panic!("{problem}"))
    }

    /// [`Vm::expect_within`] that does not panic.
    ///
    /// # Errors
    /// If the pattern does not come in time: says so.
    pub fn find(&mut self, pattern: &str, patience: Duration) -> Result<String, String> {
        let regex = Regex::new(pattern).map_err(|error| error.to_string())?;
        match self.console.wait(&regex, self.seen, patience) {
            Ok(end) => Ok(self.console.slice(std::mem::replace(&mut self.seen, end), end)),
            Err(missed) => Err(format!("the console never showed {pattern:?} ({missed:?})")),
        }
    }

    /// Waits until one of several guests has said `pattern` at least `times`
    /// times since the start, whatever others say between its words. Line ends
    /// of the guest do not count.
    ///
    /// # Errors
    /// If it does not in time: says so.
    pub fn hear(
        &self,
        guest: &str,
        pattern: &str,
        times: usize,
        patience: Duration,
    ) -> Result<(), String> {
        let regex = Regex::new(pattern).map_err(|error| error.to_string())?;
        let often =
            |text: &[u8]| (regex.find_iter(&voice(text, guest)).count() >= times).then_some(());
        let heard = self.console.wait_for(patience, often);
        heard
            .map_err(|missed| format!("{guest} did not say {pattern:?} {times} times ({missed:?})"))
    }

    /// How often one of several guests has said `pattern`.
    ///
    /// # Errors
    /// If the pattern is not valid.
    pub fn heard(&self, guest: &str, pattern: &str) -> Result<usize, String> {
        let regex = Regex::new(pattern).map_err(|error| error.to_string())?;
        Ok(regex.find_iter(&voice(self.console.text().as_bytes(), guest)).count())
    }

    /// Types a line on the console.
    ///
    /// # Panics
    /// If the machine has ended.
    pub fn type_line(&mut self, line: &str) {
        self.type_text(&format!("{line}\n"));
    }

    /// Types `text`, and no more.
    ///
    /// # Panics
    /// If the machine has ended.
    pub fn type_text(&mut self, text: &str) {
        let keyboard = self.keyboard.as_mut().expect("the keyboard is open until the end");
        keyboard.write_all(text.as_bytes()).expect("the machine is running");
        keyboard.flush().expect("the machine is running");
    }

    /// Types a line and waits for `pattern`, such as the next prompt.
    ///
    /// # Panics
    /// If the pattern does not come in time.
    pub fn command(&mut self, line: &str, pattern: &str) -> String {
        self.type_line(line);
        self.expect(pattern)
    }

    /// Everything on the console so far.
    pub fn console_text(&self) -> String {
        self.console.text()
    }

    /// Asks the tool to end, as a shutdown of the host would.
    pub fn interrupt(&mut self) {
        let _ = kill(self.group, Signal::SIGTERM);
    }

    /// Waits until the machine has ended by itself.
    ///
    /// # Panics
    /// If it does not within two minutes.
    pub fn wait(&mut self) -> Outcome {
        self.wait_within(PATIENCE).unwrap_or_else(|problem| panic!("{problem}"))
    }

    /// [`Vm::wait`] that does not panic.
    ///
    /// # Errors
    /// If it does not end in time: says so, and shows the console.
    pub fn wait_within(&mut self, patience: Duration) -> Result<Outcome, String> {
        let deadline = Instant::now() + patience;
        // Both streams end with the last of the processes that write to them.
        self.console.wait_closed(patience);
        self.messages.wait_closed(deadline.saturating_duration_since(Instant::now()));
        if !self.messages.is_closed() {
            return Err(format!("the machine did not end\n{}", self.console.text()));
        }
        let status = self.child.wait().map_err(|error| error.to_string())?;
        Ok(Outcome {
            status: status.code().unwrap_or(-1),
            console: self.console.text(),
            messages: self.messages.text(),
            stats: self.stats.as_ref().and_then(|path| read_json(path)),
        })
    }

    /// Whether the tool or QEMU is still there.
    pub fn is_alive(&self) -> bool {
        killpg(self.group, None).is_ok()
    }
}

fn read_json(path: &Path) -> Option<Value> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| serde_json::from_str(line).ok())
}

impl Drop for Vm {
    fn drop(&mut self) {
        // The tool removes its files when it is asked to end.
        if let Ok(None) = self.child.try_wait() {
            self.interrupt();
            self.messages.wait_closed(GRACE);
        }
        let _ = killpg(self.group, Signal::SIGKILL);
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- console\n{}", self.console.text());
            eprintln!("--- messages of the tool\n{}---", self.messages.text());
        }
    }
}
