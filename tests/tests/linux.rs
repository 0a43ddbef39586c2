//! Debian's stock kernel, through a shell: see `xtask::linux`.

use std::time::Duration;

use tests::Vm;
use tests::linux::{boot, power_off};
use xtask::mode::{self, Mode};

/// Lets the guest test itself.
fn selfcheck(vm: &mut Vm) {
    vm.type_line("selfcheck");
    let said = vm.expect_within("selfcheck: (passed|FAILED[^\n]*)\r?\n", Duration::from_secs(600));
    assert!(!said.contains("FAILED"));
}

#[test]
fn one_vcpu_passes_the_selfcheck() {
    let Some(mut vm) = boot("linux, 1 vCPU", &[("--memory", "256M")]) else { return };
    selfcheck(&mut vm);
    power_off(&mut vm);
}

#[test]
fn two_vcpus_pass_the_selfcheck_and_a_panic_is_a_failure() {
    let options = [("--memory", "256M"), ("--cpus", "2"), ("--no-reboot", "")];
    let Some(mut vm) = boot("linux, 2 vCPUs", &options) else { return };
    vm.command("nproc", "\n2\r?\n");
    selfcheck(&mut vm);
    vm.command("echo c >/proc/sysrq-trigger", "Kernel panic - not syncing");
    let status = vm.wait().status;
    // Bare QEMU knows no failure.
    assert_eq!(status, if mode::current() == Mode::Native { 0 } else { 100 });
}

#[test]
fn one_assisted_vcpu_passes_the_selfcheck() {
    let options = [("--memory", "256M"), ("--cpu", "assisted")];
    let Some(mut vm) = boot("linux, assisted, 1 vCPU", &options) else { return };
    selfcheck(&mut vm);
    power_off(&mut vm);
}

#[test]
fn two_assisted_vcpus_pass_the_selfcheck() {
    let options = [("--memory", "256M"), ("--cpus", "2"), ("--cpu", "assisted")];
    let Some(mut vm) = boot("linux, assisted, 2 vCPUs", &options) else { return };
    vm.command("nproc", "\n2\r?\n");
    selfcheck(&mut vm);
    power_off(&mut vm);
}

#[test]
fn a_small_machine_of_four_vcpus_is_enough_and_can_reboot() {
    let mut options = vec![("--memory", "96M"), ("--cpus", "4")];
    if mode::current() == Mode::Guest {
        options.push(("--harts", "2"));
    }
    let Some(mut vm) = boot("linux, 4 vCPUs, 96 MB", &options) else { return };
    vm.command("nproc", "\n4\r?\n");
    vm.command("reboot", "reboot: Restarting system");
    vm.expect_within("~ # ", Duration::from_secs(300));
    vm.command("nproc", "\n4\r?\n");
    power_off(&mut vm);
}
