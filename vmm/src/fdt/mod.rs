//! The device tree that a guest is given: what its machine has, no more.
//!
//! It follows the one that QEMU makes for its `virt` machine, as kernels look
//! for these names, and satisfies the bindings of Linux 6.12
//! (Documentation/devicetree/bindings). Format: Devicetree Specification 0.4.
//! Addresses and interrupts are those of the [`bus`].

#[cfg(test)]
mod tests;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use dtoolkit::ToPropertyValue;
use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};

use crate::addr::Gpa;
use crate::bus::{self, Window};
use crate::entropy::SEED;
use crate::pci;

/// A guest's machine, as far as guests differ.
#[derive(Clone, Copy, Debug)]
pub struct Description<'a> {
    /// RAM.
    pub memory: Window,
    /// Number of harts.
    pub cpus: u32,
    /// Extensions beyond the ones that each hart has ([`EXTENSIONS`]), in
    /// lower case. `sstc` is always among them when `sbi` is.
    pub extensions: &'a [&'a str],
    /// Ticks of `time` per second.
    pub timebase: u32,
    /// The kernel's command line; ends at a NUL, as for all readers.
    pub bootargs: &'a str,
    /// Start and end of the initrd.
    pub initrd: Option<(Gpa, Gpa)>,
    /// Entropy for the guest's random numbers, if there is any.
    pub seed: Option<[u8; SEED]>,
    /// Whether the guest has SBI, being booted in vS. There is no CLINT then,
    /// and the M contexts of the PLIC are nobody's.
    pub sbi: bool,
    /// Interrupt sources of the PLIC.
    pub plic_sources: u32,
    /// Bit n: virtio-mmio slot n is there.
    pub virtio: u8,
    /// Whether there is a real-time clock.
    pub rtc: bool,
    /// An ATA drive.
    pub ata: Option<Ata>,
    /// Whether there is a PCI bus.
    pub pci: bool,
    /// The SBI extension of the paravirtual interface, if there is one.
    pub pv: Option<u32>,
}

/// Where an emulated ATA drive is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ata {
    /// The eight registers of the command block.
    pub command: Window,
    /// The alternate status and device control register.
    pub control: Window,
    /// PLIC source.
    pub irq: u32,
}

/// What each hart has beyond the base instruction set, in canonical order.
pub const EXTENSIONS: [&str; 8] = ["m", "a", "f", "d", "c", "zicntr", "zicsr", "zifencei"];

/// Interrupts of a hart, by their number in `mip`.
const MACHINE_SOFT: u32 = 3;
const MACHINE_TIMER: u32 = 7;
const MACHINE_EXTERNAL: u32 = 11;
const SUPERVISOR_EXTERNAL: u32 = 9;
/// The interrupt of a context that is nobody's.
const NOBODY: u32 = u32::MAX;

/// What the finisher takes to end the guest, and to start it anew.
const POWER_OFF: u32 = 0x5555;
const REBOOT: u32 = 0x7777;

/// In the first of three cells of a PCI address: memory of 32 bits, and the
/// number of a device.
const PCI_SPACE: u32 = 0x0200_0000;
const PCI_DEVICE: u32 = 1 << 11;

const UART_PATH: &str = "/soc/serial@10000000";

