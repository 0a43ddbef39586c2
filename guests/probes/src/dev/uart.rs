//! The 16550 UART: the console.

use core::fmt::{self, Write};

use super::Window;

/// The UART's eight byte-wide registers.
pub const UART: Window = Window::new(0x1000_0000, 0x100);
/// Receive buffer, transmit holding, divisor low.
pub const RBR: u64 = 0;
/// Interrupt enable, divisor high.
pub const IER: u64 = 1;
/// Interrupt identification (read), FIFO control (write).
pub const IIR: u64 = 2;
/// Line control.
pub const LCR: u64 = 3;
/// Modem control.
pub const MCR: u64 = 4;
/// Line status.
pub const LSR: u64 = 5;
/// Modem status.
pub const MSR: u64 = 6;
/// Scratch.
pub const SCR: u64 = 7;
/// LSR: a byte was received.
pub const LSR_READY: u8 = 1;
/// LSR: the transmit holding register is empty.
pub const LSR_THRE: u8 = 0x20;
/// The UART's interrupt number at the PLIC.
pub const IRQ: u32 = 10;

/// Sends one byte, when the UART can take it.
pub fn put(byte: u8) {
    while UART.read::<u8>(LSR) & LSR_THRE == 0 {}
    UART.write(RBR, byte);
}

/// The received byte, if there is one.
pub fn get() -> Option<u8> {
    (UART.read::<u8>(LSR) & LSR_READY != 0).then(|| UART.read(RBR))
}

/// Prints to the console.
pub fn print(text: fmt::Arguments<'_>) {
    // `Console` does not fail.
    let _ = Console.write_fmt(text);
}

struct Console;

impl Write for Console {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        for byte in s.bytes() {
            if byte == b'\n' {
                put(b'\r');
            }
            put(byte);
        }
        Ok(())
    }
}
