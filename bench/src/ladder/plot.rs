//! A report as pictures: SVG, which needs no fonts here.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use xtask::failure::{Context, Result};

use super::breakdown::CATEGORIES;
use super::cell;
use super::result::{Cell, Rung};
use crate::render::number;
use crate::report::{Report, Row};

/// Names of the pictures.
pub const RATIOS: &str = "ratios.svg";
/// Exits per operation.
pub const EXITS: &str = "exits.svg";
/// CPU operations.
pub const CPU: &str = "cpu.svg";
/// Consoles.
pub const CONSOLE: &str = "console.svg";
/// Networks.
pub const NETWORK: &str = "network.svg";
/// Instructions by category.
pub const BREAKDOWN: &str = "breakdown.svg";

/// Pixels: the picture, the names on the left, one bar, and what is above.
const WIDTH: i32 = 900;
const LEFT: i32 = 190;
const RIGHT: i32 = 90;
const BAR: i32 = 18;
const TOP: i32 = 64;

/// One colour for each series of bars.
const SERIES: [RGBColor; 3] =
    [RGBColor(38, 98, 160), RGBColor(230, 140, 40), RGBColor(90, 160, 90)];
/// Combinations of disks that pictures show.
const READS: [(&str, (&str, u32, u32)); 2] =
    [("depth 1", ("read", 4096, 1)), ("depth 32", ("read", 4096, 32))];
/// One colour for each category.
const COLOURS: [RGBColor; CATEGORIES.len()] = [
    RGBColor(90, 160, 90),
    RGBColor(200, 70, 60),
    RGBColor(150, 100, 180),
    RGBColor(240, 200, 80),
    RGBColor(38, 98, 160),
    RGBColor(110, 190, 220),
    RGBColor(130, 130, 130),
    RGBColor(230, 140, 40),
];

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Drawn = std::result::Result<(), Box<dyn Error>>;

/// Draws the pictures of what was measured into `dir`.
///
/// # Errors
/// If a file can't be written.
pub fn all(report: &Report, dir: &Path) -> Result<()> {
    let save = |name: &str, picture: String| {
        let path = dir.join(name);
        std::fs::write(&path, picture).context(format!("write {}", path.display()))
    };
    let problem = |error: Box<dyn Error>| Err(error.to_string()).context("draw a picture");
    if !report.cpu.is_empty() {
        save(CPU, bars(&Chart::cpu(&report.cpu)).or_else(problem)?)?;
    }
    if !report.console.is_empty() {
        save(CONSOLE, bars(&Chart::console(&report.console)).or_else(problem)?)?;
    }
    if !report.network.is_empty() {
        save(NETWORK, bars(&Chart::network(&report.network)).or_else(problem)?)?;
    }
    let disks = &report.ladder;
    if disks.is_empty() {
        return Ok(());
    }
    save(RATIOS, bars(&Chart::ratios(disks)).or_else(problem)?)?;
    save(EXITS, bars(&Chart::exits(disks)).or_else(problem)?)?;
    save(BREAKDOWN, breakdown(disks).or_else(problem)?)
}

/// Bars on a logarithmic scale: rows with a bar for each series.
struct Chart {
    title: &'static str,
    series: Vec<(String, RGBColor)>,
    rows: Vec<(String, Vec<Option<f64>>)>,
    /// Powers of ten at the ends of the scale.
    scale: (i32, i32),
}

impl Chart {
    /// Rungs, with a bar for each of the combinations.
    fn of(
        title: &'static str,
        rungs: &[Rung],
        cells: &[(&str, (&str, u32, u32))],
        figure: fn(&Cell) -> Option<f64>,
        scale: (i32, i32),
    ) -> Self {
        let names = cells.iter().map(|(name, _)| (*name).to_owned());
        let bars = |rung: &Rung| {
            let find = |(op, bytes, depth)| cell(rung, op, "sequential", bytes, depth);
            cells.iter().map(|(_, key)| find(*key).and_then(figure)).collect()
        };
        let rows = rungs.iter().map(|rung| (rung.name.clone(), bars(rung))).collect();
        Self { title, series: names.zip(SERIES).collect(), rows, scale }
    }

    fn ratios(rungs: &[Rung]) -> Self {
        let title = "4 KiB sequential reads: throughput, native = 1";
        Self::of(title, rungs, &READS, |cell| Some(cell.ratio), (-4, 2))
    }

