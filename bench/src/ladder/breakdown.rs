//! Where the instructions of one read of 4 KiB go, by category: the table of
//! the VMware Workstation I/O paper (USENIX ATC 2001), for this VMM.

use serde::{Deserialize, Serialize};
use xtask::failure::Result;

use super::run::Ladder;
use super::ways::{Suite, Way};
use crate::profile::{self, Share};

/// Instructions of one category.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Part {
    /// Its name, one of [`CATEGORIES`].
    pub category: String,
    /// Instructions per read.
    pub instructions: f64,
}

/// Categories, each with the files that belong to it: the first that matches
/// counts. A name that ends with a slash is a directory.
pub const CATEGORIES: [(&str, &[&str]); 8] = [
    ("guest: driver and workload", &["guest"]),
    ("world switch", &["hw/plain.rs", "hw/switch.rs", "hw/hart.rs", "hw/csr.rs"]),
    ("interrupts: PLIC, injection", &["dev/plic.rs", "vcpu/", "machine/timer.rs", "pv/line.rs"]),
    ("fetch and decode", &["decode/", "machine/lookaside.rs", "bus.rs"]),
    ("device model", &["dev/", "virtio/mmio.rs", "virtio/function.rs", "virtio/blk.rs", "pv/"]),
    ("rings", &["virtio/"]),
    ("data and storage", &["disk/", "mem.rs", "library"]),
    ("exit handling", &[""]),
];

/// How often `depth` reads are in the first window: few where one takes a
/// million instructions.
fn rounds(way: &Way, depth: u32) -> u32 {
    if way.driver == "ata" { 1 } else { (20 / depth).max(4) }
}

/// Profiles one rung: instructions per read, `depth` at a time.
///
/// # Errors
/// If the run fails.
pub(super) fn of(ladder: &Ladder, suite: &Suite, way: &Way, depth: u32) -> Result<Vec<Part>> {
    let rounds = rounds(way, depth);
    let run = ladder.to_profile(suite, way, depth, rounds)?;
    let mut parts = sum(&profile::of_run(run, ladder.kernel(), rounds)?);
    parts.iter_mut().for_each(|part| part.instructions /= f64::from(depth));
    Ok(parts)
}

/// Shares by category, in the order of [`CATEGORIES`].
fn sum(shares: &[Share]) -> Vec<Part> {
    let parts = CATEGORIES.iter().enumerate().map(|(n, (category, _))| {
        let own = shares.iter().filter(|share| category_of(&share.file) == Some(n));
        let instructions = own.map(|share| share.instructions).sum();
        Part { category: (*category).to_owned(), instructions }
    });
    parts.filter(|part| part.instructions != 0.0).collect()
}

fn category_of(file: &str) -> Option<usize> {
    let is_in = |place: &&str| match *place {
        "" => true,
        directory if directory.ends_with('/') => file.starts_with(directory),
        name => file == name,
    };
    CATEGORIES.iter().position(|(_, places)| places.iter().any(is_in))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_share_is_in_one_category() {
        let share = |file: &str, instructions| Share {
            file: file.to_owned(),
            function: "f".to_owned(),
            instructions,
        };
        let shares = [
            share("guest", 100.0),
            share("dev/plic.rs", 1.0),
            share("dev/ata/mod.rs", 20.0),
            share("virtio/queue.rs", 3.0),
            share("virtio/blk.rs", 5.0),
            share("machine/hart.rs", 7.0),
            share("elsewhere.rs", 2.0),
        ];
        let parts = sum(&shares);
        assert_eq!(parts.iter().map(|part| part.instructions).sum::<f64>(), 138.0);
        let of = |name: &str| parts.iter().find(|part| part.category == name).unwrap().instructions;
        assert_eq!((of("device model"), of("rings"), of("exit handling")), (25.0, 3.0, 9.0));
    }
}
