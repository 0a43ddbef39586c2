//! The demo guest, through its shell: as a guest on paravirtual devices, and
//! the same image on bare QEMU.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use demo::text::Fletcher;
use regex::Regex;
use tests::{Builder, Scratch, Vm, http};
use xtask::mode::{self, Mode};
use xtask::{fat, workspace};

const PROMPT: &str = r"demo> $";
const FILES: [(&str, &str); 1] = [("HELLO.TXT", "Hello from the host.\n")];
/// The machine may be busy.
const PATIENCE: Duration = Duration::from_secs(300);
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

/// Fletcher's sum of the pattern that the demo's web server sends.
fn sum_of_pattern(len: u64) -> String {
    let mut sum = Fletcher::default();
    (0..len).for_each(|at| sum.add(&[pattern(at)]));
    format!("{:08x}", sum.value())
}

fn pattern(at: u64) -> u8 {
    (at ^ at >> 8 ^ at >> 16).to_le_bytes()[0]
}

/// The host's way to the guest's web server, and the guest's to the host.
fn serves(mode: Mode, facts: &[&str]) {
    let port = http::free_port();
    let net = format!("user,model=pv,hostfwd=tcp:{port}:80");
    let mut vm = Vm::builder(&*KERNEL).mode(mode).option("--net", &net).start();
    vm.expect(PROMPT);
    let reached = say(&mut vm, "ping 10.0.2.2");
    assert!(reached.contains("10.0.2.2 is there: 2,"), "{reached}");
    let page = String::from_utf8(http::get(port, "/")).unwrap();
    assert!(facts.iter().all(|fact| page.contains(fact)), "{page}");
    let bytes = http::get(port, "/bytes/3000000");
    assert!(bytes.len() == 3_000_000 && (0..).zip(&bytes).all(|(at, byte)| *byte == pattern(at)));
    power_off(vm);
}

#[test]
fn the_host_reads_its_web_page() {
    if mode::current() == Mode::Native {
        return tests::skip("the_host_reads_its_web_page", "bare QEMU has no paravirtual network");
    }
    serves(Mode::Guest, &["virtual, a guest of Trapeze", "paravirtual", "10.0.2.15", "PV notify"]);
}

#[test]
fn the_bare_machine_has_the_page_too() {
    serves(Mode::Native, &["native, on the bare machine", "virtio-mmio", "10.0.2.15"]);
}

/// 100 MB from one guest to the other.
#[test]
fn two_of_it_exchange_bytes() {
    if mode::current() == Mode::Native {
        return tests::skip("two_of_it_exchange_bytes", "bare QEMU has one guest");
    }
    let guest = |name, address| {
        let kernel = &*KERNEL;
        format!(
            "[[guest]]\nname = {name:?}\nkernel = {kernel:?}\nappend = \"ip={address}/24\"\n\
             net = \"switch,model=pv\"\n"
        )
    };
    let config = guest("alice", "10.0.3.1") + &guest("bob", "10.0.3.2");
    let mut vm = Builder::config(|_| config).start();
    for name in ["alice", "bob"] {
        let there = vm.hear(name, "demo> ", 1, PATIENCE);
        there.unwrap_or_else(|problem| panic!("{problem}\n{}", vm.console_text()));
    }
    vm.type_text("ping 10.0.3.2\r");
    let there = vm.hear("alice", "10.0.3.2 is there: 2,", 1, PATIENCE);
    there.unwrap_or_else(|problem| panic!("{problem}\n{}", vm.console_text()));
    vm.type_text("fetch 10.0.3.2/bytes/100000000\r");
    let done = format!("100000000 bytes in .*check sum {}", sum_of_pattern(100_000_000));
    let done = vm.hear("alice", &format!("(?s){done}"), 1, PATIENCE);
    done.unwrap_or_else(|problem| panic!("{problem}\n{}", vm.console_text()));
    vm.interrupt();
    vm.wait();
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
