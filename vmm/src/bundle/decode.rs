//! From the bytes of a bundle to a [`Config`] (in the VMM).
//!
//! Every property is checked here, once: what comes out can be relied on.
//! Errors name the node and say what is wrong, because the VMM prints them.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{FromPropertyValue, Node, Property};

use super::{
    ALIGN, Backend, Base, COMPATIBLE, Causes, Config, Disk, DiskModel, Dma, Extent, Guest,
    MAX_CPUS, MAX_DISKS, MAX_GUESTS, MAX_IMAGES, MAX_PASSED, MAX_PCI, MAX_ROOM, MEMORY_UNIT,
    MmioVersion, Net, NetModel, Passed, RealDevice, Word,
};
use crate::addr::to_usize;
use crate::bus::VIRTIO_SLOTS;
use crate::net::Mac;

/// Why a bundle was refused: which node, and what is wrong there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Error {
    node: String,
    problem: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bundle: {}: {}", self.node, self.problem)
    }
}

impl core::error::Error for Error {}

/// A node under inspection; knows the bundle, to check extents against it.
struct Reader<'a> {
    node: FdtNode<'a>,
    bundle: &'a [u8],
}

impl Config {
    /// Reads the configuration at the head of `bundle`.
    ///
    /// All extents of the result lie inside `bundle` and are page-aligned.
    ///
    /// # Errors
    /// The first thing that is missing or out of its range.
    pub fn parse(bundle: &[u8]) -> Result<Self, Error> {
        let tree = tree(bundle)?;
        let root = Reader { node: tree.root(), bundle };
        if root.text("compatible")? != COMPATIBLE {
            return Err(root.bad(format!("compatible: must be {COMPATIBLE:?}")));
        }
        let images = root.each("image", MAX_IMAGES, Reader::image)?;
        let guests = match tree.root().child("guests") {
            Some(node) => root.at(node).each("guest", MAX_GUESTS, Reader::guest)?,
            None => Vec::new(),
        };
        if guests.is_empty() {
            return Err(root.bad("there is no guest"));
        }
        root.check_disks(&guests, images.len())?;
        root.check_owners(&guests)?;
        let trace = Causes::from_bits_truncate(root.get("trace")?.unwrap_or(0u32));
        let escape: Option<u32> = root.get("escape")?;
        let escape = escape.map(|key| u8::try_from(key).map_err(|_| root.bad("escape: no byte")));
        let trace_limit = root.get("trace-limit")?;
        Ok(Self { trace, trace_limit, escape: escape.transpose()?, images, guests })
    }
}

/// The tree at the head of a bundle, whose length is in its own header
/// (Devicetree Specification 0.4, 5.2: `totalsize`).
fn tree(bundle: &[u8]) -> Result<Fdt<'_>, Error> {
    let bad = |problem: &str| Error { node: "header".to_string(), problem: problem.to_string() };
    let size = bundle.get(4..8).and_then(|word| word.try_into().ok()).map(u32::from_be_bytes);
    let head = size.and_then(|size| bundle.get(..size as usize));
    let head = head.ok_or_else(|| bad("shorter than it says"))?;
    Fdt::new(head).map_err(|error| bad(&error.to_string()))
}

impl<'a> Reader<'a> {
    fn at(&self, node: FdtNode<'a>) -> Self {
        Self { node, bundle: self.bundle }
    }

    fn bad(&self, problem: impl Into<String>) -> Error {
        let name = self.node.name();
        let node = if name.is_empty() { "/" } else { name };
        Error { node: node.to_string(), problem: problem.into() }
    }

    /// Reads all children called `name`, of which there may be `limit`.
    fn each<T>(
        &self,
        name: &str,
        limit: usize,
        read: impl Fn(&Self) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let nodes = self.node.children().filter(|node| node.name_without_address() == name);
        let found: Vec<T> =
            nodes.take(limit + 1).map(|node| read(&self.at(node))).collect::<Result<_, _>>()?;
        match found.len() > limit {
            true => Err(self.bad(format!("more than {limit} nodes {name}"))),
            false => Ok(found),
        }
    }

