//! `make lint`: formatting, lints for both worlds, and the house rules.

use std::process::Command;

use crate::failure::Result;
use crate::workspace::{self, GUEST_TARGET, VMM_TARGET};

/// Runs all checks; ends at the first that fails.
///
/// # Errors
/// If a check fails; it has said what is wrong.
pub fn main() -> Result<()> {
    for (what, command) in checks() {
        eprintln!("lint: {what}");
        workspace::run(command, &format!("pass: {what}"))?;
    }
    Ok(())
}

fn checks() -> [(&'static str, Command); 8] {
    [
        ("formatting (cargo fmt)", cargo("fmt --all --check")),
        (
            "clippy on the host",
            cargo("clippy --quiet --workspace --exclude probes --all-targets -- --deny warnings"),
        ),
        (
            "clippy for the drivers' adapters",
            cargo(
                "clippy --quiet --package guest-drivers --all-features --all-targets -- --deny warnings",
            ),
        ),
        ("clippy for the VMM's machine", vmm_clippy()),
        (
            "clippy for guests",
            guest_clippy(
                "guest-drivers --package guest-drivers-c --package probes --package ladder",
            ),
        ),
        // By themselves: they have a heap, and so their features are not for the others.
        ("clippy for the demo", guest_clippy("demo")),
        ("clippy for the guest of adapters", guest_clippy("adapters")),
        ("house rules", cargo("test --quiet --package xtask --test house")),
    ]
}

fn vmm_clippy() -> Command {
    let mut clippy = cargo("clippy --quiet --lib --package trapeze-protocol --package trapeze-vmm");
    clippy.args(["--target", VMM_TARGET, "--", "--deny", "warnings"]);
    clippy
}

fn guest_clippy(packages: &str) -> Command {
    let mut clippy = cargo(&format!("clippy --quiet --package {packages}"));
    clippy.args(["--target", GUEST_TARGET, "--", "--deny", "warnings"]);
    clippy
}

fn cargo(arguments: &str) -> Command {
    let mut cargo = workspace::cargo();
    cargo.args(arguments.split(' '));
    cargo
}
