//! `make qemu`: our own guest kernel with its disk; `make qemu-pair`: two of
//! it that talk to each other; `make qemu-rcore`: a third-party kernel.
//! Nothing needs to be prepared for any of them.

use std::net::TcpListener;
use std::path::PathBuf;

use crate::failure::{Context, Result};
use crate::guests::{self, Recipe};
use crate::mode::{self, Mode};
use crate::run::net::NetOption;
use crate::run::options::{GuestOptions, RunOptions};
use crate::run::values::{DiskOption, Model};
use crate::{fat, run, setup, workspace};

/// Size of the demo's disk.
const DISK: u64 = 64 << 20;
/// The host's port that leads to the demo's web server.
const WEB: u16 = 8080;
/// What is on the disk in the beginning.
const FILES: [(&str, &str); 2] = [
    (
        "README.TXT",
        "This disk is the file target/demo/disk.img on your machine. What you write here\n\
         is still there when you come back: write NOTE.TXT hello, then reboot.\n",
    ),
    ("HELLO.TXT", "Hello from a FAT file system, through a ring in shared memory.\n"),
];

/// Builds and runs the demo; returns the exit status.
///
/// # Errors
/// If a step fails: with what to do.
pub fn main(options: RunOptions) -> Result<u8> {
    setup::main()?;
    let guest = GuestOptions {
        name: Some("demo".to_owned()),
        kernel: Some(workspace::build_demo()?),
        disk: vec![DiskOption { model: Model::Pv, ..DiskOption::new(disk()?) }],
        net: Some(network(options.dry_run)),
        ..GuestOptions::default()
    };
    start(options, vec![guest], "At the prompt \"demo> \" try: help, info, ls, bench disk, exits")
}

/// QEMU's user network, with a port of the host that leads to the demo's web
/// server, if that port is free.
fn network(quiet: bool) -> NetOption {
    let user = NetOption::user().paravirtual();
    match TcpListener::bind(("127.0.0.1", WEB)) {
        Ok(_) => {
            if !quiet {
                eprintln!("While it runs, its web page is at http://127.0.0.1:{WEB}/");
            }
            user.forward(WEB, 80)
        }
        Err(_) => {
            eprintln!("Port {WEB} is in use, so the demo's web page can't be seen from here.");
            user
        }
    }
}

/// Two demos that talk to each other; returns the exit status.
///
/// # Errors
/// If a step fails: with what to do.
pub fn pair(options: RunOptions) -> Result<u8> {
    setup::main()?;
    let kernel = workspace::build_demo()?;
    let guest = |name: &str, address: &str| GuestOptions {
        name: Some(name.to_owned()),
        kernel: Some(kernel.clone()),
        append: Some(format!("ip={address}/24")),
        net: Some(NetOption::switch().paravirtual()),
        ..GuestOptions::default()
    };
    let guests = vec![guest("alice", "10.0.3.1"), guest("bob", "10.0.3.2")];
    start(
        options,
        guests,
        "alice has 10.0.3.1, bob 10.0.3.2: try ping 10.0.3.2, fetch 10.0.3.2/, \
         fetch 10.0.3.2/bytes/100000000\nCtrl-] n types to the other one.",
    )
}

/// The demo's disk, which is made once and then kept.
fn disk() -> Result<PathBuf> {
    let dir = workspace::target_dir().join("demo");
    std::fs::create_dir_all(&dir).context(format!("create {}", dir.display()))?;
    let path = dir.join("disk.img");
    fat::ensure(&path, DISK, &FILES)?;
    Ok(path)
}

/// Fetches, builds and runs a kernel of the rCore tutorial; returns the exit
/// status.
///
/// # Errors
/// If a step fails: with what to do.
pub fn rcore(options: RunOptions) -> Result<u8> {
    setup::main()?;
    let guest = guests::prepare(Recipe::Chapter6)?;
    let image = guests::fresh_disk(&guest, "demo")?;
    let disk = DiskOption { version: guest.disk_version, ..DiskOption::new(image) };
    let described = GuestOptions {
        name: Some("rcore".to_owned()),
        kernel: Some(guest.kernel),
        disk: vec![disk],
        ..GuestOptions::default()
    };
    start(options, vec![described], guest.hint)
}

fn start(mut options: RunOptions, guests: Vec<GuestOptions>, hint: &str) -> Result<u8> {
    options.native |= mode::current() == Mode::Native;
    options.guest = guests;
    if !options.dry_run {
        eprintln!("{hint}");
        eprintln!("Ctrl-A x ends the machine.");
    }
    run::run(options)
}
