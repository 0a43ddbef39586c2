//! Every mistake of a user is told in one line, with what to do.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use tests::{Scratch, code, refusal, xtask};

fn run(arguments: &[&str]) -> Command {
    let mut command = xtask();
    command.arg("run").args(arguments);
    command
}

/// Checks that the tool refuses with `status` and one line that has `part`.
fn refused(command: &mut Command, status: i32, part: &str) {
    let refusal = refusal(command);
    assert_eq!(refusal.status, status, "{refusal:?}");
    assert!(refusal.text.starts_with("error: ") && refusal.text.contains(part), "{refusal:?}");
    assert_eq!(refusal.text.lines().count(), 1, "{refusal:?}");
}

#[test]
fn kernels_that_are_none() {
    let scratch = Scratch::new();
    let text = scratch.write("text", b"int main(void) { return 0; }\n");
    let empty = scratch.write("empty", b"");
    let host = std::env::current_exe().unwrap();
    for (path, part) in [
        ("/nonexistent/kernel", "no such file"),
        ("/", "is a directory"),
        (empty.to_str().unwrap(), "is empty"),
        (text.to_str().unwrap(), "is a text file"),
        (host.to_str().unwrap(), "not RISC-V"),
    ] {
        refused(&mut run(&["--kernel", path]), 2, part);
    }
    refused(&mut run(&[]), 2, "--kernel PATH");
}

#[test]
fn disks_and_initrds_that_do_not_fit() {
    let scratch = Scratch::new();
    let kernel = scratch.write("kernel", &code::prints("x"));
    let kernel = kernel.to_str().unwrap();
    let odd = scratch.write("odd.img", &[0; 513]);
    let good = scratch.write("good.img", &[0; 1024]);
    let good = good.to_str().unwrap();
    let read_only = format!("{good},ro");
    for (arguments, part) in [
        (&["--disk", "/nonexistent.img"] as &[&str], "no such file"),
        (&["--disk", odd.to_str().unwrap()], "not a multiple of 512"),
        (&["--disk", good, "--disk", good], "is used twice"),
        (&["--disk", good, "--disk", &read_only], "is used twice"),
        (&["--initrd", "/nonexistent"], "initrd /nonexistent: no such file"),
    ] {
        refused(run(&["--kernel", kernel]).args(arguments), 2, part);
    }
}

#[test]
fn values_that_are_out_of_range() {
    let scratch = Scratch::new();
    let kernel = scratch.write("kernel", &code::prints("x"));
    for (arguments, part) in [
        (&["--cpus", "0"] as &[&str], "must be 1 to 8"),
        (&["--cpus", "9"], "must be 1 to 8"),
        (&["--harts", "9"], "must be 1 to 8"),
        (&["--memory", "128"], "such as 128M"),
        (&["--memory", "3M"], "multiples of 2M"),
        (&["--timeout", "0"], "leave it out"),
        (&["--timeout", "soon"], "invalid value 'soon'"),
        (&["--expect", "("], "unclosed group"),
        (&["--trace-only", "csr"], "need --trace"),
        (&["--trace", "-", "--trace-only", "magic"], "causes are csr"),
        (&["--trace", "/nonexistent/t", "--native"], "need the VMM"),
        (&["--boot", "u"], "possible values: auto, m, s"),
        (&["--colour"], "unexpected argument"),
    ] {
        refused(run(&["--kernel", kernel.to_str().unwrap()]).args(arguments), 2, part);
    }
}

#[test]
fn networks_that_can_not_be() {
    let scratch = Scratch::new();
    let kernel = scratch.write("kernel", &code::prints("x"));
    for (net, part) in [
        ("tap", "one of user, switch, none"),
        ("user,model=e1000", "model is one of virtio-mmio, pv"),
        ("user,hostfwd=2222:22", "hostfwd is tcp:HOSTPORT:GUESTPORT"),
        ("switch,hostfwd=tcp:2222:22", "needs the network user"),
        ("user,hostfwd=tcp:2222:22,hostfwd=tcp:2222:80", "used twice"),
    ] {
        let mut command = run(&["--kernel", kernel.to_str().unwrap()]);
        refused(command.args(["--net", net]), 2, part);
    }
    let guest = |name| {
        format!(
            "[[guest]]\nname = {name:?}\nkernel = \"kernel\"\nnet = \"switch,mac=02:00:00:00:00:01\"\n"
        )
    };
    let file = scratch.write("net.toml", [guest("a"), guest("b")].concat().as_bytes());
    let part = "two guests have the address mac=02:00:00:00:00:01";
    refused(&mut run(&["--config", file.to_str().unwrap()]), 2, part);
}

