//! The demo guest, through its shell: as a guest on paravirtual devices, and
//! the same image on bare QEMU.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;
use tests::{Scratch, Vm};
use xtask::mode::{self, Mode};
use xtask::{fat, workspace};

const PROMPT: &str = r"demo> $";
const FILES: [(&str, &str); 1] = [("HELLO.TXT", "Hello from the host.\n")];
/// FAT16 wants a disk of some size.
const SIZE: u64 = 32 << 20;

static KERNEL: LazyLock<PathBuf> =
    LazyLock::new(|| workspace::build_demo().unwrap_or_else(|failure| panic!("{failure}")));

/// A disk with a file on it.
fn disk(scratch: &Scratch) -> PathBuf {
    let path = scratch.path("disk.img");
    fat::ensure(&path, SIZE, &FILES).unwrap_or_else(|failure| panic!("{failure}"));
    path
}

fn boot(disk: &Path, options: &str, mode: Mode) -> Vm {
    let mut vm = Vm::builder(&*KERNEL).mode(mode).shared_disk(disk, options).start();
    vm.expect(PROMPT);
    vm
}

fn say(vm: &mut Vm, command: &str) -> String {
    vm.type_text(&format!("{command}\r"));
    vm.expect(PROMPT)
}

fn power_off(mut vm: Vm) {
    vm.type_text("poweroff\r");
    let outcome = vm.wait();
    assert_eq!(outcome.status, 0, "{outcome:?}");
}

/// What was written is there after a restart, and on the host.
fn keeps_files(mode: Mode) {
    let scratch = Scratch::new();
    let disk = disk(&scratch);
    let mut vm = boot(&disk, "model=pv", mode);
    assert!(say(&mut vm, "cat HELLO.TXT").contains("Hello from the host."));
    say(&mut vm, "write NOTE.TXT kept by the disk");
    power_off(vm);
    let note = fat::read(&disk, "NOTE.TXT").unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(note.as_deref(), Some(&b"kept by the disk\n"[..]));
    let mut vm = boot(&disk, "model=pv", mode);
    assert!(say(&mut vm, "ls").contains("NOTE.TXT"));
    assert!(say(&mut vm, "cat NOTE.TXT").contains("kept by the disk"));
    say(&mut vm, "rm NOTE.TXT");
    assert!(say(&mut vm, "cat NOTE.TXT").contains("no such file"));
    power_off(vm);
    assert!(fat::read(&disk, "NOTE.TXT").unwrap_or_else(|failure| panic!("{failure}")).is_none());
}

#[test]
fn files_survive_a_restart() {
    if mode::current() == Mode::Native {
        return tests::skip("files_survive_a_restart", "bare QEMU has no paravirtual disk");
    }
    keeps_files(Mode::Guest);
}

#[test]
fn the_same_image_runs_on_the_bare_machine() {
    keeps_files(Mode::Native);
}

#[test]
fn it_knows_where_it_runs() {
    let scratch = Scratch::new();
    let disk = disk(&scratch);
    let vm = boot(&disk, "model=pv", Mode::Native);
    assert!(vm.console_text().contains("demo kernel: native"), "{}", vm.console_text());
    power_off(vm);
    if mode::current() == Mode::Guest {
        let vm = boot(&disk, "model=pv", Mode::Guest);
        assert!(vm.console_text().contains("demo kernel: virtual, a guest of Trapeze"));
        power_off(vm);
    }
}

/// Exits per read, as the VMM counts them for the guest: one to kick, one to
/// wait, and many reads for both where many are under way.
fn exits_per_read(options: &str) -> [f64; 2] {
    let scratch = Scratch::new();
    let disk = disk(&scratch);
    let mut vm = boot(&disk, options, Mode::Guest);
    let said = say(&mut vm, "bench disk");
    power_off(vm);
    let figure = Regex::new(r"([0-9.]+) exits per read").unwrap();
    let figures: Vec<f64> = figure.captures_iter(&said).map(|c| c[1].parse().unwrap()).collect();
    figures.try_into().unwrap_or_else(|_| panic!("two figures: {said}"))
}

#[test]
fn a_read_costs_two_exits_and_less_under_load() {
    if mode::current() == Mode::Native {
        return tests::skip("a_read_costs_two_exits_and_less_under_load", "bare QEMU has no exits");
    }
    // The storage is memory: requests are done when they are told of.
    let [one, many] = exits_per_read("model=pv,backend=ram");
    assert!((1.0..1.01).contains(&one) && many <= 0.04, "{one} and {many} in RAM");
    // The storage is QEMU's: the guest waits.
    let [one, many] = exits_per_read("model=pv");
    assert!(one < 2.1 && many <= 0.2, "{one} and {many} on QEMU's disk");
}
