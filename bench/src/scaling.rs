//! How memory operations of guests scale: more vCPUs of one guest, which share
//! the lock of its shadow tables, and more guests, which share none.
//!
//! The probe `storm` maps, loads from and unmaps pages on each vCPU, each with
//! page tables of its own, as kernels do for fork, exec and mmap.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tabled::builder::Builder;
use xtask::failure::{Context, Result, broken};
use xtask::{setup, workspace};

use crate::ladder::Effort;
use crate::ladder::result::{median, spread};
use crate::machine::{self, scratch};
use crate::progress::Progress;
use crate::render::{Look, finish, number};

/// Seconds after which a run hangs for sure.
const PATIENCE: &str = "600";
/// Ticks of the machine's time in a second.
const PER_SECOND: f64 = 1e7;
/// How many harts are at work.
const COUNTS: [u32; 3] = [1, 2, 4];

/// Who they belong to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// The bare machine.
    Native,
    /// One guest.
    Cpus(&'static str),
    /// As many guests.
    Guests(&'static str),
}

const SHAPES: [Shape; 5] = [
    Shape::Native,
    Shape::Cpus("classic"),
    Shape::Guests("classic"),
    Shape::Cpus("assisted"),
    Shape::Guests("assisted"),
];

/// What one run cost.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Row {
    /// `native`, `classic, one guest` or the like.
    pub name: String,
    /// Harts at work.
    pub harts: u32,
    /// Operations per second of all together: the median of all rounds.
    pub rate: f64,
    /// Half of what the rounds differ by, as a part of the rate.
    pub spread: f64,
    /// The rate, as a multiple of that of one hart.
    pub scale: f64,
    /// The rate, as a part of the native one of as many harts.
    pub ratio: f64,
    /// Exits per operation.
    pub exits: f64,
    /// How often the lock of shadow tables was not free, per operation.
    pub waits: f64,
    /// Turns of the loop in which vCPUs waited for it, per operation.
    pub turns: f64,
}

impl Shape {
    fn name(self) -> String {
        match self {
            Self::Native => "native".to_owned(),
            Self::Cpus(mode) => format!("{mode}, vCPUs of one guest"),
            Self::Guests(mode) => format!("{mode}, guests of one vCPU"),
        }
    }

    /// How many guests, and how many vCPUs each has.
    fn divide(self, harts: u32) -> (u32, u32) {
        match self {
            Self::Guests(_) => (harts, 1),
            Self::Native | Self::Cpus(_) => (1, harts),
        }
    }

    fn mode(self) -> &'static str {
        match self {
            Self::Native => "classic",
            Self::Cpus(mode) | Self::Guests(mode) => mode,
        }
    }
}

/// What one run told.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
struct Told {
    /// Operations per second, and in all.
    rate: f64,
    operations: f64,
    exits: f64,
    waits: f64,
    turns: f64,
}

/// Measures all shapes with 1, 2 and 4 harts at work.
///
/// # Errors
/// If a run fails.
pub fn measure(effort: Effort) -> Result<Vec<Row>> {
    let storm = Storm::prepare()?;
    let all = || SHAPES.iter().flat_map(|shape| COUNTS.map(|harts| (*shape, harts)));
    let progress = Progress::new(effort.rounds * all().count());
    let mut told: Vec<Vec<Told>> = all().map(|_| Vec::new()).collect();
    for round in 1..=effort.rounds {
        for ((shape, harts), told) in all().zip(&mut told) {
            let (name, rounds) = (shape.name(), effort.rounds);
            let what = format!("scaling: {name}, {harts} at work, round {round} of {rounds}");
            told.push(progress.step(&what, || storm.run(shape, harts, 5 * effort.ms))?);
        }
    }
    let names: Vec<_> = all().map(|(shape, harts)| (shape.name(), harts)).collect();
    Ok(rows(&names, &told))
}

