//! The devices that a guest's configuration asks for, each in its place.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::balloon::Ledger;
use super::boot::{Reason, Resources};
use super::clock::WallClock;
use super::devices::{Place, Slots};
use super::drive::Drive;
use super::passed::Pci;
use super::wire::Wire;
use crate::addr::{PAGE_SIZE, to_usize};
use crate::bundle::{
    self, Backend, Base, ConsoleModel, DiskModel, Dma, Extent, MmioVersion, NetModel, Passed,
    RealDevice, RngModel,
};
use crate::bus;
use crate::dev::ata;
use crate::disk::{Cached, Disk, Image, Overlay, RamDisk, SERIAL, STAGE};
use crate::iommu::DeviceId;
use crate::mem::GuestRam;
use crate::net;
use crate::pass::{Direct, Found, Mapping, Mirror};
use crate::pci::{self, Bus, Function};
use crate::pv::Pv;
use crate::spare::Spare;
use crate::virtio::AnyDevice;
use crate::virtio::balloon::Balloon;
use crate::virtio::blk::Blk;
use crate::virtio::console::Console;
use crate::virtio::entropy::Entropy;
use crate::virtio::mmio::{Mmio, Version};
use crate::virtio::net::Net;

/// Columns and rows that virtio consoles tell: nobody knows how large the
/// terminal at the end of the real UART is.
const TERMINAL: (u16, u16) = (80, 24);

/// A guest's devices beyond those that every guest has.
#[derive(Default)]
pub(super) struct Fittings {
    pub(super) slots: Slots,
    pub(super) pv: Pv,
    pub(super) drive: Option<Drive>,
    pub(super) clock: Option<WallClock>,
    /// Real disks, and where the guest has them.
    pub(super) real: Vec<(usize, Place)>,
    /// Where the guest has its network interface.
    pub(super) net: Option<Place>,
    /// Devices whose registers the guest has, with where it has them.
    pub(super) direct: Vec<Direct>,
    pub(super) mappings: Vec<Mapping>,
    /// Their interrupts at the real PLIC, and those of the other devices that
    /// are the guest's own.
    pub(super) passed: Vec<(u32, Place)>,
    /// The bus of PCI functions, with their names for the IOMMU and their
    /// numbers on the bus.
    pub(super) pci: Option<Pci>,
    pub(super) functions: Vec<(DeviceId, u8)>,
    /// Bit n: what is in slot n is in `mappings`.
    taken: u8,
    /// Its balloon, and where it has it.
    pub(super) balloon: Option<(Ledger, Place)>,
}

impl Fittings {
    /// What `config` asks for; overlays share `images`, consoles are at the
    /// end of `wire`, and the network interface at that of `plug`. The
    /// balloon fills `spare` memory, and real disks use it.
    pub(super) fn new(
        (config, images): (&bundle::Guest, &[Extent]),
        (wire, plug, spare): (&Wire, Option<Box<dyn net::Wire>>, Option<&Spare>),
        resources: &mut Resources<'_>,
    ) -> Result<Self, Reason> {
        let clock = resources.epoch.map(WallClock::new);
        let mut fittings = Self { clock, ..Self::default() };
        for (number, disk) in (0u8..).zip(&config.disks) {
            fittings.add_disk(number, (disk, images, spare), resources)?;
        }
        if let Some((net, plug)) = config.net.as_ref().zip(plug) {
            fittings.net = Some(fittings.add_net(config.disks.len(), net, plug)?);
        }
        let first = config.disks.len() + usize::from(config.net.is_some());
        let in_slots = |passed: &&Passed| !matches!(passed.device, RealDevice::Pci { .. });
        for (slot, passed) in (first..).zip(config.passed.iter().filter(in_slots)) {
            let slot = u8::try_from(slot).map_err(|_| Reason::Slots)?;
            fittings.add_passed(slot, *passed, resources)?;
        }
        fittings.add_consoles(config, wire)?;
        fittings.add_entropy(config, resources)?;
        if let Some((bytes, spare)) = config.balloon.zip(spare) {
            fittings.add_balloon(Ledger::new(spare.clone(), bytes))?;
        }
        Ok(fittings)
    }

    /// Bit n: slot n has a device.
    pub(super) fn slot_mask(&self) -> u8 {
        let used = self.slots.iter().zip(0u32..).filter(|(slot, _)| slot.is_some());
        used.fold(self.taken, |mask, (_, n)| mask | 1u8.wrapping_shl(n))
    }

