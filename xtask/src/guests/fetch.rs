//! Sources of published crates, by means of cargo alone.
//!
//! A project is written that depends on the crates, and `cargo vendor` copies
//! what it depends on; that works for crates without a library, too.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Parts;
use crate::failure::{Context, Result};
use crate::{progress, workspace};

/// Copies the sources of all crates of a recipe to `dir/src/CRATE`.
pub(super) fn sources(parts: &Parts, dir: &Path) -> Result<()> {
    let project = dir.join("fetch");
    write_project(parts, &project).context(format!("write {}", project.display()))?;
    let what = format!("downloading {}", parts.name);
    progress::step(&what, vendor(&project), &dir.join("fetch.log"))?;
    for (name, version) in parts.crates {
        let from = project.join("vendor").join(format!("{name}-{version}"));
        let to = source(dir, name);
        let _ = fs::remove_dir_all(&to);
        copy_tree(&from, &to).context(format!("copy the sources of {name}"))?;
    }
    let _ = fs::remove_dir_all(project.join("vendor"));
    Ok(())
}

/// Where the sources of a crate are.
pub(super) fn source(dir: &Path, name: &str) -> PathBuf {
    dir.join("src").join(name)
}

fn vendor(project: &Path) -> Command {
    let mut cargo = workspace::cargo();
    // Cargo looks for configuration from its directory upwards.
    cargo.current_dir(project).args(["vendor", "--versioned-dirs", "vendor"]);
    cargo
}

fn write_project(parts: &Parts, project: &Path) -> std::io::Result<()> {
    let wanted = parts.crates.iter().map(|(name, version)| format!("{name} = \"={version}\"\n"));
    let manifest = format!(
        "[package]\nname = \"fetch\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\
         [workspace]\n[dependencies]\n{}",
        wanted.collect::<String>()
    );
    fs::create_dir_all(project.join("src"))?;
    fs::write(project.join("src/lib.rs"), "")?;
    fs::write(project.join("Cargo.toml"), manifest)
}

fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy_tree(&entry.path(), &target)?,
            false => fs::copy(entry.path(), target).map(|_| ())?,
        }
    }
    Ok(())
}
