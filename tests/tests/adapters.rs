//! The guest `adapters`: drivers of other crates on paravirtual devices, each
//! kind of which it has one.

use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use tests::Builder;
use xtask::mode::{self, Mode};
use xtask::workspace;

const PATIENCE: Duration = Duration::from_secs(300);
/// A disk of 2048 sectors.
const DISK: usize = 1 << 20;

static KERNEL: LazyLock<PathBuf> = LazyLock::new(|| {
    let target = workspace::GUEST_TARGET;
    let mut cargo = workspace::cargo();
    cargo.args(["build", "--quiet", "--package", "adapters", "--release", "--target", target]);
    workspace::run(cargo, "build the adapters").unwrap_or_else(|failure| panic!("{failure}"));
    workspace::target_dir().join(target).join("release/adapters")
});

/// Runs the guest to its end; gives what it printed.
fn run(cpu: &str) -> String {
    let builder = Builder::new(&*KERNEL).option("--cpu", cpu).option("--net", "user,model=pv");
    let image = builder.file("disk.img", &vec![0; DISK]);
    let mut vm = builder.shared_disk(image, "model=pv").start();
    vm.expect_within("waiting = for a key", PATIENCE);
    vm.type_text("k");
    let outcome = vm.wait_within(PATIENCE).unwrap_or_else(|problem| panic!("{problem}"));
    assert_eq!(outcome.status, 0, "{cpu}: {}\n{}", outcome.messages, outcome.console);
    outcome.console.replace('\r', "")
}

#[test]
fn drivers_of_other_crates_run_on_paravirtual_devices() {
    if mode::current() == Mode::Native {
        let reason = "bare QEMU has no paravirtual devices";
        return tests::skip("drivers_of_other_crates_run_on_paravirtual_devices", reason);
    }
    for cpu in ["classic", "assisted"] {
        let console = run(cpu);
        let all = ["shown by virtio-drivers", "shown byte by byte", "shown by embedded-io"];
        for shown in all.into_iter().chain(["INFO  adapters::kernel::own: shown by log\n"]) {
            assert_eq!(console.matches(shown).count(), 1, "{cpu}: {shown}\n{console}");
        }
        let blank = format!("at once: {}\n", " ".repeat(300));
        assert!(console.contains(&blank) && !console.contains("not shown"), "{cpu}\n{console}");
    }
}
