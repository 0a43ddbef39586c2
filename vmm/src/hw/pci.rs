//! The real machine's PCI bus 0, of which the VMM is the firmware: it finds
//! functions, gives their windows a place, and leaves them to guests.
//!
//! A function masters the bus only while its guest says so, and only then is
//! it in the IOMMU's directory.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ptr::with_exposed_provenance_mut;

use spin::Once;
use spin::mutex::SpinMutex;

use super::memory::Unit;
use super::{csr, iommu, plic};
use crate::addr::{Hpa, PAGE_SIZE, to_usize};
use crate::iommu::{DeviceId, Stage};
use crate::mem::GuestRam;
use crate::pass::RealDevice;
use crate::pci::{BARS, Bar, Command, Found, Given, REGISTERS, Real, function_level_reset, line};

/// Configuration space, window of memory, and first interrupt of QEMU `virt`.
const CONFIG: usize = 0x3000_0000;
const MEMORY: core::ops::Range<u64> = 0x4000_0000..0x8000_0000;
const FIRST_SOURCE: u32 = 32;
/// Devices on a bus.
const DEVICES: u8 = 32;

/// Numbers of registers.
const COMMAND: usize = 1;
const HEADER: usize = 3;
const BAR: usize = 4;

/// Bits of a BAR: I/O, 64 bits wide; and those that are no address.
const IO: u32 = 1 << 0;
const WIDE: u32 = 1 << 2;
const KIND: u32 = 0xf;

/// What a function may need after a reset, in ticks: 100 ms (PCI Express Base
/// Specification 4.0, section 6.6.2).
const RECOVERY: u64 = 1_000_000;

/// Register `number` of device `device`, function 0.
fn register(device: u8, number: usize) -> *mut u32 {
    with_exposed_provenance_mut(CONFIG + (usize::from(device) << 15) + 4 * number)
}

fn read(device: u8, number: usize) -> u32 {
    // SAFETY: configuration space of bus 0; reading has no side effect.
    unsafe { register(device, number).read_volatile() }
}

fn write(device: u8, number: usize, value: u32) {
    // SAFETY: as above; who owns a function is the caller's business. Windows
    // are only put where no memory is, and who masters the bus is held by the
    // IOMMU.
    unsafe { register(device, number).write_volatile(value) };
}

/// A function, and the guest that owns it.
struct Function {
    device: u8,
    found: Found,
    owner: Option<Owner>,
    /// It is a bus master, and the IOMMU lets it be one.
    masters: bool,
}

/// What an owner lets its function reach.
struct Owner {
    stage: Stage,
    number: u16,
}

type Shared = &'static SpinMutex<Function>;

static FUNCTIONS: Once<Vec<SpinMutex<Function>>> = Once::new();

/// Gives the function of device `device` to the guest with this RAM.
pub(super) fn give(device: u8, ram: &GuestRam, unit: Option<Unit>) -> Result<Given, &'static str> {
    if !iommu::init(unit) {
        return Err("the machine has no IOMMU that will do");
    }
    let functions = FUNCTIONS.call_once(enumerate);
    let place = functions.iter().position(|function| function.lock().device == device);
    let (shared, number) = place
        .and_then(|place| Some((functions.get(place)?, u16::try_from(place + 1).ok()?)))
        .ok_or("there is no such function")?;
    let mut function = shared.lock();
    let host = ram.hpa(ram.base(), ram.len()).ok_or("it has no memory")?;
    let stage = Stage::new(ram.base(), host, ram.len()).ok_or("there is no memory for tables")?;
    function.owner = Some(Owner { stage, number });
    function.reset();
    let found = function.found.clone();
    let source = FIRST_SOURCE + line(device, found.pin());
    plic::enable(source);
    let (real, stop) = (Box::new(Handle(shared)), Box::new(Handle(shared)));
    Ok(Given { found, real, device: stop, id: name(device), source })
}

/// Whether a guest's function interrupts with `source`.
pub(super) fn interrupts(source: u32) -> bool {
    let owned = |function: &SpinMutex<Function>| {
        let function = function.lock();
        function.owner.is_some()
            && FIRST_SOURCE + line(function.device, function.found.pin()) == source
    };
    FUNCTIONS.get().is_some_and(|functions| functions.iter().any(owned))
}

/// The name of device `device` for the IOMMU.
const fn name(device: u8) -> DeviceId {
    (device as DeviceId) << 3
}

/// Finds all functions, and gives their windows a place.
fn enumerate() -> Vec<SpinMutex<Function>> {
    let mut next = MEMORY.start;
    let mut functions = Vec::new();
    for device in 1..DEVICES {
        const NOBODY: u32 = u32::MAX;
        if read(device, 0) == NOBODY {
            continue;
        }
        write(device, COMMAND, 0);
        // Bridges, and devices of several functions, which may reach each
        // other around the IOMMU, stay switched off.
        let [_, _, kind, _] = read(device, HEADER).to_le_bytes();
        if kind != 0 {
            continue;
        }
        let bars = bars(device, &mut next);
        let registers = core::array::from_fn(|number| read(device, number));
        let found = Found { registers, bars };
        functions.push(SpinMutex::new(Function { device, found, owner: None, masters: false }));
    }
    functions
}

