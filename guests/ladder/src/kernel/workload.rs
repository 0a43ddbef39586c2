//! One combination of operation, pattern, size and depth: measured and told.

use guest_drivers::Once;
use probes::dev::uart;

use crate::kernel::args::Args;
use crate::kernel::clock::{self, PER_MS};
use crate::kernel::counters::Counters;
use crate::kernel::driver::{DEPTH, Op, Target};

/// Where requests go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// One behind the other.
    Sequential,
    /// Anywhere, at multiples of their size.
    Random,
}

/// What is measured.
pub(crate) struct Cell {
    pub(crate) op: Op,
    /// What that is called.
    pub(crate) name: &'static str,
    pub(crate) pattern: Pattern,
    pub(crate) bytes: usize,
    pub(crate) depth: usize,
}

/// The last of so many times are kept, for the percentiles.
const SAMPLES: usize = 4096;
static TIMES: Once<[u32; SAMPLES]> = Once::new([0; SAMPLES]);

/// Sectors in the order of a pattern.
struct Places {
    pattern: Pattern,
    /// Sectors of a request, and requests that the disk has room for.
    sectors: u64,
    room: u64,
    state: u64,
}

impl Places {
    fn new(cell: &Cell, disk: &dyn Target) -> Self {
        let sectors = cell.bytes as u64 / 512;
        Self {
            pattern: cell.pattern,
            sectors,
            room: (disk.sectors() / sectors.max(1)).max(1),
            state: 1,
        }
    }

    #[inline]
    fn next(&mut self) -> u64 {
        let place = match self.pattern {
            Pattern::Sequential => {
                self.state += 1;
                self.state
            }
            Pattern::Random => {
                // Knuth's MMIX; the low bits are poor.
                self.state = self.state.wrapping_mul(6_364_136_223_846_793_005);
                self.state = self.state.wrapping_add(1_442_695_040_888_963_407);
                self.state >> 33
            }
        };
        place % self.room * self.sectors
    }
}

/// What combinations share.
pub(crate) struct Workload<'a> {
    args: &'a Args,
    counters: Counters,
    /// How long the last requests took, in ticks.
    times: &'static mut [u32; SAMPLES],
}

impl<'a> Workload<'a> {
    /// `None` if there is one already.
    pub(crate) fn new(args: &'a Args, counters: Counters) -> Option<Self> {
        Some(Self { args, counters, times: TIMES.take()? })
    }

    /// Measures a combination and prints the figures.
    pub(crate) fn run(&mut self, disk: &mut dyn Target, cell: &Cell) {
        let mut places = Places::new(cell, disk);
        let few = 2 * cell.depth as u64;
        self.go(disk, cell, &mut places, few, u64::MAX);
        let most = self.args.ops.min(self.args.bytes / cell.bytes as u64).max(few);
        let before = self.counters.read();
        let start = (clock::now(), clock::instructions());
        let done = self.go(disk, cell, &mut places, most, start.0 + self.args.ms * PER_MS);
        let (ticks, instructions) = (clock::now() - start.0, clock::instructions() - start.1);
        let after = self.counters.read();
        let (p50, p99) = self.percentiles(done);
        let pattern = if cell.pattern == Pattern::Random { "random" } else { "sequential" };
        uart::print(format_args!(
            // On a line of its own, whatever was shown before.
            "\nladder: cell {} {pattern} {} {} ops={done} ticks={ticks} \
             instructions={instructions} p50={p50} p99={p99}\n",
            cell.name, cell.bytes, cell.depth,
        ));
        self.counters.print(&before, &after);
    }

    /// Keeps `depth` requests going until `most` are done, or it is late;
    /// tells how many were done.
    fn go(
        &mut self,
        disk: &mut dyn Target,
        cell: &Cell,
        places: &mut Places,
        most: u64,
        late: u64,
    ) -> u64 {
        let mut begun = [0; DEPTH];
        let (mut issued, mut done, mut sample) = (0, 0, 0);
        for (slot, begun) in begun.iter_mut().enumerate().take(cell.depth) {
            *begun = clock::now();
            disk.submit(slot, cell.op, places.next(), cell.bytes);
            issued += 1;
        }
        disk.kick();
        loop {
            let mut more = false;
            while let Some(slot) = disk.poll() {
                let (now, begun) = (clock::now(), &mut begun[slot % DEPTH]);
                let time = u32::try_from(now.wrapping_sub(*begun)).unwrap_or(u32::MAX);
                self.times[sample] = time;
                (done, sample) = (done + 1, (sample + 1) % SAMPLES);
                if issued < most && now < late {
                    *begun = now;
                    disk.submit(slot, cell.op, places.next(), cell.bytes);
                    issued += 1;
                    more = true;
                }
            }
            if more {
                disk.kick();
            } else if done == issued {
                return done;
            } else {
                disk.wait();
            }
        }
    }

    /// The times that half, and 99 of 100, of the last requests took at most.
    fn percentiles(&mut self, done: u64) -> (u32, u32) {
        let count = usize::try_from(done).unwrap_or(SAMPLES).min(SAMPLES);
        let times = &mut self.times[..count];
        times.sort_unstable();
        let at = |part: usize| times.get((count * part).div_ceil(100).saturating_sub(1));
        (at(50).copied().unwrap_or(0), at(99).copied().unwrap_or(0))
    }
}
