//! The core-local interruptor: software interrupts and the machine timer.

use super::Window;

/// The CLINT's registers.
pub const CLINT: Window = Window::new(0x200_0000, 0x1_0000);
/// Offset of hart 0's `msip`; 4 bytes per hart.
pub const MSIP: u64 = 0;
/// Offset of hart 0's `mtimecmp`; 8 bytes per hart.
pub const MTIMECMP: u64 = 0x4000;
/// Offset of `mtime`.
pub const MTIME: u64 = 0xbff8;
/// Ticks of `mtime` per millisecond.
pub const TICKS_PER_MS: u64 = 10_000;

/// Raises (1) or clears (0) a hart's machine software interrupt.
pub fn set_msip(hart: u64, value: u32) {
    CLINT.write(MSIP + 4 * hart, value);
}

/// Sets the time at which a hart's machine timer interrupt becomes pending.
pub fn set_mtimecmp(hart: u64, time: u64) {
    CLINT.write(MTIMECMP + 8 * hart, time);
}

/// The machine's time.
pub fn mtime() -> u64 {
    CLINT.read(MTIME)
}

/// Spins until the machine's time has moved on by `ms` milliseconds.
pub fn delay_ms(ms: u64) {
    let end = mtime() + ms * TICKS_PER_MS;
    while mtime() < end {
        core::hint::spin_loop();
    }
}
