//! `cargo xtask setup` on machines that lack something: package manager and
//! QEMU are scripts here.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use tests::{Scratch, refusal, xtask};

/// A directory that holds these programs only.
struct Host(Scratch);

impl Host {
    fn new() -> Self {
        let host = Self(Scratch::new());
        // Whatever asks for root gets it, as from sudo.
        host.program("sudo", "[ \"$1\" = --non-interactive ] && shift\nexec \"$@\"");
        host.program("true", "exit 0");
        host
    }

    fn program(&self, name: &str, script: &str) {
        let path = self.0.write(name, format!("#!/bin/sh\n{script}\n").as_bytes());
        fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    }

    /// `apt-cache` knows `package`; `apt-get` installs a QEMU.
    fn distribution(&self, package: &str) {
        let known = format!("[ \"$2\" = {package} ] && echo '  Candidate: 1:10.0'\nexit 0");
        self.program("apt-cache", &known);
        let qemu = self.0.path("qemu-system-riscv64");
        let qemu = qemu.display();
        self.program(
            "apt-get",
            &format!(
                "[ \"$1\" = --version ] && exit 0\necho \"$@\" >> {}\n\
                 [ \"$1\" = install ] || exit 0\n\
                 printf '#!/bin/sh\\necho QEMU emulator version 10.0.2\\n' > {qemu}\n\
                 /bin/chmod +x {qemu}",
                self.0.path("done").display()
            ),
        );
    }

    fn setup(&self) -> Command {
        let cargo = std::env::var("CARGO").unwrap();
        let toolchain = Path::new(&cargo).parent().unwrap();
        let mut command = xtask();
        let path = format!("{}:{}", self.0.path("").display(), toolchain.display());
        command.arg("setup").env("PATH", path).env_remove("QEMU");
        command
    }

    /// What `apt-get` was told to do.
    fn done(&self) -> String {
        fs::read_to_string(self.0.path("done")).unwrap_or_default()
    }
}

#[test]
fn qemu_is_installed_from_the_package_that_has_it() {
    for package in ["qemu-system-riscv", "qemu-system-misc"] {
        let host = Host::new();
        host.distribution(package);
        let setup = refusal(&mut host.setup());
        assert_eq!(setup.status, 0, "{setup:?}");
        let install = format!("install --yes --no-install-recommends {package}\n");
        assert_eq!(host.done(), install, "{setup:?}");
    }
}

#[test]
fn nothing_is_done_when_all_is_there() {
    let host = Host::new();
    host.distribution("qemu-system-riscv");
    host.program("qemu-system-riscv64", "echo QEMU emulator version 7.2.22");
    let setup = refusal(&mut host.setup());
    assert_eq!((setup.status, setup.text.as_str(), host.done().as_str()), (0, "", ""));
}

#[test]
fn what_can_not_be_installed_is_told_in_one_line() {
    let host = Host::new();
    let setup = refusal(&mut host.setup());
    assert_eq!(setup.status, 103, "{setup:?}");
    assert!(setup.text.contains("`apt install qemu-system-riscv`"), "{setup:?}");
    assert_eq!(setup.text.lines().count(), 1, "{setup:?}");
}

#[test]
fn an_unknown_package_is_looked_for_in_fresh_lists() {
    let host = Host::new();
    host.distribution("something-else");
    let setup = refusal(&mut host.setup());
    assert_eq!((setup.status, host.done().as_str()), (103, "update\n"), "{setup:?}");
}
