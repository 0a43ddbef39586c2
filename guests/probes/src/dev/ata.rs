//! An ATA disk (T13/1410D, ATA/ATAPI-6) with a register per byte, driven by
//! PIO and without interrupts. QEMU's `virt` has none; guests of the VMM may.

use super::{Window, clint};

/// The disk's registers.
pub const ATA: Window = Window::new(0x1001_0000, 0x1000);
/// PLIC source of the disk.
pub const IRQ: u32 = 12;

macro_rules! registers {
    ($($name:ident = $offset:literal),* $(,)?) => {
        $(#[doc = concat!("Offset of the register ", stringify!($name), ".")]
        pub const $name: u64 = $offset;)*
    };
}

registers! {
    DATA = 0, ERROR = 1, FEATURES = 1, COUNT = 2, LBA_LOW = 3, LBA_MID = 4, LBA_HIGH = 5,
    DEVICE = 6, STATUS = 7, COMMAND = 7, ALT_STATUS = 0x10, CONTROL = 0x10,
}

macro_rules! commands {
    ($($name:ident = $code:literal),* $(,)?) => {
        $(#[doc = concat!("The command ", stringify!($name), ".")]
        pub const $name: u8 = $code;)*
    };
}

commands! {
    READ_SECTORS = 0x20, READ_SECTORS_EXT = 0x24, READ_MULTIPLE_EXT = 0x29,
    WRITE_SECTORS = 0x30, WRITE_SECTORS_EXT = 0x34, WRITE_MULTIPLE_EXT = 0x39,
    DIAGNOSTIC = 0x90, READ_MULTIPLE = 0xc4, WRITE_MULTIPLE = 0xc5, SET_MULTIPLE = 0xc6,
    FLUSH = 0xe7, FLUSH_EXT = 0xea, IDENTIFY = 0xec, SET_FEATURES = 0xef,
}

/// Status: the disk is busy.
pub const BUSY: u8 = 0x80;
/// Status: the data port is open.
pub const DATA_REQUEST: u8 = 0x08;

/// A register but the data port.
pub fn get(register: u64) -> u8 {
    ATA.read(register)
}

/// Writes a register but the data port.
pub fn set(register: u64, value: u8) {
    ATA.write(register, value);
}

/// Waits until the disk is not busy, for some seconds; gives the status, and
/// acknowledges the interrupt.
pub fn wait() -> u8 {
    let end = clint::mtime() + 5000 * clint::TICKS_PER_MS;
    while get(ALT_STATUS) & BUSY != 0 && clint::mtime() < end {}
    get(STATUS)
}

/// Software reset; gives the status after it.
pub fn reset() -> u8 {
    set(CONTROL, 4);
    set(CONTROL, 0);
    wait()
}

/// Gives a command for sectors with 28-bit addresses; a count of 256 is 0.
pub fn command(code: u8, sector: u32, count: u8) {
    let [low, mid, high, top] = sector.to_le_bytes();
    for (register, value) in [(COUNT, count), (LBA_LOW, low), (LBA_MID, mid), (LBA_HIGH, high)] {
        set(register, value);
    }
    set(DEVICE, 0xe0 | top & 0xf);
    set(COMMAND, code);
}

/// The same with 48-bit addresses.
pub fn command_ext(code: u8, sector: u64, count: u16) {
    let [a, b, c, d, e, f, ..] = sector.to_le_bytes();
    let [low, high] = count.to_le_bytes();
    for (register, value) in [
        (COUNT, high),
        (LBA_LOW, d),
        (LBA_MID, e),
        (LBA_HIGH, f),
        (COUNT, low),
        (LBA_LOW, a),
        (LBA_MID, b),
        (LBA_HIGH, c),
        (DEVICE, 0x40),
        (COMMAND, code),
    ] {
        set(register, value);
    }
}

/// Reads `count` halfwords in blocks of `block`, as long as the data port is
/// open; gives the last status.
pub fn read(count: usize, block: usize, mut each: impl FnMut(usize, u16)) -> u8 {
    for at in 0..count {
        if at % block == 0 && wait() & DATA_REQUEST == 0 {
            break;
        }
        each(at, ATA.read(DATA));
    }
    get(ALT_STATUS)
}

/// Writes `count` halfwords likewise; gives the status at the end.
pub fn write(count: usize, block: usize, each: impl Fn(usize) -> u16) -> u8 {
    for at in 0..count {
        if at % block == 0 && wait() & DATA_REQUEST == 0 {
            break;
        }
        ATA.write(DATA, each(at));
    }
    wait()
}

/// Reads likewise; gives the last status, and how many halfwords were as
/// `each` says.
pub fn compare(count: usize, block: usize, each: impl Fn(usize) -> u16) -> (u8, u64) {
    let mut right = 0;
    let status = read(count, block, |at, half| right += u64::from(half == each(at)));
    (status, right)
}
