//! PCI as one guest sees it: a bus with a host bridge and the functions that
//! the guest owns, in a configuration space of memory addresses (ECAM).
//!
//! ```text
//!   ecam        an offset in the window → function and register
//!   space       256 bytes of registers: their values, what the guest may write
//!   capability  which capabilities of a real function the guest is shown
//!   function    a passed function: its registers, where its BARs are
//!   this        the bus
//! ```
//!
//! The guest's registers are a copy, made when the function is found. Of what
//! is written, four bits reach the real function: bus mastering, and that it
//! keeps its interrupt line down. The real BARs are the VMM's; where the guest
//! puts its own says only which guest-physical pages show them. So a guest can
//! neither move a real window nor switch on what it does not have.
//!
//! PCI Local Bus Specification 3.0, chapter 6; PCI Express Base Specification
//! 4.0, chapter 7; memory map of QEMU's `virt`.

mod capability;
mod ecam;
mod function;
mod space;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::vec::Vec;

use bitflags::bitflags;

use crate::addr::Hpa;
use crate::bus::Width;
use crate::iommu::DeviceId;
use crate::pass::{Mapping, RealDevice};
pub use capability::function_level_reset;
use ecam::Part;
pub use function::Function;
use space::Space;

/// Base address registers of a function.
pub const BARS: usize = 6;
/// Registers of four bytes that a function has here; the extended ones, for
/// errors, virtual functions and translations, are not shown.
pub const REGISTERS: usize = 64;
/// Functions that a guest can have: as many as there are interrupt lines.
pub const MAX_FUNCTIONS: usize = 4;

bitflags! {
    /// Bits of the command register that a guest decides.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Command: u16 {
        /// The windows of memory answer.
        const MEMORY = 1 << 1;
        /// The function may read and write memory.
        const MASTER = 1 << 2;
        /// The interrupt line stays down.
        const QUIET = 1 << 10;
    }
}

/// A window of memory that a real function answers in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Bar {
    /// Where the VMM put it: on pages that it shares with nothing.
    pub base: Hpa,
    /// Size in bytes, a power of two; 0: there is none.
    pub size: u64,
}

/// A real function, as the VMM found it and set it up.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its registers.
    pub registers: [u32; REGISTERS],
    /// Its windows, under the number of their (first) BAR.
    pub bars: [Bar; BARS],
}

/// The configuration space of a real function that belongs to a guest.
pub trait Real: Send {
    /// Reads register number `register`.
    fn read(&mut self, register: usize) -> u32;
    /// Takes over what the guest's command register says: as a bus master the
    /// function reaches the guest's memory, and at no other time anything.
    fn set_command(&mut self, command: Command);
}

/// A real function that is to be a guest's.
pub struct Given {
    /// As it was found.
    pub found: Found,
    /// Its configuration space.
    pub real: Box<dyn Real>,
    /// How it is reset.
    pub device: Box<dyn RealDevice>,
    /// Its name for the IOMMU.
    pub id: DeviceId,
    /// Its interrupt at the real PLIC.
    pub source: u32,
}

impl Found {
    /// Its interrupt pin, 1 to 4; 0: it has none.
    pub fn pin(&self) -> u8 {
        self.registers[space::INTERRUPT].to_le_bytes()[1]
    }
}

/// The bus of one guest.
pub struct Bus {
    bridge: Space,
    functions: Vec<(u8, Function)>,
}

impl Bus {
    /// A bus with these functions, each the only one of the device with that
    /// number, which is not 0.
    pub fn new(functions: Vec<(u8, Function)>) -> Self {
        Self { bridge: space::host_bridge(), functions }
    }

    /// All registers as before the guest boots. The real functions have a
    /// [reset](crate::pass::RealDevice) of their own.
    pub fn reset(&mut self) {
        self.bridge = space::host_bridge();
        self.functions.iter_mut().for_each(|(_, function)| function.reset());
    }

    /// Loads from the configuration space. What is not there reads as ones.
    pub fn read(&mut self, offset: u64, width: Width) -> u64 {
        ecam::parts(offset, width).rev().fold(0, |value, part| {
            let dword = self.read_register(part);
            value << part.bits() | u64::from(part.of(dword))
        })
    }

    fn read_register(&mut self, part: Part) -> u32 {
        match part.register {
            Some(register) if part.function == 0 => self.bridge.read(register),
            Some(register) => {
                self.function(part.function).map_or(u32::MAX, |function| function.read(register))
            }
            // There are no extended capabilities, but the space for them.
            None if part.function == 0 || self.function(part.function).is_some() => 0,
            None => u32::MAX,
        }
    }

    /// Stores to the configuration space; tells whether windows came, went or
    /// moved.
    pub fn write(&mut self, offset: u64, width: Width, value: u64) -> bool {
        let (mut moved, mut rest) = (false, value);
        for part in ecam::parts(offset, width) {
            let dword = part.place(rest);
            rest = rest.checked_shr(part.bits()).unwrap_or(0);
            let Some(register) = part.register else { continue };
            if part.function == 0 {
                self.bridge.write(register, dword, part.mask());
            } else if let Some(function) = self.function(part.function) {
                moved |= function.write(register, dword, part.mask());
            }
        }
        moved
    }

    fn function(&mut self, number: u32) -> Option<&mut Function> {
        let is_it = |(device, _): &&mut (u8, Function)| u32::from(*device) << 3 == number;
        self.functions.iter_mut().find(is_it).map(|(_, function)| function)
    }

    /// The pages that show windows of real functions, as the guest has put
    /// them. Of windows that overlap the first counts.
    pub fn mappings(&self) -> Vec<Mapping> {
        self.functions.iter().flat_map(|(_, function)| function.mappings()).collect()
    }
}

/// The line of [`crate::bus::PCI_IRQS`] on which device `device` interrupts
/// with `pin`, 1 to 4: devices with neighbouring numbers have different ones.
pub const fn line(device: u8, pin: u8) -> u32 {
    (device as u32 + pin as u32 + 3) % 4
}
