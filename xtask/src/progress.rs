//! What the person sees: results, and the progress of long steps, which is a
//! spinner where somebody watches, else lines.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::failure::{Context, Result, broken};

/// Writes a result and a newline to standard output. Nobody may be left who
/// reads it, as in `... | head`; there is nothing to do about that.
pub fn show(result: impl Display) {
    let _ = writeln!(io::stdout(), "{result}");
}

/// Runs `command` with its output in the file `log`, and shows that it runs.
///
/// # Errors
/// If it fails: the last lines of its output are shown before.
pub fn step(what: &str, mut command: Command, log: &Path) -> Result<()> {
    let begin = Instant::now();
    let spinner = start(what);
    let output = File::create(log).context(format!("write {}", log.display()))?;
    let errors = output.try_clone().context("use the log twice")?;
    command.stdin(Stdio::null()).stdout(output).stderr(errors);
    let status = command.status().context(format!("run {:?}", command.get_program()));
    spinner.finish_and_clear();
    if status?.success() {
        eprintln!("{what}: done ({:.0} s)", begin.elapsed().as_secs_f32());
        return Ok(());
    }
    eprintln!("{}", tail(log, 20));
    Err(broken(format!("{what}: failed; all of the output is in {}", log.display())))
}

fn start(what: &str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        eprintln!("{what} ...");
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})");
    let bar = ProgressBar::new_spinner().with_message(what.to_owned());
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

/// The last `count` lines of a file.
fn tail(path: &Path, count: usize) -> String {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
