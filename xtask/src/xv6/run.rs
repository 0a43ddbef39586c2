//! `make qemu-xv6`: runs a built checkout.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::tree::Tree;
use crate::failure::{Context, Result, mistake};
use crate::mode::{self, Mode};
use crate::run;
use crate::run::options::{CpuOption, GuestOptions, RunOptions};
use crate::run::values::{DiskOption, Model};
use crate::setup;

/// `cargo xtask xv6 run`
#[derive(Args)]
pub struct RunXv6 {
    /// The checkout
    tree: PathBuf,
    /// The disk that xv6 sees [default: pv if it is patched, else virtio-mmio]
    #[arg(long)]
    disk: Option<Disk>,
    /// Number of vCPUs
    #[arg(long, value_name = "N", default_value_t = 3)]
    cpus: u32,
    /// How the guest's kernel is run [default: classic]
    #[arg(long)]
    cpu: Option<CpuOption>,
    #[command(flatten)]
    options: RunOptions,
}

/// `--disk`
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum Disk {
    /// Paravirtual
    Pv,
    /// virtio with emulated registers
    VirtioMmio,
    /// An emulated ATA disk
    Ata,
}

impl From<Disk> for Model {
    fn from(disk: Disk) -> Self {
        match disk {
            Disk::Pv => Self::Pv,
            Disk::VirtioMmio => Self::VirtioMmio,
            Disk::Ata => Self::Ata,
        }
    }
}

/// Runs a checkout; returns the exit status.
pub(super) fn main(command: RunXv6) -> Result<u8> {
    let tree = Tree::new(&command.tree)?;
    let [kernel, disk] = built(&tree)?;
    let patched = tree.is_patched();
    let model = command.disk.unwrap_or(if patched { Disk::Pv } else { Disk::VirtioMmio });
    let mut options = command.options;
    options.native |= mode::current() == Mode::Native;
    if model != Disk::VirtioMmio && !patched {
        return Err(mistake(format!(
            "{} has no driver for such a disk: patch it with make xv6-apply, or leave DISK out",
            tree.path().display()
        )));
    }
    setup::main()?;
    options.guest = vec![GuestOptions {
        name: Some("xv6".to_owned()),
        kernel: Some(kernel),
        disk: vec![DiskOption { model: model.into(), ..DiskOption::new(disk) }],
        cpus: Some(command.cpus),
        cpu: command.cpu,
        ..GuestOptions::default()
    }];
    if !options.dry_run {
        eprintln!(
            "At the prompt \"$ \" try: ls, {}usertests -q",
            if patched { "pvstat ls, " } else { "" }
        );
        eprintln!("Ctrl-A x ends the machine.");
    }
    run::run(options)
}

/// Kernel and disk of a checkout, if they are built, and not from other
/// sources.
fn built(tree: &Tree) -> Result<[PathBuf; 2]> {
    let path = tree.path();
    let files = [path.join("kernel/kernel"), path.join("fs.img")];
    let make = || format!("run: make -C {} kernel/kernel fs.img", path.display());
    if files.iter().any(|file| !file.is_file()) {
        return Err(mistake(format!("{} is not built; {}", path.display(), make())));
    }
    if tree.is_patched() && !has_drivers(&files[0])? {
        return Err(mistake(format!(
            "the kernel in {} was built before it was patched; {}",
            path.display(),
            make()
        )));
    }
    Ok(files)
}

/// Whether a kernel was linked with our drivers: it has their symbols.
fn has_drivers(kernel: &Path) -> Result<bool> {
    const SYMBOL: &[u8] = b"trapeze_detect_by_trap";
    let bytes = fs::read(kernel).context(format!("read {}", kernel.display()))?;
    Ok(bytes.windows(SYMBOL.len()).any(|window| window == SYMBOL))
}
