//! Devices of QEMU's machine that belong to a guest: the option, what it
//! means, and what QEMU is told.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Deserialize;
use trapeze_vmm::bundle::{Dma, MAX_PCI, Passed as BundlePassed, RealDevice};
use trapeze_vmm::net::Mac;

use super::command::escape;
use super::image;
use super::net::{Address, Forward};
use super::values::from_string;
use crate::failure::{self, mistake};

/// `--pass net[,mac=...][,hostfwd=...][,dma=...]` or `--pass disk=PATH[,ro][,dma=...]`,
/// or, on PCI, `pci=e1000e[,mac=...][,hostfwd=...]`, `nvme=PATH[,ro]`, `pci=edu`
#[derive(Deserialize, Clone, PartialEq, Eq, Debug)]
#[serde(try_from = "String")]
pub struct PassOption {
    /// What it is.
    pub(super) device: Device,
    /// Whether it is on PCI, behind the IOMMU, and not on virtio-mmio.
    pci: bool,
    dma: Dma,
}

/// A device that QEMU has for a guest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Device {
    /// A network interface, with a user network of its own.
    Net {
        /// Its address, if it is to have a particular one.
        mac: Option<Mac>,
        /// Ports of the host that lead to the guest.
        forwards: Vec<Forward>,
    },
    /// A disk.
    Disk {
        /// The image.
        path: PathBuf,
        /// Whether the guest can only read.
        read_only: bool,
    },
    /// QEMU's device for teaching, which copies memory: on PCI only.
    Edu,
}

impl FromStr for PassOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let device = match parts.next().map(|name| name.split_once('=').unwrap_or((name, ""))) {
            Some(("net", "") | ("pci", "e1000e")) => {
                Device::Net { mac: None, forwards: Vec::new() }
            }
            Some(("disk" | "nvme", path)) if !path.is_empty() => {
                Device::Disk { path: path.into(), read_only: false }
            }
            Some(("pci", "edu")) => Device::Edu,
            _ => return Err("it is net, disk=PATH, pci=e1000e, nvme=PATH, or pci=edu".to_owned()),
        };
        let pci = text.starts_with("pci=") || text.starts_with("nvme=");
        let dma = if pci { Dma::Iommu } else { Dma::default() };
        let mut option = Self { device, pci, dma };
        parts.try_for_each(|part| option.set(part))?;
        Ok(option)
    }
}

from_string!(PassOption);

impl PassOption {
    /// Takes its path as one that is relative to `base`.
    pub(super) fn rebase(&mut self, base: &Path) {
        if let Device::Disk { path, .. } = &mut self.device {
            *path = base.join(&*path);
        }
    }

    /// Whether it is a network interface.
    pub fn is_net(&self) -> bool {
        matches!(self.device, Device::Net { .. })
    }

    fn set(&mut self, part: &str) -> Result<(), String> {
        match (&mut self.device, part.split_once('=').unwrap_or((part, ""))) {
            (_, ("dma", "iommu")) if self.pci => {}
            (_, ("dma", _)) if self.pci => return Err("dma is iommu on PCI".to_owned()),
            (_, ("dma", "iommu")) => {
                return Err("dma=iommu is for devices on PCI: pci=e1000e, nvme=PATH".to_owned());
            }
            (_, ("dma", "mediated")) => self.dma = Dma::Mediated,
            (_, ("dma", "trusted")) => self.dma = Dma::Trusted,
            (_, ("dma", _)) => return Err("dma is one of mediated, trusted".to_owned()),
            (Device::Net { mac, .. }, ("mac", text)) => {
                let address = text.parse();
                *mac = Some(address.map_err(|_| "mac is an address such as 52:54:00:12:34:56")?);
            }
            (Device::Net { forwards, .. }, ("hostfwd", text)) => forwards.push(text.parse()?),
            (Device::Disk { read_only, .. }, ("ro", "")) => *read_only = true,
            (Device::Net { .. }, _) => {
                return Err(format!("{part:?} is unknown; there are mac=, hostfwd= and dma="));
            }
            (Device::Edu, _) => return Err(format!("{part:?} is unknown; there is dma=")),
            (Device::Disk { .. }, _) => {
                return Err(format!("{part:?} is unknown; there are ro and dma="));
            }
        }
        Ok(())
    }
}

