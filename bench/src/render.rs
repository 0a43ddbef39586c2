//! A report as tables: for the terminal, and as Markdown.

use std::collections::BTreeMap;

use tabled::builder::Builder;
use tabled::settings::object::Columns;
use tabled::settings::{Alignment, Modify, Style};

use crate::ladder::{plot, streams, tables};
use crate::profile::Share;
use crate::report::{Report, Row};
use crate::{scaling, xv6};

/// Shares below this many instructions are summed up.
const SMALL: f64 = 1.0;

/// How tables look.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// With lines, for the terminal.
    Terminal,
    /// As Markdown.
    Markdown,
}

/// The table of all operations.
pub fn operations(rows: &[Row], look: Look) -> String {
    let mut table = Builder::default();
    let heads = ["operation", "", "native", "assisted", "target"];
    table.push_record(heads.into_iter().chain(["classic", "target", "[RVirt]", "exits"]));
    let marked = |n, misses| format!("{}{}", number(n), if misses { " !" } else { "" });
    for row in rows {
        let ours = marked(row.guest, row.misses());
        let assisted = row.assisted.map(|n| marked(n, row.misses_assisted()));
        let rvirt = row.rvirt.map(|n| format!("[{}]", number(n)));
        table.push_record([
            row.name.clone(),
            row.what.clone(),
            // What a bare machine does not have costs nothing there.
            if row.native == 0.0 { String::new() } else { number(row.native) },
            assisted.unwrap_or_default(),
            row.assisted_target.map(number).unwrap_or_default(),
            ours,
            row.target.map(number).unwrap_or_default(),
            rvirt.unwrap_or_default(),
            number(row.exits),
        ]);
    }
    finish(table, look, 2)
}

/// The table of exits by cause.
pub fn causes(rows: &[Row], look: Look) -> String {
    let mut table = Builder::default();
    table.push_record(["operation", "exits by cause"]);
    for row in rows.iter().filter(|row| !row.causes.is_empty()) {
        let mut causes: Vec<(&String, f64)> = row.causes.iter().map(|(k, n)| (k, *n)).collect();
        causes.sort_by(|a, b| b.1.total_cmp(&a.1));
        let told = causes.iter().map(|(cause, n)| format!("{cause} {}", number(*n)));
        table.push_record([row.name.clone(), told.collect::<Vec<_>>().join(", ")]);
    }
    finish(table, look, 2)
}

/// The table of a profile.
pub fn profile(shares: &[Share], look: Look) -> String {
    let mut table = Builder::default();
    table.push_record(["file", "function", "instructions"]);
    let (large, small): (Vec<&Share>, Vec<&Share>) =
        shares.iter().partition(|share| share.instructions.abs() >= SMALL);
    for share in large {
        table.push_record([share.file.clone(), share.function.clone(), number(share.instructions)]);
    }
    let rest = sum(small);
    if rest != 0.0 {
        table.push_record(["", "less than one each", &number(rest)]);
    }
    table.push_record(["", "all", &number(sum(shares))]);
    finish(table, look, 2)
}

/// A profile summed up by file: one line.
pub fn files(shares: &[Share]) -> String {
    let mut files: BTreeMap<&str, f64> = BTreeMap::new();
    for share in shares {
        *files.entry(&share.file).or_default() += share.instructions;
    }
    let mut files: Vec<(&str, f64)> = files.into_iter().collect();
    files.sort_by(|a, b| b.1.total_cmp(&a.1));
    let told = files.iter().map(|(file, n)| format!("{file} {}", number(*n)));
    told.collect::<Vec<_>>().join(", ")
}

/// `report.md`.
pub fn markdown(report: &Report) -> String {
    let origin = &report.origin;
    let modified = if origin.modified { ", modified" } else { "" };
    let took = origin.seconds.map(|seconds| format!("; measured in {}", duration(seconds)));
    let took = took.unwrap_or_default();
    let mut text = format!(
        "Commit {}{modified}; {}; {}; {} × {}{took}.\n",
        origin.commit, origin.qemu, origin.rustc, origin.processors, origin.processor,
    );
    if !report.cpu.is_empty() {
        text += &operations_chapter(&report.cpu);
    }
    if !report.xv6.is_empty() {
        text += &format!(
            "\n# Instructions of xv6\n\nOf guest and VMM together; `!`: above its target.\n\n{}\n",
            xv6::cpu::table(&report.xv6, Look::Markdown)
        );
    }
    if !report.scaling.is_empty() {
        text += &format!(
            "\n# More vCPUs, and more guests\n\n{}\n",
            scaling::table(&report.scaling, Look::Markdown)
        );
    }
    if !report.ladder.is_empty() {
        text += &tables::markdown(&report.ladder);
    }
    text + &streams::markdown(&report.console, &report.network)
}

