//! The committed report, and the pages that show its tables.
//!
//! Nothing is copied by hand: a page has a place between two marks, and a
//! test compares what is there with the report.

use std::fs;
use std::path::PathBuf;

use xtask::failure::{Context, Result, broken};
use xtask::workspace;

use crate::ladder::{expected, streams, tables};
use crate::render::Look;
use crate::report::Report;

/// The marks.
const BEGIN: &str = "<!-- from bench/reports, by make bench ARGS=--publish -->";
const END: &str = "<!-- end -->";

/// A page, and the tables that it shows.
type Page = (&'static str, fn(&Report) -> String);

/// The pages.
const PAGES: [Page; 2] = [("README.md", short), ("docs/benchmarks.md", long)];

/// Where the committed report is.
pub fn dir() -> PathBuf {
    workspace::root().join("bench/reports")
}

/// Puts the tables of a report into the pages.
///
/// # Errors
/// If a page has no place for them.
pub fn pages(report: &Report) -> Result<()> {
    for (page, tables) in PAGES {
        let path = workspace::root().join(page);
        let doing = || format!("update {page}");
        let text = fs::read_to_string(&path).context(doing())?;
        let text = replaced(&text, &tables(report))
            .ok_or_else(|| broken(format!("{page} lacks the marks {BEGIN:?} and {END:?}")))?;
        fs::write(&path, text).context(doing())?;
    }
    Ok(())
}

/// `page` with `tables` between the marks.
fn replaced(page: &str, tables: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", tables.trim()))
}

fn short(report: &Report) -> String {
    tables::summary(&report.ladder, Look::Markdown)
}

fn long(report: &Report) -> String {
    format!(
        "Sequential reads of 4 KiB:\n\n{}\n\nWhat we expect to see:\n\n{}\n\nThe console:\n\n{}\n",
        tables::summary(&report.ladder, Look::Markdown),
        tables::expectations(&expected::all(&report.ladder), Look::Markdown),
        streams::console(&report.console, Look::Markdown),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::example;

    #[test]
    fn tables_go_between_the_marks() {
        let page = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        let new = replaced(&page, "| new |\n").unwrap();
        assert_eq!(new, format!("a\n{BEGIN}\n\n| new |\n\n{END}\nb\n"));
        assert_eq!(replaced(&new, "| new |").as_deref(), Some(new.as_str()));
        assert_eq!(replaced("a\n", "| new |"), None);
        assert!(short(&example()).contains("ATA PIO"));
    }

    #[test]
    fn pages_show_the_committed_report() {
        let report = Report::read(&dir().join("report.json")).unwrap();
        for (page, tables) in PAGES {
            let text = fs::read_to_string(workspace::root().join(page)).unwrap();
            let new = replaced(&text, &tables(&report)).expect("a place for the tables");
            assert!(new == text, "{page}: `make bench ARGS=--publish` puts other tables there");
        }
    }
}