    /// Disk `number` goes to that slot, or becomes the next paravirtual
    /// device, or the ATA disk.
    fn add_disk(
        &mut self,
        number: u8,
        (disk, images, spare): (&bundle::Disk, &[Extent], Option<&Spare>),
        resources: &mut Resources<'_>,
    ) -> Result<(), Reason> {
        let (index, storage) = build_storage(disk, (images, spare), resources)?;
        let place = match disk.model {
            DiskModel::VirtioMmio(version) => {
                let slot = self.slots.get_mut(usize::from(number)).ok_or(Reason::Slots)?;
                *slot = Some(Mmio::new(interface(version), Box::new(Blk::new(storage))));
                Place::Slot(number)
            }
            DiskModel::Pv => Place::Pv(self.pv.add(Box::new(Blk::new(storage)))),
            DiskModel::Ata { .. } if self.drive.is_some() => return Err(Reason::Drives),
            DiskModel::Ata { burst } => {
                // A page more, so that it holds whole pages wherever it is.
                let size = ata::BUFFER + PAGE_SIZE;
                let buffer = (resources.bytes)(size).ok_or(Reason::Memory(size))?;
                self.drive = Some(Drive::new(storage, buffer, burst));
                Place::Ata
            }
        };
        self.real.extend(index.map(|index| (index, place)));
        Ok(())
    }

    /// The network interface goes to slot `number`, behind the disks, or
    /// becomes the next paravirtual device.
    fn add_net(
        &mut self,
        number: usize,
        net: &bundle::Net,
        plug: Box<dyn net::Wire>,
    ) -> Result<Place, Reason> {
        let device = |interface| Box::new(Net::new(interface, net.mac, plug));
        match net.model {
            NetModel::VirtioMmio(version) => {
                let slot = self.slots.get_mut(number).ok_or(Reason::Slots)?;
                let version = interface(version);
                *slot = Some(Mmio::new(version, device(version)));
                Ok(Place::Slot(u8::try_from(number).map_err(|_| Reason::Slots)?))
            }
            NetModel::Pv => Ok(Place::Pv(self.pv.add(device(Version::Modern)))),
        }
    }

    /// A device of the real machine goes to slot `slot`.
    fn add_passed(
        &mut self,
        slot: u8,
        passed: Passed,
        resources: &mut Resources<'_>,
    ) -> Result<(), Reason> {
        let RealDevice::VirtioMmio { slot: real } = passed.device else { return Ok(()) };
        let found = (resources.passed)(passed.device).ok_or(Reason::NoDevice(real))?;
        let Found { device, registers, source, virtio } = found;
        if slot >= bus::VIRTIO_SLOTS {
            return Err(Reason::Slots);
        }
        let place = match passed.dma {
            Dma::Mediated => {
                let mirror = virtio.and_then(|real| Mirror::new(real, resources.bytes));
                let mirror = mirror.ok_or(Reason::NoMirror(real))?;
                let place = self.slots.get_mut(usize::from(slot)).ok_or(Reason::Slots)?;
                *place = Some(Mmio::new(Version::Modern, Box::new(mirror)));
                Place::Slot(slot)
            }
            Dma::Trusted => {
                self.taken |= 1 << slot;
                self.mappings.push(Mapping { guest: bus::virtio_slot(slot).base, registers });
                self.direct.push(Direct::new(device, source, bus::virtio_irq(slot)));
                Place::Direct(self.direct.len() - 1)
            }
            Dma::Iommu => return Err(Reason::NoDevice(real)),
        };
        self.passed.push((source, place));
        Ok(())
    }

    /// PCI functions of the real machine become those of a bus of the guest's,
    /// whose memory `ram` they can reach.
    pub(super) fn add_bus(
        &mut self,
        (config, ram): (&bundle::Guest, &GuestRam),
        resources: &mut Resources<'_>,
    ) -> Result<(), Reason> {
        let mut functions = Vec::new();
        for passed in &config.passed {
            let RealDevice::Pci { device: real } = passed.device else { continue };
            let given =
                (resources.function)(real, ram).map_err(|why| Reason::NoFunction(real, why))?;
            let number = u8::try_from(functions.len() + 1).map_err(|_| Reason::Slots)?;
            let irq = bus::PCI_IRQS + pci::line(number, given.found.pin());
            self.direct.push(Direct::new(given.device, given.source, irq));
            self.passed.push((given.source, Place::Direct(self.direct.len() - 1)));
            self.functions.push((given.id, number));
            functions.push((number, Function::new(&given.found, given.real)));
        }
        self.pci = (!functions.is_empty()).then(|| Pci::new(Bus::new(functions)));
        Ok(())
    }