fn operations_chapter(rows: &[Row]) -> String {
    let mut text = format!(
        "\n# What operations cost\n\nInstructions per operation, the guest's loop included; \
         `!`: above its target.\n\n{}\n\n![operations]({})\n\n{}\n",
        operations(rows, Look::Markdown),
        plot::CPU,
        causes(rows, Look::Markdown),
    );
    for row in rows.iter().filter(|row| !row.profile.is_empty()) {
        text += &format!(
            "\n## {}: {}\n\n{}\n",
            row.name,
            files(&row.profile),
            profile(&row.profile, Look::Markdown)
        );
    }
    text
}

fn sum<'a>(shares: impl IntoIterator<Item = &'a Share>) -> f64 {
    shares.into_iter().map(|share| share.instructions).sum()
}

/// `numbers`: the first column of numbers.
pub(crate) fn finish(table: Builder, look: Look, numbers: usize) -> String {
    let mut table = table.build();
    match look {
        Look::Terminal => table.with(Style::sharp()),
        Look::Markdown => table.with(Style::markdown()),
    };
    table.with(Modify::new(Columns::new(numbers..)).with(Alignment::right()));
    table.to_string()
}

/// Minutes and seconds.
pub fn duration(seconds: f64) -> String {
    let seconds = seconds.round();
    match (seconds / 60.0).floor() {
        0.0 => format!("{seconds} s"),
        minutes => format!("{minutes} min {} s", seconds - 60.0 * minutes),
    }
}

/// One decimal if there is one, and thousands apart.
pub(crate) fn number(value: f64) -> String {
    let text = format!("{value:.1}");
    // The sum of no figures is -0.
    let text = if text == "-0.0" { "0.0" } else { &text };
    let (whole, tenth) = text.split_once('.').unwrap_or((text, "0"));
    let (sign, digits) = whole.split_at(whole.len() - whole.trim_start_matches('-').len());
    let mut apart = String::from(sign);
    for (n, digit) in digits.chars().enumerate() {
        if n != 0 && (digits.len() - n).is_multiple_of(3) {
            apart.push(',');
        }
        apart.push(digit);
    }
    if tenth == "0" { apart } else { format!("{apart}.{tenth}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::example;

    #[test]
    fn numbers_are_readable() {
        for (value, text) in
            [(0.0, "0"), (3.0, "3"), (149.5, "149.5"), (1200.0, "1,200"), (120_447.04, "120,447")]
        {
            assert_eq!(number(value), text);
        }
        assert_eq!(number(-1234.5), "-1,234.5");
        assert_eq!([-0.0, -0.01].map(number), ["0", "0"]);
        assert_eq!([59.4, 60.0, 152.6].map(duration), ["59 s", "1 min 0 s", "2 min 33 s"]);
    }

    #[test]
    fn a_missed_target_is_marked() {
        let text = operations(&example().cpu, Look::Markdown);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[2].contains("149.5") && !lines[2].contains('!'), "{text}");
        assert!(lines[3].contains("150.5 !") && lines[3].contains("[349]"), "{text}");
    }

    #[test]
    fn profiles_are_summed_up() {
        let share = |file: &str, function: &str, instructions| Share {
            file: file.to_owned(),
            function: function.to_owned(),
            instructions,
        };
        let shares = [share("a.rs", "f", 10.0), share("b.rs", "g", 12.5), share("a.rs", "h", 0.5)];
        assert_eq!(files(&shares), "b.rs 12.5, a.rs 10.5");
        let text = profile(&shares, Look::Markdown);
        assert!(text.contains("less than one each |          0.5"), "{text}");
        assert!(text.lines().last().unwrap().contains("23"), "{text}");
        assert!(!text.contains("| h"), "{text}");
    }

    #[test]
    fn the_report_says_where_it_comes_from() {
        let text = markdown(&example());
        assert!(
            text.contains(
                "Commit 0123456789abcdef; QEMU 1; rustc 1; 2 × unknown; measured in 1 min 23 s."
            ),
            "{text}"
        );
        assert!(text.contains("csr sscratch 1"), "{text}");
    }
}
