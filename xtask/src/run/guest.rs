//! From the options of a guest to one that can be started.

use std::path::PathBuf;

use trapeze_vmm::bundle::{
    Boot, ConsoleModel, CpuMode, DiskModel, MAX_CPUS, MAX_DISKS, MAX_ROOM, MmioVersion, RngModel,
};
use trapeze_vmm::bus;

use super::image::{self, Start};
use super::net::Net;
use super::options::GuestOptions;
use super::pass::Passed;
use super::values::{DiskOption, Model, Storage};
use crate::failure::{Result, mistake};

/// Memory of a guest when nothing is said: what QEMU's machines have.
const MEMORY: u64 = 128 << 20;

/// virtio-mmio slots of a guest.
const SLOTS: usize = bus::VIRTIO_SLOTS as usize;

/// One guest, checked.
#[derive(Debug)]
pub(super) struct Guest {
    /// Its name.
    pub(super) name: String,
    /// Path of the kernel.
    pub(super) kernel: PathBuf,
    /// How it starts on a bare machine.
    pub(super) start: Start,
    /// Initial RAM disk.
    pub(super) initrd: Option<PathBuf>,
    /// Disks, in the order of their slots.
    pub(super) disks: Vec<Disk>,
    /// Network interface.
    pub(super) net: Option<Net>,
    /// Devices of its own.
    pub(super) passed: Vec<Passed>,
    /// Command line.
    pub(super) append: String,
    /// vCPUs.
    pub(super) cpus: u32,
    /// Bytes of RAM.
    pub(super) memory: u64,
    /// How it is run.
    pub(super) cpu_mode: CpuMode,
    /// How it starts.
    pub(super) boot: Boot,
    /// Whether a reset ends it.
    pub(super) no_reboot: bool,
    /// The console that it has besides the paravirtual one.
    pub(super) console: ConsoleModel,
    /// The source of random bytes, likewise.
    pub(super) rng: RngModel,
    /// It has a balloon, and is asked for this many bytes.
    pub(super) balloon: Option<u64>,
}

/// One disk, checked.
#[derive(Debug)]
pub(super) struct Disk {
    /// The image.
    pub(super) path: PathBuf,
    /// The device that the guest sees.
    pub(super) model: DiskModel,
    /// Where its sectors are.
    pub(super) storage: Storage,
    /// Bytes of room for changes, of an overlay.
    pub(super) room: u64,
    /// Whether the guest can only read.
    pub(super) read_only: bool,
}

impl Guest {
    /// Checks the options of guest `number`, and the files that they name.
    ///
    /// # Errors
    /// The first mistake, in one line.
    pub(super) fn new(number: usize, options: &GuestOptions) -> Result<Self> {
        let name = options.name.clone().unwrap_or_else(|| format!("guest{number}"));
        if name.is_empty() || name.chars().any(|c| c.is_control() || c == '"') {
            return Err(mistake(format!("--name {name:?}: use letters, digits and dashes")));
        }
        let missing = || mistake(format!("{name} has no kernel: name one with --kernel PATH"));
        let kernel = options.kernel.clone().ok_or_else(missing)?;
        let cpus = options.cpus.unwrap_or(1);
        if !(1..=MAX_CPUS).contains(&cpus) {
            return Err(mistake(format!("--cpus {cpus}: must be 1 to {MAX_CPUS}")));
        }
        if let Some(path) = &options.initrd {
            image::file("initrd", path)?;
        }
        let memory = options.memory.map_or(MEMORY, |size| size.0);
        let boot = options.boot.map(Boot::from).unwrap_or_default();
        let passed = passed(number, options)?;
        let guest = Self {
            start: image::kernel(&kernel, memory, boot, passed.iter().any(Passed::is_trusted))?,
            initrd: options.initrd.clone(),
            disks: disks(&options.disk)?,
            net: net(number, options)?,
            passed,
            append: options.append.clone().unwrap_or_default(),
            cpus,
            memory,
            cpu_mode: options.cpu.map(CpuMode::from).unwrap_or_default(),
            boot,
            no_reboot: options.no_reboot,
            console: options.console.map(ConsoleModel::from).unwrap_or_default(),
            rng: options.rng.map(RngModel::from).unwrap_or_default(),
            balloon: options.balloon.and_then(|balloon| balloon.0),
            kernel,
            name,
        };
        guest.check_slots()?;
        if guest.balloon.is_some() && !guest.passed.is_empty() {
            return Err(mistake(format!(
                "{}: --balloon can't go with --pass, as its device may write to what was given back",
                guest.name
            )));
        }
        if guest.balloon.is_some_and(|bytes| bytes >= memory) {
            return Err(mistake(format!("{}: --balloon must leave some of --memory", guest.name)));
        }
        Ok(guest)
    }

