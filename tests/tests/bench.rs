//! What `make bench` measures repeats to the digit, and the profile of an
//! operation accounts for each of its instructions. What the ladders are there
//! to show shows in counts.

use bench::ladder::run::{Ladder, Measured};
use bench::ladder::ways::{CONSOLE, DISKS, Suite};
use bench::machine::Bench;
use bench::operation::OPERATIONS;
use bench::profile;
use xtask::mode::Mode;

#[test]
fn figures_repeat_to_the_digit() {
    let bench = Bench::prepare().unwrap_or_else(|failure| panic!("{failure}"));
    for mode in [Mode::Native, Mode::Guest] {
        let [first, second] = [0, 1].map(|_| bench.figures(mode).expect("the probe runs"));
        assert_eq!(first, second, "{mode:?}");
        for operation in OPERATIONS {
            assert!(first.contains_key(operation.name), "{mode:?}: {}", operation.name);
        }
    }
}

/// The log of executed instructions has the illegal ones, too, which `instret`
/// leaves out; the `ecall` of a system call it counts.
#[test]
fn a_profile_accounts_for_each_instruction() {
    let bench = Bench::prepare().unwrap_or_else(|failure| panic!("{failure}"));
    let measured = bench.figures(Mode::Guest).expect("the probe runs");
    for (operation, traps) in [("csrr", 1.0), ("sie-pair", 2.0), ("syscall", 10.0)] {
        let shares = profile::of(&bench, operation).unwrap_or_else(|failure| panic!("{failure}"));
        let profiled: f64 = shares.iter().map(|share| share.instructions).sum();
        let difference = profiled - traps - measured[operation];
        assert!(difference.abs() < 0.05, "{operation}: {profiled} and {measured:?}");
    }
}

/// What one rung counts, each combination once.
fn count(ladder: &Ladder, suite: &Suite, name: &str) -> Vec<Measured> {
    let way = suite.ways.iter().find(|way| way.name == name).expect("a rung of that name");
    ladder.count(suite, way).unwrap_or_else(|failure| panic!("{failure}"))
}

/// Exits and instructions of one read of 4 KiB.
fn read(ladder: &Ladder, name: &str, depth: u32) -> (f64, f64) {
    let all = count(ladder, &DISKS, name);
    let is_it = |measured: &&Measured| {
        let key = &measured.key;
        (key.op.as_str(), key.bytes, key.depth) == ("read", 4096, depth)
    };
    let measured = all.iter().find(is_it).expect("the combination");
    (measured.exits_per_op(), measured.instructions / measured.ops)
}

#[test]
fn paravirtual_reads_need_few_exits_and_instructions() {
    let ladder = Ladder::prepare().unwrap_or_else(|failure| panic!("{failure}"));
    let (ata, burst) = (read(&ladder, "ATA PIO", 1), read(&ladder, "ATA PIO, burst", 1));
    let (waiting, deep) = (read(&ladder, "PV, waiting", 1), read(&ladder, "PV, queued", 32));
    assert!(ata.0 / waiting.0 >= 200.0 && ata.1 / waiting.1 >= 20.0, "{ata:?} {waiting:?}");
    assert!(burst.0 < ata.0 / 50.0 && burst.1 < ata.1, "{burst:?} {ata:?}");
    assert!(deep.0 <= 0.2 && deep.1 < waiting.1, "{deep:?} {waiting:?}");
}

#[test]
fn a_byte_costs_two_exits_by_the_uart_and_a_text_one_by_hypercalls() {
    let ladder = Ladder::prepare().unwrap_or_else(|failure| panic!("{failure}"));
    for measured in count(&ladder, &CONSOLE, "UART") {
        assert_eq!(measured.exits_per_op(), 2.0 * f64::from(measured.key.bytes));
    }
    for measured in count(&ladder, &CONSOLE, "PV") {
        assert_eq!(measured.exits_per_op(), 1.0, "{measured:?}");
    }
}
