//! The network, by two Linux guests with Debian's own driver: one reaches
//! QEMU's user network, both reach each other. Where the packages can't be
//! had the test says that it did not run, and why.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use tests::{Builder, Vm};
use xtask::linux::{Linux, prepare};
use xtask::mode::{self, Mode};

const PATIENCE: Duration = Duration::from_secs(300);
/// What goes from the host to a guest, back, and to the other guest.
const BYTES: usize = 50 << 20;

/// Serves `bytes` to whoever asks, by HTTP; tells its port.
fn serve(bytes: Arc<Vec<u8>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            // A request of one line and some headers is in the first piece.
            let _ = stream.read(&mut [0; 4096]);
            let head = format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&bytes));
        }
    });
    port
}

/// Fetches a file of the guest through a port of the host.
fn fetch(port: u16, path: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("QEMU listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").expect("a request is sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("headers");
    answer.split_off(end + 4)
}

/// A port that is free now, for QEMU to take.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// Numbers that look random, so that no piece can be taken for another.
fn noise() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let words = std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.take(BYTES / 8).flatten().collect()
}

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
    let bytes = Arc::new(noise());
    let (server, port) = (serve(bytes.clone()), free_port());
    let mut vm = boot(&linux, port);

    done(&mut vm, "outer", "until grep -q obtained /run/dhcp.log; do sleep 1; done");
    done(&mut vm, "outer", "ip address show eth0 | grep -q 10.0.2.15/24");
    done(&mut vm, "outer", "ping -c 3 -W 60 10.0.2.2");
    let wget = format!("wget -q -O /tmp/bytes http://10.0.2.2:{server}/");
    done(&mut vm, "outer", &wget);
    done(&mut vm, "outer", "httpd -p 80 -h /tmp");
    assert!(fetch(port, "/bytes") == *bytes, "what came back is not what was sent");
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