/// Rounds by name and harts; the first are native ones.
fn rows(names: &[(String, u32)], told: &[Vec<Told>]) -> Vec<Row> {
    let mid = |rounds: &[Told], figure: fn(&Told) -> f64| {
        median(&rounds.iter().map(figure).collect::<Vec<f64>>())
    };
    let rate_of = |name: &str, harts: u32| {
        let mut all = names.iter().zip(told).filter(|((other, n), _)| other == name && *n == harts);
        all.next().map_or(f64::NAN, |(_, rounds)| mid(rounds, |told| told.rate))
    };
    let native = names.first().map(|(name, _)| name.as_str()).unwrap_or_default();
    let row = |((name, harts), rounds): (&(String, u32), &Vec<Told>)| {
        let rate = mid(rounds, |told| told.rate);
        Row {
            name: name.clone(),
            harts: *harts,
            rate,
            spread: spread(&rounds.iter().map(|told| told.rate).collect::<Vec<f64>>()),
            scale: rate / rate_of(name, 1),
            ratio: rate / rate_of(native, *harts),
            exits: mid(rounds, |told| told.exits / told.operations),
            waits: mid(rounds, |told| told.waits / told.operations),
            turns: mid(rounds, |told| told.turns / told.operations),
        }
    };
    names.iter().zip(told).map(row).collect()
}

/// The probe, built.
struct Storm {
    xtask: PathBuf,
    kernel: PathBuf,
}

impl Storm {
    fn prepare() -> Result<Self> {
        setup::main()?;
        let target = workspace::GUEST_TARGET;
        let mut cargo = workspace::cargo();
        cargo.args(["build", "--quiet", "--package", "probes", "--bin", "storm"]);
        cargo.args(["--release", "--target", target]);
        workspace::run(cargo, "build the probe")?;
        workspace::build_vmm()?;
        let kernel = workspace::target_dir().join(target).join("release/storm");
        Ok(Self { xtask: workspace::build_xtask()?, kernel })
    }

    fn run(&self, shape: Shape, harts: u32, ms: u32) -> Result<Told> {
        let (guests, cpus) = shape.divide(harts);
        let file = |name: &str| Ok(scratch()?.join(format!("storm-{}.{name}", std::process::id())));
        let (config, stats) = (file("toml")?, file("json")?);
        let kernel = Value::from(self.kernel.display().to_string());
        let guest = |n| {
            format!(
                "[[guest]]\nname = \"guest{n}\"\nkernel = {kernel}\ncpus = {cpus}\n\
                 cpu = \"{}\"\nappend = \"cpus={cpus} ms={ms}\"\n",
                shape.mode()
            )
        };
        let text: String = (0..guests).map(guest).collect();
        fs::write(&config, text).context("describe the guests")?;
        let mut command = Command::new(&self.xtask);
        command.args(["run", "--timeout", PATIENCE, "--config"]).arg(&config);
        if shape == Shape::Native {
            command.arg("--native");
        } else {
            command.args(["--harts", &harts.to_string(), "--stats"]).arg(&stats);
        }
        command.stdin(Stdio::null());
        let output = machine::output(command);
        let _ = fs::remove_file(config);
        let mut told = rates(&output?, guests)?;
        if shape != Shape::Native {
            let text = fs::read_to_string(&stats).context("read the statistics")?;
            let _ = fs::remove_file(stats);
            let stats: Value = serde_json::from_str(&text).context("understand the statistics")?;
            told.add(&stats);
        }
        Ok(told)
    }
}

impl Told {
    fn add(&mut self, stats: &Value) {
        for guest in stats["guests"].as_array().into_iter().flatten() {
            let figure = |value: &Value| value.as_f64().unwrap_or_default();
            let lock = &guest["locks"]["shadow"];
            self.exits += figure(&guest["exits"]);
            self.waits += figure(&lock["waits"]) + figure(&lock["misses"]);
            self.turns += figure(&lock["turns"]);
        }
    }
}

