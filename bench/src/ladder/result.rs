//! The figures of all rounds, put together.

use serde::{Deserialize, Serialize};

use super::breakdown::Part;
use super::run::{Key, Measured, NO_EXIT};
use crate::machine::Figures;

/// Ticks in a second, and in a microsecond.
const PER_SECOND: f64 = 1e7;
const PER_MICROSECOND: f64 = 10.0;

/// One rung of the ladder.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Rung {
    /// Its name.
    pub name: String,
    /// What it is.
    pub what: String,
    /// What was measured.
    pub cells: Vec<Cell>,
    /// Where the instructions of one read of 4 KiB go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
    /// The same of one of 32 that are in flight together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deep_parts: Vec<Part>,
}

/// One combination.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Cell {
    /// Which one.
    #[serde(flatten)]
    pub key: Key,
    /// Operations per second: the median of all rounds.
    pub rate: f64,
    /// Half of what the rounds differ by, as a part of the rate.
    pub spread: f64,
    /// The rate, as a part of the native one of the same round: the median.
    pub ratio: f64,
    /// The time that half of the operations took at most, in microseconds:
    /// the median of all rounds.
    pub p50: f64,
    /// And 99 of 100.
    pub p99: f64,
    /// Exits per operation.
    pub exits: f64,
    /// The same by cause.
    pub causes: Figures,
    /// Instructions per operation, those of the VMM included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<f64>,
}

impl Cell {
    /// Megabytes per second.
    pub fn megabytes(&self) -> f64 {
        self.rate * f64::from(self.key.bytes) / 1e6
    }
}

/// What rounds of one rung say, given the native ones.
pub(super) fn cells(rounds: &[Vec<Measured>], native: &[Vec<Measured>]) -> Vec<Cell> {
    let Some(last) = rounds.last() else { return Vec::new() };
    last.iter().map(|measured| cell(measured, rounds, native)).collect()
}

fn cell(last: &Measured, rounds: &[Vec<Measured>], native: &[Vec<Measured>]) -> Cell {
    let of = |round: &Vec<Measured>, value: fn(&Measured) -> f64| {
        round.iter().find(|measured| measured.key == last.key).map(value)
    };
    let all = |value| rounds.iter().filter_map(|round| of(round, value)).collect::<Vec<f64>>();
    let rates = all(rate);
    let pairs = rounds.iter().zip(native);
    let ratios = pairs.filter_map(|(round, native)| Some(of(round, rate)? / of(native, rate)?));
    let causes: Figures = last
        .exits
        .iter()
        .filter(|(cause, _)| *cause != NO_EXIT)
        .map(|(cause, count)| (cause.clone(), count / last.ops))
        .collect();
    Cell {
        key: last.key.clone(),
        rate: median(&rates),
        spread: spread(&rates),
        ratio: median(&ratios.collect::<Vec<f64>>()),
        p50: median(&all(|measured| measured.p50)) / PER_MICROSECOND,
        p99: median(&all(|measured| measured.p99)) / PER_MICROSECOND,
        // A sum of nothing would be -0.
        exits: causes.values().fold(0.0, |sum, count| sum + count),
        causes,
        instructions: None,
    }
}

/// Adds instructions per operation. They do not depend on the pattern, so
/// that only the sequential one is counted.
pub(super) fn add_instructions(cells: &mut [Cell], counted: &[Measured]) {
    for cell in cells.iter_mut().filter(|cell| cell.key.pattern == "sequential") {
        let same = counted.iter().find(|measured| measured.key == cell.key);
        cell.instructions = same.map(|measured| measured.instructions / measured.ops);
    }
}

fn rate(measured: &Measured) -> f64 {
    measured.ops * PER_SECOND / measured.ticks.max(1.0)
}

pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (sorted.len().saturating_sub(1) / 2, sorted.len() / 2);
    let at = |n: usize| sorted.get(n).copied().unwrap_or_default();
    (at(low) + at(high)) / 2.0
}

pub(crate) fn spread(values: &[f64]) -> f64 {
    let (least, most) = values
        .iter()
        .fold((f64::MAX, f64::MIN), |(least, most), value| (least.min(*value), most.max(*value)));
    if values.is_empty() { 0.0 } else { (most - least) / 2.0 / median(values) }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn key() -> Key {
        Key { op: "read".to_owned(), pattern: "sequential".to_owned(), bytes: 4096, depth: 1 }
    }

    fn measured(ops: f64, ticks: f64) -> Measured {
        let exits = [("sret", ops), (NO_EXIT, ops)].map(|(cause, count)| (cause.to_owned(), count));
        let (key, exits) = (key(), Figures::from(exits));
        Measured { key, ops, ticks, instructions: 500.0 * ops, p50: 10.0, p99: 30.0, exits }
    }

    #[test]
    fn rounds_become_medians() {
        let rounds = [100.0, 300.0, 200.0].map(|ops| vec![measured(ops, 1e7)]);
        let native = [200.0, 300.0, 800.0].map(|ops| vec![measured(ops, 1e7)]);
        let mut cells = cells(&rounds, &native);
        add_instructions(&mut cells, &[measured(7.0, 1.0)]);
        let [cell] = cells.as_slice() else { panic!("one combination") };
        assert_eq!((cell.rate, cell.spread, cell.ratio), (200.0, 0.5, 0.5));
        assert_eq!((cell.p50, cell.p99, cell.exits), (1.0, 3.0, 1.0));
        assert_eq!(cell.instructions, Some(500.0));
        assert!((cell.megabytes() - 0.8192).abs() < 1e-9);
        assert!(!cell.causes.contains_key(NO_EXIT));
    }

    #[test]
    fn medians_of_few() {
        assert_eq!((median(&[]), median(&[3.0]), median(&[1.0, 2.0])), (0.0, 3.0, 1.5));
        assert_eq!((spread(&[]), spread(&[3.0])), (0.0, 0.0));
    }
}
