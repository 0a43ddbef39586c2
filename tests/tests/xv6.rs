//! An unmodified xv6-riscv from the user's checkout: `XV6=path make test`.
//!
//! xv6 is not part of this repository, so that without the variable these
//! tests say that they were skipped.

use std::path::PathBuf;
use std::time::Duration;

use tests::{Vm, skip};

/// `usertests -q` takes one or two minutes natively.
const LONG: Duration = Duration::from_secs(1800);

/// Kernel and disk of the checkout.
fn checkout(test: &str) -> Option<(PathBuf, PathBuf)> {
    let Some(root) = std::env::var_os("XV6").map(PathBuf::from) else {
        skip(test, "XV6 is not set: XV6=path/to/a/built/xv6-riscv make test");
        return None;
    };
    let (kernel, disk) = (root.join("kernel/kernel"), root.join("fs.img"));
    let built = kernel.is_file() && disk.is_file();
    assert!(built, "XV6={root:?} is not built: run `make kernel/kernel fs.img` there");
    Some((kernel, disk))
}

/// Boots to the shell.
fn boot(test: &str, cpus: u32, mode: &str) -> Option<Vm> {
    let (kernel, disk) = checkout(test)?;
    let mut vm =
        Vm::builder(kernel).disk(disk, "version=2").cpus(cpus).option("--cpu", mode).start();
    vm.expect("xv6 kernel is booting");
    vm.expect(r"init: starting sh\n\$ $");
    Some(vm)
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
