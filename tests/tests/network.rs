//! The network, by two Linux guests with Debian's own driver: one reaches
//! QEMU's user network, both reach each other. Where the packages can't be
//! had the test says that it did not run, and why.

use std::sync::Arc;
use std::time::Duration;

use tests::{Builder, Vm, http, noise};
use xtask::linux::{Linux, prepare};
use xtask::mode::{self, Mode};

const PATIENCE: Duration = Duration::from_secs(300);
/// What goes from the host to a guest, back, and to the other guest.
const BYTES: usize = 50 << 20;

/// Types a command to the guest that has the keyboard, which is `guest`, and
/// waits until it has succeeded.
fn done(vm: &mut Vm, guest: &str, command: &str) {
    let before = vm.heard(guest, "it is done").unwrap();
    vm.type_line(&format!("{command} && echo it is 'done'"));
    vm.hear(guest, "it is done", before + 1, PATIENCE)
        .unwrap_or_else(|problem| panic!("{command}: {problem}\n{}", vm.console_text()));
}

/// Two guests at their shells, one of which has `port` of the host.
fn boot(linux: &Linux, port: u16) -> Vm {
    let guest = |name, net: &str| {
        let Linux { kernel, initrd } = linux;
        format!(
            "[[guest]]\nname = {name:?}\nkernel = {kernel:?}\ninitrd = {initrd:?}\n\
             append = \"console=ttyS0\"\nmemory = \"512M\"\nnet = {net:?}\n"
        )
    };
    let outside = format!("user,hostfwd=tcp:{port}:80");
    let vm = Builder::config(|_| guest("outer", &outside) + &guest("inner", "switch")).start();
    for name in ["outer", "inner"] {
        let there = vm.hear(name, "~ # ", 1, PATIENCE);
        there.unwrap_or_else(|problem| panic!("{problem}\n{}", vm.console_text()));
    }
    vm
}

#[test]
fn guests_reach_the_outside_and_each_other() {
    if mode::current() == Mode::Native {
        return tests::skip("network", "bare QEMU has one guest");
    }
    let linux = match prepare() {
        Ok(linux) => linux,
        Err(failure) => return tests::skip("network", &failure.to_string()),
    };
    let bytes = Arc::new(noise(BYTES));
    let (server, port) = (http::serve(bytes.clone()), http::free_port());
    let mut vm = boot(&linux, port);

    done(&mut vm, "outer", "until grep -q obtained /run/dhcp.log; do sleep 1; done");
    done(&mut vm, "outer", "ip address show eth0 | grep -q 10.0.2.15/24");
    done(&mut vm, "outer", "ping -c 3 -W 60 10.0.2.2");
    let wget = format!("wget -q -O /tmp/bytes http://10.0.2.2:{server}/");
    done(&mut vm, "outer", &wget);
    done(&mut vm, "outer", "httpd -p 80 -h /tmp");
    assert!(http::get(port, "/bytes") == *bytes, "what came back is not what was sent");
    done(&mut vm, "outer", "md5sum /tmp/bytes >/tmp/sum");

    vm.type_text("\x1dn");
    vm.expect(r"\[trapeze\] you type to inner\n");
    done(&mut vm, "inner", "ping -c 3 -W 60 10.0.3.15");
    for file in ["bytes", "sum"] {
        done(&mut vm, "inner", &format!("wget -q -O /tmp/{file} http://10.0.3.15/{file}"));
    }
    done(&mut vm, "inner", "md5sum -c /tmp/sum");
    // The gateway is at the same switch, but not for this guest.
    done(&mut vm, "inner", "ip route add 10.0.2.0/24 dev eth0");
    done(&mut vm, "inner", "! ping -c 2 -W 2 10.0.2.2");
    for name in ["inner", "outer"] {
        vm.type_line("poweroff");
        if name == "inner" {
            vm.expect_within(r"\[trapeze\] you type to outer\n", PATIENCE);
        }
    }
    assert_eq!(vm.wait().status, 0);
}
