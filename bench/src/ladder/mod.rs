//! Ladders: one device, driven in ever better ways, and natively. One for
//! disks, one for consoles, one for networks.
//!
//! ```text
//!   ways        the rungs: which driver on which device
//!   run         one run of the kernel `ladder`, and what it printed
//!   moved       its image for guests whose memory is elsewhere
//!   result      the figures of all runs, put together
//!   breakdown   where the instructions of one read go, by category
//!   expected    what we expect to see, and whether it is so
//!   tables      the same as tables
//!   streams     the tables of consoles and networks
//!   plot        the same as pictures
//! ```

pub mod breakdown;
pub mod expected;
mod moved;
pub mod plot;
pub mod result;
pub mod run;
pub mod streams;
pub mod tables;
pub mod ways;

use xtask::failure::Result;

use crate::pool;
use crate::progress::Progress;
use breakdown::Part;
use result::{Cell, Rung};
use run::{Ladder, Measured};
use ways::{Suite, Way};

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
    let counts = counts(suite.ways);
    let mut counts = pool::side_by_side(&counts, |count| count.take(&ladder, suite, &progress))?;
    let native = timed.last().cloned().unwrap_or_default();
    let mut rungs = Vec::new();
    for (n, (way, rounds)) in suite.ways.iter().zip(&timed).enumerate() {
        let mut cells = result::cells(rounds, &native);
        let mut parts = Vec::new();
        for (_, counted) in counts.extract_if(.., |(way, _)| *way == n) {
            match counted {
                Counted::Cells(counted) => result::add_instructions(&mut cells, &counted),
                Counted::Parts(more) => parts.push(more),
            }
        }
        let mut parts = parts.into_iter();
        let (name, what) = (way.name.to_owned(), way.what.to_owned());
        let mut next = || parts.next().unwrap_or_default();
        rungs.push(Rung { name, what, cells, parts: next(), deep_parts: next() });
    }
    Ok(rungs)
}

/// Something to be counted, of the way with this number.
enum Count<'a> {
    /// The instructions of its combinations.
    Cells(usize, &'a Way),
    /// Those of reads, so many at a time, by category.
    Parts(usize, &'a Way, u32),
}

enum Counted {
    Cells(Vec<Measured>),
    Parts(Vec<Part>),
}

/// The longest first, so that two of them side by side end together.
fn counts(ways: &[Way]) -> Vec<Count<'_>> {
    let all = || ways.iter().enumerate();
    let parts = all()
        .flat_map(|(n, way)| way.profiled().iter().map(move |depth| Count::Parts(n, way, *depth)));
    let cells = all().filter(|(_, way)| way.is_counted()).map(|(n, way)| Count::Cells(n, way));
    parts.chain(cells).collect()
}

impl Count<'_> {
    fn take(
        &self,
        ladder: &Ladder,
        suite: &Suite,
        progress: &Progress,
    ) -> Result<(usize, Counted)> {
        match self {
            Self::Cells(n, way) => {
                let what = format!("{} {}, instructions", suite.name, way.name);
                let cells = progress.step(&what, || ladder.count(suite, way))?;
                Ok((*n, Counted::Cells(cells)))
            }
            Self::Parts(n, way, depth) => {
                let what = format!("{} {}, breakdown at depth {depth}", suite.name, way.name);
                let parts = progress.step(&what, || breakdown::of(ladder, suite, way, *depth))?;
                Ok((*n, Counted::Parts(parts)))
            }
        }
    }
}

/// The cell of a rung that a table or a picture shows.
fn cell<'a>(rung: &'a Rung, op: &str, pattern: &str, bytes: u32, depth: u32) -> Option<&'a Cell> {
    rung.cells.iter().find(|cell| {
        (cell.key.bytes, cell.key.depth) == (bytes, depth)
            && (cell.key.op.as_str(), cell.key.pattern.as_str()) == (op, pattern)
    })
}
