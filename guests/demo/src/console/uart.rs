//! A 16550 UART: every register costs a guest an exit.

use uart_16550::backend::MmioBackend;
use uart_16550::spec::registers::IER;
use uart_16550::{Config, Uart16550};

use crate::events;
use crate::tree::Found;

pub(super) struct Port {
    uart: Uart16550<MmioBackend>,
    irq: u32,
}

impl Port {
    /// The UART there, which interrupts for keys.
    pub(super) fn new(found: Found) -> Option<Self> {
        let base = found.registers().pointer()?;
        // SAFETY: the device tree says that there is one.
        let mut uart = unsafe { Uart16550::new_mmio(base, 1) }.ok()?;
        // One that fails the test of its loop may still work.
        let _ = uart.init(Config { interrupts: IER::DATA_READY, ..Config::DEFAULT });
        events::enable(found.irq);
        Some(Self { uart, irq: found.irq })
    }
}

impl super::Port for Port {
    fn write(&mut self, bytes: &[u8]) {
        self.uart.send_bytes_exact(bytes);
    }

    fn read(&mut self) -> Option<u8> {
        if !events::has(self.irq) {
            return None;
        }
        let key = self.uart.try_receive_byte().ok();
        if key.is_none() {
            events::served(self.irq);
        }
        key
    }
}