    /// A paravirtual console, and one in a slot for a guest that wants it
    /// there.
    fn add_consoles(&mut self, config: &bundle::Guest, wire: &Wire) -> Result<(), Reason> {
        let console = || Box::new(Console::new(Box::new(wire.clone()), TERMINAL));
        self.pv.add(console());
        match config.console {
            ConsoleModel::Uart => Ok(()),
            ConsoleModel::VirtioMmio => self.add_last(console()).map(drop),
        }
    }

    /// A paravirtual source of random bytes, and one in a slot likewise; none
    /// where the machine has no seed for them.
    fn add_entropy(
        &mut self,
        config: &bundle::Guest,
        resources: &Resources<'_>,
    ) -> Result<(), Reason> {
        let random = || resources.seeds.as_ref().and_then(|seeds| seeds.random());
        let entropy = || random().map(|random| Box::new(Entropy::new(random)));
        if let Some(entropy) = entropy() {
            self.pv.add(entropy);
        }
        match config.rng {
            RngModel::None => Ok(()),
            RngModel::VirtioMmio => self.add_last(entropy().ok_or(Reason::NoSeed)?).map(drop),
        }
    }

    /// A balloon whose pages are in `ledger`.
    fn add_balloon(&mut self, ledger: Ledger) -> Result<(), Reason> {
        let slot = self.add_last(Box::new(Balloon::new(Box::new(ledger.clone()))))?;
        self.balloon = Some((ledger, slot));
        Ok(())
    }

    /// Puts a device into the last slot that is free, away from the disks.
    fn add_last(&mut self, device: AnyDevice) -> Result<Place, Reason> {
        let taken = self.slot_mask();
        let free = (0u8..).zip(&mut self.slots).filter(|(n, _)| taken >> n & 1 == 0).last();
        let (number, slot) = free.ok_or(Reason::Slots)?;
        *slot = Some(Mmio::new(Version::Modern, device));
        Ok(Place::Slot(number))
    }
}

fn interface(version: MmioVersion) -> Version {
    match version {
        MmioVersion::Legacy => Version::Legacy,
        MmioVersion::Modern => Version::Modern,
    }
}

/// What holds the sectors of a disk, and its number if it is a real one.
type Storage = (Option<usize>, Box<dyn Disk>);

fn build_storage(
    disk: &bundle::Disk,
    (images, spare): (&[Extent], Option<&Spare>),
    resources: &mut Resources<'_>,
) -> Result<Storage, Reason> {
    match &disk.backend {
        Backend::Qemu { serial } => real_disk(serial, spare, resources),
        Backend::Ram(image) => {
            let bytes = image.of(resources.bundle).ok_or(Reason::Image("disk image"))?;
            let copy = memory(bytes.len() as u64, resources)?;
            copy.copy_from_slice(bytes);
            Ok((None, Box::new(RamDisk::new(copy, serial(b"ram"), disk.read_only))))
        }
        Backend::Overlay { base, room } => {
            let (index, base) = match base {
                Base::Image(number) => (None, shared_image(*number, images, resources)?),
                Base::Qemu { serial } => real_disk(serial, spare, resources)?,
            };
            if disk.read_only {
                return Ok((index, base));
            }
            let overlay = Overlay::new(base, memory(*room, resources)?, serial(b"overlay"));
            Ok((index, Box::new(overlay)))
        }
    }
}

/// A disk of the machine; what is spare is its memory, if there can be any.
fn real_disk(
    serial: &str,
    spare: Option<&Spare>,
    resources: &mut Resources<'_>,
) -> Result<Storage, Reason> {
    let (number, disk) = (resources.disk)(serial).ok_or_else(|| Reason::NoDisk(serial.into()))?;
    let Some(spare) = spare else { return Ok((Some(number), disk)) };
    let stage = memory(STAGE, resources)?;
    Ok((Some(number), Box::new(Cached::new(disk, spare.clone(), stage))))
}

/// An image that is read where it lies in the bundle.
fn shared_image(
    number: u32,
    images: &[Extent],
    resources: &Resources<'_>,
) -> Result<Box<dyn Disk>, Reason> {
    let image = images.get(to_usize(number.into())).and_then(|image| image.of(resources.bundle));
    let bytes = image.ok_or(Reason::Image("disk image"))?;
    Ok(Box::new(Image::new(bytes, serial(b"image"))))
}

fn memory(size: u64, resources: &mut Resources<'_>) -> Result<&'static mut [u8], Reason> {
    (resources.bytes)(size).ok_or(Reason::Memory(size))
}

/// A serial number, padded with zeroes.
fn serial(text: &[u8]) -> [u8; SERIAL] {
    let mut bytes = [0; SERIAL];
    bytes.iter_mut().zip(text).for_each(|(to, byte)| *to = *byte);
    bytes
}