    fn exits(rungs: &[Rung]) -> Self {
        let title = "4 KiB sequential reads: exits per operation";
        Self::of(title, rungs, &READS, |cell| Some(cell.exits), (-2, 4))
    }

    fn console(rungs: &[Rung]) -> Self {
        let title = "Console: instructions per byte, guest and VMM together";
        let cells = [
            ("1 byte at once", ("show", 1, 1)),
            ("64 bytes", ("show", 64, 1)),
            ("1024 bytes", ("show", 1024, 1)),
        ];
        let figure = |cell: &Cell| cell.instructions.map(|n| n / f64::from(cell.key.bytes));
        Self::of(title, rungs, &cells, figure, (-1, 4))
    }

    fn network(rungs: &[Rung]) -> Self {
        let title = "Network, frames of 64 bytes: rate, native = 1";
        let cells = [
            ("echo, depth 1", ("echo", 64, 1)),
            ("echo, depth 32", ("echo", 64, 32)),
            ("send, depth 32", ("send", 64, 32)),
        ];
        Self::of(title, rungs, &cells, |cell| Some(cell.ratio), (-2, 1))
    }

    fn cpu(rows: &[Row]) -> Self {
        let names = ["native", "assisted", "classic"].map(str::to_owned);
        let bars = |row: &Row| {
            let native = (row.native != 0.0).then_some(row.native);
            (row.name.clone(), vec![native, row.assisted, Some(row.guest)])
        };
        Self {
            title: "CPU operations: instructions, guest and VMM together",
            series: names.into_iter().zip(SERIES).collect(),
            rows: rows.iter().map(bars).collect(),
            scale: (0, 4),
        }
    }

    /// Where a figure is, in pixels from the left end of the scale.
    fn place(&self, value: f64) -> i32 {
        let (low, high) = (f64::from(self.scale.0), f64::from(self.scale.1));
        let part = (value.max(1e-9).log10() - low) / (high - low);
        round(part.clamp(0.0, 1.0) * f64::from(WIDTH - LEFT - RIGHT))
    }
}

/// The nearest pixel.
#[expect(clippy::cast_possible_truncation, reason = "pictures are small")]
fn round(value: f64) -> i32 {
    value.round() as i32
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(0)
}

fn bars(chart: &Chart) -> std::result::Result<String, Box<dyn Error>> {
    let mut text = String::new();
    let step = BAR * count(chart.series.len()) + 12;
    let height = TOP + step * count(chart.rows.len()) + 34;
    {
        let area = begin(&mut text, height, chart.title)?;
        legend(&area, chart.series.iter().cloned(), 150)?;
        for power in chart.scale.0..=chart.scale.1 {
            let x = LEFT + chart.place(10f64.powi(power));
            let line = [(x, TOP - 8), (x, height - 28)];
            area.draw(&PathElement::new(line, RGBColor(220, 220, 220)))?;
            let label = if power < 0 {
                format!("{:.*}", power.unsigned_abs() as usize, 10f64.powi(power))
            } else {
                number(10f64.powi(power))
            };
            write(&area, &label, (x, height - 20), HPos::Center)?;
        }
        for (n, (name, values)) in chart.rows.iter().enumerate() {
            let y = TOP + step * count(n);
            write(&area, name, (LEFT - 8, y + BAR * count(values.len()) / 2), HPos::Right)?;
            for (k, (value, (_, colour))) in values.iter().zip(&chart.series).enumerate() {
                let (Some(value), y) = (*value, y + BAR * count(k)) else { continue };
                let end = LEFT + chart.place(value);
                area.draw(&Rectangle::new([(LEFT, y), (end, y + BAR - 2)], colour.filled()))?;
                write(&area, &told(value), (end + 5, y + BAR / 2), HPos::Left)?;
            }
        }
        area.present()?;
    }
    Ok(text)
}

/// A figure beside its bar.
fn told(value: f64) -> String {
    if value >= 10.0 || value.fract() == 0.0 {
        number(value.round())
    } else {
        format!("{value:.3}")
    }
}

