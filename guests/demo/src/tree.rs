//! The machine, as the device tree describes it: what this kernel uses of it.

use alloc::string::String;
use alloc::vec::Vec;
use core::ptr::with_exposed_provenance;

use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{Node, Property};

use crate::mmio::Registers;

/// A device with registers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    /// Address of its registers.
    pub(crate) base: usize,
    /// Their length.
    pub(crate) len: usize,
    /// Its interrupt at the PLIC, 0 if it has none.
    pub(crate) irq: u32,
}

impl Found {
    /// Its registers.
    pub(crate) fn registers(&self) -> Registers {
        // SAFETY: the device tree says that the device is there.
        unsafe { Registers::new(self.base) }
    }
}

/// What the machine has.
#[derive(Debug)]
pub(crate) struct Machine {
    /// Start and end of RAM.
    pub(crate) memory: (usize, usize),
    /// Number of harts.
    pub(crate) harts: usize,
    /// Ticks of `time` per second.
    pub(crate) frequency: u64,
    /// The kernel's command line.
    pub(crate) bootargs: String,
    /// The PLIC.
    pub(crate) plic: Option<Found>,
    /// The UART.
    pub(crate) uart: Option<Found>,
    /// The test finisher, which ends the machine.
    pub(crate) finisher: Option<Found>,
    /// The slots of virtio-mmio, with and without devices.
    pub(crate) virtio: Vec<Found>,
}

/// The bytes of the device tree at `start`; none if there is no tree.
///
/// # Safety
/// `start` must be null, or what the machine's firmware passed on.
pub(crate) unsafe fn bytes(start: *const u8) -> &'static [u8] {
    let start: *const u8 = with_exposed_provenance(start.expose_provenance());
    if start.is_null() {
        return &[];
    }
    // SAFETY: a device tree has a header of 40 bytes, and nobody writes it.
    let header = unsafe { start.cast::<[u8; 8]>().read() };
    let [m0, m1, m2, m3, l0, l1, l2, l3] = header;
    if u32::from_be_bytes([m0, m1, m2, m3]) != 0xd00d_feed {
        return &[];
    }
    // SAFETY: this is how long it says that it is.
    unsafe { core::slice::from_raw_parts(start, u32::from_be_bytes([l0, l1, l2, l3]) as usize) }
}

/// Start and end of RAM; apart from the rest, because the heap needs it.
pub(crate) fn memory(tree: &[u8]) -> Option<(usize, usize)> {
    let found = found(Fdt::new(tree).ok()?.root().child("memory")?)?;
    Some((found.base, found.base + found.len))
}

impl Machine {
    /// Reads the tree.
    pub(crate) fn new(tree: &[u8]) -> Option<Self> {
        let root = Fdt::new(tree).ok()?.root();
        let soc = root.child("soc")?;
        let cpus = root.child("cpus")?;
        let all = |name| {
            soc.children().filter(move |node| {
                node.compatible().is_some_and(|mut list| list.any(|is| is == name))
            })
        };
        let bootargs = root.child("chosen").and_then(|node| text(node, "bootargs"));
        Some(Self {
            memory: memory(tree)?,
            harts: cpus.children().filter(|node| node.name().starts_with("cpu@")).count(),
            frequency: number(cpus, "timebase-frequency")?.into(),
            bootargs: bootargs.unwrap_or_default(),
            plic: all("sifive,plic-1.0.0").find_map(found),
            uart: all("ns16550a").find_map(found),
            finisher: all("sifive,test0").find_map(found),
            virtio: all("virtio,mmio").filter_map(found).collect(),
        })
    }

    /// The value of `key=value`, one of the words of the command line.
    pub(crate) fn argument(&self, key: &str) -> Option<&str> {
        self.bootargs.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    }
}

fn found(node: FdtNode<'_>) -> Option<Found> {
    let registers = node.reg().ok()??.next()?;
    let irq = number(node, "interrupts").unwrap_or(0);
    let base = usize::try_from(registers.address::<u64>().ok()?).ok()?;
    let len = usize::try_from(registers.size::<u64>().ok()?).ok()?;
    Some(Found { base, len, irq })
}

fn number(node: FdtNode<'_>, name: &str) -> Option<u32> {
    let property = node.property(name)?;
    Some(u32::from_be_bytes(property.value().get(..4)?.try_into().ok()?))
}

fn text(node: FdtNode<'_>, name: &str) -> Option<String> {
    let property = node.property(name)?;
    let text = core::str::from_utf8(property.value()).ok()?;
    Some(text.trim_end_matches('\0').into())
}
