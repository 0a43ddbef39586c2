//! Ladders: one device, driven in ever better ways, and natively. One for
//! disks, one for consoles, one for networks.
//!
//! ```text
//!   ways        the rungs: which driver on which device
//!   run         one run of the kernel `ladder`, and what it printed
//!   result      the figures of all runs, put together
//!   breakdown   where the instructions of one read go, by category
//!   expected    what we expect to see, and whether it is so
//!   tables      the same as tables
//!   streams     the tables of consoles and networks
//!   plot        the same as pictures
//! ```

pub mod breakdown;
pub mod expected;
pub mod plot;
pub mod result;
pub mod run;
pub mod streams;
pub mod tables;
pub mod ways;

use xtask::failure::Result;

use crate::progress::Progress;
use result::{Cell, Rung};
use run::{Ladder, Measured};
use ways::Suite;

/// How much is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Effort {
    /// How often each rung is measured; the rungs take turns.
    pub rounds: usize,
    /// How long each combination takes then, in milliseconds.
    pub ms: u32,
}

impl Effort {
    /// Enough to see the order of things.
    pub const QUICK: Self = Self { rounds: 2, ms: 20 };
    /// Enough to compare.
    pub const FULL: Self = Self { rounds: 3, ms: 300 };
}

/// Measures all rungs of a suite.
///
/// # Errors
/// If a run fails.
pub fn measure(suite: &Suite, effort: Effort) -> Result<Vec<Rung>> {
    let ladder = Ladder::prepare()?;
    let counted = suite.ways.iter().filter(|way| way.is_counted()).count();
    let profiled: usize = suite.ways.iter().map(|way| way.profiled().len()).sum();
    let progress = Progress::new(effort.rounds * suite.ways.len() + counted + profiled);
    let mut timed: Vec<Vec<Vec<Measured>>> = suite.ways.iter().map(|_| Vec::new()).collect();
    for round in 1..=effort.rounds {
        for (way, rounds) in suite.ways.iter().zip(&mut timed) {
            let what = format!("{} {}, round {round} of {}", suite.name, way.name, effort.rounds);
            rounds.push(progress.step(&what, || ladder.time(suite, way, effort.ms))?);
        }
    }
    let native = timed.last().cloned().unwrap_or_default();
    let mut rungs = Vec::new();
    for (way, rounds) in suite.ways.iter().zip(&timed) {
        let mut cells = result::cells(rounds, &native);
        if way.is_counted() {
            let what = format!("{} {}, instructions", suite.name, way.name);
            let counted = progress.step(&what, || ladder.count(suite, way))?;
            result::add_instructions(&mut cells, &counted);
        }
        let mut parts = [Vec::new(), Vec::new()];
        for (parts, depth) in parts.iter_mut().zip(way.profiled()) {
            let what = format!("{} {}, breakdown at depth {depth}", suite.name, way.name);
            *parts = progress.step(&what, || breakdown::of(&ladder, suite, way, *depth))?;
        }
        let ([parts, deep_parts], name, what) = (parts, way.name.to_owned(), way.what.to_owned());
        rungs.push(Rung { name, what, cells, parts, deep_parts });
    }
    Ok(rungs)
}

/// The cell of a rung that a table or a picture shows.
fn cell<'a>(rung: &'a Rung, op: &str, pattern: &str, bytes: u32, depth: u32) -> Option<&'a Cell> {
    rung.cells.iter().find(|cell| {
        (cell.key.bytes, cell.key.depth) == (bytes, depth)
            && (cell.key.op.as_str(), cell.key.pattern.as_str()) == (op, pattern)
    })
}
