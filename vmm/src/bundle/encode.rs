//! From a [`Config`] to the head of a bundle (on the host).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use dtoolkit::ToPropertyValue;
use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};

use super::{
    ALIGN, Backend, Base, COMPATIBLE, Config, Disk, DiskModel, Extent, Guest, MmioVersion, Net,
    NetModel, PAGE, Passed, RealDevice, Word,
};

impl Config {
    /// Gives each payload its place behind the header; returns the size of
    /// the whole bundle.
    ///
    /// The numbers in the tree have a fixed width, so the size of the header
    /// does not depend on where the payloads are.
    pub fn place(&mut self) -> u64 {
        let mut end = self.header().len() as u64;
        for extent in self.extents_mut() {
            extent.offset = end;
            end = end.saturating_add(extent.len).next_multiple_of(ALIGN);
        }
        end
    }

    /// All payloads, in the order in which they follow the header: per guest
    /// the kernel, the initial RAM disk, the images of its disks; then those
    /// that overlays share.
    pub fn extents_mut(&mut self) -> Vec<&mut Extent> {
        let mut all = Vec::new();
        for guest in &mut self.guests {
            all.push(&mut guest.kernel);
            all.extend(guest.initrd.as_mut());
            all.extend(guest.disks.iter_mut().filter_map(|disk| match &mut disk.backend {
                Backend::Ram(image) => Some(image),
                Backend::Qemu { .. } | Backend::Overlay { .. } => None,
            }));
        }
        all.extend(&mut self.images);
        all
    }

    /// The head of the bundle: the tree, padded to [`ALIGN`].
    pub fn header(&self) -> Vec<u8> {
        let mut tree = DeviceTree::new();
        set(&mut tree.root, "compatible", COMPATIBLE);
        set(&mut tree.root, "trace", self.trace.bits());
        if let Some(limit) = self.trace_limit {
            set(&mut tree.root, "trace-limit", limit);
        }
        if let Some(escape) = self.escape {
            set(&mut tree.root, "escape", u32::from(escape));
        }
        for (number, image) in self.images.iter().enumerate() {
            let mut node = DeviceTreeNode::new_unchecked(format!("image@{number:x}"));
            set_extent(&mut node, "data", *image);
            tree.root.add_child(node);
        }
        let mut guests = DeviceTreeNode::new_unchecked("guests");
        for (number, guest) in self.guests.iter().enumerate() {
            guests.add_child(guest_node(number, guest));
        }
        tree.root.add_child(guests);
        let mut bytes = tree.to_dtb();
        bytes.resize(bytes.len().next_multiple_of(PAGE), 0);
        bytes
    }
}

fn guest_node(number: usize, guest: &Guest) -> DeviceTreeNode {
    let mut node = DeviceTreeNode::new_unchecked(format!("guest@{number:x}"));
    set(&mut node, "name", guest.name.as_str());
    set(&mut node, "memory", guest.memory);
    set(&mut node, "cpus", guest.cpus);
    set(&mut node, "cpu-mode", guest.cpu_mode.word());
    set(&mut node, "boot", guest.boot.word());
    set(&mut node, "bootargs", guest.bootargs.as_str());
    if guest.no_reboot {
        set(&mut node, "no-reboot", [0u8; 0]);
    }
    set(&mut node, "console", guest.console.word());
    set(&mut node, "rng", guest.rng.word());
    if let Some(bytes) = guest.balloon {
        set(&mut node, "balloon", bytes);
    }
    set_extent(&mut node, "kernel", guest.kernel);
    if let Some(initrd) = guest.initrd {
        set_extent(&mut node, "initrd", initrd);
    }
    for (number, disk) in guest.disks.iter().enumerate() {
        node.add_child(disk_node(number, disk));
    }
    if let Some(net) = &guest.net {
        node.add_child(net_node(net));
    }
    for (number, passed) in guest.passed.iter().enumerate() {
        node.add_child(passed_node(number, *passed));
    }
    node
}

fn passed_node(number: usize, passed: Passed) -> DeviceTreeNode {
    let mut node = DeviceTreeNode::new_unchecked(format!("pass@{number:x}"));
    match passed.device {
        RealDevice::VirtioMmio { slot } => {
            set(&mut node, "device", "virtio-mmio");
            set(&mut node, "slot", u32::from(slot));
        }
        RealDevice::Pci { device } => {
            set(&mut node, "device", "pci");
            set(&mut node, "slot", u32::from(device));
        }
    }
    set(&mut node, "dma", passed.dma.word());
    node
}

fn net_node(net: &Net) -> DeviceTreeNode {
    let mut node = DeviceTreeNode::new_unchecked("net@0");
    let model = match net.model {
        NetModel::VirtioMmio(version) => {
            set(&mut node, "version", version.number());
            "virtio-mmio"
        }
        NetModel::Pv => "pv",
    };
    set(&mut node, "model", model);
    set(&mut node, "mac", net.mac.0);
    if net.uplink {
        set(&mut node, "uplink", [0u8; 0]);
    }
    node
}

fn disk_node(number: usize, disk: &Disk) -> DeviceTreeNode {
    let mut node = DeviceTreeNode::new_unchecked(format!("disk@{number:x}"));
    let model = match disk.model {
        DiskModel::VirtioMmio(version) => {
            set(&mut node, "version", version.number());
            "virtio-mmio"
        }
        DiskModel::Pv => "pv",
        DiskModel::Ata { burst } => {
            if burst {
                set(&mut node, "burst", [0u8; 0]);
            }
            "ata"
        }
    };
    set(&mut node, "model", model);
    match &disk.backend {
        Backend::Qemu { serial } => {
            set(&mut node, "backend", "qemu");
            set(&mut node, "serial", serial.as_str());
        }
        Backend::Ram(image) => {
            set(&mut node, "backend", "ram");
            set_extent(&mut node, "image", *image);
        }
        Backend::Overlay { base, room } => {
            set(&mut node, "backend", "overlay");
            set(&mut node, "room", *room);
            match base {
                Base::Image(number) => set(&mut node, "image-number", *number),
                Base::Qemu { serial } => set(&mut node, "serial", serial.as_str()),
            }
        }
    }
    if disk.read_only {
        set(&mut node, "read-only", [0u8; 0]);
    }
    node
}

fn set<T: ToPropertyValue>(node: &mut DeviceTreeNode, name: &str, value: T) {
    node.add_property(DeviceTreeProperty::new_unchecked(String::from(name), value));
}

fn set_extent(node: &mut DeviceTreeNode, name: &str, extent: Extent) {
    let mut bytes = [0; 16];
    let (offset, len) = bytes.split_at_mut(8);
    offset.copy_from_slice(&extent.offset.to_be_bytes());
    len.copy_from_slice(&extent.len.to_be_bytes());
    set(node, name, bytes);
}

impl MmioVersion {
    /// The number that the `Version` register reads.
    pub fn number(self) -> u32 {
        match self {
            Self::Legacy => 1,
            Self::Modern => 2,
        }
    }
}
