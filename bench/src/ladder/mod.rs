//! The ladder: one disk, driven in ever better ways, and natively.
//!
//! ```text
//!   run         one run of the kernel `ladder`, and what it printed
//!   result      the figures of all runs, put together
//!   breakdown   where the instructions of one read go, by category
//!   expected    what we expect to see, and whether it is so
//!   tables      the same as tables
//!   plot        the same as pictures
//! ```

pub mod breakdown;
pub mod expected;
pub mod plot;
pub mod result;
pub mod run;
pub mod tables;

use xtask::failure::Result;

use crate::progress::Progress;
use result::{Cell, Rung};
use run::{Ladder, Measured};

/// One way to a disk.
pub struct Way {
    /// Its name in reports.
    pub name: &'static str,
    /// What it is, in a few words.
    pub what: &'static str,
    /// The kernel's driver.
    driver: &'static str,
    /// Options of the disk.
    disk: &'static str,
    /// Whether the VMM is left out.
    native: bool,
}

impl Way {
    /// Whether the storage answers at once, so that instructions of an
    /// operation can be counted: QEMU's own disk takes time instead.
    fn is_synchronous(&self) -> bool {
        self.disk.ends_with("backend=ram")
    }
}

/// The rungs, from the lowest.
pub const WAYS: [Way; 9] = [
    Way {
        name: "ATA PIO",
        what: "task file and data port, each access emulated",
        driver: "ata",
        disk: "model=ata,backend=ram",
        native: false,
    },
    Way {
        name: "ATA PIO, burst",
        what: "the same; copy loops at the data port carried on within an exit",
        driver: "ata",
        disk: "model=ata,burst,backend=ram",
        native: false,
    },
    Way {
        name: "virtio-mmio 1",
        what: "legacy registers, emulated; `virtio-drivers`",
        driver: "virtio",
        disk: "version=1,backend=ram",
        native: false,
    },
    Way {
        name: "virtio-mmio 2",
        what: "modern registers, emulated; `virtio-drivers`",
        driver: "virtio",
        disk: "version=2,backend=ram",
        native: false,
    },
    Way {
        name: "PV, virtio-drivers",
        what: "hypercalls under the same driver",
        driver: "bridge",
        disk: "model=pv,backend=ram",
        native: false,
    },
    Way {
        name: "PV, waiting",
        what: "`guest-drivers`, one call for each request",
        driver: "sync",
        disk: "model=pv,backend=ram",
        native: false,
    },
    Way {
        name: "PV, queued",
        what: "`guest-drivers`, requests in flight",
        driver: "pv",
        disk: "model=pv,backend=ram",
        native: false,
    },
    Way {
        name: "PV on QEMU's disk",
        what: "the same; the VMM passes requests on",
        driver: "pv",
        disk: "model=pv,backend=qemu",
        native: false,
    },
    Way {
        name: "native",
        what: "no VMM: QEMU's virtio-mmio 2; `virtio-drivers`",
        driver: "virtio",
        disk: "version=2,backend=qemu",
        native: true,
    },
];

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

/// Measures all rungs.
///
/// # Errors
/// If a run fails.
pub fn measure(effort: Effort) -> Result<Vec<Rung>> {
    let ladder = Ladder::prepare()?;
    let counted = WAYS.iter().filter(|way| way.is_synchronous()).count();
    let progress = Progress::new(effort.rounds * WAYS.len() + 2 * counted);
    let mut timed: Vec<Vec<Vec<Measured>>> = WAYS.iter().map(|_| Vec::new()).collect();
    for round in 1..=effort.rounds {
        for (way, rounds) in WAYS.iter().zip(&mut timed) {
            let what = format!("{}, round {round} of {}", way.name, effort.rounds);
            rounds.push(progress.step(&what, || ladder.time(way, effort.ms))?);
        }
    }
    let native = timed.last().cloned().unwrap_or_default();
    let mut rungs = Vec::new();
    for (way, rounds) in WAYS.iter().zip(&timed) {
        let mut cells = result::cells(rounds, &native);
        let mut parts = Vec::new();
        if way.is_synchronous() {
            let what = format!("instructions of {}", way.name);
            result::add_instructions(&mut cells, &progress.step(&what, || ladder.count(way))?);
            let what = format!("breakdown of {}", way.name);
            parts = progress.step(&what, || breakdown::of(&ladder, way))?;
        }
        let (name, what) = (way.name.to_owned(), way.what.to_owned());
        rungs.push(Rung { name, what, cells, parts });
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
