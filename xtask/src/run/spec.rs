//! From options to a machine that can be built: what is missing is filled
//! in, what contradicts itself or can't be is refused.

use std::path::{Path, PathBuf};
use std::time::Duration;

use regex::bytes::Regex;
use trapeze_vmm::bundle::{Causes, DiskModel, MAX_CPUS, MAX_GUESTS};

use super::guest::Guest;
use super::net;
use super::options::{GuestOptions, RunOptions};
use super::pass::{self, Passed};
use super::values::{EscapeKey, Storage};
use crate::failure::{Result, mistake};
use crate::mode::Mode;

/// virtio-mmio slots of QEMU's `virt` machine.
const SLOTS: usize = 8;

/// A run, with nothing left to decide.
#[derive(Debug)]
pub(super) struct Plan {
    /// What runs the guests.
    pub(super) mode: Mode,
    /// The guests.
    pub(super) guests: Vec<Guest>,
    /// Harts of the real machine.
    pub(super) harts: u32,
    /// Whether time is counted in instructions.
    pub(super) icount: bool,
    /// The trace that is wanted.
    pub(super) trace: Option<Trace>,
    /// Where statistics go.
    pub(super) stats: Option<PathBuf>,
    /// The pattern that ends the run with success.
    pub(super) expect: Option<Regex>,
    /// The time after which the run has failed.
    pub(super) timeout: Option<Duration>,
    /// The key that calls the monitor.
    pub(super) escape: EscapeKey,
    /// Whether only the command line is wanted.
    pub(super) dry_run: bool,
}

/// A trace that is wanted.
#[derive(Debug)]
pub(super) struct Trace {
    /// The file, `-` for stderr.
    pub(super) file: PathBuf,
    /// What is traced.
    pub(super) causes: Causes,
    /// After how many lines it ends.
    pub(super) limit: Option<u64>,
}

impl Plan {
    /// Checks `options`, which hold all guests.
    ///
    /// # Errors
    /// The first mistake, in one line.
    pub(super) fn new(options: RunOptions) -> Result<Self> {
        let mode = if options.native { Mode::Native } else { Mode::Guest };
        let guests = guests(&options.guest)?;
        let largest = guests.iter().map(|guest| guest.cpus).max().unwrap_or(1);
        let plan = Self {
            mode,
            harts: options.harts.unwrap_or(largest),
            icount: options.icount,
            trace: trace(&options)?,
            stats: options.stats,
            expect: options.expect.as_deref().map(pattern).transpose()?,
            timeout: options.timeout.map(Duration::from_secs),
            escape: options.escape.unwrap_or_default(),
            dry_run: options.dry_run,
            guests,
        };
        plan.check()?;
        match mode {
            Mode::Native => {
                plan.check_native(options.harts.is_some() || options.escape.is_some())?;
            }
            Mode::Guest => plan.check_slots()?,
        }
        Ok(plan)
    }

    fn check(&self) -> Result<()> {
        if !(1..=MAX_CPUS).contains(&self.harts) {
            return Err(mistake(format!("--harts {}: must be 1 to {MAX_CPUS}", self.harts)));
        }
        if self.timeout == Some(Duration::ZERO) {
            return Err(mistake("--timeout 0: leave it out to wait for ever"));
        }
        net::check(&self.guests)?;
        self.check_shared_disks()
    }

    /// Two writers of one image would destroy it; QEMU refuses, but not in a
    /// way that tells what to do.
    fn check_shared_disks(&self) -> Result<()> {
        let disks = self.guests.iter().flat_map(|guest| &guest.disks);
        let disks = disks.filter(|disk| disk.storage == Storage::Qemu);
        let disks = disks.map(|disk| (disk.path.as_path(), disk.read_only));
        let passed = self.guests.iter().flat_map(|guest| &guest.passed);
        let mut seen: Vec<(&Path, bool)> = Vec::new();
        for (path, read_only) in disks.chain(passed.filter_map(Passed::image)) {
            let other = seen.iter().find(|other| other.0 == path);
            if other.is_some_and(|other| !(other.1 && read_only)) {
                let shown = path.display();
                return Err(mistake(format!(
                    "disk {shown}: is used twice; add \",ro\" or \",backend=overlay\" to both"
                )));
            }
            seen.push((path, read_only));
        }
        Ok(())
    }