    /// Whether its devices have a virtio-mmio slot each.
    fn check_slots(&self) -> Result<()> {
        let in_slot = |disk: &&Disk| matches!(disk.model, DiskModel::VirtioMmio(_));
        let others = usize::from(self.console == ConsoleModel::VirtioMmio)
            + usize::from(self.rng == RngModel::VirtioMmio)
            + usize::from(self.net.as_ref().is_some_and(Net::in_slot))
            + usize::from(self.balloon.is_some())
            + self.passed.iter().filter(|passed| !passed.is_pci()).count();
        match self.disks.iter().filter(in_slot).count() + others > SLOTS {
            true => Err(mistake(format!(
                "{} has more than {SLOTS} virtio-mmio devices; make some disks model=pv, \
                 or leave out --net, --pass, --console, --rng or --balloon",
                self.name
            ))),
            false => Ok(()),
        }
    }

    /// The register layouts of its devices on QEMU, which has no
    /// paravirtual ones.
    pub(super) fn versions(&self) -> Vec<MmioVersion> {
        let disks = self.disks.iter().map(|disk| match disk.model {
            DiskModel::VirtioMmio(version) => version,
            _ => MmioVersion::Modern,
        });
        let nets = self.net.iter().map(Net::version);
        disks.chain(nets).chain(self.passed.iter().map(|_| MmioVersion::Modern)).collect()
    }
}

fn disks(all: &[DiskOption]) -> Result<Vec<Disk>> {
    let overlays = all.iter().filter(|disk| disk.storage.is_overlay());
    if overlays.map(|disk| disk.room.0).sum::<u64>() > MAX_ROOM {
        return Err(mistake("the overlays of a guest have room= for more than 512M together"));
    }
    if all.len() > MAX_DISKS {
        return Err(mistake(format!("a guest has at most {MAX_DISKS} disks")));
    }
    if all.iter().any(|disk| disk.burst && disk.model != Model::Ata) {
        return Err(mistake("burst is for a disk with model=ata"));
    }
    if all.iter().filter(|disk| disk.model == Model::Ata).count() > 1 {
        return Err(mistake("a guest has at most one disk with model=ata"));
    }
    all.iter()
        .map(|option| {
            image::disk(&option.path, option.read_only || option.storage != Storage::Qemu)?;
            Ok(Disk {
                path: option.path.clone(),
                model: model(option),
                storage: option.storage,
                room: option.room.0,
                read_only: option.read_only,
            })
        })
        .collect()
}

fn net(number: usize, options: &GuestOptions) -> Result<Option<Net>> {
    let net = options.net.as_ref().and_then(|net| net.interface(number));
    let in_slot = net.as_ref().is_some_and(Net::in_slot);
    match in_slot && options.disk.len() == MAX_DISKS {
        true => Err(mistake("--net needs a slot: leave out a disk, or give the net model=pv")),
        false => Ok(net),
    }
}

fn passed(number: usize, options: &GuestOptions) -> Result<Vec<Passed>> {
    let all = options.pass.iter().enumerate();
    all.map(|(index, option)| Passed::new(number, index, option)).collect()
}

fn model(option: &DiskOption) -> DiskModel {
    match option.model {
        Model::VirtioMmio => DiskModel::VirtioMmio(option.version),
        Model::Pv => DiskModel::Pv,
        Model::Ata => DiskModel::Ata { burst: option.burst },
    }
}
