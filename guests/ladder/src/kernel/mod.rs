//! The kernel: one workload by one of the drivers, between readings of clocks
//! and of the VMM's counters.

mod args;
mod clock;
mod counters;
mod driver;
mod interrupt;
mod workload;

use args::Args;
use counters::Counters;
use driver::{BUFFER, Buffers, DEPTH, Op, Target};
use guest_drivers::{Linear, Once, Vmm, detect};
use probes::{Probe, bootargs};
use workload::{Cell, Pattern, Workload};

probes::probe!(main);

static BUFFERS: Once<Buffers> = Once::new(Buffers::new());

fn main(p: &mut Probe) {
    let args = Args::parse(bootargs::bootargs(p.dtb));
    // SAFETY: this kernel runs without paging.
    let memory = unsafe { Linear::identity() };
    // SAFETY: in S-mode, above a firmware.
    let vmm = unsafe { detect::by_sbi(memory) };
    let Some(buffers) = BUFFERS.take() else { return };
    let Some(mut disk) = driver::open(&args, vmm, buffers, p.hart) else {
        p.holds("a device for this driver", false);
        return;
    };
    // A profile is slow enough without it.
    if args.rounds.is_none() && disk.as_mut().sectors() != 0 && !gives_back(disk.as_mut()) {
        p.holds("what was written is read", false);
        return;
    }
    match args.rounds {
        _ if args.answers => disk.as_mut().serve(),
        Some(rounds) => profile(disk.as_mut(), &args, rounds),
        None => measure(disk.as_mut(), &args, vmm),
    }
    if args.asks {
        disk.as_mut().close();
    }
}

/// Whether two buffers that are written can be read again, into each other.
fn gives_back(disk: &mut dyn Target) -> bool {
    let sector = disk.sectors() / 2;
    let places = [sector, sector + BUFFER as u64 / 512];
    for (slot, place) in places.into_iter().enumerate() {
        let words = disk.buffer(slot).chunks_exact_mut(8);
        (place..).zip(words).for_each(|(n, word)| word.copy_from_slice(&pattern(n)));
        disk.one(slot, Op::Write, place, BUFFER);
    }
    places.into_iter().rev().enumerate().all(|(slot, place)| {
        disk.buffer(slot).fill(0);
        disk.one(slot, Op::Read, place, BUFFER);
        (place..).zip(disk.buffer(slot).chunks_exact(8)).all(|(n, word)| word == pattern(n))
    })
}

/// Eight bytes that are like no others.
fn pattern(n: u64) -> [u8; 8] {
    n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()
}

/// Every combination that the command line asks for.
fn measure(disk: &mut dyn Target, args: &Args, vmm: Option<Vmm<Linear>>) {
    let Some(mut workload) = Workload::new(args, Counters::new(vmm)) else { return };
    let most = disk.depth().min(DEPTH);
    let all = &[Pattern::Sequential, Pattern::Random][..];
    let patterns = if args.sequential { &all[..1] } else { all };
    for bytes in args.sizes.iter() {
        for &(op, name) in disk.ops() {
            for pattern in patterns {
                for depth in args.depths.iter().filter(|depth| *depth <= most) {
                    let cell = Cell { op, name, pattern: *pattern, bytes, depth };
                    workload.run(disk, &cell);
                }
            }
        }
    }
}

/// Reads of one size, as many at a time as the command line says, between
/// marks that a profile knows: a first window to warm up, then one of N times
/// and one of 2 N.
fn profile(disk: &mut dyn Target, args: &Args, rounds: u32) {
    let bytes = args.sizes.iter().next().unwrap_or(4096);
    let depth = args.depths.iter().next().unwrap_or(1).min(disk.depth()).min(DEPTH);
    for count in [rounds.min(8), rounds, 2 * rounds] {
        clock::begin_window();
        (0..u64::from(count)).for_each(|n| batch(disk, depth, 8 * n, bytes));
        clock::end_window();
    }
}

/// So many reads that are given to the disk together.
fn batch(disk: &mut dyn Target, depth: usize, sector: u64, bytes: usize) {
    for (slot, n) in (0..depth).zip(0..) {
        disk.submit(slot, Op::Read, sector + bytes as u64 / 512 * n, bytes);
    }
    disk.kick();
    for _ in 0..depth {
        while disk.poll().is_none() {
            disk.wait();
        }
    }
}
