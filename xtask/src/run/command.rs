//! The command line of QEMU.

use std::path::Path;

use trapeze_vmm::bundle::{ConsoleModel, MmioVersion, RngModel};
use trapeze_vmm::bus;

use super::guest::Guest;
use super::image::Start;
use super::net;
use super::spec::Plan;
use super::values::Storage;
use crate::mode::Mode;

/// virtio-mmio slots of QEMU's `virt`.
const SLOTS: usize = bus::VIRTIO_SLOTS as usize;

/// Files that a run needs besides those of the guests.
pub(super) struct Files<'a> {
    /// The VMM's executable.
    pub(super) vmm: &'a Path,
    /// The bundle.
    pub(super) bundle: &'a Path,
    /// A FIFO that gets a copy of the console.
    pub(super) console: Option<&'a Path>,
    /// What is at the other end of the log port.
    pub(super) log: Log<'a>,
}

/// The other end of the log port.
pub(super) enum Log<'a> {
    /// A socket on which somebody listens.
    Socket(&'a Path),
    /// A file.
    File(&'a Path),
}

/// The serial number by which the VMM finds a disk.
pub(super) fn serial(guest: usize, disk: usize) -> String {
    format!("g{guest}d{disk}")
}

/// Arguments of QEMU for a machine with `memory` bytes of RAM.
pub(super) fn arguments(plan: &Plan, memory: u64, files: &Files<'_>) -> Vec<String> {
    let mut line = Line::default();
    line.add(if plan.has_iommu() { "-M virt,iommu-sys=on" } else { "-M virt" });
    line.add("-cpu rv64,h=false");
    line.pair("-smp", plan.harts.to_string());
    line.pair("-m", format!("{}M", memory >> 20));
    if plan.icount {
        // A run repeats exactly: the machine's entropy and its date, too.
        line.add("-icount shift=0 -seed 0 -rtc base=2026-01-01,clock=vm");
    }
    line.console(files.console);
    match (plan.mode, plan.guests.first()) {
        (Mode::Native, Some(guest)) => line.native(guest, files.console.is_some()),
        _ => line.machine(plan, files),
    }
    line.0
}

#[derive(Default)]
struct Line(Vec<String>);

impl Line {
    /// Adds words that hold no user input.
    fn add(&mut self, words: &str) {
        self.0.extend(words.split(' ').map(str::to_owned));
    }

    fn pair(&mut self, option: &str, value: impl Into<String>) {
        self.0.extend([option.to_owned(), value.into()]);
    }

    /// Console and monitor on the terminal, so that Ctrl-A x works and Ctrl-C
    /// is the guest's. `-serial mon:stdio` takes no log file, so where a copy
    /// is wanted its long form is written.
    fn console(&mut self, copy: Option<&Path>) {
        self.add("-nographic");
        match copy {
            None => self.add("-serial mon:stdio"),
            Some(path) => {
                let path = escape(path);
                let stdio = format!("stdio,id=console,mux=on,signal=off,logfile={path}");
                self.pair("-chardev", stdio);
                self.add("-serial chardev:console -mon chardev=console");
            }
        }
    }

    /// The machine on which the VMM runs.
    fn machine(&mut self, plan: &Plan, files: &Files<'_>) {
        self.add("-bios none");
        self.pair("-kernel", files.vmm.display().to_string());
        self.pair("-initrd", files.bundle.display().to_string());
        self.add("-global virtio-mmio.force-legacy=false");
        // The passed ones are where the VMM expects them; QEMU finds places for
        // the others.
        for (number, guest) in plan.guests.iter().enumerate() {
            self.0.extend(guest.passed.iter().flat_map(|passed| passed.placed(number)));
        }
        for (number, guest) in plan.guests.iter().enumerate() {
            self.disks(number, guest, false);
        }
        if let Some(netdev) = net::uplink(&plan.guests) {
            self.pair("-netdev", netdev);
            self.add("-device virtio-net-device,netdev=net");
        }
        if plan.has_log_port() {
            let (kind, path) = match files.log {
                Log::Socket(path) => ("socket", path),
                Log::File(path) => ("file", path),
            };
            self.pair("-chardev", format!("{kind},id=log,path={}", escape(path)));
            self.add("-device virtio-serial-device -device virtconsole,chardev=log");
        }
    }

    /// The machine that a guest believes to be on, for real.
    fn native(&mut self, guest: &Guest, copied: bool) {
        self.add(match guest.start {
            Start::Bare => "-bios none",
            Start::Firmware => "-bios default",
        });
        self.pair("-kernel", guest.kernel.display().to_string());
        if guest.no_reboot {
            self.add("-no-reboot");
        }
        if let Some(initrd) = &guest.initrd {
            self.pair("-initrd", initrd.display().to_string());
        }
        if !guest.append.is_empty() {
            self.pair("-append", &guest.append);
        }
        let legacy = guest.versions().contains(&MmioVersion::Legacy);
        self.pair("-global", format!("virtio-mmio.force-legacy={legacy}"));
        self.disks(0, guest, true);
        if let Some(net) = &guest.net {
            self.0.extend(net.native(guest.disks.len()));
        }
        let first = guest.disks.len() + usize::from(guest.net.is_some());
        let (pci, mmio): (Vec<_>, Vec<_>) = guest.passed.iter().partition(|passed| passed.is_pci());
        for (slot, passed) in (first..).zip(mmio).chain((1..).zip(pci)) {
            self.0.extend(passed.arguments(0, slot));
        }
        self.others(guest, if copied { "console" } else { "serial0" });
    }

    /// Console, source of random bytes and balloon, in the last slots that are free, as
    /// the VMM has them; `terminal` is the name of QEMU's.
    fn others(&mut self, guest: &Guest, terminal: &str) {
        let passed = guest.passed.iter().filter(|passed| !passed.is_pci()).count();
        let first = guest.disks.len() + usize::from(guest.net.is_some()) + passed;
        let mut free = (first..SLOTS).rev();
        let console = guest.console == ConsoleModel::VirtioMmio;
        if let Some(slot) = if console { free.next() } else { None } {
            self.add(&format!("-device virtio-serial-device,bus=virtio-mmio-bus.{slot}"));
            self.add(&format!("-device virtconsole,chardev={terminal}"));
        }
        let rng = guest.rng == RngModel::VirtioMmio;
        if let Some(slot) = if rng { free.next() } else { None } {
            self.add(&format!("-device virtio-rng-device,bus=virtio-mmio-bus.{slot}"));
        }
        if let Some(slot) = if guest.balloon.is_some() { free.next() } else { None } {
            self.add(&format!("-device virtio-balloon-device,bus=virtio-mmio-bus.{slot}"));
        }
    }

    /// QEMU disks. Natively they are in the slots where the guest looks, and
    /// one that is not QEMU's has changes that are thrown away.
    fn disks(&mut self, number: usize, guest: &Guest, native: bool) {
        for (slot, disk) in
            guest.disks.iter().enumerate().filter(|(_, disk)| native || disk.storage.is_qemu())
        {
            let id = serial(number, slot);
            let mut drive = format!("id={id},if=none,format=raw,file={}", escape(&disk.path));
            let keeps = disk.storage == Storage::Qemu;
            let base = !native && disk.storage == Storage::QemuOverlay;
            drive.push_str(if disk.read_only || base { ",readonly=on" } else { "" });
            drive.push_str(if native && !keeps { ",snapshot=on" } else { "" });
            self.pair("-drive", drive);
            let bus = if native { format!(",bus=virtio-mmio-bus.{slot}") } else { String::new() };
            self.pair("-device", format!("virtio-blk-device,drive={id},serial={id}{bus}"));
        }
    }
}

/// A path inside a QEMU option, where commas separate.
pub(super) fn escape(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

/// The command as one line that a shell understands.
pub(super) fn shell_line(program: &str, arguments: &[String]) -> String {
    let all = std::iter::once(program).chain(arguments.iter().map(String::as_str));
    all.map(quote).collect::<Vec<_>>().join(" ")
}

fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./,=:+@%".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_with_blanks_or_quotes_survive_a_shell() {
        let line = shell_line("qemu", &["a b".into(), "it's".into(), "".into(), "x,y=1".into()]);
        assert_eq!(line, r"qemu 'a b' 'it'\''s' '' x,y=1");
    }

    #[test]
    fn commas_in_paths_are_doubled() {
        assert_eq!(escape(Path::new("/a,b/c.img")), "/a,,b/c.img");
    }
}
