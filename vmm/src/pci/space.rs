//! Registers of a function: what they read, and which bits a guest may write.
//!
//! Sizing a BAR falls out of that: its low bits can't be written, so that a
//! guest which writes ones reads the size back.

use super::REGISTERS;

/// Numbers of registers.
pub(super) const ID: usize = 0;
pub(super) const COMMAND: usize = 1;
pub(super) const CLASS: usize = 2;
pub(super) const HEADER: usize = 3;
pub(super) const BAR: usize = 4;
pub(super) const SUBSYSTEM: usize = 11;
pub(super) const CAPABILITIES: usize = 13;
pub(super) const INTERRUPT: usize = 15;

/// The registers of one function.
#[derive(Clone, Debug)]
pub(super) struct Space {
    value: [u32; REGISTERS],
    writable: [u32; REGISTERS],
}

impl Space {
    pub(super) const fn new() -> Self {
        Self { value: [0; REGISTERS], writable: [0; REGISTERS] }
    }

    /// Sets what a register reads, and the bits that can be written.
    pub(super) fn set(&mut self, register: usize, value: u32, writable: u32) {
        if let Some(cell) = self.value.get_mut(register) {
            *cell = value;
        }
        if let Some(cell) = self.writable.get_mut(register) {
            *cell = writable;
        }
    }

    pub(super) fn read(&self, register: usize) -> u32 {
        self.value.get(register).copied().unwrap_or(0)
    }

    /// Stores the bits of `value` in `mask` that can be written; tells whether
    /// the register changed.
    pub(super) fn write(&mut self, register: usize, value: u32, mask: u32) -> bool {
        let writable = self.writable.get(register).copied().unwrap_or(0) & mask;
        let Some(cell) = self.value.get_mut(register) else { return false };
        let new = *cell & !writable | value & writable;
        core::mem::replace(cell, new) != new
    }
}

/// Device 0: the bridge between harts and bus. It is made up, with the names of
/// QEMU's, and does nothing.
pub(super) fn host_bridge() -> Space {
    let mut space = Space::new();
    space.set(ID, 0x0008_1b36, 0);
    space.set(CLASS, 0x0600_0000, 0);
    space.set(SUBSYSTEM, 0x1100_1af4, 0);
    space
}
