//! Where things are in this workspace, and how cargo is called.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::failure::{Context, Result, broken};

/// The target for which the VMM is built: no floating point, so that it can't
/// touch a guest's registers.
pub const VMM_TARGET: &str = "riscv64imac-unknown-none-elf";
/// The target of guest kernels.
pub const GUEST_TARGET: &str = "riscv64gc-unknown-none-elf";

/// The root of the workspace.
pub fn root() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own)
}

/// Cargo's target directory.
pub fn target_dir() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => std::path::absolute(&dir).unwrap_or_else(|_| dir.into()),
        None => root().join("target"),
    }
}

/// The cargo that runs us, to be called in the workspace.
pub fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root()).stdin(Stdio::null());
    cargo
}

/// Where the VMM's executable is once it is built.
pub fn vmm_path() -> PathBuf {
    target_dir().join(VMM_TARGET).join("release/vmm")
}

/// Builds the VMM for the machine; returns where it is.
pub fn build_vmm() -> Result<PathBuf> {
    let mut cargo = cargo();
    cargo.args(["build", "--release", "--package", "trapeze-vmm", "--target", VMM_TARGET]);
    build(cargo, "the VMM")?;
    Ok(vmm_path())
}

/// Builds the demo's kernel; returns where it is.
pub fn build_demo() -> Result<PathBuf> {
    let mut cargo = cargo();
    cargo.args(["build", "--release", "--package", "demo", "--target", GUEST_TARGET]);
    build(cargo, "the demo")?;
    Ok(target_dir().join(GUEST_TARGET).join("release/demo"))
}

/// Builds the drivers as C kernels link them; returns where the library is.
pub fn build_c_abi() -> Result<PathBuf> {
    let mut cargo = cargo();
    cargo.args(["rustc", "--release", "--package", "guest-drivers-c", "--lib"]);
    cargo.args(["--features", "panic-handler", "--crate-type", "staticlib"]);
    cargo.args(["--target", GUEST_TARGET]);
    build(cargo, "the drivers for C")?;
    Ok(target_dir().join(GUEST_TARGET).join("release/libtrapeze.a"))
}

/// The header that declares what is in that library.
pub fn c_header() -> PathBuf {
    root().join("guest-drivers/c-abi/include/trapeze_drivers.h")
}

/// Builds this tool as a separate process needs it; returns where it is.
pub fn build_xtask() -> Result<PathBuf> {
    let mut cargo = cargo();
    cargo.args(["build", "--package", "xtask"]);
    build(cargo, "the host tool")?;
    Ok(target_dir().join("debug/xtask"))
}

/// Runs a cargo command whose output is only of interest when it fails, or
/// when somebody watches and it takes long.
fn build(mut cargo: Command, what: &str) -> Result<()> {
    if !std::io::IsTerminal::is_terminal(&std::io::stderr()) {
        cargo.arg("--quiet");
    }
    cargo.stdout(Stdio::null());
    run(cargo, &format!("build {what}"))
}

/// Runs `command` to its end; a status other than 0 is a failure to `what`.
pub fn run(mut command: Command, what: &str) -> Result<()> {
    let status = command.status().context(format!("run {:?}", command.get_program()))?;
    match status.success() {
        true => Ok(()),
        false => Err(broken(format!("could not {what}: see the messages above"))),
    }
}
