//! The real machine's IOMMU: who may reach what is in `crate::iommu`, here are
//! its registers and queues (RISC-V IOMMU Architecture Specification 1.0).

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::ptr::with_exposed_provenance_mut;
use core::sync::atomic::{AtomicU64, Ordering};

use spin::Once;
use spin::mutex::SpinMutex;
use zerocopy::FromZeros;

use super::memory::Unit;
use super::{csr, plic};
use crate::addr::to_usize;
use crate::iommu::{Command, DeviceId, Directory, Fault, Format, RECORD, Stage, Told, Verdict};

/// Offsets of registers (chapter "Memory-mapped register interface").
mod register {
    pub(super) const CAPABILITIES: usize = 0x00;
    pub(super) const FEATURES: usize = 0x08;
    pub(super) const DIRECTORY: usize = 0x10;
    pub(super) const COMMANDS: usize = 0x18;
    pub(super) const COMMAND_HEAD: usize = 0x20;
    pub(super) const COMMAND_TAIL: usize = 0x24;
    pub(super) const FAULTS: usize = 0x28;
    pub(super) const FAULT_HEAD: usize = 0x30;
    pub(super) const FAULT_TAIL: usize = 0x34;
    pub(super) const COMMAND_STATE: usize = 0x48;
    pub(super) const FAULT_STATE: usize = 0x4c;
    pub(super) const PENDING: usize = 0x54;
    pub(super) const VECTORS: usize = 0x2f8;
}

/// Capabilities: stages of Sv39x4, the long device context, interrupt by wire.
const SV39X4: u64 = 1 << 17;
const EXTENDED: u64 = 1 << 22;
const INTERRUPTS: u64 = 3 << 28;
/// `fctl`: interrupts by wire, not by message.
const WIRED: u32 = 1 << 1;
/// `ddtp`: one level, and that the last change is not done yet.
const ONE_LEVEL: u64 = 2;
const DIRECTORY_BUSY: u64 = 1 << 4;
/// State of a queue: enabled, interrupts enabled, overflowed, is on, busy.
const ENABLE: u32 = 1 << 0;
const INTERRUPT: u32 = 1 << 1;
const OVERFLOW: u32 = 1 << 9;
const IS_ON: u32 = 1 << 16;
/// Pending: the fault queue's interrupt.
const FAULT_PENDING: u32 = 1 << 1;

/// Doublewords of a queue, which is a page: 256 commands, or 128 faults.
const QUEUE: usize = 512;
const COMMAND_WORDS: usize = 2;
/// How often a register is looked at before the IOMMU counts as broken.
const PATIENCE: u32 = 1_000_000;
/// Devices on bus 0: all that are ever told about.
const DEVICES: usize = 256;

/// The memory of a queue.
#[derive(FromZeros)]
#[repr(C, align(4096))]
struct Queue([AtomicU64; QUEUE]);

impl Queue {
    /// What its register wants: page number, and log2 of the entries, minus 1.
    fn base(&self, words: usize) -> u64 {
        let entries = QUEUE / words;
        (core::ptr::from_ref(self) as u64 >> 12) << 10 | u64::from(entries.ilog2() - 1)
    }
}

struct Iommu {
    base: usize,
    source: u32,
    directory: Directory,
    commands: Box<Queue>,
    faults: Box<Queue>,
    /// What was told about the faults of each device.
    told: Vec<Told>,
    /// The fault queue has interrupted, and was not empty yet.
    news: bool,
}

static IOMMU: Once<Option<SpinMutex<Iommu>>> = Once::new();

/// Takes the IOMMU into service: from now on each device is blocked that is
/// not [admitted](admit). `false` if there is none that will do.
pub(super) fn init(unit: Option<Unit>) -> bool {
    IOMMU.call_once(|| Some(SpinMutex::new(Iommu::new(unit?)?))).is_some()
}

fn lock() -> Option<spin::mutex::spin::SpinMutexGuard<'static, Iommu>> {
    Some(IOMMU.get()?.as_ref()?.lock())
}

/// Lets a device reach `stage`, which has this number.
pub(super) fn admit(device: DeviceId, number: u16, stage: &Stage) -> bool {
    lock().is_some_and(|iommu| iommu.admit(device, number, stage))
}

/// Begins to count the faults of a device anew: its guest starts.
pub(super) fn forgive(device: DeviceId) {
    if let Some(mut iommu) = lock()
        && let Some(told) = iommu.told.get_mut(to_usize(device.into()))
    {
        *told = Told::default();
    }
}

/// Blocks a device. When this returns true it reaches nothing any more.
pub(super) fn expel(device: DeviceId, number: u16) -> bool {
    lock().is_some_and(|iommu| iommu.expel(device, number))
}

/// Takes note of an interrupt, if `source` is the IOMMU's.
pub(super) fn interrupted(source: u32) -> bool {
    let Some(mut iommu) = lock().filter(|iommu| iommu.source == source) else { return false };
    iommu.write(register::PENDING, FAULT_PENDING);
    iommu.news = true;
    true
}

/// The next fault to be told, and whether it is the last of its device.
pub(super) fn fault() -> Option<(Fault, bool)> {
    lock()?.next_fault()
}

