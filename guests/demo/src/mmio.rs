//! Registers of devices.

use core::ptr::{NonNull, with_exposed_provenance_mut};

/// The registers of one device, by their offsets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registers(usize);

impl Registers {
    /// Registers from `base` on.
    ///
    /// # Safety
    /// There must be a device, and accesses to it must do no harm to memory.
    pub(crate) const unsafe fn new(base: usize) -> Self {
        Self(base)
    }

    /// Reads the register at `offset`.
    pub(crate) fn read(self, offset: usize) -> u32 {
        // SAFETY: a register, as the one who made this said.
        unsafe { with_exposed_provenance_mut::<u32>(self.0 + offset).read_volatile() }
    }

    /// Writes the register at `offset`.
    pub(crate) fn write(self, offset: usize, value: u32) {
        // SAFETY: likewise.
        unsafe { with_exposed_provenance_mut::<u32>(self.0 + offset).write_volatile(value) };
    }

    /// Where they are, for drivers that bring their own registers.
    pub(crate) fn pointer<T>(self) -> Option<NonNull<T>> {
        NonNull::new(with_exposed_provenance_mut(self.0))
    }
}
