//! `--config FILE.toml`: several guests, and the options of the run, under
//! the names that they have on the command line.

use std::path::{Path, PathBuf};

use super::image;
use super::options::{GuestOptions, RunOptions};
use crate::failure::{Result, mistake};

/// Reads a configuration file. Paths in it are relative to its directory.
///
/// # Errors
/// If it can't be read, or says something unknown: with the line.
pub(super) fn read(path: &Path) -> Result<RunOptions> {
    image::file("configuration", path)?;
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| mistake(format!("configuration {shown}: {error}")))?;
    let mut options = parse(&text)
        .map_err(|(line, problem)| mistake(format!("configuration {shown}:{line}: {problem}")))?;
    if options.guest.is_empty() {
        return Err(mistake(format!("configuration {shown}: has no table [[guest]]")));
    }
    let base = path.parent().unwrap_or(Path::new("."));
    options.guest.iter_mut().for_each(|guest| rebase_guest(base, guest));
    rebase(base, &mut options.stats);
    if options.trace.as_deref() != Some(Path::new("-")) {
        rebase(base, &mut options.trace);
    }
    Ok(options)
}

/// Parses the text; an error is a line number and what is wrong there.
fn parse(text: &str) -> std::result::Result<RunOptions, (usize, String)> {
    toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or("");
        (before.matches('\n').count() + 1, error.message().replace('\n', " "))
    })
}

fn rebase_guest(base: &Path, guest: &mut GuestOptions) {
    rebase(base, &mut guest.kernel);
    rebase(base, &mut guest.initrd);
    for disk in &mut guest.disk {
        disk.path = base.join(&disk.path);
    }
    guest.pass.iter_mut().for_each(|passed| passed.rebase(base));
}

fn rebase(base: &Path, path: &mut Option<PathBuf>) {
    if let Some(path) = path {
        *path = base.join(&*path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_have_the_names_of_the_options() {
        let options = parse(
            "harts = 2\ntrace-only = [\"csr\"]\n[[guest]]\nname = \"a\"\nkernel = \"k\"\n\
             disk = [\"d,version=1,ro\"]\nmemory = \"64M\"\ncpu = \"classic\"\nboot = \"s\"\n\
             [[guest]]\nkernel = \"l\"\ncpus = 3\n",
        )
        .unwrap();
        assert_eq!(options.harts, Some(2));
        assert_eq!(options.guest.len(), 2);
        assert!(options.guest[0].disk[0].read_only);
        assert_eq!(options.guest[1].cpus, Some(3));
    }

    #[test]
    fn mistakes_come_with_their_line() {
        let (line, problem) = parse("harts = 1\n[[guest]]\nkernle = \"k\"\n").unwrap_err();
        assert_eq!(line, 3);
        assert!(problem.contains("unknown field `kernle`"), "{problem}");
        let (line, problem) = parse("[[guest]]\nmemory = \"12\"\n").unwrap_err();
        assert_eq!(line, 2);
        assert!(problem.contains("such as 128M"), "{problem}");
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let mut guest = GuestOptions { kernel: Some("k".into()), ..GuestOptions::default() };
        rebase_guest(Path::new("/a/b"), &mut guest);
        assert_eq!(guest.kernel, Some("/a/b/k".into()));
    }
}
