//! xv6-riscv from the user's own checkouts: `XV6=path XV6_PATCHED=path make
//! test`, the first as it is, the second with our patches (`make xv6-apply`),
//! both built.
//!
//! xv6 is not part of this repository, and nothing of it is built here. So
//! without these variables the tests say that they were skipped.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs};

use tests::{Scratch, Vm, refusal, skip, xtask};
use xtask::mode::Mode;

/// `usertests -q` takes one or two minutes natively.
const LONG: Duration = Duration::from_secs(1800);

/// Which checkout.
#[derive(Clone, Copy)]
enum Tree {
    Stock,
    Patched,
}

impl Tree {
    /// Its folder, if the user has named one.
    fn path(self, test: &str) -> Option<PathBuf> {
        let (variable, kind) = match self {
            Self::Stock => ("XV6", "a/built/xv6-riscv"),
            Self::Patched => ("XV6_PATCHED", "a/patched/and/built/xv6-riscv"),
        };
        let path = env::var_os(variable).map(PathBuf::from);
        if path.is_none() {
            skip(test, &format!("{variable} is not set: {variable}=path/to/{kind} make test"));
        }
        // Tests run in their own folder, and who has set it was above that.
        path.map(|path| xtask::workspace::root().join(path))
    }

    /// Kernel and disk.
    fn built(self, test: &str) -> Option<(PathBuf, PathBuf)> {
        let path = self.path(test)?;
        let (kernel, disk) = (path.join("kernel/kernel"), path.join("fs.img"));
        let built = kernel.is_file() && disk.is_file();
        assert!(built, "{path:?} is not built: run `make kernel/kernel fs.img` there");
        if let Self::Patched = self {
            assert!(path.join("kernel/pv.h").is_file(), "{path:?} is not patched: make xv6-apply");
        }
        Some((kernel, disk))
    }

    /// Boots to the shell, on a disk of this model.
    fn boot(self, test: &str, disk: &str, cpus: u32, mode: &str) -> Option<Vm> {
        let (kernel, image) = self.built(test)?;
        let vm = Vm::builder(kernel).disk(image, disk).cpus(cpus).option("--cpu", mode);
        Some(to_the_shell(vm.start()))
    }
}

fn to_the_shell(mut vm: Vm) -> Vm {
    vm.expect("xv6 kernel is booting");
    vm.expect(r"init: starting sh\n\$ $");
    vm
}

/// An unmodified xv6, in its shell.
fn boot(test: &str, cpus: u32, mode: &str) -> Option<Vm> {
    Tree::Stock.boot(test, "version=2", cpus, mode)
}

fn works_in_the_shell(vm: &mut Vm) {
    let listing = vm.command("ls", r"\n\$ $");
    assert!(listing.contains("README") && listing.contains("usertests"), "{listing}");
    vm.command("echo written and read back > file", r"\n?\$ $");
    vm.command("cat file", r"\nwritten and read back\n\$ $");
    vm.command("cat README | grep xv6 | wc", r"\n\d+ \d+ \d+ \n\$ $");
}

#[test]
fn one_cpu_boots_to_a_shell() {
    if let Some(mut vm) = boot("one_cpu_boots_to_a_shell", 1, "classic") {
        works_in_the_shell(&mut vm);
    }
}

#[test]
fn three_cpus_boot_to_a_shell() {
    if let Some(mut vm) = boot("three_cpus_boot_to_a_shell", 3, "classic") {
        works_in_the_shell(&mut vm);
    }
}

#[test]
fn usertests_pass_on_one_cpu() {
    if let Some(vm) = boot("usertests_pass_on_one_cpu", 1, "classic") {
        usertests(vm);
    }
}

#[test]
fn usertests_pass_on_three_cpus() {
    if let Some(vm) = boot("usertests_pass_on_three_cpus", 3, "classic") {
        usertests(vm);
    }
}

#[test]
fn usertests_pass_on_one_assisted_cpu() {
    if let Some(vm) = boot("usertests_pass_on_one_assisted_cpu", 1, "assisted") {
        usertests(vm);
    }
}

