//! `make qemu-linux`: Debian's stock kernel for riscv64, to a shell.
//!
//! ```text
//!   apt     kernel and busybox, as Debian packages
//!   cpio    the initramfs: busybox, a few modules, and our scripts
//!   page    a demo: a page for the guest to fetch
//!   this    both kept in target/guests/linux, and a guest made of them
//! ```

mod apt;
mod cpio;
pub mod page;

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::{Context, Result};
use crate::mode::{self, Mode};
use crate::run::net::NetOption;
use crate::run::options::{ConsoleOption, GuestOptions};
use crate::run::pass::PassOption;
use crate::run::values::{BalloonOption, Size};
use crate::run::{self, RunCommand};
use crate::{setup, workspace};

/// What a guest has that is not told otherwise.
const MEMORY: Size = Size(512 << 20);
const APPEND: &str = "console=ttyS0 earlycon=sbi";
/// What is added for one that has a virtio console.
const VIRTIO_CONSOLE: &str = " console=hvc0";

/// The kernel's package; it depends on the one that has the newest version.
const KERNEL: &str = "linux-image-riscv64";
const BUSYBOX: &str = "busybox-static";

/// Modules, in the order in which they are loaded. Those of NVMe need others
/// that not every version of the kernel has.
const MODULES: [&str; 13] = [
    "virtio_mmio",
    "virtio_blk",
    "failover",
    "net_failover",
    "virtio_net",
    "virtio-rng",
    "virtio_balloon",
    "e1000e",
    "dh_generic",
    "nvme-keyring",
    "nvme-auth",
    "nvme-core",
    "nvme",
];
/// Of these, the ones without which the initramfs is not worth making.
const NEEDED: usize = 8;

/// Scripts of the initramfs, and where they go.
const SCRIPTS: [(&str, &[u8]); 3] = [
    ("init", include_bytes!("init.sh")),
    ("bin/selfcheck", include_bytes!("selfcheck.sh")),
    ("etc/dhcp.sh", include_bytes!("dhcp.sh")),
];

/// A kernel with its initramfs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Linux {
    /// A Linux `Image`.
    pub kernel: PathBuf,
    /// A cpio archive.
    pub initrd: PathBuf,
}

/// Runs Linux with the options of `cargo xtask run`; what is not given is
/// Debian's. Returns the exit status.
///
/// # Errors
/// If a step fails: with what to do.
pub fn main(mut command: RunCommand) -> Result<u8> {
    setup::main()?;
    if command.config.is_none() {
        command.options.native |= mode::current() == Mode::Native;
        complete(&mut command.guest)?;
        if !command.options.dry_run {
            eprintln!("Ctrl-A x ends the machine, poweroff the guest.");
        }
    }
    run::main(command)
}

/// Fills in what the user did not say.
fn complete(guest: &mut GuestOptions) -> Result<()> {
    if guest.kernel.is_none() || guest.initrd.is_none() {
        let debian = prepare()?;
        guest.kernel.get_or_insert(debian.kernel);
        guest.initrd.get_or_insert(debian.initrd);
    }
    guest.name.get_or_insert_with(|| "linux".to_owned());
    guest.memory.get_or_insert(MEMORY);
    if !guest.pass.iter().any(PassOption::is_net) {
        guest.net.get_or_insert_with(NetOption::user);
    }
    if guest.pass.is_empty() {
        guest.balloon.get_or_insert(BalloonOption(Some(0)));
    }
    let more = if guest.console == Some(ConsoleOption::VirtioMmio) { VIRTIO_CONSOLE } else { "" };
    let size = console::Term::stdout().size_checked();
    guest.append.get_or_insert_with(|| format!("{APPEND}{more}{}", size_option(size)));
    Ok(())
}

/// Tells the guest's first process how many rows and columns the terminal has:
/// a serial line does not. The kernel hands on what it does not know.
fn size_option(size: Option<(u16, u16)>) -> String {
    size.map_or(String::new(), |(rows, columns)| format!(" LINES={rows} COLUMNS={columns}"))
}

