//! The devices of QEMU's `virt` machine, as far as probes use them.

use core::ptr;

pub mod ata;
pub mod clint;
pub mod finisher;
pub mod net;
pub mod pci;
pub mod plic;
pub mod pv;
pub mod rtc;
pub mod uart;
pub mod virtio;

/// A window of device registers. Only this module's children can make one, so
/// its addresses are those of the machine and no Rust object lies there.
#[derive(Clone, Copy)]
pub struct Window {
    base: u64,
    len: u64,
}

impl Window {
    const fn new(base: u64, len: u64) -> Self {
        Self { base, len }
    }

    /// Physical address of the register at `offset`.
    #[must_use]
    pub const fn address(self, offset: u64) -> u64 {
        assert!(offset < self.len);
        self.base + offset
    }

    /// Reads a register of the type's width.
    pub fn read<T: Copy>(self, offset: u64) -> T {
        // SAFETY: inside a device's window; see the type.
        unsafe { ptr::read_volatile(self.address(offset) as *const T) }
    }

    /// Writes a register of the type's width.
    pub fn write<T: Copy>(self, offset: u64, value: T) {
        // SAFETY: inside a device's window; see the type. A device can reach
        // memory only through frames, which are atomics.
        unsafe { ptr::write_volatile(self.address(offset) as *mut T, value) }
    }
}
