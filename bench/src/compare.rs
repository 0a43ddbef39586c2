//! What changed between two reports: `cargo xtask bench-compare A B`.

use tabled::builder::Builder;

use crate::ladder::result::{Cell, Rung};
use crate::render::{Look, finish, number};
use crate::report::Report;

/// Counts repeat to the digit, so that this is a change: half a percent.
const EXACT: f64 = 0.005;
/// Those of xv6 contain waiting for the disk.
const WAITING: f64 = 0.05;
/// Times differ by this much on an idle machine, even if the rounds did not.
const FLOOR: f64 = 0.05;

/// One figure that changed by more than its noise.
#[derive(PartialEq, Debug)]
pub struct Change {
    /// Of what.
    pub what: String,
    /// Which figure.
    pub figure: &'static str,
    /// In the first report.
    pub before: f64,
    /// In the second one.
    pub after: f64,
}

impl Change {
    fn part(&self) -> f64 {
        self.after / self.before - 1.0
    }
}

/// Everything that changed, the largest first.
pub fn changes(a: &Report, b: &Report) -> Vec<Change> {
    let mut all = Vec::new();
    for row in &a.cpu {
        if let Some(other) = b.cpu.iter().find(|other| other.name == row.name) {
            note(&mut all, &row.name, "instructions", (row.guest, other.guest), EXACT);
            note(&mut all, &row.name, "exits", (row.exits, other.exits), EXACT);
        }
    }
    for row in &a.xv6 {
        let mut others = b.xv6.iter().filter(|other| other.work == row.work);
        if let Some(other) = others.find(|other| other.run == row.run) {
            let what = format!("xv6, {}: {}", row.run, row.work);
            note(&mut all, &what, "instructions", (row.instructions, other.instructions), WAITING);
        }
    }
    for row in &a.scaling {
        let mut others = b.scaling.iter().filter(|other| other.name == row.name);
        if let Some(other) = others.find(|other| other.harts == row.harts) {
            let what = format!("scaling, {}, {} at work", row.name, row.harts);
            let noise = (row.spread + other.spread).max(FLOOR);
            note(&mut all, &what, "ratio to native", (row.ratio, other.ratio), noise);
        }
    }
    for (suite, rung) in a.rungs() {
        let mut others = b.rungs().filter(|(other, _)| *other == suite);
        if let Some((_, other)) = others.find(|(_, other)| other.name == rung.name) {
            compare_rungs(&mut all, suite, rung, other);
        }
    }
    all.sort_by(|a, b| b.part().abs().total_cmp(&a.part().abs()));
    all
}

fn compare_rungs(all: &mut Vec<Change>, suite: &str, rung: &Rung, other: &Rung) {
    for cell in &rung.cells {
        let Some(other) = other.cells.iter().find(|other| other.key == cell.key) else { continue };
        let key = &cell.key;
        let what = format!(
            "{suite}, {}: {} {}, {} bytes, depth {}",
            rung.name, key.pattern, key.op, key.bytes, key.depth
        );
        if let (Some(before), Some(after)) = (cell.instructions, other.instructions) {
            note(all, &what, "instructions", (before, after), EXACT);
        }
        // Exits depend on what completes together, which is a matter of time.
        note(all, &what, "exits", (cell.exits, other.exits), FLOOR);
        let noise = cell.spread + other.spread;
        note(all, &what, "ratio to native", ratios(cell, other), noise.max(FLOOR));
    }
}

fn ratios(a: &Cell, b: &Cell) -> (f64, f64) {
    (a.ratio, b.ratio)
}

fn note(
    all: &mut Vec<Change>,
    what: &str,
    figure: &'static str,
    (before, after): (f64, f64),
    noise: f64,
) {
    let change = Change { what: what.to_owned(), figure, before, after };
    let appeared = (before == 0.0) != (after == 0.0);
    if appeared || before != 0.0 && change.part().abs() > noise {
        all.push(change);
    }
}

/// The changes as a table.
pub fn table(changes: &[Change]) -> String {
    let mut table = Builder::default();
    table.push_record(["", "", "before", "after", "change"]);
    for change in changes {
        let digits = |value: f64| match value.abs() < 10.0 {
            true => format!("{value:.3}"),
            false => number(value.round()),
        };
        table.push_record([
            change.what.clone(),
            change.figure.to_owned(),
            digits(change.before),
            digits(change.after),
            format!("{:+.1} %", 100.0 * change.part()),
        ]);
    }
    finish(table, Look::Terminal, 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::example;

    #[test]
    fn only_what_exceeds_the_noise_is_told() {
        let a = example();
        assert_eq!(changes(&a, &a), []);
        let mut b = a.clone();
        b.cpu[0].guest *= 1.002;
        b.cpu[1].guest *= 1.10;
        // Rounds differed by 5 % in either: this is noise, and this is not.
        b.ladder[0].cells[0].ratio *= 1.09;
        b.ladder[0].cells[1].ratio *= 0.5;
        b.ladder[1].cells[0].exits = 2.0;
        b.ladder[1].cells[0].instructions = Some(1240.0);
        let found = changes(&a, &b);
        let told: Vec<String> = found
            .iter()
            .map(|change| format!("{} {:+.0}", change.figure, 100.0 * change.part()))
            .collect();
        assert_eq!(told, ["exits +100", "ratio to native -50", "instructions +10"]);
        assert!(found[0].what.starts_with("disks, PV, waiting: sequential read"));
        assert!(table(&found).contains("-50.0 %"));
    }
}
