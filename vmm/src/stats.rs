//! What the VMM did, counted: one counter per kind of exit, and per CSR and
//! per device where the kind has many members.
//!
//! A vCPU's counters are written by the hart that runs it, and read by
//! anybody at any time: the monitor, the report, the guest itself. With one
//! writer, a load and a store count as well as an atomic addition, and are
//! as cheap as a plain one.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use trapeze_protocol::call::Function;

use crate::addr::{Access, Gpa, Gva, Hpa};
use crate::bus::{Region, VIRTIO_SLOTS, Width};
use crate::vcpu::{COUNT as CSRS, CsrId, Exception, Interrupt};

/// What the VMM did at an exit; the figures are for the trace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Did {
    /// Emulated a CSR access.
    Csr(CsrId),
    /// Emulated `sret`.
    Sret,
    /// Emulated `mret`.
    Mret,
    /// Performed `sfence.vma`.
    Fence,
    /// Emulated `wfi`.
    Wfi,
    /// Filled a shadow entry.
    Fill(Gva, Hpa),
    /// Gave the guest a page fault of its own.
    PageFault(Exception),
    /// Gave the guest its `ecall`.
    Ecall(Exception),
    /// Gave the guest another exception.
    Exception(Exception),
    /// Accessed a device register.
    Device(DeviceAccess),
    /// Performed a load, store or AMO on memory for the guest.
    Memory(Gva, Access),
    /// Served an SBI call: extension and function.
    Sbi(u64, u64),
    /// Served a hypercall of the paravirtual interface: its function.
    Hypercall(u64),
    /// Gave the hart's floating-point registers to this vCPU.
    Fp,
    /// The real timer.
    HostTimer,
    /// A kick from another hart.
    HostKick,
    /// An interrupt of a real device.
    HostDevice,
    /// The log port took a line.
    HostLog,
    /// Gave the guest an interrupt; not an exit of its own.
    Interrupted(Interrupt),
    /// Let the guest try again.
    Retry,
}

/// One access to an emulated register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeviceAccess {
    /// Which device.
    pub region: Region,
    /// Where.
    pub gpa: Gpa,
    /// How much.
    pub width: Width,
    /// Read or written.
    pub access: Access,
    /// The value read or written.
    pub value: u64,
}

/// Kinds that have one counter, in the order of the report.
const KINDS: [&str; 19] = [
    "sret",
    "mret",
    "sfence.vma",
    "wfi",
    "shadow fill",
    "page fault reflected",
    "ecall reflected",
    "exception reflected",
    "memory access emulated",
    "SBI call",
    "FP switch",
    "timer interrupt",
    "kick",
    "device interrupt",
    "interrupts injected",
    "retry",
    "log port interrupt",
    "PV notify",
    "PV call, others",
];

/// The counter of `sret`.
pub const SRET: usize = CSRS;
/// The counter of `sfence.vma`.
pub const FENCE: usize = CSRS + 2;

const DEVICES: [&str; 9] = [
    "UART",
    "PLIC",
    "CLINT",
    "finisher",
    "RTC",
    "ATA",
    "nothing",
    "PCI configuration",
    "PCI memory",
];
const FIRST_DEVICE: usize = CSRS + KINDS.len();
const FIRST_SLOT: usize = FIRST_DEVICE + DEVICES.len();
const COUNTERS: usize = FIRST_SLOT + VIRTIO_SLOTS as usize;
/// The hypercall that has a counter of its own.
const NOTIFY: u64 = Function::Notify as u64;
/// The kind that is no exit.
const INJECTED: usize = CSRS + 14;

impl Did {
    /// The counter that this belongs to.
    #[inline]
    fn counter(self) -> usize {
        let kind = match self {
            Self::Csr(id) => return id.index(),
            Self::Device(access) => return device_counter(access.region),
            Self::Sret => return SRET,
            Self::Mret => 1,
            Self::Fence => return FENCE,
            Self::Wfi => 3,
            Self::Fill(..) => 4,
            Self::PageFault(_) => 5,
            Self::Ecall(_) => 6,
            Self::Exception(_) => 7,
            Self::Memory(..) => 8,
            Self::Sbi(..) => 9,
            Self::Fp => 10,
            Self::HostTimer => 11,
            Self::HostKick => 12,
            Self::HostDevice => 13,
            Self::Interrupted(_) => 14,
            Self::Retry => 15,
            Self::HostLog => 16,
            Self::Hypercall(NOTIFY) => 17,
            Self::Hypercall(_) => 18,
        };
        CSRS + kind
    }
}

fn device_counter(region: Region) -> usize {
    let device = match region {
        Region::Uart => 0,
        Region::Plic => 1,
        Region::Clint => 2,
        Region::Finisher => 3,
        Region::Rtc => 4,
        Region::Virtio(slot) => return FIRST_SLOT + usize::from(slot % VIRTIO_SLOTS),
        Region::Ata => 5,
        Region::Ram | Region::None => 6,
        Region::PciConfig => 7,
        Region::PciMemory => 8,
    };
    FIRST_DEVICE + device
}

