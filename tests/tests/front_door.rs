//! The host tool runs machines, and none of them outlives it.

use std::time::Duration;

use tests::{Builder, code};

/// Values of the finisher (SiFive test device).
const PASS: u32 = 0x5555;
const FAIL: u32 = 0x3333;

#[test]
fn a_guest_that_powers_off_ends_the_run_with_success() {
    let outcome = Builder::raw(&code::finishes("bye\n", PASS)).start().wait();
    assert_eq!(outcome.status, 0, "{outcome:?}");
    assert!(outcome.console.contains("bye\n"));
}

#[test]
fn the_code_of_a_guest_that_fails_is_passed_on() {
    let outcome = Builder::raw(&code::finishes("ouch", 7 << 16 | FAIL)).start().wait();
    assert_eq!(outcome.status, 7, "{outcome:?}");
    assert_eq!(outcome.messages.trim_end(), "error: a guest failed with code 7");
}

#[test]
fn an_expected_pattern_ends_the_run_with_success() {
    let outcome =
        Builder::raw(&code::prints("one\ntwo\n")).option("--expect", "one\ntwo").start().wait();
    assert_eq!((outcome.status, outcome.messages.as_str()), (0, ""), "{outcome:?}");
}

#[test]
fn a_pattern_in_the_last_words_counts() {
    let kernel = code::finishes("last words", PASS);
    let outcome = Builder::raw(&kernel).option("--expect", "words").start().wait();
    assert_eq!(outcome.status, 0, "{outcome:?}");
    let outcome = Builder::raw(&kernel).option("--expect", "more").start().wait();
    assert_eq!(outcome.status, 125, "{outcome:?}");
}

#[test]
fn a_timeout_ends_the_machine() {
    let mut vm = Builder::raw(&code::prints("here")).option("--timeout", "3").start();
    vm.expect("here");
    let outcome = vm.wait();
    assert_eq!(outcome.status, 124, "{outcome:?}");
    assert_eq!(outcome.messages.trim_end(), "error: timeout after 3 s");
    assert!(!vm.is_alive());
}

#[test]
fn a_signal_ends_the_machine() {
    let mut vm = Builder::raw(&code::prints("here")).start();
    vm.expect("here");
    vm.interrupt();
    let outcome = vm.wait();
    assert_eq!(outcome.status, 130, "{outcome:?}");
    assert!(!vm.is_alive());
}

#[test]
fn control_a_x_leaves_the_machine() {
    let mut vm = Builder::raw(&code::prints("here")).start();
    vm.expect("here");
    vm.type_line("\u{1}x");
    assert_eq!(vm.wait().status, 0);
}

#[test]
fn machines_run_side_by_side() {
    let kernel = code::prints("here");
    let mut machines = [Builder::raw(&kernel).start(), Builder::raw(&kernel).start()];
    for vm in &mut machines {
        vm.expect_within("here", Duration::from_secs(60));
    }
}

/// Whether guests run on the VMM; tests of what only the VMM has need it.
fn on_the_vmm(test: &str) -> bool {
    let guest = xtask::mode::current() == xtask::mode::Mode::Guest;
    if !guest {
        tests::skip(test, "guests run natively");
    }
    guest
}

#[test]
fn statistics_come_when_a_pattern_ends_the_run() {
    if !on_the_vmm("statistics_come_when_a_pattern_ends_the_run") {
        return;
    }
    let vm = Builder::raw(&code::prints("here")).stats().option("--expect", "here");
    let outcome = vm.option("--name", "raw").start().wait();
    assert_eq!(outcome.status, 0, "{outcome:?}");
    let guest = &outcome.stats.as_ref().expect("a report")["guests"][0];
    assert_eq!(guest["name"], "raw", "{outcome:?}");
    assert!(guest["exits"].as_u64() > Some(4), "{outcome:?}");
}

#[test]
fn traces_are_filtered_and_limited() {
    if !on_the_vmm("traces_are_filtered_and_limited") {
        return;
    }
    let vm = Builder::raw(&code::prints("four")).option("--trace", "-");
    let vm = vm.option("--trace-only", "device").option("--trace-limit", "3");
    let outcome = vm.option("--expect", "four").start().wait();
    assert_eq!(outcome.status, 0, "{outcome:?}");
    assert_eq!(outcome.messages.lines().count(), 3, "{outcome:?}");
    assert!(outcome.messages.lines().all(|line| line.starts_with("guest0")), "{outcome:?}");
}