/// The windows of a function, each on pages of its own.
fn bars(device: u8, next: &mut u64) -> [Bar; BARS] {
    let mut bars = [Bar::default(); BARS];
    let mut number = 0;
    while let Some(bar) = bars.get_mut(number) {
        let register = BAR + number;
        write(device, register, u32::MAX);
        let low = read(device, register);
        number += 1;
        if low & IO != 0 || low & !KIND == 0 {
            write(device, register, 0);
            continue;
        }
        let mut mask = u64::from(low & !KIND) | u64::from(u32::MAX) << 32;
        if low & WIDE != 0 {
            write(device, register + 1, u32::MAX);
            mask = u64::from(read(device, register + 1)) << 32 | u64::from(low & !KIND);
            number += 1;
        }
        let size = mask.wrapping_neg();
        let room = size.max(PAGE_SIZE);
        let start = next.checked_next_multiple_of(room);
        let end = start.and_then(|start| start.checked_add(room));
        if let Some((start, end)) = start.zip(end).filter(|(_, end)| *end <= MEMORY.end) {
            *bar = Bar { base: Hpa(start), size };
            *next = end;
        }
        place(device, register, low & WIDE != 0, bar.base);
    }
    bars
}

/// Puts a window where it belongs.
fn place(device: u8, register: usize, wide: bool, base: Hpa) {
    let [a, b, c, d, e, f, g, h] = base.0.to_le_bytes();
    write(device, register, u32::from_le_bytes([a, b, c, d]));
    if wide {
        write(device, register + 1, u32::from_le_bytes([e, f, g, h]));
    }
}

impl Function {
    /// Blocks the function, resets it, and puts its windows back.
    fn reset(&mut self) {
        self.masters = true;
        self.set_command(Command::empty());
        iommu::forgive(name(self.device));
        match function_level_reset(&self.found) {
            Some(control) => self.reset_function(control),
            None => self.reset_by_registers(),
        }
        for (number, bar) in self.found.bars.iter().enumerate().filter(|(_, bar)| bar.size != 0) {
            let kind = self.found.registers.get(BAR + number).copied().unwrap_or(0);
            place(self.device, BAR + number, kind & WIDE != 0, bar.base);
        }
        self.set_command(Command::empty());
    }

    fn reset_function(&self, control: usize) {
        const INITIATE: u32 = 1 << 15;
        let before = self.found.registers.get(control).copied().unwrap_or(0);
        write(self.device, control, before & 0xffff | INITIATE);
        let end = csr::time().wrapping_add(RECOVERY);
        while csr::time() < end {
            core::hint::spin_loop();
        }
    }

    /// Some functions have a reset among their own registers only.
    fn reset_by_registers(&self) {
        const CLASS: usize = 2;
        let [id, class] = [0, CLASS].map(|number| self.found.registers.get(number).copied());
        let Some(bar) = self.found.bars.first().filter(|bar| bar.size != 0) else { return };
        let window = to_usize(bar.base.0);
        match (id, class.map(|class| class >> 8)) {
            // Intel 82574: CTRL.RST.
            (Some(0x10d3_8086), _) => poke(window, 1 << 26),
            // NVM Express: CC.EN.
            (_, Some(0x01_0802)) => poke(window + 0x14, 0),
            _ => {}
        }
    }

    /// What a guest wants of its function; its windows answer always.
    fn set_command(&mut self, command: Command) {
        let device = name(self.device);
        let Some(owner) = &self.owner else { return };
        let mut bits = command | Command::MEMORY;
        let wanted = command.contains(Command::MASTER);
        if wanted && !self.masters && !iommu::admit(device, owner.number, &owner.stage) {
            bits -= Command::MASTER;
        }
        write(self.device, COMMAND, bits.bits().into());
        if !wanted && self.masters {
            iommu::expel(device, owner.number);
        }
        self.masters = bits.contains(Command::MASTER);
    }
}

/// Writes a register of a function that nobody uses.
fn poke(address: usize, value: u32) {
    // SAFETY: in a window of a function, where the VMM put it; it masters
    // nothing at the time.
    unsafe { with_exposed_provenance_mut::<u32>(address).write_volatile(value) };
}

/// A function in the hands of a guest's devices.
struct Handle(Shared);

impl Real for Handle {
    fn read(&mut self, register: usize) -> u32 {
        if register < REGISTERS { read(self.0.lock().device, register) } else { 0 }
    }

    fn set_command(&mut self, command: Command) {
        self.0.lock().set_command(command);
    }
}

impl RealDevice for Handle {
    fn reset(&mut self) {
        self.0.lock().reset();
    }

    fn is_quiet(&self) -> bool {
        // The fence of the IOMMU was waited for.
        true
    }
}
