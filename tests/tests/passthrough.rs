//! Linux, with Debian's own drivers, on devices that are its own: the network
//! and a disk, at each level, and a reset in the middle of their work. Where
//! the packages can't be had the test says that it did not run, and why.

use std::sync::Arc;
use std::time::Duration;

use tests::{Builder, Vm, http, noise};
use xtask::linux::{Linux, prepare};
use xtask::mode::{self, Mode};

const PATIENCE: Duration = Duration::from_secs(400);
/// What goes over the network, and what the disk holds at first.
const BYTES: usize = 8 << 20;

/// Types a command, and waits until it has succeeded.
fn done(vm: &mut Vm, command: &str) {
    vm.type_line(&format!("{command} && echo it is 'done'"));
    vm.expect_within("it is done", PATIENCE);
}

/// A guest with a network interface and a disk of its own, at its shell.
fn boot(linux: &Linux, bytes: &[u8], level: &str) -> Vm {
    let vm = Builder::new(&linux.kernel);
    let disk = vm.file("disk.img", bytes);
    let vm = vm
        .option("--initrd", linux.initrd.to_str().expect("a path in UTF-8"))
        .option("--append", "console=ttyS0")
        .option("--memory", "512M")
        .option("--cpu", "assisted")
        .option("--pass", &format!("net,dma={level}"))
        .option("--pass", &format!("disk={},dma={level}", disk.display()));
    let mut vm = vm.start();
    vm.expect_within("~ # ", PATIENCE);
    vm
}

/// Data is right in both directions, of both devices.
fn works(vm: &mut Vm, server: u16) {
    done(vm, "until grep -q obtained /run/dhcp.log; do sleep 1; done");
    done(vm, &format!("wget -q -O /tmp/bytes http://10.0.2.2:{server}/"));
    // The disk holds the same at first, and is written by the device anew.
    done(vm, "cmp /tmp/bytes /dev/vda");
    done(vm, "dd if=/tmp/bytes of=/dev/vda bs=1M 2>/dev/null && sync");
    done(vm, "echo 3 >/proc/sys/vm/drop_caches && cmp /tmp/bytes /dev/vda");
}

fn a_guest_owns_its_devices(level: &str) {
    if mode::current() == Mode::Native {
        return tests::skip(level, "bare QEMU has nobody who could pass devices");
    }
    let linux = match prepare() {
        Ok(linux) => linux,
        Err(failure) => return tests::skip(level, &failure.to_string()),
    };
    let bytes = Arc::new(noise(BYTES));
    let server = http::serve(bytes.clone());
    let mut vm = boot(&linux, &bytes, level);
    works(&mut vm, server);
    // Both devices at work, and the guest is gone.
    vm.type_line(
        "dd if=/dev/vda of=/dev/null bs=1M & ping -A 10.0.2.2 >/dev/null & echo at 'work'",
    );
    vm.expect_within("at work", PATIENCE);
    vm.type_text("\x1dr");
    vm.expect_within("a shell of busybox(?s:.*)~ # ", PATIENCE);
    works(&mut vm, server);
    vm.type_line("poweroff");
    let outcome = vm.wait_within(PATIENCE).unwrap_or_else(|problem| panic!("{problem}"));
    assert_eq!(outcome.status, 0, "{outcome:?}");
    assert_eq!(outcome.messages.contains("warning"), level == "trusted", "{outcome:?}");
}

#[test]
fn mediated() {
    a_guest_owns_its_devices("mediated");
}

#[test]
fn trusted() {
    a_guest_owns_its_devices("trusted");
}