impl Description<'_> {
    /// The tree as a flattened blob.
    pub fn build(&self) -> Vec<u8> {
        let mut tree = DeviceTree::new();
        tree.root = node("")
            .with("#address-cells", 2u32)
            .with("#size-cells", 2u32)
            .with("compatible", "riscv-virtio")
            .with("model", "trapeze,virt")
            .child(self.chosen())
            .child(node("aliases").with("serial0", UART_PATH))
            .child(at("memory", self.memory).with("device_type", "memory"))
            .child(self.cpus())
            .child(self.soc())
            .child(self.power("poweroff", POWER_OFF))
            .child(self.power("reboot", REBOOT));
        if let Some(extension) = self.pv {
            tree.root.add_child(
                node("hypervisor")
                    .with("compatible", "trapeze,pv")
                    .with("trapeze,sbi-extension", extension),
            );
        }
        tree.to_dtb()
    }

    fn chosen(&self) -> DeviceTreeNode {
        let bootargs = self.bootargs.split('\0').next().unwrap_or_default();
        let chosen = node("chosen").with("stdout-path", UART_PATH).with("bootargs", bootargs);
        let chosen = match &self.seed {
            None => chosen,
            Some(seed) => chosen.with("rng-seed", &seed[..]),
        };
        match self.initrd {
            None => chosen,
            Some((start, end)) => {
                chosen.with("linux,initrd-start", start.0).with("linux,initrd-end", end.0)
            }
        }
    }

    fn cpus(&self) -> DeviceTreeNode {
        let cpus = node("cpus")
            .with("#address-cells", 1u32)
            .with("#size-cells", 0u32)
            .with("timebase-frequency", self.timebase);
        (0..self.cpus).fold(cpus, |cpus, hart| cpus.child(self.cpu(hart)))
    }

    fn cpu(&self, hart: u32) -> DeviceTreeNode {
        let extensions = self.all_extensions();
        let interrupts = node("interrupt-controller")
            .with("compatible", "riscv,cpu-intc")
            .flag("interrupt-controller")
            .with("#interrupt-cells", 1u32)
            .with("#address-cells", 0u32)
            .with("phandle", self.cpu_phandle(hart));
        node(&format!("cpu@{hart:x}"))
            .with("device_type", "cpu")
            .with("reg", hart)
            .with("status", "okay")
            .with("compatible", "riscv")
            .with("riscv,isa", isa_string(&extensions).as_str())
            .with("riscv,isa-base", "rv64i")
            .with("riscv,isa-extensions", strings(&[&["i"], &extensions[..]].concat()))
            .with("mmu-type", "riscv,sv39")
            .child(interrupts)
    }

    /// Supervisor extensions come after the others, each kind in order.
    fn all_extensions(&self) -> Vec<&str> {
        let mut more: Vec<_> = self.extensions.to_vec();
        if self.sbi {
            more.push("sstc");
        }
        more.sort_unstable_by_key(|name| (name.starts_with('s'), *name));
        more.dedup();
        [&EXTENSIONS[..], &more[..]].concat()
    }

    fn soc(&self) -> DeviceTreeNode {
        let soc = node("soc")
            .with("#address-cells", 2u32)
            .with("#size-cells", 2u32)
            .with("compatible", "simple-bus")
            .flag("ranges");
        let fixed = [Some(self.plic()), self.clint(), Some(self.finisher()), Some(self.uart())];
        let virtio = (0..bus::VIRTIO_SLOTS).filter(|slot| self.virtio >> slot & 1 != 0);
        fixed
            .into_iter()
            .flatten()
            .chain(self.rtc.then(|| self.real_time_clock()))
            .chain(self.ata.map(|ata| self.drive(ata)))
            .chain(virtio.map(|slot| self.virtio(slot)))
            .chain(self.pci.then(|| self.pci_bus()))
            .fold(soc, NodeExt::child)
    }

    fn plic(&self) -> DeviceTreeNode {
        let machine = if self.sbi { NOBODY } else { MACHINE_EXTERNAL };
        at("plic", bus::PLIC)
            .with("compatible", strings(&["sifive,plic-1.0.0", "riscv,plic0"]))
            .flag("interrupt-controller")
            .with("#interrupt-cells", 1u32)
            .with("#address-cells", 0u32)
            .with("interrupts-extended", self.per_hart(machine, SUPERVISOR_EXTERNAL))
            .with("riscv,ndev", self.plic_sources)
            .with("phandle", self.plic_phandle())
    }

    fn clint(&self) -> Option<DeviceTreeNode> {
        let node = at("clint", bus::CLINT)
            .with("compatible", strings(&["sifive,clint0", "riscv,clint0"]))
            .with("interrupts-extended", self.per_hart(MACHINE_SOFT, MACHINE_TIMER));
        (!self.sbi).then_some(node)
    }

    fn finisher(&self) -> DeviceTreeNode {
        at("test", bus::FINISHER)
            .with("compatible", strings(&["sifive,test1", "sifive,test0", "syscon"]))
            .with("phandle", self.finisher_phandle())
    }

    fn uart(&self) -> DeviceTreeNode {
        self.interrupting(at("serial", bus::UART), bus::UART_IRQ)
            .with("compatible", "ns16550a")
            .with("clock-frequency", 3_686_400u32)
    }

    fn real_time_clock(&self) -> DeviceTreeNode {
        self.interrupting(at("rtc", bus::RTC), bus::RTC_IRQ)
            .with("compatible", "google,goldfish-rtc")
    }

    fn virtio(&self, slot: u8) -> DeviceTreeNode {
        self.interrupting(at("virtio_mmio", bus::virtio_slot(slot)), bus::virtio_irq(slot))
            .with("compatible", "virtio,mmio")
    }

    fn drive(&self, ata: Ata) -> DeviceTreeNode {
        let registers = [reg(ata.command), reg(ata.control)].concat();
        self.interrupting(at("ata", ata.command), ata.irq)
            .with("compatible", "ata-generic")
            .with("reg", registers)
            .with("pio-mode", 4u32)
    }

    /// A bus with its configuration space in memory, as in the binding of
    /// `pci-host-ecam-generic`. Addresses on it are those of the harts, and so
    /// are the ones by which functions reach memory.
    fn pci_bus(&self) -> DeviceTreeNode {
        let memory = bus::PCI_MEMORY;
        let [start, size] = [memory.base.0.to_be_bytes(), memory.size.to_be_bytes()];
        let ranges = [&PCI_SPACE.to_be_bytes()[..], &start, &start, &size].concat();
        at("pci", bus::PCI_CONFIG)
            .with("compatible", "pci-host-ecam-generic")
            .with("device_type", "pci")
            .flag("dma-coherent")
            .with("#address-cells", 3u32)
            .with("#size-cells", 2u32)
            .with("#interrupt-cells", 1u32)
            .with("linux,pci-domain", 0u32)
            .with("bus-range", cells(&[0, 0]))
            .with("ranges", ranges)
            .with("interrupt-map-mask", cells(&[PCI_DEVICE * 3, 0, 0, 7]))
            .with("interrupt-map", self.pci_interrupts())
    }

    /// Each device has four pins; the next one has them on the next line each.
    fn pci_interrupts(&self) -> Vec<u8> {
        let pins = (0..4u8).flat_map(|device| (1..=4).map(move |pin| (device, pin)));
        let entry = |(device, pin): (u8, u8)| {
            let irq = bus::PCI_IRQS + pci::line(device, pin);
            cells(&[PCI_DEVICE * u32::from(device), 0, 0, pin.into(), self.plic_phandle(), irq])
        };
        pins.flat_map(entry).collect()
    }

    fn power(&self, name: &str, value: u32) -> DeviceTreeNode {
        node(name)
            .with("compatible", format!("syscon-{name}").as_str())
            .with("regmap", self.finisher_phandle())
            .with("offset", 0u32)
            .with("value", value)
    }

    fn interrupting(&self, node: DeviceTreeNode, irq: u32) -> DeviceTreeNode {
        node.with("interrupts", irq).with("interrupt-parent", self.plic_phandle())
    }

    /// Two interrupts of each hart.
    fn per_hart(&self, first: u32, second: u32) -> Vec<u8> {
        (0..self.cpus)
            .map(|hart| self.cpu_phandle(hart))
            .flat_map(|phandle| [phandle, first, phandle, second])
            .flat_map(u32::to_be_bytes)
            .collect()
    }

    const fn plic_phandle(&self) -> u32 {
        1
    }

    const fn finisher_phandle(&self) -> u32 {
        2
    }

    const fn cpu_phandle(&self, hart: u32) -> u32 {
        3 + hart
    }
}