impl Iommu {
    fn new(unit: Unit) -> Option<Self> {
        let base = to_usize(unit.registers);
        let probe = Self {
            base,
            source: unit.source,
            directory: Directory::new(Format::Base)?,
            commands: Queue::new_box_zeroed().ok()?,
            faults: Queue::new_box_zeroed().ok()?,
            told: vec![Told::default(); DEVICES],
            news: false,
        };
        let capabilities = probe.read_long(register::CAPABILITIES);
        let wired = capabilities & INTERRUPTS != 0;
        if capabilities & SV39X4 == 0 || !wired {
            return None;
        }
        let format = if capabilities & EXTENDED != 0 { Format::Extended } else { Format::Base };
        let iommu = Self { directory: Directory::new(format)?, ..probe };
        iommu.start().then_some(iommu)
    }

    /// Queues first, so that nothing is missed, then the directory.
    fn start(&self) -> bool {
        self.write(register::FEATURES, WIRED);
        self.write_long(register::VECTORS, 0);
        self.write_long(register::COMMANDS, self.commands.base(COMMAND_WORDS));
        self.write(register::COMMAND_STATE, ENABLE);
        self.write_long(register::FAULTS, self.faults.base(RECORD));
        self.write(register::FAULT_STATE, ENABLE | INTERRUPT);
        let on = |state| self.until(|| self.read(state) & IS_ON != 0);
        if !on(register::COMMAND_STATE) || !on(register::FAULT_STATE) {
            return false;
        }
        self.write_long(register::DIRECTORY, self.directory.page() << 10 | ONE_LEVEL);
        plic::enable(self.source);
        self.until(|| self.read_long(register::DIRECTORY) & DIRECTORY_BUSY == 0)
    }

    fn admit(&self, device: DeviceId, number: u16, stage: &Stage) -> bool {
        let admitted = self.directory.admit(device, number, stage);
        if self.told.get(to_usize(device.into())).is_some_and(Told::is_enough) {
            self.directory.silence(device);
        }
        admitted && self.perform(&[Command::ForgetDevice(device), Command::Fence])
    }

    fn expel(&self, device: DeviceId, number: u16) -> bool {
        self.directory.expel(device);
        self.perform(&[Command::ForgetDevice(device), Command::ForgetStage(number), Command::Fence])
    }

    /// Has commands performed, and waits for that.
    fn perform(&self, commands: &[Command]) -> bool {
        let slots = QUEUE / COMMAND_WORDS;
        let mut tail = self.read(register::COMMAND_TAIL);
        for command in commands {
            let at = to_usize(tail.into()) % slots * COMMAND_WORDS;
            for (word, value) in self.commands.0.iter().skip(at).zip(command.encode()) {
                word.store(value, Ordering::Relaxed);
            }
            tail = (tail + 1) & u32::try_from(slots - 1).unwrap_or(0);
        }
        csr::fence_io();
        self.write(register::COMMAND_TAIL, tail);
        self.until(|| self.read(register::COMMAND_HEAD) == tail)
    }

    fn next_fault(&mut self) -> Option<(Fault, bool)> {
        while self.news {
            let Some(fault) = self.take_fault() else {
                self.news = false;
                break;
            };
            let told = self.told.get_mut(to_usize(fault.device.into()));
            match told.map_or(Verdict::Known, |told| told.hear(&fault)) {
                Verdict::Known => {}
                Verdict::Tell => return Some((fault, false)),
                Verdict::TellLast => {
                    self.directory.silence(fault.device);
                    self.perform(&[Command::ForgetDevice(fault.device), Command::Fence]);
                    return Some((fault, true));
                }
            }
        }
        None
    }

    /// Takes a record out of the queue; one that has overflowed goes on when
    /// it is empty.
    fn take_fault(&self) -> Option<Fault> {
        let slots = u32::try_from(QUEUE / RECORD).unwrap_or(1);
        let head = self.read(register::FAULT_HEAD);
        if head == self.read(register::FAULT_TAIL) {
            if self.read(register::FAULT_STATE) & OVERFLOW != 0 {
                self.write(register::FAULT_STATE, OVERFLOW | ENABLE | INTERRUPT);
            }
            return None;
        }
        csr::fence_io();
        let at = to_usize((head % slots).into()) * RECORD;
        let mut record = [0; RECORD];
        for (to, word) in record.iter_mut().zip(self.faults.0.iter().skip(at)) {
            *to = word.load(Ordering::Relaxed);
        }
        self.write(register::FAULT_HEAD, (head + 1) % slots);
        Some(Fault::decode(record))
    }

    /// Waits until something is so, but not for ever.
    fn until(&self, done: impl Fn() -> bool) -> bool {
        (0..PATIENCE).any(|_| done())
    }

    fn read(&self, register: usize) -> u32 {
        // SAFETY: a register of the IOMMU, whose place the device tree tells.
        unsafe { with_exposed_provenance_mut::<u32>(self.base + register).read_volatile() }
    }

    fn write(&self, register: usize, value: u32) {
        // SAFETY: as above; what the IOMMU reads in memory are queues and a
        // directory that live for ever.
        unsafe { with_exposed_provenance_mut::<u32>(self.base + register).write_volatile(value) };
    }

    fn read_long(&self, register: usize) -> u64 {
        // SAFETY: as in `read`.
        unsafe { with_exposed_provenance_mut::<u64>(self.base + register).read_volatile() }
    }

    fn write_long(&self, register: usize, value: u64) {
        // SAFETY: as in `write`.
        unsafe { with_exposed_provenance_mut::<u64>(self.base + register).write_volatile(value) };
    }
}