#[test]
fn devices_that_can_not_be_passed() {
    let scratch = Scratch::new();
    let kernel = scratch.write("kernel", &code::prints("x"));
    let image = scratch.write("disk.img", &[0; 512]);
    let (kernel, disk) = (kernel.to_str().unwrap(), format!("disk={}", image.display()));
    for (options, part) in [
        (&["--pass", "gpu"] as &[&str], "it is net, disk=PATH, pci=e1000e"),
        (&["--pass", "net,dma=no"], "dma is one of"),
        (&["--pass", "disk=/nonexistent"], "no such file"),
        (&["--pass", "net,dma=trusted"], "starts in vS wherever it is loaded"),
        (&["--pass", &disk, "--pass", &disk], "is used twice"),
        (&["--pass", &disk, "--disk", &disk[5..]], "is used twice"),
        (&["--pass", "net,hostfwd=tcp:2222:22", "--net", "user,hostfwd=tcp:2222:22"], "twice"),
        (&[["--pass", "net"]; 9].concat(), "virtio-mmio devices"),
    ] {
        refused(run(&["--kernel", kernel]).args(options), 2, part);
    }
}

#[test]
fn configuration_files_with_mistakes() {
    let scratch = Scratch::new();
    scratch.write("kernel", &code::prints("x"));
    for (text, part) in [
        ("harts = 1\n", "no table [[guest]]"),
        ("[[guest]]\nkernle = \"kernel\"\n", ":2: unknown field `kernle`"),
        ("[[guest]]\nkernel = \"kernel\"\nmemory = \"x\"\n", ":3: "),
        ("[[guest]]\nkernel = \"other\"\n", "other: no such file"),
        ("[[guest]\n", ":1: "),
        (
            "[[guest]]\nname = \"a\"\nkernel = \"kernel\"\n\
             [[guest]]\nname = \"a\"\nkernel = \"kernel\"\n",
            "two guests have the name \"a\"",
        ),
    ] {
        let file = scratch.write("vm.toml", text.as_bytes());
        refused(&mut run(&["--config", file.to_str().unwrap()]), 2, part);
    }
    refused(&mut run(&["--config", "a.toml", "--cpus", "2"]), 2, "not by both");
    refused(&mut run(&["--config", "/nonexistent.toml"]), 2, "no such file");
}

#[test]
fn a_qemu_that_is_missing_or_too_old() {
    let scratch = Scratch::new();
    let kernel = scratch.write("kernel", &code::prints("x"));
    let old = scratch.write("qemu", b"#!/bin/sh\necho QEMU emulator version 6.2.0\n");
    std::fs::set_permissions(&old, PermissionsExt::from_mode(0o755)).unwrap();
    let arguments = ["--kernel", kernel.to_str().unwrap(), "--native"];
    for (qemu, part) in [
        ("/nonexistent/qemu", "there is no such program"),
        (old.to_str().unwrap(), "version 6.2, but 7.2 or newer is needed"),
    ] {
        refused(run(&arguments).env("QEMU", qemu), 103, part);
    }
    let missing = "qemu-system-riscv64 is not installed: `make setup` installs it";
    refused(run(&arguments).env_remove("QEMU").env("PATH", "/nonexistent"), 103, missing);
}

#[test]
fn a_dry_run_prints_the_command_line() {
    let scratch = Scratch::new();
    let kernel = scratch.write("kernel", &code::prints("x"));
    let disk = scratch.write("disk,1.img", &[0; 512]);
    scratch.write("d.img", &[0; 512]);
    let config = format!(
        "[[guest]]\nname = \"a\"\nkernel = {kernel:?}\ndisk = [\"d.img\"]\ncpus = 3\n\
         [[guest]]\nname = \"b\"\nkernel = {kernel:?}\nmemory = \"64M\"\n"
    );
    assert!(disk.exists());
    let file = scratch.write("vm.toml", config.as_bytes());
    let output = run(&["--dry-run", "--icount", "--config"]).arg(file).output().unwrap();
    let line = String::from_utf8(output.stdout).unwrap();
    for part in [
        "-M virt -cpu rv64,h=false -smp 3 ",
        " -icount shift=0 ",
        " -serial mon:stdio ",
        " -global virtio-mmio.force-legacy=false ",
        "drive=g0d0,serial=g0d0",
    ] {
        assert!(line.contains(part), "{line}");
    }
    assert_eq!(line.lines().count(), 1);
}

/// As in `cargo xtask run --help | head -1`.
#[test]
fn nobody_reads_what_is_shown() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = run(&["--help"]).stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}
