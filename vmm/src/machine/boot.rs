//! From the configuration to a machine that can run.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::Ordering;

use trapeze_protocol::call::EXTENSION;

use super::console::Console;
use super::devices::Devices;
use super::fittings::Fittings;
use super::guest::{Guest, Parts};
use super::network::Network;
use super::seat::Seat;
use super::wire::Wire;
use super::{Host, Machine};
use crate::addr::{Gpa, to_usize};
use crate::bundle::{self, Config, CpuMode, Extent, RealDevice};
use crate::bus::{self, Window};
use crate::dev::plic;
use crate::disk::Disk;
use crate::entropy::Seeds;
use crate::fdt::{Ata, Description};
use crate::load::{self, BootRequest, LoadError};
use crate::mem::GuestRam;
use crate::mmu::shadow::Shadow;
use crate::net;
use crate::pass::Found;
use crate::pci::Given;
use crate::spare::Spare;
use crate::trace::Filter;
use crate::vcpu::Mode;

/// Shadow tables of a guest: 4 KiB each, and twice that of bookkeeping.
const SHADOW_QUOTA: u32 = 1024;

/// The extension of the paravirtual interface, as a cell of the device tree.
#[expect(clippy::cast_possible_truncation, reason = "SBI extensions have 32 bits")]
const PV_EXTENSION: u32 = {
    assert!(EXTENSION >> 32 == 0);
    EXTENSION as u32
};

/// Where guests have their ATA disk.
const ATA: Ata = Ata { command: bus::ATA_COMMAND, control: bus::ATA_CONTROL, irq: bus::ATA_IRQ };

/// Ticks of `time` per second, as on QEMU `virt`.
const TIMEBASE: u32 = 10_000_000;

/// A real disk: the number under which it interrupts, and its storage.
pub type FoundDisk = (usize, Box<dyn Disk>);

/// Where a guest sees its RAM.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RamAddress {
    /// At [`bus::RAM_BASE`].
    Usual,
    /// Where it really is, so that a device may be told its addresses.
    Real,
}

/// What the real machine gives to guests.
pub struct Resources<'a> {
    /// Number of harts.
    pub harts: usize,
    /// The bundle's bytes.
    pub bundle: &'static [u8],
    /// Takes RAM of a size in bytes for a guest, at its real address or at
    /// the usual one.
    pub ram: &'a mut dyn FnMut(u64, RamAddress) -> Option<GuestRam>,
    /// Takes memory of a size in bytes for the VMM.
    pub bytes: &'a mut dyn FnMut(u64) -> Option<&'static mut [u8]>,
    /// Finds a real disk by its serial number.
    pub disk: &'a mut dyn FnMut(&str) -> Option<FoundDisk>,
    /// A device of the real machine that is to be a guest's own.
    pub passed: &'a mut dyn FnMut(RealDevice) -> Option<Found>,
    /// A function on the real PCI bus that is to be a guest's own, which has
    /// this memory; or why not.
    pub function: &'a mut dyn FnMut(u8, &GuestRam) -> Result<Given, &'static str>,
    /// The real network interface.
    pub network: &'a mut dyn FnMut() -> Option<Box<dyn net::Wire>>,
    /// Whether vS can run in real S-mode: see [`BuildError`].
    pub assists: bool,
    /// Whether S-mode can have a timer of its own (Sstc).
    pub sstc: bool,
    /// Whether there is a log port.
    pub has_log: bool,
    /// The real time when `time` was zero, in nanoseconds since 1970; `None`
    /// where the machine does not know.
    pub epoch: Option<u64>,
    /// Where guests get their first entropy from.
    pub seeds: Option<Arc<Seeds>>,
}

/// Why a guest cannot be started.
#[derive(Debug)]
pub struct BuildError {
    guest: String,
    reason: Reason,
}

