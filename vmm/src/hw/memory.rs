//! The real machine's memory: who gets which part.
//!
//! ```text
//!  0x8000_0000  the VMM's image and stacks (guarded by PMP)
//!               heap: shadow tables and all other bookkeeping
//!               guest RAM, in 2 MiB units
//!               the bundle, where QEMU put it; guest RAM on either side
//!
//! QEMU's device tree lies within, in the middle of a large RAM: what the VMM
//! needs of it is copied, and its place is used like the rest.
//! ```

use dtoolkit::fdt::Fdt;
use dtoolkit::{Node, Property};

/// What the device tree says that the VMM needs.
pub(super) struct Map {
    /// One past the last byte of RAM.
    pub(super) ram_end: u64,
    /// The bundle: first byte and one past the last.
    pub(super) bundle: Option<(u64, u64)>,
    /// Number of harts.
    pub(super) harts: usize,
    /// Whether they have Sstc.
    pub(super) sstc: bool,
    /// Registers of the real-time clock, if there is one.
    pub(super) rtc: Option<u64>,
    /// The IOMMU in front of PCI, if there is one.
    pub(super) iommu: Option<Unit>,
    /// Entropy, if QEMU gave any.
    pub(super) seed: Option<[u8; 32]>,
}

/// A device with registers and interrupts.
#[derive(Clone, Copy)]
pub(super) struct Unit {
    /// First address of the registers.
    pub(super) registers: u64,
    /// The first of its interrupts at the PLIC.
    pub(super) source: u32,
}

/// Reads the device tree that QEMU left at `address`.
///
/// # Safety
/// `address` must be that of a device tree that nobody changes.
pub(super) unsafe fn read(address: u64) -> Option<Map> {
    let start = core::ptr::with_exposed_provenance::<u8>(crate::addr::to_usize(address));
    // SAFETY: the header's second word is the size (the caller's promise).
    let header = unsafe { core::slice::from_raw_parts(start, 8) };
    let size = u32::from_be_bytes(*header.last_chunk()?);
    // SAFETY: as long as the header says.
    let bytes = unsafe { core::slice::from_raw_parts(start, size as usize) };
    let fdt = Fdt::new(bytes).ok()?;
    let root = fdt.root();
    let memory = root.children().find(|node| node.name().starts_with("memory"))?;
    let [base, length] = cells(memory.property("reg")?.value())?;
    let cpus = fdt.find_node("/cpus")?;
    let mut harts = 0;
    let mut isa = None;
    for hart in cpus.children().filter(|node| node.name().starts_with("cpu@")) {
        (harts, isa) = (harts + 1, hart.property("riscv,isa"));
    }
    let sstc = isa.is_some_and(|isa| isa.value().split(|byte| *byte == b'_').any(is_sstc));
    let chosen = fdt.find_node("/chosen")?;
    let place = |name| chosen.property(name).and_then(|p| number(p.value()));
    let bundle = place("linux,initrd-start").zip(place("linux,initrd-end"));
    let seed = chosen.property("rng-seed").and_then(|p| p.value().first_chunk().copied());
    let soc = fdt.find_node("/soc");
    let clock = soc.and_then(|soc| soc.children().find(|node| node.name().starts_with("rtc@")));
    let rtc = clock.and_then(|node| cells(node.property("reg")?.value())).map(|[base, _]| base);
    let unit = soc.and_then(|soc| soc.children().find(|node| node.name().starts_with("iommu@")));
    let iommu = unit.and_then(|node| {
        let [registers, _] = cells(node.property("reg")?.value())?;
        let interrupts = node.property("interrupts")?;
        let source = u32::from_be_bytes(*interrupts.value().first_chunk()?);
        Some(Unit { registers, source })
    });
    Some(Map { ram_end: base + length, bundle, harts, sstc, rtc, iommu, seed })
}

/// The last extension of the string has its end, too.
fn is_sstc(extension: &[u8]) -> bool {
    extension.strip_suffix(&[0]).unwrap_or(extension) == b"sstc"
}

/// A `reg` of one address and one size, two cells each.
fn cells(bytes: &[u8]) -> Option<[u64; 2]> {
    let (first, second) = bytes.split_at_checked(8)?;
    Some([number(first)?, number(second)?])
}

/// A number of one or two cells.
fn number(bytes: &[u8]) -> Option<u64> {
    match bytes.len() {
        4 => Some(u32::from_be_bytes(bytes.try_into().ok()?).into()),
        8 => Some(u64::from_be_bytes(bytes.try_into().ok()?)),
        _ => None,
    }
}

/// Parts of RAM that are still free.
pub(super) struct Free {
    ranges: [(u64, u64); 2],
}

impl Free {
    /// Everything from `start` to the end of RAM but the bundle.
    pub(super) fn new(map: &Map, start: u64) -> Self {
        let end = map.ram_end;
        let bundle = map.bundle.unwrap_or((end, end));
        Self { ranges: [(start, bundle.0), (bundle.1, end)] }
    }

    /// Takes `size` bytes aligned to `align`, a power of two, from the
    /// smallest part that has room.
    pub(super) fn take(&mut self, size: u64, align: u64) -> Option<u64> {
        let room = |range: &(u64, u64)| {
            let start = range.0.checked_next_multiple_of(align)?;
            (start.checked_add(size)? <= range.1).then_some(range.1 - start)
        };
        let fits = self.ranges.iter_mut().filter_map(|range| room(range).map(|left| (left, range)));
        let (_, range) = fits.min_by_key(|(left, _)| *left)?;
        let start = range.0.next_multiple_of(align);
        range.0 = start + size;
        Some(start)
    }
}