/// Fetches Debian's kernel and makes the initramfs, unless that was done
/// before.
///
/// # Errors
/// If the packages can't be had: says why.
pub fn prepare() -> Result<Linux> {
    let dir = workspace::target_dir().join("guests/linux");
    fs::create_dir_all(&dir).context(format!("create {}", dir.display()))?;
    let lock = fs::File::create(dir.join("lock")).context("create a lock")?;
    lock.lock().context("lock the guests")?;
    let (root, kernel, initrd) = (dir.join("root"), dir.join("kernel"), dir.join("initrd.cpio"));
    if !kernel.is_file() {
        apt::unpack(&[KERNEL, BUSYBOX], &["*/vmlinu*", "*/bin/busybox", "*.ko*"], &dir)?;
        let found = find(&root, &|name| name.starts_with("vmlinu"))?;
        fs::copy(&found, dir.join("kernel.new")).context("copy the kernel")?;
        fs::rename(dir.join("kernel.new"), &kernel).context("keep the kernel")?;
    }
    // Made anew each time: it is small, and the scripts change.
    fs::write(&initrd, initramfs(&root)?).context("write the initramfs")?;
    Ok(Linux { kernel, initrd })
}

/// An initramfs with the program at `first` as its first process, and the
/// drivers of a virtio disk as `/virtio_mmio.ko` and `/virtio_blk.ko`. The
/// kernel must be there: see [`prepare`].
///
/// # Errors
/// If a file can't be read.
pub fn initramfs_with(first: &Path) -> Result<Vec<u8>> {
    let root = workspace::target_dir().join("guests/linux/root");
    let read = |path: &Path| fs::read(path).context(format!("read {}", path.display()));
    let mut archive = cpio::Archive::default();
    archive.device("dev/console", (5, 1));
    archive.file("init", &read(first)?, 0o755);
    for module in ["virtio_mmio", "virtio_blk"] {
        archive.file(&format!("{module}.ko"), &read(&find_module(&root, module)?)?, 0o644);
    }
    Ok(archive.finish())
}

/// A second archive, which Linux unpacks over the first one where it comes
/// right behind it: `program` as `/bin/NAME`.
pub fn more_initramfs(name: &str, program: &[u8]) -> Vec<u8> {
    let mut archive = cpio::Archive::default();
    archive.file(&format!("bin/{name}"), program, 0o755);
    archive.finish()
}

fn initramfs(root: &Path) -> Result<Vec<u8>> {
    let read = |path: &Path| fs::read(path).context(format!("read {}", path.display()));
    let mut archive = cpio::Archive::default();
    for directory in ["dev", "etc", "mnt", "proc", "root", "run", "sys", "tmp"] {
        archive.directory(directory);
    }
    archive.device("dev/console", (5, 1));
    archive.file("bin/busybox", &read(&find(root, &|name| name == "busybox")?)?, 0o755);
    archive.link("bin/sh", "busybox");
    for (place, script) in SCRIPTS {
        archive.file(place, script, 0o755);
    }
    for (number, module) in MODULES.iter().enumerate() {
        let found = match find_module(root, module) {
            Err(_) if number >= NEEDED => continue,
            found => found?,
        };
        let name = found.file_name().unwrap_or_default().to_string_lossy().into_owned();
        archive.file(&format!("lib/modules/{number:02}-{name}"), &read(&found)?, 0o644);
    }
    Ok(archive.finish())
}

/// The file of a module, compressed or not.
fn find_module(root: &Path, module: &str) -> Result<PathBuf> {
    find(root, &|name| name.split_once(".ko").is_some_and(|(stem, _)| stem == module))
}

/// The first file below `dir` with a name that is `wanted`.
fn find(dir: &Path, wanted: &dyn Fn(&str) -> bool) -> Result<PathBuf> {
    let mut left = vec![dir.to_owned()];
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(&dir).context(format!("look into {}", dir.display()))? {
            let entry = entry.context("look into a directory")?;
            let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_dir {
                left.push(entry.path());
            } else if wanted(&entry.file_name().to_string_lossy()) {
                return Ok(entry.path());
            }
        }
    }
    Err(crate::failure::broken(format!(
        "something is missing in {}: remove that directory, and try again",
        dir.display()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_the_terminal_is_told_where_it_is_known() {
        assert_eq!(size_option(Some((50, 132))), " LINES=50 COLUMNS=132");
        assert_eq!(size_option(None), "");
    }
}