/// Bars of equal length, one for each rung, divided by category.
fn breakdown(rungs: &[Rung]) -> std::result::Result<String, Box<dyn Error>> {
    let mut text = String::new();
    let rows: Vec<&Rung> = rungs.iter().filter(|rung| !rung.parts.is_empty()).collect();
    let (step, top) = (BAR + 16, TOP + 20);
    let height = top + step * count(rows.len()) + 10;
    {
        let area = begin(&mut text, height, "Where the instructions of one 4 KiB read go")?;
        let names = CATEGORIES.map(|(name, _)| name.to_owned());
        legend(&area, names.into_iter().zip(COLOURS), 215)?;
        for (n, rung) in rows.iter().enumerate() {
            let y = top + step * count(n);
            write(&area, &rung.name, (LEFT - 8, y + BAR / 2), HPos::Right)?;
            let all: f64 = rung.parts.iter().map(|part| part.instructions).sum();
            let mut done = 0.0;
            for (colour, (category, _)) in COLOURS.into_iter().zip(CATEGORIES) {
                let part = rung.parts.iter().find(|part| part.category == category);
                let share = part.map_or(0.0, |part| part.instructions) / all;
                let at = |part: f64| LEFT + round(part * f64::from(WIDTH - LEFT - RIGHT));
                let corners = [(at(done), y), (at(done + share), y + BAR)];
                area.draw(&Rectangle::new(corners, colour.filled()))?;
                done += share;
            }
            write(&area, &number(all.round()), (WIDTH - RIGHT + 8, y + BAR / 2), HPos::Left)?;
        }
        area.present()?;
    }
    Ok(text)
}

fn begin<'a>(
    text: &'a mut String,
    height: i32,
    title: &str,
) -> std::result::Result<Area<'a>, Box<dyn Error>> {
    let size = (WIDTH.unsigned_abs(), height.unsigned_abs());
    let area = SVGBackend::with_string(text, size).into_drawing_area();
    area.fill(&WHITE)?;
    area.draw(&Text::new(title.to_owned(), (12, 8), ("sans-serif", 20).into_font()))?;
    Ok(area)
}

/// Colours and what they stand for: four in a line.
fn legend(
    area: &Area<'_>,
    entries: impl IntoIterator<Item = (String, RGBColor)>,
    width: i32,
) -> Drawn {
    for (n, (name, colour)) in entries.into_iter().enumerate() {
        let (x, y) = (12 + width * count(n % 4), 34 + 18 * count(n / 4));
        area.draw(&Rectangle::new([(x, y), (x + 12, y + 12)], colour.filled()))?;
        write(area, &name, (x + 18, y + 6), HPos::Left)?;
    }
    Ok(())
}

/// Small text, at half its height.
fn write(area: &Area<'_>, text: &str, place: (i32, i32), side: HPos) -> Drawn {
    let style = TextStyle::from(("sans-serif", 15).into_font()).pos(Pos::new(side, VPos::Center));
    area.draw(&Text::new(text.to_owned(), place, style))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ladder::tables::tests::example;
    use crate::report;

    #[test]
    fn scales_have_ends() {
        let bars = Chart::ratios(&[]);
        let all = WIDTH - LEFT - RIGHT;
        assert_eq!((bars.place(1e-4), bars.place(100.0), bars.place(0.1)), (0, all, all / 2));
        assert_eq!((bars.place(0.0), bars.place(1e9)), (0, all));
    }

    #[test]
    fn pictures_show_each_rung_and_its_figures() {
        let rungs = example();
        for picture in [bars(&Chart::exits(&rungs)).unwrap(), breakdown(&rungs).unwrap()] {
            assert!(picture.starts_with("<svg") && picture.trim_end().ends_with("</svg>"));
            assert!(rungs.iter().all(|rung| picture.contains(&rung.name)), "{picture}");
        }
        assert!(bars(&Chart::exits(&rungs)).unwrap().contains("2,000"));
        assert!(breakdown(&rungs).unwrap().contains("world switch"));
    }

    #[test]
    fn operations_that_have_no_native_figure_have_no_native_bar() {
        let mut rows = report::tests::example().cpu;
        let full = bars(&Chart::cpu(&rows)).unwrap().matches("<rect").count();
        rows[0].native = 0.0;
        assert_eq!(bars(&Chart::cpu(&rows)).unwrap().matches("<rect").count(), full - 1);
    }
}
