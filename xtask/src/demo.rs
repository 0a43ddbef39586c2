//! `make qemu`: our own guest kernel with its disk; `make qemu-rcore`: a
//! third-party one. Nothing needs to be prepared for either.

use std::path::PathBuf;

use crate::failure::{Context, Result};
use crate::guests::{self, Recipe};
use crate::mode::{self, Mode};
use crate::run::options::{GuestOptions, RunOptions};
use crate::run::values::{DiskOption, Model};
use crate::{fat, run, setup, workspace};

/// Size of the demo's disk.
const DISK: u64 = 64 << 20;
/// What is on the disk in the beginning.
const FILES: [(&str, &str); 2] = [
    (
        "README.TXT",
        "This disk is the file target/demo/disk.img on your machine. What you write here\n\
         is still there when you come back: write NOTE.TXT hello, then reboot.\n",
    ),
    ("HELLO.TXT", "Hello from a FAT file system, through a ring in shared memory.\n"),
];

/// Builds and runs the demo; returns the exit status.
///
/// # Errors
/// If a step fails: with what to do.
pub fn main(options: RunOptions) -> Result<u8> {
    setup::main()?;
    let guest = GuestOptions {
        name: Some("demo".to_owned()),
        kernel: Some(workspace::build_demo()?),
        disk: vec![DiskOption { model: Model::Pv, ..DiskOption::new(disk()?) }],
        ..GuestOptions::default()
    };
    start(options, guest, "At the prompt \"demo> \" try: help, info, ls, bench disk, exits")
}

/// The demo's disk, which is made once and then kept.
fn disk() -> Result<PathBuf> {
    let dir = workspace::target_dir().join("demo");
    std::fs::create_dir_all(&dir).context(format!("create {}", dir.display()))?;
    let path = dir.join("disk.img");
    fat::ensure(&path, DISK, &FILES)?;
    Ok(path)
}

/// Fetches, builds and runs a kernel of the rCore tutorial; returns the exit
/// status.
///
/// # Errors
/// If a step fails: with what to do.
pub fn rcore(options: RunOptions) -> Result<u8> {
    setup::main()?;
    let guest = guests::prepare(Recipe::Chapter6)?;
    let image = guests::fresh_disk(&guest, "demo")?;
    let disk = DiskOption { version: guest.disk_version, ..DiskOption::new(image) };
    let described = GuestOptions {
        name: Some("rcore".to_owned()),
        kernel: Some(guest.kernel),
        disk: vec![disk],
        ..GuestOptions::default()
    };
    start(options, described, guest.hint)
}

fn start(mut options: RunOptions, guest: GuestOptions, hint: &str) -> Result<u8> {
    options.native |= mode::current() == Mode::Native;
    options.guest = vec![guest];
    if !options.dry_run {
        eprintln!("{hint}");
        eprintln!("Ctrl-A x ends the machine.");
    }
    run::run(options)
}