#[test]
fn usertests_pass_on_three_assisted_cpus() {
    if let Some(mut vm) = boot("usertests_pass_on_three_assisted_cpus", 3, "assisted") {
        works_in_the_shell(&mut vm);
        usertests(vm);
    }
}

fn usertests(mut vm: Vm) {
    vm.type_line("usertests -q");
    let output = vm.expect_within(r"\n\$ $", LONG);
    assert!(output.contains("ALL TESTS PASSED"), "{output}");
}

/// The patched kernel with its paravirtual disk and console.
fn patched(test: &str, cpus: u32) -> Option<Vm> {
    Tree::Patched.boot(test, "model=pv", cpus, "classic")
}

#[test]
fn patched_on_one_cpu() {
    if let Some(mut vm) = patched("patched_on_one_cpu", 1) {
        works_in_the_shell(&mut vm);
    }
}

#[test]
fn patched_on_three_cpus() {
    if let Some(mut vm) = patched("patched_on_three_cpus", 3) {
        works_in_the_shell(&mut vm);
    }
}

#[test]
fn patched_on_three_assisted_cpus() {
    let vm = Tree::Patched.boot("patched_on_three_assisted_cpus", "model=pv", 3, "assisted");
    if let Some(mut vm) = vm {
        works_in_the_shell(&mut vm);
    }
}

#[test]
fn patched_usertests_pass_on_one_cpu() {
    if let Some(vm) = patched("patched_usertests_pass_on_one_cpu", 1) {
        usertests(vm);
    }
}

#[test]
fn patched_usertests_pass_on_three_cpus() {
    if let Some(vm) = patched("patched_usertests_pass_on_three_cpus", 3) {
        usertests(vm);
    }
}

/// It takes the best disk that is there.
#[test]
fn patched_on_other_disks() {
    for disk in ["version=2", "model=ata"] {
        if let Some(mut vm) = Tree::Patched.boot("patched_on_other_disks", disk, 1, "classic") {
            works_in_the_shell(&mut vm);
        }
    }
}

#[test]
fn patched_on_the_bare_machine() {
    let Some((kernel, disk)) = Tree::Patched.built("patched_on_the_bare_machine") else { return };
    let vm = Vm::builder(kernel).mode(Mode::Native).disk(disk, "version=2").cpus(3);
    let mut vm = to_the_shell(vm.start());
    works_in_the_shell(&mut vm);
    vm.command("pvstat", r"this is no guest of Trapeze\n\$ $");
}

/// Exits by cause, as the guest's own `pvstat` tells them.
fn pvstat(vm: &mut Vm, command: &str) -> BTreeMap<String, u64> {
    let told = vm.command(&format!("pvstat {command}"), r"\n\$ $");
    let row = |line: &str| {
        let (name, count) = line.trim_end().rsplit_once(' ')?;
        Some((name.trim_end().to_owned(), count.parse().ok()?))
    };
    told.lines().filter_map(row).collect()
}

/// Reads a program of 180 KiB, which is not in the cache of 30 blocks.
#[test]
fn a_paravirtual_read_costs_one_exit_instead_of_five() {
    let test = "a_paravirtual_read_costs_one_exit_instead_of_five";
    let read = |disk: &str| {
        let mut vm = Tree::Patched.boot(test, disk, 1, "classic")?;
        let exits = pvstat(&mut vm, "wc usertests");
        Some(move |cause: &str| exits.get(cause).copied().unwrap_or(0))
    };
    let (Some(virtio), Some(pv), Some(ata)) =
        (read("version=2"), read("model=pv"), read("model=ata"))
    else {
        return;
    };
    // Each tells the device, looks why it interrupts, and acknowledges.
    let reads = virtio("device virtio 0") / 3;
    assert!(reads > 150, "{reads} reads");
    assert_eq!(virtio("device virtio 0") + virtio("device PLIC"), 5 * reads);
    // The same text is shown on the same console, whatever the disk.
    let shown = virtio("PV notify");
    assert_eq!((pv("PV notify") - shown, pv("device virtio 0"), pv("device PLIC")), (reads, 0, 0));
    assert!(ata("device ATA") > 512 * reads, "two bytes at a time");
}

