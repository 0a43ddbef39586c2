//! Third-party guests that are published as crates: fetched and built when
//! they are needed, under `target/guests`, and never part of this repository.

mod build;
mod fetch;

use std::fs;
use std::path::{Path, PathBuf};

use trapeze_vmm::bundle::MmioVersion;

use crate::failure::{Context, Result};
use crate::workspace;

/// A guest that we know how to get.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Recipe {
    /// rCore tutorial, chapter 6: processes and a file system.
    Chapter6,
    /// rCore tutorial, chapter 8: threads, locks, pipes, signals.
    Chapter8,
}

/// A guest that is ready to run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Guest {
    /// The kernel, an ELF file.
    pub kernel: PathBuf,
    /// The disk image as it was built: run copies of it ([`fresh_disk`]).
    pub disk: PathBuf,
    /// The virtio-mmio layout that the kernel can drive.
    pub disk_version: MmioVersion,
    /// What a user can type, in one line.
    pub hint: &'static str,
}

/// What a recipe consists of.
struct Parts {
    /// Name of the directory, and in messages.
    name: &'static str,
    /// The crate of the kernel.
    kernel: &'static str,
    /// All crates whose sources are needed, with their versions.
    crates: &'static [(&'static str, &'static str)],
    /// See [`Guest::hint`].
    hint: &'static str,
}

impl Recipe {
    fn parts(self) -> Parts {
        match self {
            Self::Chapter6 => Parts {
                name: "rcore-ch6",
                kernel: "tg-rcore-tutorial-ch6-basic",
                crates: &[("tg-rcore-tutorial-ch6-basic", "0.6.0-preview.1")],
                hint: "At the prompt \">> \" try: filetest_simple, cat_filea, ch6b_usertest",
            },
            Self::Chapter8 => Parts {
                name: "rcore-ch8",
                kernel: "tg-rcore-tutorial-ch8",
                crates: &[("tg-rcore-tutorial-ch8", "0.4.11"), (build::USER, "0.4.10")],
                hint: "At the prompt \">> \" try: threads, pipetest, ch8b_usertest",
            },
        }
    }
}

/// Fetches and builds a guest, unless that was done before.
///
/// # Errors
/// If the crates can't be had or do not build; shows the end of the output.
pub fn prepare(recipe: Recipe) -> Result<Guest> {
    let parts = recipe.parts();
    let dir = workspace::target_dir().join("guests").join(parts.name);
    fs::create_dir_all(&dir).context(format!("create {}", dir.display()))?;
    // Tests and demos may come here at the same time.
    let lock = fs::File::create(dir.join("lock")).context("create a lock")?;
    lock.lock().context("lock the guests")?;
    let guest = guest(&parts, &dir);
    if !is_built(&parts, &dir, &guest) {
        fetch::sources(&parts, &dir)?;
        build::kernel(&parts, &dir)?;
        fs::write(dir.join("built"), stamp(&parts)).context("note that a guest is built")?;
    }
    Ok(guest)
}

/// A copy of the guest's disk for one run, called `run`; changes to it do not
/// reach other runs.
///
/// # Errors
/// If it can't be copied.
pub fn fresh_disk(guest: &Guest, run: &str) -> Result<PathBuf> {
    let copy = guest.disk.with_file_name(format!("{run}.img"));
    fs::copy(&guest.disk, &copy).context(format!("copy {}", guest.disk.display()))?;
    Ok(copy)
}

fn guest(parts: &Parts, dir: &Path) -> Guest {
    Guest {
        kernel: dir.join("kernel"),
        disk: dir.join("fs.img"),
        disk_version: MmioVersion::Legacy,
        hint: parts.hint,
    }
}

fn is_built(parts: &Parts, dir: &Path, guest: &Guest) -> bool {
    let built = fs::read_to_string(dir.join("built")).unwrap_or_default();
    built == stamp(parts) && guest.kernel.is_file() && guest.disk.is_file()
}

/// What was built: the crates and their versions.
fn stamp(parts: &Parts) -> String {
    parts.crates.iter().map(|(name, version)| format!("{name} {version}\n")).collect()
}