    /// Devices of the real machine, which has a slot for each.
    fn check_slots(&self) -> Result<()> {
        let disks = self.guests.iter().flat_map(|guest| &guest.disks);
        let disks = disks.filter(|disk| disk.storage.is_qemu());
        let log = usize::from(self.has_log_port());
        let net = usize::from(net::uplink(&self.guests).is_some());
        let passed = self.guests.iter().flat_map(|guest| &guest.passed);
        let passed = passed.filter(|passed| !passed.is_pci()).count();
        match disks.count() + log + net + passed > SLOTS {
            true => Err(mistake(format!(
                "the machine has {SLOTS} devices, one is the log of --stats and --trace, one the \
                 network of --net user, and each of --pass; give some disks backend=ram"
            ))),
            false => Ok(()),
        }
    }

    fn check_native(&self, vmm_s: bool) -> Result<()> {
        let [guest] = self.guests.as_slice() else {
            return Err(mistake("--native runs one kernel, without the VMM: leave out the others"));
        };
        if self.has_log_port() || vmm_s {
            return Err(mistake(
                "--stats, --trace, --harts and --escape need the VMM: leave out --native",
            ));
        }
        if guest.disks.iter().any(|disk| matches!(disk.model, DiskModel::Ata { .. })) {
            return Err(mistake("QEMU's virt has no ATA disk: leave out --native, or model=ata"));
        }
        let versions = guest.versions();
        match versions.iter().any(|version| Some(version) != versions.first()) {
            true => Err(mistake("with --native disks and net must have the same version=")),
            false => Ok(()),
        }
    }

    /// What the user should know about the devices that guests own.
    pub(super) fn announcements(&self) -> impl Iterator<Item = String> {
        let of_guest =
            |guest: &Guest| guest.passed.iter().map(|p| p.announcement(&guest.name)).collect();
        self.guests.iter().flat_map(move |guest| -> Vec<String> { of_guest(guest) })
    }

    /// Whether the machine needs an IOMMU.
    pub(super) fn has_iommu(&self) -> bool {
        let mut passed = self.guests.iter().flat_map(|guest| &guest.passed);
        self.mode == Mode::Guest && passed.any(Passed::is_pci)
    }

    /// Whether the machine needs the port on which the VMM reports.
    pub(super) fn has_log_port(&self) -> bool {
        self.stats.is_some() || self.trace.is_some()
    }
}

fn pattern(text: &str) -> Result<Regex> {
    Regex::new(text).map_err(|error| {
        let last = error.to_string();
        let last = last.lines().last().unwrap_or_default().trim().to_owned();
        mistake(format!("--expect {text:?}: not a regular expression: {last}"))
    })
}

fn trace(options: &RunOptions) -> Result<Option<Trace>> {
    let Some(file) = options.trace.clone() else {
        return match options.trace_only.is_empty() && options.trace_limit.is_none() {
            true => Ok(None),
            false => Err(mistake("--trace-only and --trace-limit need --trace FILE (or -)")),
        };
    };
    let only = options.trace_only.iter().fold(Causes::empty(), |all, name| all | name.0);
    let causes = if only.is_empty() { Causes::all() } else { only };
    Ok(Some(Trace { file, causes, limit: options.trace_limit }))
}

fn guests(all: &[GuestOptions]) -> Result<Vec<Guest>> {
    if all.is_empty() || all.len() > MAX_GUESTS {
        return Err(mistake(format!("there can be 1 to {MAX_GUESTS} guests, not {}", all.len())));
    }
    let guests = all.iter().enumerate().map(|(number, options)| Guest::new(number, options));
    let mut guests: Vec<Guest> = guests.collect::<Result<_>>()?;
    pass::place(guests.iter_mut().flat_map(|guest| &mut guest.passed))?;
    let mut names: Vec<&str> = guests.iter().map(|guest| guest.name.as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(mistake(format!("two guests have the name {:?}", pair[0]))),
        None => Ok(guests),
    }
}
