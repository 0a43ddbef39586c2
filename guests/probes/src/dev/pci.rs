//! PCI bus 0 by its configuration space in memory, and QEMU's device for
//! teaching there (docs/specs/edu.rst of QEMU): registers, a buffer, and a
//! machine that copies between the buffer and memory.

use super::{Window, clint};

/// Configuration space of bus 0.
pub const CONFIG: Window = Window::new(0x3000_0000, 0x10_0000);
/// Where windows of functions can be.
pub const MEMORY: Window = Window::new(0x4000_0000, 0x4000_0000);
/// The first PLIC source of PCI.
pub const IRQS: u32 = 32;

/// Offset of the command register, of the first BAR, and of what tells the pin.
pub const COMMAND: u64 = 0x04;
/// The first base address register.
pub const BAR: u64 = 0x10;
/// Bits of the command register: windows answer, the function masters the bus.
pub const ANSWER: u32 = 1 << 1;
/// The function masters the bus.
pub const MASTER: u32 = 1 << 2;

/// A function, by device number.
#[derive(Clone, Copy)]
pub struct Function(pub u64);

impl Function {
    /// Reads a register of the type's width.
    pub fn read<T: Copy>(self, register: u64) -> T {
        CONFIG.read(self.0 << 15 | register)
    }

    /// Writes a register of the type's width.
    pub fn write<T: Copy>(self, register: u64, value: T) {
        CONFIG.write(self.0 << 15 | register, value);
    }
}

/// Identity of the device.
pub const EDU: u32 = 0x11e8_1234;

/// The device, with its window at this offset of [`MEMORY`].
#[derive(Clone, Copy)]
pub struct Edu(pub u64);

impl Edu {
    /// Its own address of the buffer of 4 KiB.
    pub const BUFFER: u64 = 0x4_0000;

    /// Reads a register of 32 bits.
    #[must_use]
    pub fn read(self, register: u64) -> u32 {
        MEMORY.read(self.0 + register)
    }

    /// Writes a register of 32 bits.
    pub fn write(self, register: u64, value: u32) {
        MEMORY.write(self.0 + register, value);
    }

    /// Copies `len` bytes between `memory` and the buffer; whether it came to
    /// an end, which takes a tenth of a second.
    pub fn copy(self, memory: u64, len: u64, to_memory: bool) -> bool {
        let (from, to) = if to_memory { (Self::BUFFER, memory) } else { (memory, Self::BUFFER) };
        MEMORY.write(self.0 + 0x80, from);
        MEMORY.write(self.0 + 0x88, to);
        MEMORY.write(self.0 + 0x90, len);
        MEMORY.write(self.0 + 0x98, 1 | u64::from(to_memory) << 1);
        (0..100).any(|_| {
            clint::delay_ms(10);
            MEMORY.read::<u64>(self.0 + 0x98) & 1 == 0
        })
    }
}