/// `rv64imafdc_zicntr_...`: single letters run together.
fn isa_string(extensions: &[&str]) -> String {
    let mut isa = String::from("rv64i");
    for name in extensions {
        if name.len() > 1 {
            isa.push('_');
        }
        isa.push_str(name);
    }
    isa
}

fn node(name: &str) -> DeviceTreeNode {
    DeviceTreeNode::new_unchecked(name)
}

/// A node that is named after its address and has a `reg`.
fn at(name: &str, window: Window) -> DeviceTreeNode {
    node(&format!("{name}@{:x}", window.base.0)).with("reg", reg(window))
}

/// An address and a size of two cells each.
fn reg(window: Window) -> Vec<u8> {
    [window.base.0.to_be_bytes(), window.size.to_be_bytes()].concat()
}

/// A list of numbers.
fn cells(list: &[u32]) -> Vec<u8> {
    list.iter().flat_map(|cell| cell.to_be_bytes()).collect()
}

/// A list of strings.
fn strings(list: &[&str]) -> Vec<u8> {
    list.iter().flat_map(|text| text.bytes().chain([0])).collect()
}

/// Building by chaining. The names are all ours, so none needs checking.
trait NodeExt {
    fn with(self, name: &str, value: impl ToPropertyValue) -> Self;
    fn flag(self, name: &str) -> Self;
    fn child(self, child: DeviceTreeNode) -> Self;
}

impl NodeExt for DeviceTreeNode {
    fn with(mut self, name: &str, value: impl ToPropertyValue) -> Self {
        self.add_property(DeviceTreeProperty::new_unchecked(name, value));
        self
    }

    fn flag(self, name: &str) -> Self {
        self.with(name, [0u8; 0])
    }

    fn child(mut self, child: DeviceTreeNode) -> Self {
        self.add_child(child);
        self
    }
}
