//! Consoles and networks as tables.

use tabled::builder::Builder;

use super::plot;
use super::result::{Cell, Rung};
use super::tables::{causes_of, digits};
use crate::render::{Look, finish, number};

/// Rungs of the console, per byte that is shown.
pub fn console(rungs: &[Rung], look: Look) -> String {
    let mut table = Builder::default();
    let heads = ["", "bytes at once", "KB/s", "±", "of native", "bytes/exit", "instr./byte"];
    table.push_record(heads);
    for (rung, cell) in cells(rungs) {
        let bytes = f64::from(cell.key.bytes);
        // A bare machine has no exits.
        let per_exit = if cell.exits == 0.0 { String::new() } else { digits(bytes / cell.exits) };
        table.push_record([
            rung.name.clone(),
            cell.key.bytes.to_string(),
            number(1000.0 * cell.megabytes()),
            format!("{:.0} %", 100.0 * cell.spread),
            format!("{:.3}", cell.ratio),
            per_exit,
            cell.instructions.map(|n| digits(n / bytes)).unwrap_or_default(),
        ]);
    }
    finish(table, look, 1)
}

/// Rungs of the network, per frame or pair of frames.
pub fn network(rungs: &[Rung], look: Look) -> String {
    let mut table = Builder::default();
    let heads =
        ["", "", "bytes", "depth", "ops/s", "±", "of native", "exits/op", "p50 µs", "p99 µs"];
    table.push_record(heads.into_iter().chain(["instr./op"]));
    for (rung, cell) in cells(rungs) {
        table.push_record([
            rung.name.clone(),
            cell.key.op.clone(),
            number(cell.key.bytes.into()),
            cell.key.depth.to_string(),
            number(cell.rate.round()),
            format!("{:.0} %", 100.0 * cell.spread),
            format!("{:.3}", cell.ratio),
            digits(cell.exits),
            number(cell.p50),
            number(cell.p99),
            cell.instructions.map(|n| number(n.round())).unwrap_or_default(),
        ]);
    }
    finish(table, look, 2)
}

/// By combination first, so that what is to be compared is together.
fn cells(rungs: &[Rung]) -> Vec<(&Rung, &Cell)> {
    let mut all = Vec::new();
    for key in rungs.first().iter().flat_map(|rung| &rung.cells).map(|cell| &cell.key) {
        for rung in rungs {
            let same = rung.cells.iter().filter(|cell| cell.key == *key);
            all.extend(same.map(|cell| (rung, cell)));
        }
    }
    all
}

/// Exits by cause.
fn causes(rungs: &[Rung], look: Look) -> String {
    let mut table = Builder::default();
    table.push_record(["", "", "bytes", "depth", "exits by cause, per operation"]);
    for (rung, cell) in cells(rungs).into_iter().filter(|(_, cell)| !cell.causes.is_empty()) {
        let (op, depth) = (cell.key.op.clone(), cell.key.depth.to_string());
        let bytes = number(cell.key.bytes.into());
        table.push_record([rung.name.clone(), op, bytes, depth, causes_of(cell)]);
    }
    finish(table, look, 5)
}

/// The chapters of `report.md`.
pub fn markdown(console_rungs: &[Rung], network_rungs: &[Rung]) -> String {
    let mut text = String::new();
    let chapters = [
        ("The console", plot::CONSOLE, console_rungs, console as fn(&[Rung], Look) -> String),
        ("The network", plot::NETWORK, network_rungs, network),
    ];
    for (title, picture, rungs, table) in
        chapters.into_iter().filter(|(_, _, rungs, _)| !rungs.is_empty())
    {
        text += &format!("\n# {title}\n\n");
        for rung in rungs {
            text += &format!("- **{}**: {}\n", rung.name, rung.what);
        }
        text += &format!(
            "\n![{title}]({picture})\n\n{}\n\n{}\n",
            table(rungs, Look::Markdown),
            causes(rungs, Look::Markdown)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ladder::tables::tests::rung;

    #[test]
    fn consoles_are_told_per_byte() {
        let rungs = [rung("UART", 10.0, 8192.0), rung("native", 100.0, 0.0)];
        let text = console(&rungs, Look::Markdown);
        let lines: Vec<&str> = text.lines().collect();
        // 4096 bytes, 8192 exits at depth 1; 1234 instructions.
        assert!(lines[2].contains("UART") && lines[2].contains("0.50"), "{text}");
        assert!(lines[2].contains("0.30"), "{text}");
        assert!(lines[3].contains("native") && lines[3].contains("1.000"), "{text}");
    }

    #[test]
    fn networks_are_compared_by_combination() {
        let text = network(&[rung("PV", 50.0, 2.0), rung("native", 100.0, 0.0)], Look::Markdown);
        let names = text.lines().skip(2).map(|line| line.split('|').nth(1).unwrap_or("").trim());
        assert_eq!(names.collect::<Vec<_>>(), ["PV", "native", "PV", "native"]);
    }

    #[test]
    fn chapters_are_there_if_they_were_measured() {
        assert_eq!(markdown(&[], &[]), "");
        let text = markdown(&[rung("UART", 10.0, 2.0)], &[]);
        assert!(text.contains("# The console") && text.contains("sret 2"), "{text}");
        assert!(!text.contains("network"), "{text}");
    }
}
