//! What we expect to see.

use serde::{Deserialize, Serialize};

use super::cell;
use super::result::{Cell, Rung};

/// Something expected, and what was found.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Expected {
    /// What.
    pub what: String,
    /// The figure found.
    pub found: f64,
    /// The least or the most that it should be.
    pub limit: f64,
    /// Whether it should be at least that, and not at most.
    pub at_least: bool,
}

impl Expected {
    /// Whether it is as expected.
    pub fn is_met(&self) -> bool {
        if self.at_least { self.found >= self.limit } else { self.found <= self.limit }
    }
}

/// All that is expected, as far as it was measured.
pub fn all(rungs: &[Rung]) -> Vec<Expected> {
    let read = |name: &str, depth| {
        let rung = rungs.iter().find(|rung| rung.name == name);
        rung.and_then(|rung| cell(rung, "read", "sequential", 4096, depth))
    };
    let with = |what: &str, a: Option<&Cell>, b: Option<&Cell>, figure: fn(&Cell, &Cell) -> f64| {
        Some((what.to_owned(), figure(a?, b?)))
    };
    let (ata, waiting) = (read("ATA PIO", 1), read("PV, waiting", 1));
    let (deep, passed) = (read("PV, queued", 32), read("PV on QEMU's disk", 32));
    let list = [
        (
            with("4 KiB reads: throughput of PV to that of ATA", waiting, ata, |pv, ata| {
                pv.rate / ata.rate
            }),
            (20.0, true),
        ),
        (
            with("4 KiB reads: exits of ATA to those of PV", ata, waiting, |ata, pv| {
                ata.exits / pv.exits
            }),
            (200.0, true),
        ),
        (
            with("depth 32: throughput of PV to the native one", deep, deep, |pv, _| pv.ratio),
            (0.9, true),
        ),
        (
            with("the same on QEMU's disk, which is the native one", passed, passed, |pv, _| {
                pv.ratio
            }),
            (0.9, true),
        ),
        (with("depth 32: exits per read", deep, deep, |pv, _| pv.exits), (0.2, false)),
    ];
    let found = list.into_iter().filter_map(|(found, limit)| Some((found?, limit)));
    found
        .map(|((what, found), (limit, at_least))| Expected { what, found, limit, at_least })
        .collect()
}
