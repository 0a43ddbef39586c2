//! The monitor, from the keyboard: two guests that answer what is typed.

use std::path::PathBuf;
use std::time::Duration;

use tests::{Builder, Vm};
use xtask::mode::{self, Mode};
use xtask::workspace;

const PATIENCE: Duration = Duration::from_secs(120);
/// Control and `]`, which is no part of a line.
const ESCAPE: &str = "\x1d";

/// The probe that beats, and says what it was told.
fn neighbour() -> PathBuf {
    let target = workspace::GUEST_TARGET;
    let mut cargo = workspace::cargo();
    cargo.args(["build", "--quiet", "--package", "probes", "--release", "--target", target]);
    workspace::run(cargo, "build the probes").unwrap_or_else(|failure| panic!("{failure}"));
    workspace::target_dir().join(target).join("release/neighbour")
}

/// Two of them; `None` on bare QEMU, which has no monitor.
fn two(test: &str) -> Option<Vm> {
    if mode::current() == Mode::Native {
        tests::skip(test, "bare QEMU has no monitor");
        return None;
    }
    let kernel = neighbour();
    let guest = |name| format!("[[guest]]\nname = {name:?}\nkernel = {kernel:?}\n");
    let vm = Builder::config(|_| guest("ann") + &guest("bob")).start();
    for name in ["ann", "bob"] {
        vm.hear(name, "neighbour: beat", 1, PATIENCE).unwrap();
    }
    Some(vm)
}

fn answers(vm: &mut Vm, guest: &str, words: &str) {
    vm.type_line(words);
    let answer = format!("neighbour: you said = {words}");
    vm.hear(guest, &answer, 1, PATIENCE).unwrap_or_else(|problem| panic!("{problem}"));
}

#[test]
fn one_types_to_the_guest_that_was_chosen() {
    let Some(mut vm) = two("monitor: focus") else { return };
    answers(&mut vm, "ann", "good morning");
    vm.type_text(&format!("{ESCAPE}n"));
    vm.expect(r"\[trapeze\] you type to bob\n");
    answers(&mut vm, "bob", "good evening");
    // When the guest that is typed to ends, the other one is.
    vm.type_line("stop");
    vm.expect(r"\[trapeze\] you type to ann\n");
    answers(&mut vm, "ann", "good night");
    vm.type_line("stop");
    assert_eq!(vm.wait().status, 0);
}

#[test]
fn a_guest_can_be_paused_reset_and_ended() {
    let Some(mut vm) = two("monitor: pause, reset, off") else { return };
    vm.type_text(&format!("{ESCAPE}p{ESCAPE}l"));
    vm.expect(r"\[trapeze\] ann is paused");
    vm.expect(r"\[trapeze\] \*1 ann +paused +1 +128 MiB +\d+\n");
    vm.expect(r"\[trapeze\]  2 bob +runs +1 +128 MiB +\d+\n");
    // It may have been amid a line; from then on only the other one beats.
    let before = vm.heard("ann", "neighbour: beat").unwrap();
    let beats = vm.heard("bob", "neighbour: beat").unwrap();
    vm.hear("bob", "neighbour: beat", beats + 3, PATIENCE).unwrap();
    assert!(vm.heard("ann", "neighbour: beat").unwrap() <= before + 1);
    vm.type_text(&format!("{ESCAPE}p"));
    vm.hear("ann", "neighbour: beat", before + 3, PATIENCE).unwrap();
    vm.type_text(&format!("{ESCAPE}r"));
    vm.expect(r"\[trapeze\] ann is reset");
    vm.hear("ann", "neighbour: beat = 1,", 2, PATIENCE).unwrap();
    answers(&mut vm, "ann", "hello again");
    vm.type_text(&format!("{ESCAPE}e{ESCAPE}o"));
    vm.expect(r"\[trapeze\] ann: \d+ exits");
    vm.expect(r"\[trapeze\] you type to bob\n");
    vm.type_line("stop");
    assert_eq!(vm.wait().status, 0);
}
