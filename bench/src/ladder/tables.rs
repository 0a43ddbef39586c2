//! The ladder as tables.

use tabled::builder::Builder;

use super::breakdown::{CATEGORIES, Part};
use super::expected::{self, Expected};
use super::result::{Cell, Rung};
use super::run::Key;
use super::{cell, plot};
use crate::render::{Look, finish, number};

/// Reads of 4 KiB, one at a time and 32: what the terminal shows.
pub fn summary(rungs: &[Rung], look: Look) -> String {
    let key = |depth| {
        let (op, pattern) = ("read".to_owned(), "sequential".to_owned());
        Key { op, pattern, bytes: 4096, depth }
    };
    table(rungs, &[key(1), key(32)], look)
}

/// Rungs by combinations.
fn table(rungs: &[Rung], keys: &[Key], look: Look) -> String {
    let mut table = Builder::default();
    table.push_record([
        "",
        "depth",
        "ops/s",
        "±",
        "MB/s",
        "of native",
        "exits/op",
        "instr./op",
        "p50 µs",
        "p99 µs",
    ]);
    for rung in rungs {
        for cell in rung.cells.iter().filter(|cell| keys.contains(&cell.key)) {
            table.push_record(record(rung, cell));
        }
    }
    finish(table, look, 1)
}

fn record(rung: &Rung, cell: &Cell) -> [String; 10] {
    [
        rung.name.clone(),
        cell.key.depth.to_string(),
        number(cell.rate.round()),
        format!("{:.0} %", 100.0 * cell.spread),
        number(cell.megabytes()),
        format!("{:.3}", cell.ratio),
        digits(cell.exits),
        cell.instructions.map(|n| number(n.round())).unwrap_or_default(),
        number(cell.p50),
        number(cell.p99),
    ]
}

/// Two decimals where they matter.
pub(super) fn digits(value: f64) -> String {
    if value < 10.0 && value != 0.0 { format!("{value:.2}") } else { number(value) }
}

/// What is expected, and what was found.
pub fn expectations(all: &[Expected], look: Look) -> String {
    let mut table = Builder::default();
    table.push_record(["expected", "", "found", ""]);
    for expected in all {
        table.push_record([
            expected.what.clone(),
            format!("{} {}", if expected.at_least { "≥" } else { "≤" }, digits(expected.limit)),
            digits(expected.found),
            if expected.is_met() { "yes" } else { "no" }.to_owned(),
        ]);
    }
    finish(table, look, 1)
}

/// Instructions of one read of 4 KiB by category, as `parts` has them.
fn breakdown(rungs: &[Rung], parts: fn(&Rung) -> &[Part], look: Look) -> String {
    let rungs: Vec<&Rung> = rungs.iter().filter(|rung| !parts(rung).is_empty()).collect();
    let mut table = Builder::default();
    let names = rungs.iter().map(|rung| rung.name.clone());
    table.push_record([String::new()].into_iter().chain(names));
    for (category, _) in CATEGORIES {
        let of = |rung: &&Rung| parts(rung).iter().find(|part| part.category == category).cloned();
        let figures = rungs.iter().map(|rung| of(rung).map_or(0.0, |part| part.instructions));
        let told = figures.map(|figure| number(figure.round()));
        table.push_record([category.to_owned()].into_iter().chain(told));
    }
    let sum = |rung: &&Rung| parts(rung).iter().map(|part| part.instructions).sum::<f64>();
    let sums = rungs.iter().map(|rung| number(sum(rung).round()));
    table.push_record(["all".to_owned()].into_iter().chain(sums));
    finish(table, look, 1)
}

fn causes(rungs: &[Rung], look: Look) -> String {
    let mut table = Builder::default();
    table.push_record(["", "depth", "exits by cause, per read"]);
    for rung in rungs {
        for depth in [1, 32] {
            let Some(cell) = cell(rung, "read", "sequential", 4096, depth) else { continue };
            let told = causes_of(cell);
            if !told.is_empty() {
                table.push_record([rung.name.clone(), depth.to_string(), told]);
            }
        }
    }
    finish(table, look, 1)
}

