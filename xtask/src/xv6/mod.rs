//! `make xv6-apply`, `make xv6-revert`, `make qemu-xv6`: an xv6-riscv of the
//! user's own, with our drivers or without.
//!
//! xv6 is not part of this repository, and how it is built is its own
//! business: the patches copy our files into a tree and hook them in, and
//! whoever owns the tree runs make there.

mod diff;
mod patch;
mod run;
#[cfg(test)]
mod tests;
mod tree;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use crate::failure::{Result, mistake};
use crate::progress::show;
use crate::workspace;
use patch::Patch;
pub use run::RunXv6;
use tree::Tree;

/// Where the series is, in this repository.
const PATCHES: &str = "guest-kernel-patches/xv6-riscv";
/// Finds or builds a file.
type Find = fn() -> Result<PathBuf>;
/// Files that go into the tree from elsewhere.
const ELSEWHERE: [(&str, Find); 2] = [
    ("kernel/trapeze_drivers.h", || Ok(workspace::c_header())),
    ("kernel/libtrapeze.a", workspace::build_c_abi),
];

/// `cargo xtask xv6`
#[derive(Subcommand)]
pub enum Xv6 {
    /// Apply our patches to a copy of a checkout, and show what they change
    Apply(Apply),
    /// Take our patches out of a checkout
    Revert {
        /// The patched checkout
        tree: PathBuf,
    },
    /// Run a built checkout, patched or not, with its disk fs.img
    Run(Box<RunXv6>),
}

/// `cargo xtask xv6 apply`
#[derive(Args)]
pub struct Apply {
    /// The checkout
    tree: PathBuf,
    /// Folder of the patched copy [default: the checkout's name with -pv behind it]
    #[arg(long, value_name = "FOLDER")]
    to: Option<PathBuf>,
    /// Change the checkout itself
    #[arg(long, conflicts_with = "to")]
    in_place: bool,
}

/// Does what the command line says; returns the exit status.
///
/// # Errors
/// What the user should know, in one line.
pub fn main(command: Xv6) -> Result<u8> {
    match command {
        Xv6::Apply(options) => apply(&options),
        Xv6::Revert { tree } => revert(&tree),
        Xv6::Run(options) => run::main(*options),
    }
}

fn series() -> Result<Vec<Patch>> {
    patch::series(&workspace::root().join(PATCHES))
}

/// Where a file of the series comes from.
fn source(file: &str) -> Result<PathBuf> {
    match ELSEWHERE.iter().find(|(name, _)| *name == file) {
        Some((_, find)) => find(),
        None => Ok(workspace::root().join(PATCHES).join("files").join(file)),
    }
}

fn apply(options: &Apply) -> Result<u8> {
    let tree = Tree::new(&options.tree)?;
    if tree.is_patched() {
        return Err(mistake(format!(
            "{} is patched already: cargo xtask xv6 revert takes the patches out",
            tree.path().display()
        )));
    }
    let series = series()?;
    let changes = tree.changes(&series)?;
    let sources = series.iter().flat_map(|patch| &patch.copy);
    let sources: Vec<(&String, PathBuf)> =
        sources.map(|file| Ok((file, source(file)?))).collect::<Result<_>>()?;
    let tree = if options.in_place {
        tree
    } else {
        let beside = || tree.path().with_file_name(format!("{}-pv", name(tree.path())));
        tree.copy_to(&options.to.clone().unwrap_or_else(beside))?
    };
    for (file, from) in &sources {
        tree.take(from, file)?;
        show(format_args!("new file {file}"));
    }
    for change in &changes {
        tree.write(&change.file, &change.after)?;
        show(diff::unified(change).trim_end_matches('\n'));
    }
    for (number, patch) in (1..).zip(&series) {
        eprintln!("applied {number:04}: {}", patch.title);
    }
    let path = tree.path().display();
    eprintln!("patched: {path}");
    eprintln!("build it as ever:  make -C {path} kernel/kernel fs.img");
    eprintln!("and run it:        make qemu-xv6 XV6={path} DISK=pv");
    Ok(0)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn revert(path: &Path) -> Result<u8> {
    let tree = Tree::new(path)?;
    if !tree.is_patched() {
        return Err(mistake(format!("{} is not patched", tree.path().display())));
    }
    let series = series()?;
    for (file, text) in tree.reverted(&series)? {
        tree.write(&file, &text)?;
        tree.forget_products(&file);
    }
    for file in series.iter().flat_map(|patch| &patch.copy) {
        tree.remove(file)?;
    }
    eprintln!("as it was before: {}", tree.path().display());
    Ok(0)
}