/// The same of the kernel as it is, which has no `pvstat`: by the trace.
#[test]
fn an_unmodified_read_costs_five_exits() {
    let Some((kernel, disk)) = Tree::Stock.built("an_unmodified_read_costs_five_exits") else {
        return;
    };
    let scratch = Scratch::new();
    let trace = scratch.path("trace");
    let vm = Vm::builder(kernel).disk(disk, "version=2");
    let vm = vm.option("--trace", trace.to_str().unwrap()).option("--trace-only", "device");
    let mut vm = to_the_shell(vm.start());
    vm.command("wc usertests", r"usertests\n\$ $");
    vm.interrupt();
    vm.wait();
    let text = fs::read_to_string(trace).unwrap();
    let count = |register: &str| text.lines().filter(|line| line.contains(register)).count();
    let reads = count("write 0x10001050");
    assert!(reads > 150, "{reads} reads");
    let [looks, acknowledges] = [count("read 0x10001060"), count("write 0x10001064")];
    let [claims, completes] = [count("read 0xc201004 = 0x1"), count("write 0xc201004 = 0x1")];
    let others = [looks, acknowledges, claims, completes];
    assert!(others.iter().all(|count| count.abs_diff(reads) <= 1), "{reads} reads, {others:?}");
}

/// All text of a tree, without what is built.
fn sources(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for part in ["", "kernel", "user", "mkfs"] {
        for entry in fs::read_dir(root.join(part)).unwrap().map(Result::unwrap) {
            let path = entry.path();
            let extension = path.extension().unwrap_or_default().to_owned();
            if ["c", "h", "S", "pl", "ld"].iter().any(|one| extension == *one)
                || path.ends_with("Makefile")
            {
                let name = path.strip_prefix(root).unwrap().to_owned();
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found.remove(Path::new("user/usys.S"));
    found
}

#[test]
fn patches_are_applied_to_a_copy_and_taken_out_again() {
    let test = "patches_are_applied_to_a_copy_and_taken_out_again";
    let Some(stock) = Tree::Stock.path(test) else { return };
    let scratch = Scratch::new();
    let (before, copy) = (sources(&stock), scratch.path("patched"));
    let mut apply = xtask();
    apply.args(["xv6", "apply"]).arg(&stock).arg("--to").arg(&copy);
    let output = apply.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let diff = String::from_utf8_lossy(&output.stdout).into_owned();
    for line in ["--- a/kernel/start.c", "+  pv_start();", "+    pv_idle();"] {
        assert!(diff.lines().any(|told| told.starts_with(line)), "no {line}: {diff}");
    }
    assert!(!diff.lines().any(|line| line.starts_with('-') && !line.starts_with("---")));
    assert_eq!(sources(&stock), before, "the checkout itself is as it was");
    assert_ne!(sources(&copy), before);
    let again = refusal(xtask().args(["xv6", "apply"]).arg(&copy));
    assert!(again.status == 2 && again.text.contains("is patched already"), "{again:?}");
    assert!(xtask().args(["xv6", "revert"]).arg(&copy).output().unwrap().status.success());
    assert_eq!(sources(&copy), before);
}

#[test]
fn checkouts_that_cannot_run_are_told() {
    let scratch = Scratch::new();
    let tree = scratch.path("xv6");
    fs::create_dir_all(tree.join("kernel")).unwrap();
    let run = |options: &[&str]| {
        let refusal = refusal(xtask().args(["xv6", "run"]).arg(&tree).args(options));
        assert!(refusal.status == 2 && refusal.text.lines().count() == 1, "{refusal:?}");
        refusal.text
    };
    assert!(run(&[]).contains("there is no xv6-riscv in"));
    scratch.write("xv6/kernel/start.c", b"");
    scratch.write("xv6/Makefile", b"");
    assert!(run(&[]).contains("is not built; run: make -C"));
    scratch.write("xv6/kernel/kernel", b"");
    scratch.write("xv6/fs.img", b"");
    assert!(run(&["--disk", "pv"]).contains("has no driver for such a disk: patch it"));
    let revert = refusal(xtask().args(["xv6", "revert"]).arg(&tree));
    assert!(revert.status == 2 && revert.text.contains("is not patched"), "{revert:?}");
}