    fn get<T: FromPropertyValue<'a>>(&self, name: &str) -> Result<Option<T>, Error> {
        let Some(property) = self.node.property(name) else { return Ok(None) };
        property.value_as().map(Some).map_err(|error| self.bad(format!("{name}: {error}")))
    }

    fn need<T: FromPropertyValue<'a>>(&self, name: &str) -> Result<T, Error> {
        self.get(name)?.ok_or_else(|| self.bad(format!("{name}: missing")))
    }

    fn text(&self, name: &str) -> Result<&'a str, Error> {
        self.need(name)
    }

    fn word<T: Word>(&self, name: &str) -> Result<T, Error> {
        let text = self.text(name)?;
        T::from_word(text).ok_or_else(|| self.bad(format!("{name}: unknown value {text:?}")))
    }

    fn extent(&self, name: &str) -> Result<Option<Extent>, Error> {
        let Some(bytes) = self.get::<[u8; 16]>(name)? else { return Ok(None) };
        let pair = u128::from_be_bytes(bytes);
        // The low half is the length: the cut is the point.
        #[expect(clippy::cast_possible_truncation, reason = "takes the low doubleword")]
        let extent = Extent { offset: (pair >> 64) as u64, len: pair as u64 };
        if !extent.offset.is_multiple_of(ALIGN) || extent.of(self.bundle).is_none() {
            return Err(self.bad(format!("{name}: not inside the bundle, at a page boundary")));
        }
        Ok(Some(extent))
    }

    fn guest(&self) -> Result<Guest, Error> {
        let cpus = self.need("cpus")?;
        if !(1..=MAX_CPUS).contains(&cpus) {
            return Err(self.bad(format!("cpus: must be 1 to {MAX_CPUS}")));
        }
        let memory: u64 = self.need("memory")?;
        if memory == 0 || !memory.is_multiple_of(MEMORY_UNIT) {
            return Err(self.bad("memory: must be a multiple of 2 MiB"));
        }
        let disks = self.each("disk", MAX_DISKS, Reader::disk)?;
        let net = self.each("net", 1, Reader::net)?.pop();
        let in_slot = |net: &Net| matches!(net.model, NetModel::VirtioMmio(_));
        if disks.len() == MAX_DISKS && net.as_ref().is_some_and(in_slot) {
            return Err(self.bad("net@0: the disks leave no slot for it"));
        }
        Ok(Guest {
            name: self.text("name")?.to_string(),
            memory,
            cpus,
            cpu_mode: self.word("cpu-mode")?,
            boot: self.word("boot")?,
            bootargs: self.text("bootargs")?.to_string(),
            kernel: self.extent("kernel")?.ok_or_else(|| self.bad("kernel: missing"))?,
            initrd: self.extent("initrd")?,
            disks,
            net,
            passed: self.each("pass", MAX_PASSED, Reader::passed)?,
            no_reboot: self.node.property("no-reboot").is_some(),
            console: self.word("console")?,
            rng: self.word("rng")?,
            balloon: self.get("balloon")?,
        })
    }

    fn disk(&self) -> Result<Disk, Error> {
        let model = match self.text("model")? {
            "virtio-mmio" => DiskModel::VirtioMmio(self.mmio_version()?),
            "pv" => DiskModel::Pv,
            "ata" => DiskModel::Ata { burst: self.node.property("burst").is_some() },
            other => return Err(self.bad(format!("model: unknown value {other:?}"))),
        };
        let backend = match self.text("backend")? {
            "qemu" => Backend::Qemu { serial: self.text("serial")?.to_string() },
            "ram" => Backend::Ram(self.extent("image")?.ok_or_else(|| self.bad("image: missing"))?),
            "overlay" => Backend::Overlay { base: self.base()?, room: self.need("room")? },
            other => return Err(self.bad(format!("backend: unknown value {other:?}"))),
        };
        Ok(Disk { model, backend, read_only: self.node.property("read-only").is_some() })
    }

    fn image(&self) -> Result<Extent, Error> {
        self.extent("data")?.ok_or_else(|| self.bad("data: missing"))
    }

    fn base(&self) -> Result<Base, Error> {
        match self.get("image-number")? {
            Some(number) => Ok(Base::Image(number)),
            None => Ok(Base::Qemu { serial: self.text("serial")?.to_string() }),
        }
    }

    fn net(&self) -> Result<Net, Error> {
        let model = match self.text("model")? {
            "virtio-mmio" => NetModel::VirtioMmio(self.mmio_version()?),
            "pv" => NetModel::Pv,
            other => return Err(self.bad(format!("model: unknown value {other:?}"))),
        };
        let mac = Mac(self.need("mac")?);
        if mac.is_group() {
            return Err(self.bad(format!("mac: {mac} is not one interface")));
        }
        Ok(Net { model, mac, uplink: self.node.property("uplink").is_some() })
    }

    fn passed(&self) -> Result<Passed, Error> {
        let device = match self.text("device")? {
            "virtio-mmio" => {
                let slot = u8::try_from(self.need::<u32>("slot")?).unwrap_or(u8::MAX);
                if slot >= VIRTIO_SLOTS {
                    return Err(self.bad(format!("slot: must be below {VIRTIO_SLOTS}")));
                }
                RealDevice::VirtioMmio { slot }
            }
            "pci" => {
                let device = u8::try_from(self.need::<u32>("slot")?).unwrap_or(u8::MAX);
                if !(1..=MAX_PCI).contains(&device) {
                    return Err(self.bad(format!("slot: must be 1 to {MAX_PCI}")));
                }
                RealDevice::Pci { device }
            }
            other => return Err(self.bad(format!("device: unknown value {other:?}"))),
        };
        let dma = self.word("dma")?;
        // Only PCI has an IOMMU before it, and then it is in use.
        match matches!(device, RealDevice::Pci { .. }) == (dma == Dma::Iommu) {
            true => Ok(Passed { device, dma }),
            false => Err(self.bad("dma: is iommu for pci, and for nothing else")),
        }
    }

    /// A real device belongs to one guest.
    fn check_owners(&self, guests: &[Guest]) -> Result<(), Error> {
        let mut seen: Vec<RealDevice> = Vec::new();
        for guest in guests {
            for passed in &guest.passed {
                if seen.contains(&passed.device) {
                    let name = &guest.name;
                    return Err(self.bad(format!("{name}: a device of it has an owner already")));
                }
                seen.push(passed.device);
            }
        }
        Ok(())
    }

    /// What disks have in common: a real one belongs to one of them, an image
    /// exists, and the overlays of a guest are not too large together.
    fn check_disks(&self, guests: &[Guest], images: usize) -> Result<(), Error> {
        let mut serials: Vec<&str> = Vec::new();
        for guest in guests {
            let mut room = 0u64;
            for disk in &guest.disks {
                if let Some(serial) = disk.serial() {
                    if serials.contains(&serial) {
                        let problem = format!("two disks have the serial number {serial:?}");
                        return Err(self.bad(problem));
                    }
                    serials.push(serial);
                }
                let Backend::Overlay { base, room: more } = &disk.backend else { continue };
                room = room.saturating_add(*more);
                if matches!(base, Base::Image(n) if to_usize((*n).into()) >= images) {
                    return Err(self.bad(format!("{}: its image is not there", guest.name)));
                }
            }
            if room > MAX_ROOM {
                return Err(self.bad(format!("{}: its overlays exceed 512 MiB", guest.name)));
            }
        }
        Ok(())
    }

    fn mmio_version(&self) -> Result<MmioVersion, Error> {
        match self.need::<u32>("version")? {
            1 => Ok(MmioVersion::Legacy),
            2 => Ok(MmioVersion::Modern),
            other => Err(self.bad(format!("version: {other} is neither 1 nor 2"))),
        }
    }
}
