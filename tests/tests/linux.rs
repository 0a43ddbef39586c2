//! Debian's stock kernel, through a shell: see `xtask::linux`. Where its
//! packages can't be had, as without network, the tests say that they did not
//! run, and why.

use std::time::Duration;

use tests::Vm;
use xtask::linux::{Linux, prepare};

/// Boots with these options of `cargo xtask run`, to the shell.
fn boot(test: &str, options: &[(&str, &str)]) -> Option<Vm> {
    let Linux { kernel, initrd } = match prepare() {
        Ok(linux) => linux,
        Err(failure) => {
            tests::skip(test, &failure.to_string());
            return None;
        }
    };
    let mut builder = Vm::builder(kernel).option("--append", "console=ttyS0");
    builder = builder.option("--initrd", &initrd.display().to_string());
    for (name, value) in options {
        builder = builder.option(name, value);
    }
    let disk = builder.file("disk.img", &vec![0x5a; 4 << 20]);
    let mut vm = builder.shared_disk(disk, "").start();
    vm.expect_within("~ # ", Duration::from_secs(300));
    Some(vm)
}

/// Lets the guest test itself.
fn selfcheck(vm: &mut Vm) {
    vm.type_line("selfcheck");
    let said = vm.expect_within("selfcheck: (passed|FAILED[^\n]*)\r?\n", Duration::from_secs(600));
    assert!(!said.contains("FAILED"));
}

fn power_off(vm: &mut Vm) {
    vm.type_line("poweroff");
    assert_eq!(vm.wait().status, 0);
}

#[test]
fn one_vcpu_passes_the_selfcheck() {
    let Some(mut vm) = boot("linux, 1 vCPU", &[("--memory", "256M")]) else { return };
    selfcheck(&mut vm);
    power_off(&mut vm);
}

#[test]
fn two_vcpus_pass_the_selfcheck() {
    let options = [("--memory", "256M"), ("--cpus", "2")];
    let Some(mut vm) = boot("linux, 2 vCPUs", &options) else { return };
    vm.command("nproc", "\n2\r?\n");
    selfcheck(&mut vm);
    power_off(&mut vm);
}

#[test]
fn a_small_machine_is_enough_and_can_reboot() {
    let Some(mut vm) = boot("linux, 96 MB", &[("--memory", "96M")]) else { return };
    vm.command("reboot", "reboot: Restarting system");
    vm.expect_within("~ # ", Duration::from_secs(300));
    power_off(&mut vm);
}
