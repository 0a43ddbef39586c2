//! The bundle file of a run, and how much memory its machine has.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use trapeze_vmm::bundle::{
    Backend, Base, Causes, Config, Disk, Extent, Guest as BundleGuest, MEMORY_UNIT,
};

use super::command;
use super::guest::Guest;
use super::image;
use super::pass::Passed;
use super::spec::Plan;
use super::values::Storage;
use crate::failure::{Context, Result, mistake};

/// Memory for the VMM itself, and for what it keeps about each guest.
const OWN: u64 = 64 << 20;
/// How far from the start of RAM QEMU puts an initrd at most (QEMU 10,
/// hw/riscv/boot.c, `riscv_load_initrd`; older ones put it lower).
const INITRD_MAX: u64 = 512 << 20;
/// The largest bundle: QEMU 10 wants its device tree behind the initrd and
/// below 3 GiB, which is 1 GiB above the start of RAM.
const BUNDLE_MAX: u64 = 480 << 20;
/// What the VMM keeps for each disk of QEMU's, where balloons make memory spare.
const STAGE: u64 = 5 << 20;
/// RAM is a multiple of this.
const UNIT: u64 = 16 << 20;

/// Writes the bundle of `plan` to `path`; returns its size.
///
/// # Errors
/// If a file of the user can't be read, or the bundle not be written.
pub(super) fn write(plan: &Plan, path: &Path) -> Result<u64> {
    let mut config = config(plan)?;
    let size = config.place();
    if size > BUNDLE_MAX {
        return Err(mistake(format!(
            "kernels and images in RAM have {} MiB together, and 480 fit; use backend=qemu or qemu-overlay",
            size >> 20
        )));
    }
    let shown = path.display();
    let mut bundle = File::create(path).context(format!("create {shown}"))?;
    bundle.write_all(&config.header()).context(format!("write {shown}"))?;
    for (extent, source) in config.extents_mut().into_iter().zip(sources(plan)) {
        copy(&mut bundle, *extent, source).context(format!("pack {}", source.display()))?;
    }
    bundle.set_len(size).context(format!("write {shown}"))?;
    Ok(size)
}

/// The files behind the extents, in the order of [`Config::extents_mut`].
fn sources(plan: &Plan) -> impl Iterator<Item = &Path> {
    let of_guests = plan.guests.iter().flat_map(|guest| {
        let disks = guest.disks.iter().filter(|disk| disk.storage == Storage::Ram);
        let images = [Some(guest.kernel.as_path()), guest.initrd.as_deref()];
        images.into_iter().flatten().chain(disks.map(|disk| disk.path.as_path()))
    });
    of_guests.chain(shared(plan))
}

/// The images that overlays share, each once.
fn shared(plan: &Plan) -> Vec<&Path> {
    let disks = plan.guests.iter().flat_map(|guest| &guest.disks);
    let mut paths: Vec<&Path> = Vec::new();
    for disk in disks.filter(|disk| disk.storage == Storage::Overlay) {
        if !paths.contains(&disk.path.as_path()) {
            paths.push(&disk.path);
        }
    }
    paths
}

fn copy(bundle: &mut File, extent: Extent, source: &Path) -> io::Result<()> {
    bundle.seek(SeekFrom::Start(extent.offset))?;
    let copied = io::copy(&mut File::open(source)?, bundle)?;
    match copied == extent.len {
        true => Ok(()),
        false => Err(io::Error::other("it changed while it was read")),
    }
}

fn config(plan: &Plan) -> Result<Config> {
    let shared = shared(plan);
    let guests = plan.guests.iter().enumerate();
    let guests = guests.map(|(number, guest)| bundle_guest(number, guest, &shared));
    let images = shared.iter().map(|path| Ok(Extent::unplaced(image::file("disk", path)?)));
    Ok(Config {
        trace: plan.trace.as_ref().map_or(Causes::empty(), |trace| trace.causes),
        trace_limit: plan.trace.as_ref().and_then(|trace| trace.limit),
        escape: plan.escape.0,
        images: images.collect::<Result<_>>()?,
        guests: guests.collect::<Result<_>>()?,
    })
}

fn bundle_guest(number: usize, guest: &Guest, shared: &[&Path]) -> Result<BundleGuest> {
    let initrd = guest.initrd.as_deref().map(|path| image::file("initrd", path)).transpose()?;
    Ok(BundleGuest {
        name: guest.name.clone(),
        memory: guest.memory,
        cpus: guest.cpus,
        cpu_mode: guest.cpu_mode,
        boot: guest.boot,
        bootargs: guest.append.clone(),
        kernel: Extent::unplaced(image::file("kernel", &guest.kernel)?),
        initrd: initrd.map(Extent::unplaced),
        disks: disks(number, guest, shared)?,
        net: guest.net.as_ref().map(|net| net.interface.clone()),
        passed: guest.passed.iter().map(Passed::bundle).collect(),
        no_reboot: guest.no_reboot,
        console: guest.console,
        rng: guest.rng,
        balloon: guest.balloon,
    })
}

fn disks(number: usize, guest: &Guest, shared: &[&Path]) -> Result<Vec<Disk>> {
    let disks = guest.disks.iter().enumerate().map(|(slot, disk)| {
        let room = disk.room;
        let serial = || command::serial(number, slot);
        let backend = match disk.storage {
            Storage::Ram => Backend::Ram(Extent::unplaced(image::file("disk", &disk.path)?)),
            Storage::Qemu => Backend::Qemu { serial: serial() },
            Storage::QemuOverlay => {
                Backend::Overlay { base: Base::Qemu { serial: serial() }, room }
            }
            Storage::Overlay => {
                let number = (0..).zip(shared).find(|(_, path)| **path == disk.path);
                let number = number.map_or(0, |(number, _)| number);
                Backend::Overlay { base: Base::Image(number), room }
            }
        };
        Ok(Disk { model: disk.model, backend, read_only: disk.read_only })
    });
    disks.collect()
}

/// RAM of the machine that runs `plan`, in bytes.
///
/// Above the place where QEMU puts the bundle there is room for all guests in
/// one piece; see docs/bundle.md.
pub(super) fn machine_memory(plan: &Plan, bundle: u64) -> u64 {
    let guests = plan.guests.iter().map(|guest| guest.memory.next_multiple_of(MEMORY_UNIT) + OWN);
    let disks = plan.guests.iter().flat_map(|guest| &guest.disks);
    let overlays = disks.filter(|disk| disk.storage.is_overlay());
    let rooms: u64 = overlays.map(|disk| disk.room).sum();
    let real = plan.guests.iter().flat_map(|guest| &guest.disks).filter(|d| d.storage.is_qemu());
    let balloons = plan.guests.iter().any(|guest| guest.balloon.is_some());
    let stages = if balloons { real.count() as u64 * STAGE } else { 0 };
    let need = OWN + guests.sum::<u64>() + rooms + stages + bundle;
    (need + need.min(INITRD_MAX)).next_multiple_of(UNIT)
}
