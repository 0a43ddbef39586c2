//! A checkout of xv6, and what the series makes of it.
//!
//! All changes are worked out in memory, and nothing is written before all
//! of them fit.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::patch::{Patch, Place};
use crate::failure::{Context, Failure, Result, mistake};

/// What is made from sources, and need not be copied.
const PRODUCTS: [&str; 5] = ["o", "d", "asm", "sym", "img"];

/// Where a checkout is.
pub(super) struct Tree(PathBuf);

/// A file of xv6's, before and after.
pub(super) struct Change {
    pub(super) file: String,
    pub(super) before: String,
    pub(super) after: String,
    /// What was put before which line of `before`.
    pub(super) inserted: Vec<(usize, String)>,
}

impl Tree {
    /// The checkout at `path`.
    pub(super) fn new(path: &Path) -> Result<Self> {
        if !path.join("kernel/start.c").is_file() || !path.join("Makefile").is_file() {
            return Err(mistake(format!(
                "there is no xv6-riscv in {}: give the folder that has kernel/ and Makefile",
                path.display()
            )));
        }
        let path = fs::canonicalize(path).context(format!("find {}", path.display()))?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Whether the series was applied, to all that anybody can see.
    pub(super) fn is_patched(&self) -> bool {
        self.0.join("kernel/pv.h").is_file()
    }

    /// The changes that the series makes; or everything that does not fit.
    pub(super) fn changes(&self, series: &[Patch]) -> Result<Vec<Change>> {
        let mut wanted: BTreeMap<&str, Vec<(usize, String)>> = BTreeMap::new();
        let mut misfits = Vec::new();
        for insert in series.iter().flat_map(|patch| &patch.insert) {
            let found = self.read(&insert.file).map_err(|_| "there is no such file".to_owned());
            match found.and_then(|text| insert.place(&text)) {
                Ok(Place::Before(line)) => {
                    wanted.entry(&insert.file).or_default().push((line, insert.text()));
                }
                Ok(Place::Needless) => {}
                Err(why) => misfits.push(format!("{}: {why}", insert.file)),
            }
        }
        misfits.dedup();
        if !misfits.is_empty() {
            return Err(self.misfit(&misfits));
        }
        wanted.into_iter().map(|(file, inserted)| self.change(file, inserted)).collect()
    }

    fn misfit(&self, misfits: &[String]) -> Failure {
        mistake(format!(
            "the patches do not fit {}, and nothing was changed: {} (they are made for xv6-riscv \
             of August 2022, commit f5b93ef)",
            self.0.display(),
            misfits.join("; ")
        ))
    }

    fn change(&self, file: &str, mut inserted: Vec<(usize, String)>) -> Result<Change> {
        let before = self.read(file)?;
        // Stable: what goes to the same place stays in the order of the series.
        inserted.sort_by_key(|(line, _)| *line);
        let mut after = String::new();
        let mut rest = inserted.iter().peekable();
        for (number, line) in before.split_inclusive('\n').enumerate() {
            while let Some((_, text)) = rest.next_if(|(at, _)| *at == number) {
                after.push_str(text);
            }
            after.push_str(line);
        }
        Ok(Change { file: file.to_owned(), before, after, inserted })
    }

    /// The texts of patched files without the series; or what has changed
    /// since it was applied.
    pub(super) fn reverted(&self, series: &[Patch]) -> Result<Vec<(String, String)>> {
        let mut texts: BTreeMap<&str, String> = BTreeMap::new();
        for insert in series.iter().flat_map(|patch| &patch.insert) {
            if !texts.contains_key(insert.file.as_str()) {
                texts.insert(&insert.file, self.read(&insert.file)?);
            }
            let text = texts.entry(&insert.file).or_default();
            let ours = insert.text();
            match text.matches(&ours).count() {
                1 => *text = text.replacen(&ours, "", 1),
                0 if insert.may_be_needless() => {}
                count => {
                    return Err(mistake(format!(
                        "{} has {count} times what a patch put there, {:?}: take it out by hand; \
                         nothing was changed",
                        insert.file,
                        ours.trim()
                    )));
                }
            }
        }
        Ok(texts.into_iter().map(|(file, text)| (file.to_owned(), text)).collect())
    }

    fn read(&self, file: &str) -> Result<String> {
        let path = self.0.join(file);
        fs::read_to_string(&path).context(format!("read {}", path.display()))
    }

    pub(super) fn write(&self, file: &str, text: &str) -> Result<()> {
        let path = self.0.join(file);
        fs::write(&path, text).context(format!("write {}", path.display()))
    }

    /// Copies a file of ours into the tree.
    pub(super) fn take(&self, from: &Path, file: &str) -> Result<()> {
        fs::copy(from, self.0.join(file)).context(format!("copy {}", from.display()))?;
        Ok(())
    }

    /// Removes a file, and what was made from it: make would miss the headers
    /// that its list of dependencies names.
    pub(super) fn remove(&self, file: &str) -> Result<()> {
        self.forget_products(file);
        let path = self.0.join(file);
        fs::remove_file(&path).context(format!("remove {}", path.display()))
    }

    /// Removes what was made from a source file.
    pub(super) fn forget_products(&self, file: &str) {
        let path = self.0.join(file);
        if path.extension().is_some_and(|extension| extension == "c") {
            for product in PRODUCTS {
                // Not there if it was not built.
                let _ = fs::remove_file(path.with_extension(product));
            }
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            let _ = fs::remove_file(path.with_file_name(format!("_{stem}")));
        }
    }

    /// Copies the sources to a new folder.
    pub(super) fn copy_to(&self, target: &Path) -> Result<Self> {
        if target.exists() {
            return Err(mistake(format!(
                "{} is there already: remove it, or name another folder with TO=",
                target.display()
            )));
        }
        copy_sources(&self.0, target).context(format!(
            "copy {} to {}",
            self.0.display(),
            target.display()
        ))?;
        Self::new(target)
    }
}

fn copy_sources(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            if entry.file_name() != ".git" {
                copy_sources(&path, &target)?;
            }
        } else if !is_product(&path) {
            fs::copy(path, target)?;
        }
    }
    Ok(())
}

/// Whether a file was built: by its extension, or because it is a program
/// whose source lies beside it.
fn is_product(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let source = |name: &str| path.with_file_name(format!("{name}.c")).is_file();
    PRODUCTS.iter().any(|product| extension == *product)
        || name.strip_prefix('_').is_some_and(source)
        || (extension.is_empty() && (name == "kernel" || name == "mkfs") && path.is_file())
}
