//! A function that belongs to a guest.

use alloc::boxed::Box;

use super::space::{BAR, CLASS, COMMAND, HEADER, ID, INTERRUPT, SUBSYSTEM, Space};
use super::{BARS, Bar, Command, Found, Real, capability};
use crate::addr::{Gpa, PAGE_SIZE};
use crate::bus;
use crate::pass::{Mapping, Registers};

/// Type bits of a BAR of memory: bit 0 says I/O, 2 and 1 the width, 3
/// prefetchable.
const KIND: u32 = 0xf;
const WIDE: u32 = 0x4;
/// There is a list of capabilities, in the status half.
const HAS_LIST: u32 = 1 << 20;
/// The interrupt line is up, likewise.
const INTERRUPTS: u32 = 1 << 19;
/// Bits of the command register that can be written and do nothing: reports of
/// errors.
const ERRORS: u32 = 1 << 6 | 1 << 8;

/// The guest's view of a function, and the real one.
pub struct Function {
    real: Box<dyn Real>,
    bars: [Bar; BARS],
    /// The registers after a reset.
    fresh: Space,
    space: Space,
}

impl Function {
    /// A function that looks like the one that was `found`.
    pub fn new(found: &Found, real: Box<dyn Real>) -> Self {
        let fresh = registers(found);
        Self { real, bars: found.bars, space: fresh.clone(), fresh }
    }

    pub(super) fn reset(&mut self) {
        self.space = self.fresh.clone();
    }

    pub(super) fn read(&mut self, register: usize) -> u32 {
        let value = self.space.read(register);
        match register {
            COMMAND => value | self.real.read(COMMAND) & INTERRUPTS,
            _ => value,
        }
    }

    /// Stores to a register; tells whether a window came, went or moved.
    pub(super) fn write(&mut self, register: usize, value: u32, mask: u32) -> bool {
        let before = self.command();
        if !self.space.write(register, value, mask) {
            return false;
        }
        let command = self.command();
        if register == COMMAND {
            self.real.set_command(command);
        }
        let toggled = (before ^ command).contains(Command::MEMORY);
        let is_bar = (BAR..BAR + BARS).contains(&register);
        toggled || is_bar && command.contains(Command::MEMORY)
    }

    fn command(&self) -> Command {
        let [low, high, ..] = self.space.read(COMMAND).to_le_bytes();
        Command::from_bits_truncate(u16::from_le_bytes([low, high]))
    }

    /// Where its windows are, as far as they answer: a window that is not in
    /// [`bus::PCI_MEMORY`] as a whole does not.
    pub(super) fn mappings(&self) -> impl Iterator<Item = Mapping> {
        let on = self.command().contains(Command::MEMORY);
        let bars = self.bars.iter().enumerate().filter(move |(_, bar)| on && bar.size != 0);
        bars.filter_map(|(number, bar)| {
            let (gpa, size) = (self.address(number), shown_size(bar));
            let end = gpa.checked_add(size)?;
            let fits = gpa >= bus::PCI_MEMORY.base && end <= bus::PCI_MEMORY.end();
            fits.then_some(Mapping { guest: gpa, registers: Registers { host: bar.base, size } })
        })
    }

    /// What the guest has written to a BAR.
    fn address(&self, number: usize) -> Gpa {
        let low = self.space.read(BAR + number);
        let high = if low & KIND & WIDE != 0 { self.space.read(BAR + number + 1) } else { 0 };
        Gpa(u64::from(high) << 32 | u64::from(low & !KIND))
    }
}

/// Windows are mapped by pages, so the guest is to think of whole ones.
fn shown_size(bar: &Bar) -> u64 {
    bar.size.max(PAGE_SIZE)
}

/// The guest's registers for a real function. Memory is all that it sees of
/// its BARs: no I/O ports, and no expansion ROM.
fn registers(found: &Found) -> Space {
    const INTERRUPT_PIN: u32 = 0xff00;
    const CACHE_LINE: u32 = 0xff;
    const INTERRUPT_LINE: u32 = 0xff;
    let mut space = Space::new();
    let real = |register: usize| found.registers.get(register).copied().unwrap_or(0);
    for register in [ID, CLASS, SUBSYSTEM] {
        space.set(register, real(register), 0);
    }
    space.set(COMMAND, HAS_LIST, u32::from(Command::all().bits()) | ERRORS);
    space.set(HEADER, 0, CACHE_LINE);
    space.set(INTERRUPT, real(INTERRUPT) & INTERRUPT_PIN, INTERRUPT_LINE);
    for (number, bar) in found.bars.iter().enumerate().filter(|(_, bar)| bar.size != 0) {
        let (register, kind) = (BAR + number, real(BAR + number) & KIND);
        let [low, high] = halves(!(shown_size(bar) - 1));
        space.set(register, kind, low & !KIND);
        if kind & WIDE != 0 {
            space.set(register + 1, 0, high);
        }
    }
    capability::copy(found, &mut space);
    space
}

/// The two registers of a wide BAR.
fn halves(value: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = value.to_le_bytes();
    [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])]
}