/// The causes that matter, the most frequent first.
pub(super) fn causes_of(cell: &Cell) -> String {
    let mut causes: Vec<(&String, &f64)> = cell.causes.iter().collect();
    causes.sort_by(|a, b| b.1.total_cmp(a.1));
    let told = causes.iter().filter(|(_, n)| **n >= 0.005);
    let told = told.map(|(cause, n)| format!("{cause} {}", digits(**n)));
    told.collect::<Vec<_>>().join(", ")
}

/// The chapter of `report.md`.
pub fn markdown(rungs: &[Rung]) -> String {
    let mut text = String::from("\n# The ladder of disks\n\n");
    for rung in rungs {
        text += &format!("- **{}**: {}\n", rung.name, rung.what);
    }
    text += &format!(
        "\n{}\n\n![throughput]({})\n\n![exits]({})\n\n![breakdown]({})\n",
        expectations(&expected::all(rungs), Look::Markdown),
        plot::RATIOS,
        plot::EXITS,
        plot::BREAKDOWN,
    );
    text += &format!(
        "\n## Instructions of one read of 4 KiB\n\n{}\n\nOf one of 32 in flight together:\n\n{}\n\n\
         ## Exits of one read of 4 KiB\n\n{}\n",
        breakdown(rungs, |rung| &rung.parts, Look::Markdown),
        breakdown(rungs, |rung| &rung.deep_parts, Look::Markdown),
        causes(rungs, Look::Markdown),
    );
    for (title, keys) in combinations(rungs) {
        text += &format!("\n## {title}\n\n{}\n", table(rungs, &keys, Look::Markdown));
    }
    text
}

/// All combinations: those that differ in depth only belong together.
fn combinations(rungs: &[Rung]) -> Vec<(String, Vec<Key>)> {
    let mut all: Vec<(String, Vec<Key>)> = Vec::new();
    for key in rungs.iter().flat_map(|rung| &rung.cells).map(|cell| &cell.key) {
        let title = format!("{} {}, {} bytes", key.pattern, key.op, number(key.bytes.into()));
        match all.iter_mut().find(|(other, _)| *other == title) {
            Some((_, keys)) if keys.contains(key) => {}
            Some((_, keys)) => keys.push(key.clone()),
            None => all.push((title, vec![key.clone()])),
        }
    }
    all
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::ladder::result::tests::key;
    use crate::machine::Figures;

    pub(crate) fn rung(name: &str, rate: f64, exits: f64) -> Rung {
        let cell = |depth| Cell {
            key: Key { depth, ..key() },
            rate: rate * f64::from(depth),
            spread: 0.05,
            ratio: rate / 100.0,
            p50: 1.0,
            p99: 2.0,
            exits: exits / f64::from(depth),
            causes: Figures::from([("sret".to_owned(), exits)]),
            instructions: Some(1234.0),
        };
        let part = Part { category: "world switch".to_owned(), instructions: 200.0 };
        let (name, cells) = (name.to_owned(), vec![cell(1), cell(32)]);
        let deep_parts = vec![part.clone()];
        Rung { name, what: "a disk".to_owned(), cells, parts: vec![part], deep_parts }
    }

    pub(crate) fn example() -> Vec<Rung> {
        vec![
            rung("ATA PIO", 1.0, 2000.0),
            rung("PV, waiting", 50.0, 1.0),
            rung("PV, queued", 80.0, 3.0),
            rung("native", 100.0, 0.0),
        ]
    }

    #[test]
    fn the_summary_has_two_depths() {
        let text = summary(&example(), Look::Markdown);
        assert_eq!(text.lines().count(), 2 + 2 * 4, "{text}");
        assert!(
            text.contains("2,000") && text.contains("1,234") && text.contains("0.09"),
            "{text}"
        );
    }

    #[test]
    fn expectations_are_met_or_not() {
        let all = expected::all(&example());
        let met: Vec<bool> = all.iter().map(Expected::is_met).collect();
        // 50 and 2000 times; 0.8 of native; QEMU's disk was not measured.
        assert_eq!(met, [true, true, false, true]);
        let text = expectations(&all, Look::Markdown);
        assert!(text.contains("≥ 20") && text.contains("≤ 0.20") && text.contains("no"), "{text}");
    }

    #[test]
    fn the_chapter_has_everything() {
        let text = markdown(&example());
        for part in ["**native**: a disk", "ratios.svg", "sret 2,000", "sequential read, 4,096"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