#[derive(Debug)]
pub(super) enum Reason {
    Memory(u64),
    Image(&'static str),
    NoDisk(String),
    NoNetwork,
    NoDevice(u8),
    NoMirror(u8),
    NoFunction(u8, &'static str),
    Drives,
    NotRelocatable,
    NoSeed,
    Slots,
    Assisted,
    BalloonAndDma,
    Load(LoadError),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "guest {}: ", self.guest)?;
        match &self.reason {
            Reason::Memory(size) => write!(f, "the machine has no {} MiB left", size >> 20),
            Reason::Image(what) => write!(f, "the {what} lies outside the bundle"),
            Reason::NoDisk(serial) => write!(f, "QEMU has no virtio disk with serial {serial}"),
            Reason::NoNetwork => f.write_str("QEMU has no network: -device virtio-net-device"),
            Reason::NoDevice(slot) => {
                write!(f, "QEMU has no device in virtio-mmio slot {slot} that could be passed")
            }
            Reason::NoMirror(slot) => write!(
                f,
                "the device in virtio-mmio slot {slot} is neither a disk nor a network interface, \
                 or there is too little memory for its queues",
            ),
            Reason::NoFunction(number, why) => {
                write!(f, "PCI device {number} can't be passed: {why}")
            }
            Reason::NotRelocatable => f.write_str(
                "dma=trusted needs a kernel that starts in vS wherever it is loaded, as Linux does",
            ),
            Reason::BalloonAndDma => f.write_str(
                "a real device that is the guest's own may write anywhere in its memory, \
                 so that none can be given back: leave out --balloon or --pass",
            ),
            Reason::Drives => f.write_str("there is room for one disk with model=ata"),
            Reason::NoSeed => f.write_str("the machine has no seed for a random-number device"),
            Reason::Slots => f.write_str("it has more devices than virtio-mmio slots"),
            Reason::Assisted => f.write_str(
                "assisted mode needs a hart without the H extension, which gives S-mode ways \
                 around the shadow tables: use classic mode, or QEMU with -cpu rv64,h=false",
            ),
            Reason::Load(error) => error.fmt(f),
        }
    }
}

/// A guest's files, and how to start from them.
pub(super) struct Images {
    kernel: &'static [u8],
    initrd: &'static [u8],
    boot: BootRequest,
    bootargs: String,
    cpus: u32,
    /// Bit n: slot n has a device.
    virtio: u8,
    ata: bool,
    /// Whether there is a PCI bus.
    pci: bool,
    /// Whether there is a real-time clock.
    clock: bool,
    seeds: Option<Arc<Seeds>>,
}

/// Where a guest starts.
pub(super) struct Entry {
    pub(super) pc: Gpa,
    pub(super) mode: Mode,
    /// The device tree.
    pub(super) tree: Gpa,
}

impl Images {
    /// Puts everything in its place in guest RAM.
    pub(super) fn load(&self, ram: &GuestRam) -> Result<Entry, LoadError> {
        let kernel = load::kernel(self.kernel, ram, self.boot)?;
        let place = load::place(ram, &kernel, self.initrd.len() as u64)?;
        let tree = Description {
            memory: Window { base: ram.base(), size: ram.len() },
            cpus: self.cpus,
            extensions: &["sstc"],
            timebase: TIMEBASE,
            bootargs: &self.bootargs,
            initrd: place.initrd,
            seed: self.seeds.as_ref().and_then(|seeds| seeds.take()),
            sbi: kernel.mode == Mode::Supervisor,
            plic_sources: plic::LAST_SOURCE,
            virtio: self.virtio,
            rtc: self.clock,
            ata: self.ata.then_some(ATA),
            pci: self.pci,
            pv: Some(PV_EXTENSION),
        };
        place.fill(ram, self.initrd, &tree.build())?;
        Ok(Entry { pc: kernel.pc, mode: kernel.mode, tree: place.tree })
    }
}

/// Builds the machine that `config` describes.
pub fn build(config: &Config, resources: &mut Resources<'_>) -> Result<Machine, BuildError> {
    let names = config.guests.iter().map(|guest| guest.name.as_str());
    let console = Arc::new(Console::new(names, config.escape));
    let mut guests = Vec::new();
    let network = Network::new(&config.guests, (resources.network)());
    // Only balloons bring spare memory, for disks to have a memory of their own.
    let balloons = config.guests.iter().any(|guest| guest.balloon.is_some());
    let spare = balloons.then(Spare::default);
    for guest in &config.guests {
        let place = (guests.len(), &console, &network, spare.as_ref());
        let built = build_guest(place, (guest, &config.images), resources);
        let name = || guest.name.clone();
        guests.push(built.map_err(|reason| BuildError { guest: name(), reason })?);
    }
    place_on_harts(&guests, resources.harts);
    let trace = Filter::new(config.trace, config.trace_limit);
    let report = (trace, resources.has_log);
    let harts = (resources.harts, resources.sstc);
    Ok(Machine::new(guests, console, network, spare.unwrap_or_default(), harts, report))
}

