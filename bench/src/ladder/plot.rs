//! The ladder as pictures: SVG, which needs no fonts here.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use xtask::failure::{Context, Result};

use super::breakdown::CATEGORIES;
use super::cell;
use super::result::{Cell, Rung};
use crate::render::number;

/// Names of the pictures.
pub const RATIOS: &str = "ratios.svg";
/// Exits per operation.
pub const EXITS: &str = "exits.svg";
/// Instructions by category.
pub const BREAKDOWN: &str = "breakdown.svg";

/// Pixels: the picture, the names on the left, one bar, and what is above.
const WIDTH: i32 = 900;
const LEFT: i32 = 190;
const RIGHT: i32 = 90;
const BAR: i32 = 18;
const TOP: i32 = 64;

/// One colour for each depth.
const DEPTHS: [(u32, RGBColor); 2] = [(1, RGBColor(38, 98, 160)), (32, RGBColor(230, 140, 40))];
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

/// Draws all pictures into `dir`.
///
/// # Errors
/// If a file can't be written.
pub fn all(rungs: &[Rung], dir: &Path) -> Result<()> {
    let save = |name: &str, picture: String| {
        let path = dir.join(name);
        std::fs::write(&path, picture).context(format!("write {}", path.display()))
    };
    let problem = |error: Box<dyn Error>| Err(error.to_string()).context("draw a picture");
    save(RATIOS, bars(rungs, &Bars::ratios()).or_else(problem)?)?;
    save(EXITS, bars(rungs, &Bars::exits()).or_else(problem)?)?;
    save(BREAKDOWN, breakdown(rungs).or_else(problem)?)
}

/// Bars on a logarithmic scale, by rung and depth.
struct Bars {
    title: &'static str,
    figure: fn(&Cell) -> f64,
    /// Powers of ten at the ends of the scale.
    scale: (i32, i32),
}

impl Bars {
    fn ratios() -> Self {
        let title = "4 KiB sequential reads: throughput, native = 1";
        Self { title, figure: |cell| cell.ratio, scale: (-4, 2) }
    }

    fn exits() -> Self {
        let title = "4 KiB sequential reads: exits per operation";
        Self { title, figure: |cell| cell.exits, scale: (-2, 4) }
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

fn bars(rungs: &[Rung], bars: &Bars) -> std::result::Result<String, Box<dyn Error>> {
    let mut text = String::new();
    let rows: Vec<&Rung> = rungs.iter().collect();
    let step = 2 * BAR + 12;
    let height = TOP + step * count(rows.len()) + 34;
    {
        let area = begin(&mut text, height, bars.title)?;
        legend(&area, DEPTHS.map(|(depth, colour)| (format!("depth {depth}"), colour)), 110)?;
        for power in bars.scale.0..=bars.scale.1 {
            let x = LEFT + bars.place(10f64.powi(power));
            let line = [(x, TOP - 8), (x, height - 28)];
            area.draw(&PathElement::new(line, RGBColor(220, 220, 220)))?;
            let label = if power < 0 {
                format!("{:.*}", power.unsigned_abs() as usize, 10f64.powi(power))
            } else {
                format!("{:.0}", 10f64.powi(power))
            };
            write(&area, &label, (x, height - 20), HPos::Center)?;
        }
        for (n, rung) in rows.iter().enumerate() {
            let y = TOP + step * count(n);
            write(&area, &rung.name, (LEFT - 8, y + BAR), HPos::Right)?;
            for (k, (depth, colour)) in DEPTHS.into_iter().enumerate() {
                let Some(cell) = cell(rung, "read", "sequential", 4096, depth) else { continue };
                let (value, y) = ((bars.figure)(cell), y + BAR * count(k));
                let end = LEFT + bars.place(value);
                area.draw(&Rectangle::new([(LEFT, y), (end, y + BAR - 2)], colour.filled()))?;
                let told =
                    if value >= 10.0 { number(value.round()) } else { format!("{value:.3}") };
                write(&area, &told, (end + 5, y + BAR / 2), HPos::Left)?;
            }
        }
        area.present()?;
    }
    Ok(text)
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

    #[test]
    fn scales_have_ends() {
        let bars = Bars::ratios();
        let all = WIDTH - LEFT - RIGHT;
        assert_eq!((bars.place(1e-4), bars.place(100.0), bars.place(0.1)), (0, all, all / 2));
        assert_eq!((bars.place(0.0), bars.place(1e9)), (0, all));
    }

    #[test]
    fn pictures_show_each_rung_and_its_figures() {
        let rungs = example();
        for picture in [bars(&rungs, &Bars::exits()).unwrap(), breakdown(&rungs).unwrap()] {
            assert!(picture.starts_with("<svg") && picture.trim_end().ends_with("</svg>"));
            assert!(rungs.iter().all(|rung| picture.contains(&rung.name)), "{picture}");
        }
        assert!(bars(&rungs, &Bars::exits()).unwrap().contains("2,000"));
        assert!(breakdown(&rungs).unwrap().contains("world switch"));
    }
}
