//! `bench disk`: reads of 4 KiB, one at a time and many at once.

use alloc::vec;

use guest_drivers::Operation;

use super::Outcome;
use crate::counters::Reading;
use crate::disk::{Disk, SECTOR};
use crate::kernel::Kernel;
use crate::text::{Ratio, per_second};
use crate::{console, hart, println};

/// Bytes of a read.
const READ: usize = 4096;
const SECTORS: u64 = (READ / SECTOR) as u64;
/// Reads of a run, in which the counters themselves cost little.
const READS: u64 = 2048;
/// Depths that are measured.
const DEPTHS: [usize; 2] = [1, 32];

pub(super) fn run(kernel: &mut Kernel, arguments: &str) -> Outcome {
    if arguments != "disk" {
        return Err("what? try \"bench disk\"".into());
    }
    let files = kernel.files.as_ref().ok_or("there is no disk")?;
    for wanted in DEPTHS {
        let depth = files.with_disk(|disk| wanted.min(disk.depth()));
        let before = kernel.counters.map(|counters| counters.read());
        let ticks = files.with_disk(|disk| reads(disk, depth))?;
        let after = kernel.counters.map(|counters| counters.read());
        let rate = per_second(READS, ticks, kernel.machine.frequency);
        println!("  4 KiB reads, depth {depth}: {rate} per second");
        if let (Some(before), Some(after)) = (before, after) {
            show_exits(&before, &after);
        }
    }
    Ok(())
}

/// Exits per read, with the causes that count. Reading the counters takes
/// calls of its own, which are left out.
fn show_exits(before: &Reading, after: &Reading) {
    let causes = after.since(before);
    let causes = causes.iter().filter(|(name, _)| name != "PV call, others");
    let all = causes.clone().map(|(_, count)| count).sum();
    println!("    {} exits per read", Ratio { count: all, of: READS });
    for (name, count) in causes.filter(|(_, count)| *count * 1000 >= READS) {
        println!("      {}  {name}", Ratio { count: *count, of: READS });
    }
}

/// Keeps `depth` reads under way until all have ended; returns how long that
/// took.
fn reads(disk: &mut dyn Disk, depth: usize) -> Result<u64, &'static str> {
    // Waking for every half of them leaves the device the other half.
    disk.wake_after(u16::try_from(depth / 2).unwrap_or(u16::MAX).max(1));
    let begin = hart::time();
    let (mut started, mut ended, mut well) = (0, 0, true);
    let mut free: alloc::vec::Vec<_> = (0..depth).map(|_| vec![0; READ].into()).collect();
    let room = (disk.sectors() / SECTORS).max(1);
    while ended < READS && well && !console::interrupted() {
        while started < READS
            && let Some(buffer) = free.pop()
        {
            // Not in order: a stride that is prime to most sizes.
            let sector = started.wrapping_mul(7919) % room * SECTORS;
            match disk.start(Operation::Read, sector, buffer) {
                Ok(()) => started += 1,
                Err(buffer) => {
                    free.push(buffer);
                    break;
                }
            }
        }
        disk.kick();
        let mut next = Some(disk.next());
        while let Some(done) = next {
            (ended, well) = (ended + 1, well && done.well);
            free.push(done.buffer);
            next = disk.finish();
        }
    }
    // Those that are still under way after a failure.
    while ended < started {
        disk.next();
        ended += 1;
    }
    let ticks = hart::time() - begin;
    disk.wake_after(1);
    match well {
        true if ended == READS => Ok(ticks),
        true => Err("interrupted"),
        false => Err("the disk failed"),
    }
}
