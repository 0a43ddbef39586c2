//! `make test`: everything that must hold, in the order of what it costs.

use std::process::Command;
use std::time::Instant;

use crate::failure::Result;
use crate::guests::{self, Recipe};
use crate::mode::{self, Mode};
use crate::{linux, setup, workspace};

/// Runs the whole suite; ends at the first step that fails.
///
/// # Errors
/// If a step fails; its own output says what.
pub fn main() -> Result<()> {
    let begin = Instant::now();
    heading(1, "tests on the host");
    workspace::run(cargo("test"), "pass the tests on the host")?;
    let adapters = cargo("test --package guest-drivers --all-features");
    workspace::run(adapters, "pass the tests of the drivers' adapters")?;
    heading(2, "build for RISC-V");
    setup::main()?;
    build()?;
    heading(3, "third-party guests");
    guests::prepare(Recipe::Chapter6)?;
    guests::prepare(Recipe::Chapter8)?;
    // Not there on every system; its tests will say that they did not run.
    if let Err(failure) = linux::prepare() {
        eprintln!("without Debian's Linux: {failure}");
    }
    heading(4, "guests in QEMU");
    workspace::run(cargo("test --package tests"), "pass the tests in QEMU")?;
    eprintln!("all tests passed ({} s)", begin.elapsed().as_secs());
    Ok(())
}

fn build() -> Result<()> {
    match mode::current() {
        Mode::Guest => workspace::build_vmm().map(|_| ()),
        Mode::Native => {
            let check = "check --package trapeze-vmm --lib --target riscv64imac-unknown-none-elf";
            workspace::run(cargo(check), "build for RISC-V")
        }
    }
}

fn heading(number: u32, what: &str) {
    eprintln!("=== {number}/4 {what}");
}

fn cargo(arguments: &str) -> Command {
    let mut cargo = workspace::cargo();
    cargo.args(arguments.split(' '));
    cargo
}