/// A device that is passed, checked.
#[derive(Debug)]
pub(super) struct Passed {
    /// What it is.
    pub(super) device: Device,
    /// What holds its accesses to memory.
    pub(super) dma: Dma,
    /// Where QEMU has it: set when all guests are known.
    place: RealDevice,
    /// The address of a network interface.
    mac: Mac,
}

impl Passed {
    /// Device `index` of guest `number`.
    ///
    /// # Errors
    /// If there is something wrong with its image.
    pub(super) fn new(number: usize, index: usize, option: &PassOption) -> failure::Result<Self> {
        let PassOption { device, pci, dma } = option.clone();
        let mut own = None;
        match &device {
            Device::Disk { path, read_only } => image::disk(path, *read_only)?,
            Device::Net { mac, .. } => own = *mac,
            Device::Edu => {}
        }
        // The last byte is the guest's, as Linux here asks for its address by it.
        let mut standard = Mac::numbered(u8::try_from(number).unwrap_or(0));
        standard.0[4] = standard.0[4].wrapping_add(1 + u8::try_from(index).unwrap_or(0));
        let place = match pci {
            true => RealDevice::Pci { device: 0 },
            false => RealDevice::VirtioMmio { slot: 0 },
        };
        Ok(Self { device, dma, place, mac: own.unwrap_or(standard) })
    }

    /// Ports of the host that lead to it.
    pub(super) fn forwards(&self) -> &[Forward] {
        match &self.device {
            Device::Net { forwards, .. } => forwards,
            Device::Disk { .. } | Device::Edu => &[],
        }
    }

    /// The image of a disk, and whether it is only read.
    pub(super) fn image(&self) -> Option<(&Path, bool)> {
        match &self.device {
            Device::Disk { path, read_only } => Some((path, *read_only)),
            Device::Net { .. } | Device::Edu => None,
        }
    }

    /// Whether it is on PCI.
    pub(super) fn is_pci(&self) -> bool {
        matches!(self.place, RealDevice::Pci { .. })
    }

    /// What the VMM is told.
    pub(super) fn bundle(&self) -> BundlePassed {
        BundlePassed { device: self.place, dma: self.dma }
    }

    /// Whether the guest must have its memory at its real address.
    pub(super) fn is_trusted(&self) -> bool {
        self.dma == Dma::Trusted
    }

    /// What the user should know about it, in one line.
    pub(super) fn announcement(&self, guest: &str) -> String {
        let device = match &self.device {
            Device::Net { .. } => "a network interface".to_owned(),
            Device::Disk { path, .. } => format!("the disk {}", path.display()),
            Device::Edu => "an edu device".to_owned(),
        };
        match self.dma {
            Dma::Mediated => format!(
                "{guest} owns {device}, dma=mediated: the VMM checks what the device is told"
            ),
            Dma::Trusted => format!(
                "warning: {guest} owns {device}, dma=trusted: the guest can read and write all of \
                 the machine's memory through it, the VMM's included"
            ),
            Dma::Iommu => format!(
                "{guest} owns {device}, dma=iommu: it reaches the memory of {guest}, and nothing else"
            ),
        }
    }