/// The counters of one vCPU, or of one guest.
#[derive(Debug)]
pub struct Stats {
    counts: [AtomicU64; COUNTERS],
}

impl Default for Stats {
    fn default() -> Self {
        Self { counts: [const { AtomicU64::new(0) }; COUNTERS] }
    }
}

/// Adds to a counter, whose only writer this is.
#[inline(always)]
fn increase(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
}

/// What a counter counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Accesses of a CSR.
    Csr(&'static str),
    /// Register accesses of a device.
    Device(&'static str),
    /// Register accesses of the virtio device in a slot.
    Virtio(usize),
    /// Anything else.
    Other(&'static str),
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Csr(name) => write!(f, "csr {name}"),
            Self::Device(name) => write!(f, "device {name}"),
            Self::Virtio(slot) => write!(f, "device virtio {slot}"),
            Self::Other(name) => f.write_str(name),
        }
    }
}

impl Stats {
    /// Counts one exit.
    #[inline]
    pub fn count(&self, did: Did) {
        if let Some(counter) = self.counts.get(did.counter()) {
            increase(counter, 1);
        }
    }

    /// Counts one CSR access.
    #[inline(always)]
    pub fn count_csr(&self, csr: CsrId) {
        if let Some(counter) = self.counts.get(csr.index()) {
            increase(counter, 1);
        }
    }

    /// Where the counters begin, those of CSRs in the order of [`CsrId`]
    /// first: for the trap entry, which is their one writer while the guest
    /// runs.
    #[inline(always)]
    pub fn counters(&self) -> *const AtomicU64 {
        self.counts.as_ptr()
    }

    /// The sum of these counters, as they are now.
    pub fn sum<'a>(all: impl IntoIterator<Item = &'a Self>) -> Self {
        let sum = Self::default();
        for stats in all {
            for (sum, count) in sum.counts.iter().zip(&stats.counts) {
                increase(sum, count.load(Ordering::Relaxed));
            }
        }
        sum
    }

    /// Exits in all.
    pub fn exits(&self) -> u64 {
        self.rows().filter(|(kind, _)| !kind.is_injection()).map(|(_, count)| count).sum()
    }

    /// The counter of this number, from 0; `None` beyond the last.
    pub fn get(&self, number: usize) -> Option<u64> {
        self.counts.get(number).map(|count| count.load(Ordering::Relaxed))
    }

    /// Every counter that is not zero.
    pub fn rows(&self) -> impl Iterator<Item = (Kind, u64)> + '_ {
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed)).enumerate();
        counts.filter(|(_, count)| *count != 0).map(|(n, count)| (kind(n), count))
    }
}

impl Kind {
    /// What the counter of this number counts; `None` beyond the last.
    pub fn of(number: usize) -> Option<Self> {
        (number < COUNTERS).then(|| kind(number))
    }

    /// Whether the rows count something else than exits.
    pub fn is_injection(self) -> bool {
        self == kind(INJECTED)
    }
}

fn kind(counter: usize) -> Kind {
    let csr = CsrId::ALL.get(counter).map(|id| Kind::Csr(id.name()));
    let other = || KINDS.get(counter - CSRS).map(|name| Kind::Other(name));
    let device = || DEVICES.get(counter - FIRST_DEVICE).map(|name| Kind::Device(name));
    csr.or_else(other).or_else(device).unwrap_or_else(|| Kind::Virtio(counter - FIRST_SLOT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_has_a_name_of_its_own() {
        let mut names: Vec<_> = (0..COUNTERS).map(|n| kind(n).to_string()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), COUNTERS);
    }

    #[test]
    fn rows_say_what_was_counted() {
        let stats = Stats::default();
        stats.count(Did::Sret);
        stats.count(Did::Sret);
        stats.count(Did::Csr(CsrId::of(0x100)));
        stats.count(Did::Interrupted(Interrupt::MachineTimer));
        let rows: Vec<_> = stats.rows().map(|(kind, n)| (kind.to_string(), n)).collect();
        let expected = [("csr sstatus", 1), ("sret", 2), ("interrupts injected", 1)];
        assert_eq!(rows, expected.map(|(name, n)| (name.to_string(), n)));
        assert_eq!(stats.exits(), 3);
    }

    #[test]
    fn a_sum_leaves_its_parts_alone() {
        let (one, two) = (Stats::default(), Stats::default());
        one.count(Did::Wfi);
        two.count(Did::Wfi);
        two.count(Did::Mret);
        assert_eq!(Stats::sum([&one, &two]).exits(), 3);
        assert_eq!((one.exits(), two.exits()), (1, 2));
    }

    #[test]
    fn devices_count_by_slot() {
        let region = Region::Virtio(3);
        let access = Access::Load;
        let did = DeviceAccess { region, gpa: Gpa(0), width: Width::Word, access, value: 0 };
        assert_eq!(kind(Did::Device(did).counter()), Kind::Virtio(3));
    }
}