fn build_guest(
    (number, console, network, spare): (usize, &Arc<Console>, &Network, Option<&Spare>),
    (config, images): (&bundle::Guest, &[Extent]),
    resources: &mut Resources<'_>,
) -> Result<Guest, Reason> {
    if config.cpu_mode == CpuMode::Assisted && !resources.assists {
        return Err(Reason::Assisted);
    }
    if config.balloon.is_some() && !config.passed.is_empty() {
        return Err(Reason::BalloonAndDma);
    }
    let image = |extent: Extent, what| extent.of(resources.bundle).ok_or(Reason::Image(what));
    let kernel = image(config.kernel, "kernel")?;
    let initrd = config.initrd.map_or(Ok(&[][..]), |extent| image(extent, "initrd"))?;
    let no_memory = || Reason::Memory(config.memory);
    let identity = config.is_identity();
    let address = if identity { RamAddress::Real } else { RamAddress::Usual };
    let ram = (resources.ram)(config.memory, address).ok_or_else(no_memory)?;
    let cpus = to_usize(config.cpus.into());
    let mut shadow = Shadow::new(&ram, SHADOW_QUOTA, cpus > 1).ok_or_else(no_memory)?;
    let wire = Wire::new();
    if config.net.as_ref().is_some_and(|net| net.uplink) && !network.has_uplink() {
        return Err(Reason::NoNetwork);
    }
    let ends = (&wire, network.plug(number), spare);
    let mut fittings = Fittings::new((config, images), ends, resources)?;
    fittings.add_bus((config, &ram), resources)?;
    let images = Images {
        kernel,
        initrd,
        boot: config.boot,
        bootargs: config.bootargs.to_string(),
        cpus: config.cpus,
        virtio: fittings.slot_mask(),
        ata: fittings.drive.is_some(),
        pci: fittings.pci.is_some(),
        clock: fittings.clock.is_some(),
        seeds: resources.seeds.clone(),
    };
    // Loaded here for the first boot, so that a bad image is said before
    // anything runs.
    let entry = match images.load(&ram) {
        Err(LoadError::OutsideRam { .. }) if identity => Err(Reason::NotRelocatable),
        Ok(entry) if identity && entry.mode == Mode::Machine => Err(Reason::NotRelocatable),
        loaded => loaded.map_err(Reason::Load),
    }?;
    fittings.mappings.iter().for_each(|mapping| shadow.own(*mapping));
    let (disks, net) = (core::mem::take(&mut fittings.real), fittings.net);
    let passed = core::mem::take(&mut fittings.passed);
    let balloon = fittings.balloon.clone();
    let functions = core::mem::take(&mut fittings.functions);
    let devices = Devices::new(cpus, wire, fittings);
    let (name, console) = (config.name.to_string(), console.clone());
    let mode = config.cpu_mode;
    let no_reboot = config.no_reboot;
    let parts = Parts {
        number,
        name,
        console,
        ram,
        shadow,
        devices,
        disks,
        net,
        passed,
        balloon,
        functions,
        images,
        entry,
        cpus,
        no_reboot,
        mode,
    };
    Ok(Guest::new(parts))
}

/// vCPUs go to the harts in turn, guest after guest.
fn place_on_harts(guests: &[Guest], harts: usize) {
    let links = guests.iter().flat_map(|guest| &guest.links);
    for (link, hart) in links.zip((0..harts.max(1)).cycle()) {
        link.hart.store(hart, Ordering::Relaxed);
    }
}

impl Machine {
    /// Boots all guests.
    pub fn start<H: Host>(&self, host: &H) {
        self.guests.iter().for_each(|guest| guest.boot(host));
    }

    /// The vCPUs that hart `hart` runs.
    pub(super) fn seats(&'static self, hart: usize) -> Vec<Seat> {
        let of_guest = |guest: &'static Guest| {
            let here = move |n: &usize| {
                guest.links.get(*n).is_some_and(|l| l.hart.load(Ordering::Relaxed) == hart)
            };
            let numbers = (0..guest.links.len()).filter(here);
            numbers.filter_map(move |n| Seat::new(self, guest, n))
        };
        self.guests.iter().flat_map(of_guest).collect()
    }
}
