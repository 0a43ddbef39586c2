//! Linux, with Debian's own drivers, on devices that are its own: the network
//! and a disk, at each level, and a reset in the middle of their work. Where
//! the packages can't be had the test says that it did not run, and why.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tests::{Builder, Vm, http, noise};
use xtask::linux::{Linux, prepare};
use xtask::mode::{self, Mode};
use xtask::run::qemu;

const PATIENCE: Duration = Duration::from_secs(400);
/// What goes over the network, and what the disk holds at first.
const BYTES: usize = 8 << 20;

/// Types a command, and waits until it has succeeded.
fn done(vm: &mut Vm, command: &str) {
    vm.type_line(&format!("{command} && echo it is 'done'"));
    vm.expect_within("it is done", PATIENCE);
}

/// What keeps the devices from memory that is not the guest's, and so which
/// devices they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Level {
    Mediated,
    Trusted,
    Iommu,
}

impl Level {
    /// The options of `--pass` for a network interface and a disk.
    fn devices(self, disk: &Path) -> [String; 2] {
        let disk = disk.display();
        match self {
            Self::Mediated => ["net".to_owned(), format!("disk={disk}")],
            Self::Trusted => ["net,dma=trusted".to_owned(), format!("disk={disk},dma=trusted")],
            Self::Iommu => ["pci=e1000e".to_owned(), format!("nvme={disk}")],
        }
    }

    /// How Linux calls the disk.
    fn disk(self) -> &'static str {
        if self == Self::Iommu { "/dev/nvme0n1" } else { "/dev/vda" }
    }

    /// What the host tool says of them before the guest starts.
    fn message(self) -> &'static str {
        match self {
            Self::Mediated => "dma=mediated: the VMM checks",
            Self::Trusted => "warning: ",
            Self::Iommu => "dma=iommu: it reaches the memory of",
        }
    }
}

/// A guest with a network interface and a disk of its own, at its shell.
fn boot(linux: &Linux, bytes: &[u8], level: Level) -> Vm {
    let vm = Builder::new(&linux.kernel);
    let [net, disk] = level.devices(&vm.file("disk.img", bytes));
    let vm = vm
        .option("--initrd", linux.initrd.to_str().expect("a path in UTF-8"))
        .option("--append", "console=ttyS0")
        .option("--memory", "512M")
        .option("--cpu", "assisted")
        .option("--pass", &net)
        .option("--pass", &disk);
    let mut vm = vm.start();
    vm.expect_within("~ # ", PATIENCE);
    vm
}

/// Data is right in both directions, of both devices.
fn works(vm: &mut Vm, server: u16, disk: &str) {
    done(vm, "until grep -q obtained /run/dhcp.log; do sleep 1; done");
    done(vm, &format!("wget -q -O /tmp/bytes http://10.0.2.2:{server}/"));
    // The disk holds the same at first, and is written by the device anew.
    done(vm, &format!("cmp /tmp/bytes {disk}"));
    done(vm, &format!("dd if=/tmp/bytes of={disk} bs=1M 2>/dev/null && sync"));
    done(vm, &format!("echo 3 >/proc/sys/vm/drop_caches && cmp /tmp/bytes {disk}"));
}

fn a_guest_owns_its_devices(level: Level) {
    let test = format!("{level:?}").to_lowercase();
    if mode::current() == Mode::Native {
        return tests::skip(&test, "bare QEMU has nobody who could pass devices");
    }
    if level == Level::Iommu
        && let Err(failure) = qemu::check_iommu()
    {
        return tests::skip(&test, &failure.to_string());
    }
    let linux = match prepare() {
        Ok(linux) => linux,
        Err(failure) => return tests::skip(&test, &failure.to_string()),
    };
    let bytes = Arc::new(noise(BYTES));
    let server = http::serve(bytes.clone());
    let mut vm = boot(&linux, &bytes, level);
    works(&mut vm, server, level.disk());
    // Both devices at work, and the guest is gone.
    vm.type_line(&format!(
        "dd if={} of=/dev/null bs=1M & ping -A 10.0.2.2 >/dev/null & echo at 'work'",
        level.disk()
    ));
    vm.expect_within("at work", PATIENCE);
    vm.type_text("\x1dr");
    vm.expect_within("a shell of busybox(?s:.*)~ # ", PATIENCE);
    works(&mut vm, server, level.disk());
    vm.type_line("poweroff");
    let outcome = vm.wait_within(PATIENCE).unwrap_or_else(|problem| panic!("{problem}"));
    assert_eq!(outcome.status, 0, "{outcome:?}");
    assert!(outcome.messages.contains(level.message()), "{outcome:?}");
}

#[test]
fn mediated() {
    a_guest_owns_its_devices(Level::Mediated);
}

#[test]
fn trusted() {
    a_guest_owns_its_devices(Level::Trusted);
}

/// PCI functions, which Linux drives as it finds them: `e1000e` and `nvme`.
#[test]
fn iommu() {
    a_guest_owns_its_devices(Level::Iommu);
}
