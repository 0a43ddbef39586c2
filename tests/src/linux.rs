//! Debian's Linux as tests boot it. Where its packages can't be had, as
//! without network, the tests say that they did not run, and why.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use xtask::linux::{Linux, more_initramfs, prepare};
use xtask::workspace;

use crate::{Builder, Vm, skip};

/// How long a boot may take on a machine that is busy.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// A panic is a reset, which is a failure where --no-reboot says so.
pub const APPEND: &str = "console=ttyS0 panic=-1";

/// The program `storm`, see `guests/first`.
static STORM: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let target = workspace::GUEST_TARGET;
    let mut cargo = workspace::cargo();
    cargo.args(["build", "--quiet", "--package", "first", "--release", "--target", target]);
    workspace::run(cargo, "build storm").unwrap_or_else(|failure| panic!("{failure}"));
    let path = workspace::target_dir().join(target).join("release/storm");
    std::fs::read(path).expect("cargo built it")
});

/// The kernel, and an initramfs with `storm` in it; without Debian's packages,
/// `test` is skipped.
///
/// # Panics
/// If the initramfs can't be read.
pub fn images(test: &str) -> Option<(PathBuf, Vec<u8>)> {
    let Linux { kernel, initrd } =
        prepare().inspect_err(|failure| skip(test, &failure.to_string())).ok()?;
    let mut initrd = std::fs::read(initrd).expect("an initramfs");
    initrd.resize(initrd.len().next_multiple_of(4), 0);
    initrd.extend(more_initramfs("storm", &STORM));
    Some((kernel, initrd))
}

/// Boots with these options of `cargo xtask run` and a disk of 4 MiB, to the
/// shell; an option without a value has an empty one.
pub fn boot(test: &str, options: &[(&str, &str)]) -> Option<Vm> {
    let builder = builder(test, options)?;
    let disk = builder.file("disk.img", &DISK);
    Some(start(builder, &disk))
}

/// The same with a disk that the test looks at.
pub fn boot_with(test: &str, options: &[(&str, &str)], disk: &Path) -> Option<Vm> {
    Some(start(builder(test, options)?, disk))
}

/// What a disk of 4 MiB has on it.
pub static DISK: [u8; 4 << 20] = [0x5a; 4 << 20];

fn builder(test: &str, options: &[(&str, &str)]) -> Option<Builder> {
    let (kernel, initrd) = images(test)?;
    let mut builder = Builder::new(kernel).option("--append", APPEND);
    let initrd = builder.file("initrd.cpio", &initrd);
    builder = builder.option("--initrd", &initrd.display().to_string());
    for (name, value) in options {
        builder = match value.is_empty() {
            true => builder.flag(name),
            false => builder.option(name, value),
        };
    }
    Some(builder)
}

fn start(builder: Builder, disk: &Path) -> Vm {
    let mut vm = builder.shared_disk(disk, "").start();
    vm.expect_within("~ # ", PATIENCE);
    vm
}

/// Types `poweroff`; the run must end well.
///
/// # Panics
/// If it does not.
pub fn power_off(vm: &mut Vm) {
    vm.type_line("poweroff");
    assert_eq!(vm.wait().status, 0);
}
