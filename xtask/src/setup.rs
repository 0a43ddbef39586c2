//! `make setup`: what is needed to build and run, installed where it can be.
//!
//! Quick, silent and without network when all is there, because every other
//! command that needs QEMU begins with it.

use std::io::IsTerminal;
use std::process::{Command, Stdio};

use nix::unistd::geteuid;

use crate::failure::{Context, Result, broken};
use crate::run::qemu;
use crate::workspace::{self, GUEST_TARGET, VMM_TARGET};

/// Checks for QEMU and the Rust targets, and installs what is missing.
///
/// # Errors
/// If something is missing and can't be installed: one line that says what
/// to install.
pub fn main() -> Result<()> {
    for target in [VMM_TARGET, GUEST_TARGET] {
        if !has_target(target) {
            add_target(target)?;
        }
    }
    if std::env::var_os("QEMU").is_none() && !is_installed(&qemu::program()) {
        install_qemu()?;
    }
    qemu::find().map(|_| ())
}

/// Whether the standard library for `target` is there.
fn has_target(target: &str) -> bool {
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "target-libdir", "--target", target]).current_dir(workspace::root());
    let output = rustc.stderr(Stdio::null()).output();
    output.is_ok_and(|output| {
        let dir = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        !dir.is_empty() && std::path::Path::new(&dir).is_dir()
    })
}

fn add_target(target: &str) -> Result<()> {
    if !is_installed("rustup") {
        return Err(broken(format!(
            "this Rust can't build for {target}: install it with rustup, or that target"
        )));
    }
    let mut rustup = Command::new("rustup");
    rustup.args(["target", "add", target]).current_dir(workspace::root());
    workspace::run(rustup, &format!("install the Rust target {target}"))
}

/// Whether a program can be started at all.
fn is_installed(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok()
}

fn install_qemu() -> Result<()> {
    let by_hand = "install QEMU for RISC-V: `apt install qemu-system-riscv` or, on older systems, \
                   `apt install qemu-system-misc`";
    if !is_installed("apt-get") {
        return Err(broken(by_hand));
    }
    let package = match qemu_package() {
        Some(package) => package,
        None => {
            apt_get(&["update"])?;
            qemu_package().ok_or_else(|| broken(by_hand))?
        }
    };
    eprintln!("installing {package} (QEMU for RISC-V)");
    apt_get(&["install", "--yes", "--no-install-recommends", package])
        .map_err(|failure| broken(format!("{failure}; {by_hand}")))
}

/// The package that holds QEMU for RISC-V: since Debian 13 one of its own.
fn qemu_package() -> Option<&'static str> {
    ["qemu-system-riscv", "qemu-system-misc"].into_iter().find(|package| {
        let output = Command::new("apt-cache").args(["policy", package]).output();
        output.is_ok_and(|output| {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            text.lines().any(|line| line.contains("Candidate:") && !line.contains("(none)"))
        })
    })
}

/// Runs `apt-get` as root. Without a terminal nothing may ask for a password.
fn apt_get(arguments: &[&str]) -> Result<()> {
    let mut command = match geteuid().is_root() {
        true => Command::new("apt-get"),
        false => sudo()?,
    };
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    workspace::run(command, &format!("run apt-get {}", arguments.join(" ")))
}

fn sudo() -> Result<Command> {
    if !is_installed("sudo") {
        return Err(broken("installing needs root, and sudo is not installed"));
    }
    let mut command = Command::new("sudo");
    if !std::io::stdin().is_terminal() {
        command.arg("--non-interactive");
    }
    let status = command.args(["true"]).status().context("run sudo")?;
    if !status.success() {
        return Err(broken("installing needs root, and sudo refuses"));
    }
    let mut command = Command::new("sudo");
    command.arg("apt-get");
    Ok(command)
}
