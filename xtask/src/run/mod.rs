//! `cargo xtask run`: from options to guests that run.
//!
//! ```text
//!   options, file   what the user says
//!     └─ spec       what that means, checked: a Plan, its guests and images
//!         ├─ payload  the bundle, and how much memory the machine has
//!         ├─ command  the command line of QEMU
//!         ├─ session  QEMU while it runs: events, log port, decisions
//!         └─ verdict  what its end means
//! ```

mod command;
mod events;
mod file;
mod guest;
mod image;
mod log;
pub mod net;
pub mod options;
pub mod pass;
mod payload;
pub mod qemu;
mod session;
mod spec;
pub mod values;
mod verdict;

use std::io::{IsTerminal, stdin};
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;

use crate::failure::{Context, Result, mistake};
use crate::mode::Mode;
use crate::progress::show;
use crate::workspace;
use command::{Files, Log};
use events::{Events, RunDir};
use options::{GuestOptions, RunOptions};
use session::Session;
use spec::Plan;

/// `cargo xtask run`
#[derive(Args, Debug)]
pub struct RunCommand {
    /// Read guests and options from a TOML file; see docs/running.md
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The one guest, where there is no file.
    #[command(flatten)]
    pub guest: GuestOptions,
    /// The run.
    #[command(flatten)]
    pub options: RunOptions,
}

/// Runs what the command line describes; returns the exit status.
///
/// # Errors
/// Mistakes of the user, and what the tool could not do.
pub fn main(command: RunCommand) -> Result<u8> {
    let RunCommand { config, guest, mut options } = command;
    match config {
        Some(path) if guest.is_given() => Err(mistake(format!(
            "guests are described in {}, or by options, but not by both",
            path.display()
        ))),
        Some(path) => run(options.over(file::read(&path)?)),
        None => {
            options.guest = vec![guest];
            run(options)
        }
    }
}

/// Runs the guests of `options`; returns the exit status.
///
/// # Errors
/// Mistakes of the user, and what the tool could not do.
pub fn run(options: RunOptions) -> Result<u8> {
    let plan = Plan::new(options)?;
    match plan.dry_run {
        true => dry_run(&plan),
        false => start(&plan),
    }
}

/// Prints a command line that works as it is: the bundle is left in place, and
/// the log goes to a file.
fn dry_run(plan: &Plan) -> Result<u8> {
    let dir = scratch()?;
    let (bundle, log) = (dir.join("dry-run.bundle"), dir.join("dry-run.log"));
    let vmm = workspace::vmm_path();
    let files = Files { vmm: &vmm, bundle: &bundle, console: None, log: Log::File(&log) };
    let memory = prepare(plan, &bundle)?;
    show(command::shell_line(&qemu::program(), &command::arguments(plan, memory, &files)));
    Ok(0)
}

fn start(plan: &Plan) -> Result<u8> {
    let program = qemu::find()?;
    if plan.has_iommu() {
        qemu::check_iommu()?;
    }
    let vmm = match plan.mode {
        Mode::Guest => workspace::build_vmm()?,
        Mode::Native => PathBuf::new(),
    };
    let dir = RunDir::new()?;
    let (console, log) = (dir.console(), dir.log());
    let bundle = BundleFile(scratch()?.join(format!("{}.bundle", std::process::id())));
    let memory = prepare(plan, &bundle.0)?;
    let files =
        Files { vmm: &vmm, bundle: &bundle.0, console: Some(&console), log: Log::Socket(&log) };
    let events = Events::new()?;
    if plan.has_log_port() {
        log::serve(plan, &log, events.sender.clone())?;
    }
    let mut command = Command::new(program);
    command.args(command::arguments(plan, memory, &files));
    if let (Mode::Guest, Some(key), true) = (plan.mode, plan.escape.name(), stdin().is_terminal()) {
        eprintln!("{key} ? lists the keys of the monitor.");
    }
    if plan.mode == Mode::Guest {
        plan.announcements().for_each(|line| eprintln!("{line}"));
    }
    let session = Session::start(command, &console, events)?;
    let (end, seen) = session.run(plan.expect.as_ref(), plan.timeout)?;
    verdict::judge(plan, &end, &seen)
}

/// Writes the bundle where there is one; returns the memory of the machine.
fn prepare(plan: &Plan, bundle: &Path) -> Result<u64> {
    match plan.mode {
        Mode::Native => Ok(plan.guests.iter().map(|guest| guest.memory).sum()),
        Mode::Guest => Ok(payload::machine_memory(plan, payload::write(plan, bundle)?)),
    }
}

/// Where bundles are while they are in use.
fn scratch() -> Result<PathBuf> {
    let dir = workspace::target_dir().join("xtask");
    std::fs::create_dir_all(&dir).context(format!("create {}", dir.display()))?;
    Ok(dir)
}

/// A bundle that is removed after the run.
struct BundleFile(PathBuf);

impl Drop for BundleFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
