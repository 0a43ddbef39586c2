//! The rungs of each ladder, from the lowest; the last one is native, and what
//! the others are compared with.
//!
//! A rung more is an entry here, and a driver in `guests/ladder` if there is
//! none yet.

use std::path::Path;

/// One device in all its ways.
pub struct Suite {
    /// Its name, for the kernel, too.
    pub name: &'static str,
    /// The rungs.
    pub ways: &'static [Way],
    /// Combinations for the kernel; none: all.
    pub(super) cells: &'static str,
    /// The same where instructions are counted.
    pub(super) counted: &'static str,
}

/// One way to a device.
pub struct Way {
    /// Its name in reports.
    pub name: &'static str,
    /// What it is, in a few words.
    pub what: &'static str,
    /// The kernel's driver.
    pub(super) driver: &'static str,
    /// The device that it finds.
    pub(super) device: Device,
    /// Whether the VMM is left out.
    pub(super) native: bool,
}

/// What the guest has, as options of `cargo xtask run`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Device {
    /// A disk, and what follows its path.
    Disk(&'static str),
    /// A console that is there anyway.
    Terminal,
    /// A virtio console.
    Console,
    /// A network.
    Net(&'static str),
    /// A network with another guest that answers, and nobody else.
    Pair(&'static str),
    /// A disk of the guest's own, and what follows its path.
    OwnDisk(&'static str),
    /// A network interface of the guest's own.
    OwnNet(&'static str),
}

impl Device {
    /// The options, with `image` as the disk's.
    pub(super) fn options(self, image: &Path) -> Vec<String> {
        let [option, value] = match self {
            Self::Disk(options) => ["--disk", &format!("{},{options}", image.display())],
            Self::Console => ["--console", "virtio-mmio"],
            Self::Net(options) => ["--net", options],
            Self::OwnDisk(options) => ["--pass", &format!("disk={},{options}", image.display())],
            Self::OwnNet(options) => ["--pass", &format!("net,{options}")],
            // In a file, as there are two guests.
            Self::Terminal | Self::Pair(_) => return Vec::new(),
        };
        vec![option.to_owned(), value.to_owned()]
    }
}

impl Way {
    /// Whether the device answers at once, so that instructions of an
    /// operation can be counted: QEMU's own disk and network take time
    /// instead.
    pub(super) fn is_counted(&self) -> bool {
        match self.device {
            Device::Disk(options) => options.ends_with("backend=ram"),
            Device::Terminal | Device::Console | Device::Pair(_) => true,
            Device::Net(_) | Device::OwnDisk(_) | Device::OwnNet(_) => false,
        }
    }

    /// The network that two guests share, where there are two.
    pub(super) fn pair(&self) -> Option<&'static str> {
        match self.device {
            Device::Pair(net) => Some(net),
            _ => None,
        }
    }

    /// Whether the guest's memory is where the machine has it.
    pub(super) fn is_moved(&self) -> bool {
        matches!(self.device, Device::OwnDisk(TRUSTED) | Device::OwnNet(TRUSTED))
    }

    /// How many reads at a time are broken down by category: those that the
    /// VMM has a part in. Waiting for a disk of QEMU's is not in the log of
    /// instructions.
    pub(super) fn profiled(&self) -> &'static [u32] {
        match (self.device, self.driver) {
            _ if self.native => &[],
            (Device::Disk(_), "ata" | "sync") => &[1],
            (Device::Disk(_), _) => &[1, 32],
            _ => &[],
        }
    }
}

/// What gives a guest a device without checks.
const TRUSTED: &str = "dma=trusted";

const fn way(name: &'static str, what: &'static str, driver: &'static str, device: Device) -> Way {
    Way { name, what, driver, device, native: false }
}

const fn native(
    name: &'static str,
    what: &'static str,
    driver: &'static str,
    device: Device,
) -> Way {
    Way { name, what, driver, device, native: true }
}

/// Disks.
pub const DISKS: Suite = Suite {
    name: "disks",
    ways: &[
        way(
            "ATA PIO",
            "task file and data port, each access emulated",
            "ata",
            Device::Disk("model=ata,backend=ram"),
        ),
        way(
            "ATA PIO, burst",
            "the same; copy loops at the data port carried on within an exit",
            "ata",
            Device::Disk("model=ata,burst,backend=ram"),
        ),
        way(
            "virtio-mmio 1",
            "legacy registers, emulated; `virtio-drivers`",
            "virtio",
            Device::Disk("version=1,backend=ram"),
        ),
        way(
            "virtio-mmio 2",
            "modern registers, emulated; `virtio-drivers`",
            "virtio",
            Device::Disk("version=2,backend=ram"),
        ),
        way(
            "PV, virtio-drivers",
            "hypercalls under the same driver",
            "bridge",
            Device::Disk("model=pv,backend=ram"),
        ),
        way(
            "PV, waiting",
            "`guest-drivers`, one call for each request",
            "sync",
            Device::Disk("model=pv,backend=ram"),
        ),
        way(
            "PV, queued",
            "`guest-drivers`, requests in flight",
            "pv",
            Device::Disk("model=pv,backend=ram"),
        ),
        way(
            "PV on QEMU's disk",
            "the same; the VMM passes requests on",
            "pv",
            Device::Disk("model=pv,backend=qemu"),
        ),
        way(
            "pass-through, mediated",
            "QEMU's disk is the guest's own; `virtio-drivers`; the VMM checks each buffer",
            "virtio",
            Device::OwnDisk("dma=mediated"),
        ),
        way(
            "pass-through, trusted",
            "the same without checks: no exit but for interrupts",
            "virtio",
            Device::OwnDisk(TRUSTED),
        ),
        native(
            "native",
            "no VMM: QEMU's virtio-mmio 2; `virtio-drivers`",
            "virtio",
            Device::Disk("version=2,backend=qemu"),
        ),
    ],
    cells: "",
    counted: "bytes=131072 patterns=sequential",
};

/// What is shown: bytes at a time.
pub const CONSOLE: Suite = Suite {
    name: "console",
    ways: &[
        way("UART", "a register per byte, and one to ask first", "uart", Device::Terminal),
        way("virtio-mmio 2", "registers, emulated; `virtio-drivers`", "virtio", Device::Console),
        way("PV, virtio-drivers", "hypercalls under the same queue", "bridge", Device::Terminal),
        way("PV", "`guest-drivers`, one call for each text", "pv", Device::Terminal),
        native("native virtio-mmio 2", "no VMM: QEMU's virtio console", "virtio", Device::Console),
        // The real UART is where the VMM's consoles end, too.
        native("native", "no VMM: QEMU's 16550", "uart", Device::Terminal),
    ],
    cells: "sizes=1,64,1024 depths=1 patterns=sequential bytes=8192 ops=1024",
    counted: "sizes=1,64,1024 depths=1 patterns=sequential bytes=8192 ops=128",
};

/// QEMU's user network: its gateway answers echoes, and drops what it does not
/// know.
pub const NETWORK: Suite = Suite {
    name: "network",
    ways: &[
        way(
            "two guests, virtio-mmio 2",
            "a guest answers instead of QEMU, on the VMM's switch; one hart has both",
            "virtio",
            Device::Pair("switch,version=2"),
        ),
        way("two guests, PV", "the same, `guest-drivers`", "pv", Device::Pair("switch,model=pv")),
        way("virtio-mmio 1", "legacy registers, emulated", "virtio", Device::Net("user,version=1")),
        way("virtio-mmio 2", "modern registers, emulated", "virtio", Device::Net("user,version=2")),
        way(
            "PV, virtio-drivers",
            "hypercalls under the same queues",
            "bridge",
            Device::Net("user,model=pv"),
        ),
        way("PV", "`guest-drivers`", "pv", Device::Net("user,model=pv")),
        way(
            "pass-through, mediated",
            "QEMU's interface is the guest's own; the VMM checks each buffer",
            "virtio",
            Device::OwnNet("dma=mediated"),
        ),
        way(
            "pass-through, trusted",
            "the same without checks: no exit but for interrupts",
            "virtio",
            Device::OwnNet(TRUSTED),
        ),
        native("native", "no VMM: QEMU's virtio-mmio 2", "virtio", Device::Net("user,version=2")),
    ],
    cells: "sizes=64,1514 depths=1,8,32 patterns=sequential",
    counted: "sizes=64,1514 depths=1,8,32 patterns=sequential ops=1024",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ladder_ends_natively_and_has_names_of_its_own() {
        for suite in [&DISKS, &CONSOLE, &NETWORK] {
            assert!(suite.ways.last().is_some_and(|way| way.native), "{}", suite.name);
            for way in suite.ways {
                let same = suite.ways.iter().filter(|other| other.name == way.name);
                assert_eq!(same.count(), 1, "{}", way.name);
            }
        }
    }

    #[test]
    fn devices_are_options_of_a_run() {
        let image = Path::new("a.img");
        assert_eq!(Device::Disk("model=pv").options(image), ["--disk", "a.img,model=pv"]);
        assert_eq!(Device::Net("user").options(image), ["--net", "user"]);
        assert_eq!(Device::OwnDisk("ro").options(image), ["--pass", "disk=a.img,ro"]);
        let moved = DISKS.ways.iter().filter(|way| way.is_moved());
        assert_eq!(moved.count(), 1);
        assert!(Device::Terminal.options(image).is_empty());
        assert!(DISKS.ways[0].is_counted() && !DISKS.ways[7].is_counted());
        let depths = [&DISKS.ways[0], &DISKS.ways[7], &CONSOLE.ways[0]].map(Way::profiled);
        assert_eq!(depths, [&[1][..], &[1, 32], &[]]);
    }
}