/// What the probes in all guests said.
fn rates(text: &str, guests: u32) -> Result<Told> {
    let texts = by_guest(text);
    let number = |text: &str, key: &str| {
        let digits: String =
            text.split_once(key)?.1.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<f64>().ok()
    };
    let figures = texts.values().filter(|text| text.contains("storm: pass")).filter_map(|text| {
        Some((number(text, "storm: operations = ")?, number(text, "storm: ticks = ")?))
    });
    let figures: Vec<(f64, f64)> = figures.collect();
    if figures.len() != guests as usize {
        return Err(broken(format!("the probe did not finish:\n{text}")));
    }
    Ok(Told {
        rate: figures.iter().map(|(operations, ticks)| operations / ticks * PER_SECOND).sum(),
        operations: figures.iter().map(|(operations, _)| operations).sum(),
        ..Told::default()
    })
}

/// The text of each guest without its line ends: where several write at once,
/// their lines are cut into pieces that have the guest's name before them.
fn by_guest(text: &str) -> BTreeMap<&str, String> {
    let mut texts: BTreeMap<&str, String> = BTreeMap::new();
    for line in text.lines().map(|line| line.trim_end_matches('\r')) {
        let marked = line.strip_prefix('[').and_then(|rest| rest.split_once("] "));
        let (name, piece) = marked.unwrap_or(("", line));
        texts.entry(name).or_default().push_str(piece);
    }
    texts
}

/// The table of them.
pub fn table(rows: &[Row], look: Look) -> String {
    let mut table = Builder::default();
    let heads = ["map, load, unmap", "at work", "ops/s", "±", "× one", "of native"];
    table.push_record(heads.into_iter().chain(["exits/op", "lock taken/op", "turns/op"]));
    let unless_native = |row: &Row, text: String| match row.exits {
        0.0 => String::new(),
        _ => text,
    };
    for row in rows {
        table.push_record([
            row.name.clone(),
            row.harts.to_string(),
            number(row.rate.round()),
            format!("{:.0} %", 100.0 * row.spread),
            format!("{:.2}", row.scale),
            format!("{:.3}", row.ratio),
            unless_native(row, number(row.exits)),
            unless_native(row, format!("{:.3}", row.waits)),
            unless_native(row, number(row.turns.round())),
        ]);
    }
    finish(table, look, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_are_added_up() {
        let text = "VMM\r\n[guest0] storm: operations = 1\r\n[guest1] storm: operations = 50\r\n\
                    [guest0] 00\r\n[guest0] storm: ticks = 1000000\r\n[guest0] storm: pass\r\n\
                    [guest1] storm: ticks = 500\r\n[guest1] 000\r\n[guest1] storm: pass\r\n";
        let mut told = rates(text, 2).unwrap();
        assert_eq!((told.rate, told.operations), (2000.0, 150.0));
        assert!(rates(text, 1).unwrap_err().to_string().contains("did not finish"));
        let stats = serde_json::json!({"guests": [
            {"exits": 300, "locks": {"shadow": {"waits": 2, "turns": 70, "misses": 1}}},
            {"exits": 150, "locks": {"shadow": {"waits": 0, "turns": 0, "misses": 0}}},
        ]});
        told.add(&stats);
        assert_eq!((told.exits, told.waits, told.turns), (450.0, 3.0, 70.0));
    }

    #[test]
    fn rows_compare_with_one_hart_and_with_the_bare_machine() {
        let names = [("native", 1), ("native", 2), ("ours", 1), ("ours", 2)];
        let names = names.map(|(name, harts)| (name.to_owned(), harts));
        let told = |rate| vec![Told { rate, operations: 10.0, exits: 170.0, ..Told::default() }];
        let rows = rows(&names, &[100.0, 200.0, 50.0, 75.0].map(told));
        assert_eq!((rows[3].scale, rows[3].ratio, rows[3].exits), (1.5, 0.375, 17.0));
        assert!(table(&rows, Look::Markdown).contains("0.375"));
    }
}
