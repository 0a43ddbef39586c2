//! What `make bench` measures repeats to the digit, and the profile of an
//! operation accounts for each of its instructions.

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
