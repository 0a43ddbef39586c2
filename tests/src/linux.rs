//! Debian's Linux as tests boot it. Where its packages can't be had, as
//! without network, the tests say that they did not run, and why.

use std::time::Duration;

use xtask::linux::{Linux, prepare};

use crate::{Vm, skip};

/// How long a boot may take on a machine that is busy.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// The kernel and its initramfs; without them, `test` is skipped.
pub fn images(test: &str) -> Option<Linux> {
    prepare().inspect_err(|failure| skip(test, &failure.to_string())).ok()
}

/// Boots with these options of `cargo xtask run` and a disk of 4 MiB, to the
/// shell; an option without a value has an empty one.
pub fn boot(test: &str, options: &[(&str, &str)]) -> Option<Vm> {
    let Linux { kernel, initrd } = images(test)?;
    // A panic is a reset, which is a failure where --no-reboot says so.
    let mut builder = Vm::builder(kernel).option("--append", "console=ttyS0 panic=-1");
    builder = builder.option("--initrd", &initrd.display().to_string());
    for (name, value) in options {
        builder = match value.is_empty() {
            true => builder.flag(name),
            false => builder.option(name, value),
        };
    }
    let disk = builder.file("disk.img", &vec![0x5a; 4 << 20]);
    let mut vm = builder.shared_disk(disk, "").start();
    vm.expect_within("~ # ", PATIENCE);
    Some(vm)
}

/// Types `poweroff`; the run must end well.
///
/// # Panics
/// If it does not.
pub fn power_off(vm: &mut Vm) {
    vm.type_line("poweroff");
    assert_eq!(vm.wait().status, 0);
}
