//! Storage that guests share: each sees its own changes, and the image stays
//! as it is.

use std::fs;

use tests::Builder;
use xtask::mode::{self, Mode};
use xtask::workspace;

/// As the probe wants it: zeroes.
const IMAGE: usize = 1 << 20;

/// Two guests that write to their disks and read back what they wrote.
fn shared(backend: &str) {
    if mode::current() == Mode::Native {
        return tests::skip(backend, "bare QEMU has no overlays of ours");
    }
    let target = workspace::GUEST_TARGET;
    let mut cargo = workspace::cargo();
    cargo.args(["build", "--quiet", "--package", "probes", "--release", "--target", target]);
    workspace::run(cargo, "build the probes").unwrap_or_else(|failure| panic!("{failure}"));
    let probe = workspace::target_dir().join(target).join("release/virtio-blk");
    let mut image = Default::default();
    let builder = Builder::config(|builder| {
        image = builder.file("shared.img", &vec![0; IMAGE]);
        let disk = format!("{},backend={backend},room=2M", image.display());
        let guest =
            |name| format!("[[guest]]\nname = {name:?}\nkernel = {probe:?}\ndisk = [{disk:?}]\n");
        guest("one") + &guest("two")
    });
    let mut vm = builder.start();
    let outcome = vm.wait();
    assert_eq!(outcome.status, 0, "{outcome:?}");
    assert!(fs::read(&image).unwrap().iter().all(|byte| *byte == 0), "the image was changed");
}

#[test]
fn an_image_in_ram_is_shared_by_overlays() {
    shared("overlay");
}

#[test]
fn an_image_of_qemu_s_is_shared_by_overlays() {
    shared("qemu-overlay");
}
