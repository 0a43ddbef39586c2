//! Debian's stock kernel, through a shell: see `xtask::linux`.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tests::linux::{APPEND, DISK, PATIENCE, boot, boot_with, images, power_off};
use tests::{Builder, Scratch, Vm, http};
use xtask::mode::{self, Mode};
use xtask::workspace;

/// Control and `]`, which calls the monitor.
const ESCAPE: &str = "\x1d";

/// Lets the guest test itself.
fn selfcheck(vm: &mut Vm) {
    vm.type_line("selfcheck");
    let said = vm.expect_within("selfcheck: (passed|FAILED[^\n]*)\r?\n", Duration::from_secs(600));
    assert!(!said.contains("FAILED"));
}

/// Whether there is a VMM, which has a monitor.
fn on_the_vmm(test: &str) -> bool {
    let native = mode::current() == Mode::Native;
    if native {
        tests::skip(test, "bare QEMU has no monitor of ours");
    }
    !native
}

/// What the host says of `bytes`, as `md5sum` does in the guest.
fn digest(bytes: &[u8]) -> String {
    let mut command = Command::new("md5sum");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("md5sum");
    child.stdin.take().expect("a pipe").write_all(bytes).expect("it reads");
    let text = child.wait_with_output().expect("it ends").stdout;
    String::from_utf8_lossy(&text).split(' ').next().unwrap_or_default().to_owned()
}

/// Something that the guest writes to its disk is there afterwards.
#[test]
fn one_vcpu_passes_the_selfcheck_and_its_disk_has_what_it_wrote() {
    let scratch = Scratch::new();
    let disk = scratch.write("disk.img", &DISK);
    let Some(mut vm) = boot_with("linux, 1 vCPU", &[("--memory", "256M")], &disk) else { return };
    selfcheck(&mut vm);
    vm.type_line("seq 20000 >/tmp/seq; dd if=/tmp/seq of=/dev/vda bs=4k seek=256 conv=fsync");
    vm.expect_within("records out", PATIENCE);
    power_off(&mut vm);
    let text: String = (1..=20_000).map(|n| format!("{n}\n")).collect();
    let bytes = std::fs::read(disk).expect("the disk");
    let (before, from) = bytes.split_at(256 * 4096);
    let (written, after) = from.split_at(text.len());
    assert!(written == text.as_bytes(), "the disk has something else");
    assert!([before, after].iter().all(|rest| rest.iter().all(|byte| *byte == 0x5a)));
}

/// Fifty megabytes over TCP, and what was sent.
#[test]
fn the_network_loses_nothing() {
    let options = [("--memory", "256M"), ("--net", "user"), ("--cpu", "assisted")];
    let options = if mode::current() == Mode::Native { &options[..2] } else { &options };
    let Some(mut vm) = boot("linux, network", options) else { return };
    let bytes = Arc::new(tests::noise(50_000_000));
    let port = http::serve(Arc::clone(&bytes));
    vm.command("until ip route | grep default; do sleep 1; done", "default via 10.0.2.2");
    vm.command("ping -c 3 10.0.2.2", "3 packets received, 0% packet loss");
    vm.type_line(&format!("wget -q -O - http://10.0.2.2:{port}/ | md5sum"));
    let said = vm.expect_within(r"[0-9a-f]{32}  -", Duration::from_secs(600));
    assert!(said.contains(&digest(&bytes)), "{said}");
    power_off(&mut vm);
}

/// All exits, and those of `wfi`, as the monitor tells them.
fn exits(vm: &mut Vm) -> [u64; 2] {
    vm.type_text(&format!("{ESCAPE}e"));
    let all = vm.expect(r"\[trapeze\] \S+: [0-9]+ exits");
    let wfi = vm.expect(r"\[trapeze\]   wfi +[0-9]+");
    [all.trim_end_matches(" exits"), &wfi].map(|text| {
        text.rsplit(' ').next().and_then(|number| number.parse().ok()).expect("a number")
    })
}

/// A guest that has nothing to do is not entered: there are few exits in a
/// span of its time, however long that takes.
#[test]
fn an_idle_guest_is_left_alone() {
    if !on_the_vmm("linux, idle") {
        return;
    }
    for cpu in ["classic", "assisted"] {
        let options = [("--memory", "128M"), ("--cpu", cpu)];
        let Some(mut vm) = boot("linux, idle", &options) else { return };
        // The kernel tests its cryptography for a while after a boot.
        vm.command("sleep 5; echo is 'quiet'", "is quiet");
        let before = exits(&mut vm);
        vm.command("echo 'begin'; sleep 20; echo is 'over'", "is over");
        let after = exits(&mut vm);
        let [all, wfi] = [0, 1].map(|n| after[n] - before[n]);
        // A dozen times in a second the kernel has something to do. If it did
        // not wait, there would be millions, and with a tick that never stops
        // five thousand.
        assert!(all < 200_000 && wfi < 2500, "{cpu}: {all} exits, {wfi} of wfi");
        power_off(&mut vm);
    }
}

/// Two Linux guests of different sizes and the demo kernel, on one machine:
/// one is ended by the monitor, one by a panic of its own, and what is left
/// works.
#[test]
fn guests_side_by_side_do_not_share_their_ends() {
    const TEST: &str = "linux, side by side";
    if !on_the_vmm(TEST) {
        return;
    }
    let Some((kernel, initrd)) = images(TEST) else { return };
    let demo = workspace::build_demo().unwrap_or_else(|failure| panic!("{failure}"));
    let vm = Builder::config(|builder| {
        let initrd = builder.file("initrd.cpio", &initrd);
        let linux = |name, memory, more| {
            format!(
                "[[guest]]\nname = {name:?}\nkernel = {kernel:?}\ninitrd = {initrd:?}\n\
                 append = {APPEND:?}\nmemory = {memory:?}\nno-reboot = true\n{more}\n"
            )
        };
        let demo = format!("[[guest]]\nname = \"demo\"\nkernel = {demo:?}\n");
        linux("big", "256M", "cpu = \"assisted\"") + &linux("small", "96M", "") + &demo
    });
    let mut vm = vm.start();
    let hear = |vm: &Vm, guest, what: &str, times| {
        vm.hear(guest, what, times, PATIENCE).unwrap_or_else(|problem| panic!("{problem}"));
    };
    hear(&vm, "big", "~ # ", 1);
    hear(&vm, "small", "~ # ", 1);
    hear(&vm, "demo", "demo> ", 1);
    // The first guest is the one that is typed to. It ends by a panic.
    vm.type_line("storm && echo c >/proc/sysrq-trigger");
    hear(&vm, "big", "storm: passed", 1);
    hear(&vm, "big", "Kernel panic - not syncing", 1);
    vm.expect_within(r"\[trapeze\] you type to small", PATIENCE);
    // The second one amid its work.
    vm.type_line("while true; do storm; done");
    hear(&vm, "small", "storm: passed", 1);
    vm.type_text(&format!("{ESCAPE}o"));
    vm.expect_within(r"\[trapeze\] you type to demo", PATIENCE);
    vm.type_text("help\r");
    hear(&vm, "demo", "poweroff", 1);
    vm.type_text("poweroff\r");
    // A panic is a failure.
    assert_eq!(vm.wait().status, 100);
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