    /// Arguments of QEMU: the device, which leads to guest `number`, in a slot
    /// of this number.
    pub(super) fn arguments(&self, number: usize, slot: usize) -> Vec<String> {
        let (net, disk, id, bus) = match self.is_pci() {
            true => ("e1000e", "nvme", format!("pci{slot}"), format!("addr={slot:x}")),
            false => {
                let bus = format!("bus=virtio-mmio-bus.{slot}");
                ("virtio-net-device", "virtio-blk-device", format!("pass{slot}"), bus)
            }
        };
        match &self.device {
            Device::Net { forwards, .. } => {
                let mut netdev = format!("user,id={id}");
                for forward in forwards {
                    netdev.push_str(&forward.option(&Address(number)));
                }
                let device = format!("{net},netdev={id},mac={},{bus}", self.mac);
                ["-netdev", &netdev, "-device", &device].map(str::to_owned).into()
            }
            Device::Disk { path, read_only } => {
                let read_only = if *read_only { ",readonly=on" } else { "" };
                let file = escape(path);
                let drive = format!("id={id},if=none,format=raw,file={file}{read_only}");
                let device = format!("{disk},drive={id},serial={id},{bus}");
                ["-drive", &drive, "-device", &device].map(str::to_owned).into()
            }
            Device::Edu => {
                ["-device".to_owned(), format!("edu,dma_mask=0xffffffffffffffff,{bus}")].into()
            }
        }
    }

    /// Arguments for the machine on which the VMM runs, where each passed
    /// device has a place of its own.
    pub(super) fn placed(&self, number: usize) -> Vec<String> {
        let (RealDevice::VirtioMmio { slot } | RealDevice::Pci { device: slot }) = self.place;
        self.arguments(number, slot.into())
    }
}

/// Gives each device its place in QEMU's machine.
///
/// # Errors
/// If there are more than fit on PCI.
pub(super) fn place<'a>(all: impl Iterator<Item = &'a mut Passed>) -> failure::Result<()> {
    let (mut slots, mut devices) = (0u8, 0u8);
    for passed in all {
        match &mut passed.place {
            RealDevice::VirtioMmio { slot } => {
                *slot = slots;
                slots = slots.saturating_add(1);
            }
            RealDevice::Pci { device } => {
                devices = devices.saturating_add(1);
                *device = devices;
            }
        }
    }
    match devices > MAX_PCI {
        true => Err(mistake(format!(
            "{devices} devices are passed on PCI, and {MAX_PCI} can be, each with an interrupt of its own"
        ))),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_have_all_their_options() {
        let net: PassOption =
            "net,dma=trusted,mac=02:00:00:00:00:01,hostfwd=tcp:8080:80".parse().unwrap();
        assert_eq!(net.dma, Dma::Trusted);
        let passed = Passed::new(1, 0, &net).unwrap();
        assert_eq!(
            passed.arguments(1, 3),
            [
                "-netdev",
                "user,id=pass3,hostfwd=tcp:127.0.0.1:8080-10.0.2.16:80",
                "-device",
                "virtio-net-device,netdev=pass3,mac=02:00:00:00:00:01,bus=virtio-mmio-bus.3"
            ]
        );
        let plain = Passed::new(1, 0, &"net".parse().unwrap()).unwrap();
        assert_eq!(plain.mac.to_string(), "52:54:00:12:35:57");
        let disk: PassOption = "disk=a b.img,ro".parse().unwrap();
        assert_eq!(disk.device, Device::Disk { path: "a b.img".into(), read_only: true });
    }

    #[test]
    fn mistakes_say_what_there_is() {
        for (text, part) in [
            ("tap", "net, disk=PATH"),
            ("disk=", "net, disk=PATH"),
            ("pci=", "nvme=PATH"),
            ("pci=e1000e,dma=trusted", "iommu on PCI"),
            ("net,dma=iommu", "pci=e1000e"),
            ("net,dma=none", "trusted"),
            ("net,ro", "hostfwd="),
            ("disk=a,hostfwd=tcp:1:1", "ro and dma="),
            ("net,mac=1", "such as 52:54"),
        ] {
            let problem = text.parse::<PassOption>().unwrap_err();
            assert!(problem.contains(part), "{text}: {problem}");
        }
    }

    #[test]
    fn each_device_has_a_place_of_its_own() {
        let new = |index| Passed::new(0, index, &"net".parse().unwrap()).unwrap();
        let mut all = [new(0), new(1)];
        place(all.iter_mut()).unwrap();
        assert_ne!(all[0].bundle().device, all[1].bundle().device);
    }
}
