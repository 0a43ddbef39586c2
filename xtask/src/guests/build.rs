//! Builds the kernels of the rCore tutorial from their published sources.
//!
//! Their build scripts compile the user programs and pack them into a disk
//! image, at places that they fix themselves; so each crate must be a
//! workspace of its own with cargo's default target directory.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::Command;

use super::Parts;
use super::fetch::source;
use crate::failure::{Context, Result};
use crate::{progress, workspace};

/// The crate of the user programs, which chapter 8 finds through `TG_USER_DIR`.
pub(super) const USER: &str = "tg-rcore-tutorial-user";

/// Variables that would change what or where the build scripts build.
const FOREIGN: [&str; 9] = [
    "CARGO_TARGET_DIR",
    "CARGO_BUILD_TARGET",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_ENCODED_RUSTFLAGS",
    "RUSTFLAGS",
    "BASE_ADDRESS",
    "CHAPTER",
    "LOG",
    "TG_SKIP_USER_APPS",
];

/// Builds kernel and disk, and puts them at `dir/kernel` and `dir/fs.img`.
pub(super) fn kernel(parts: &Parts, dir: &Path) -> Result<()> {
    for (name, _) in parts.crates {
        make_standalone(&source(dir, name)).context(format!("prepare {name}"))?;
    }
    let crate_dir = source(dir, parts.kernel);
    unpack(parts, &crate_dir, dir)?;
    let what = format!("building {}", parts.name);
    progress::step(&what, cargo_build(&crate_dir, dir), &dir.join("build.log"))?;
    let output = crate_dir.join("target").join(workspace::GUEST_TARGET).join("debug");
    for (from, to) in [(parts.kernel, "kernel"), ("fs.img", "fs.img")] {
        let from = output.join(from);
        fs::copy(&from, dir.join(to)).context(format!("copy {}", from.display()))?;
    }
    Ok(())
}

/// Cuts a crate loose: from our workspace, and from its own toolchain, which
/// would have to be downloaded.
fn make_standalone(dir: &Path) -> std::io::Result<()> {
    let mut manifest = OpenOptions::new().append(true).open(dir.join("Cargo.toml"))?;
    manifest.write_all(b"\n[workspace]\n")?;
    match fs::remove_file(dir.join("rust-toolchain.toml")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Chapter 6 carries its user programs in an archive, with a script for it.
fn unpack(parts: &Parts, crate_dir: &Path, dir: &Path) -> Result<()> {
    let script = Path::new("scripts/ensure-vendor.sh");
    if !crate_dir.join(script).is_file() {
        return Ok(());
    }
    let mut bash = Command::new("bash");
    bash.arg(script).current_dir(crate_dir);
    progress::step(&format!("unpacking {}", parts.name), bash, &dir.join("unpack.log"))
}

fn cargo_build(crate_dir: &Path, dir: &Path) -> Command {
    let mut cargo = workspace::cargo();
    cargo.current_dir(crate_dir).args(["build", "--locked"]);
    for variable in FOREIGN {
        cargo.env_remove(variable);
    }
    let user = source(dir, USER);
    if user.is_dir() {
        cargo.env("TG_USER_DIR", user);
    }
    cargo
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_becomes_a_workspace_of_its_own() {
        let dir = std::env::temp_dir().join(format!("trapeze-build-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("Cargo.toml"), "[package]\nname = \"x\"").unwrap();
        fs::write(dir.join("rust-toolchain.toml"), "").unwrap();
        make_standalone(&dir).unwrap();
        let manifest = fs::read_to_string(dir.join("Cargo.toml")).unwrap();
        assert_eq!(manifest, "[package]\nname = \"x\"\n[workspace]\n");
        assert!(!dir.join("rust-toolchain.toml").exists());
        fs::remove_dir_all(dir).unwrap();
    }
}
