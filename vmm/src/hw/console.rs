//! The real UART: the terminal that all guests share.

use core::fmt;
use core::ptr::{NonNull, with_exposed_provenance_mut};

use spin::Once;
use spin::mutex::SpinMutex;
use uart_16550::backend::MmioBackend;
use uart_16550::spec::registers::IER;
use uart_16550::{Config, Uart16550};

/// Its interrupt at the PLIC.
pub(super) const IRQ: u32 = 10;
const BASE: usize = 0x1000_0000;

type Uart = Uart16550<MmioBackend>;

static UART: Once<SpinMutex<Uart>> = Once::new();

/// Takes the UART into service.
pub(super) fn init() {
    UART.call_once(|| {
        let base = NonNull::new(with_exposed_provenance_mut(BASE)).unwrap_or(NonNull::dangling());
        // SAFETY: QEMU `virt` has a 16550 there, and nobody else uses it.
        let mut uart = unsafe { Uart::new_mmio(base, 1) }.expect("a valid address");
        // A UART that fails its self-test may still show the message.
        let _ = uart.init(Config { interrupts: IER::DATA_READY, ..Config::DEFAULT });
        SpinMutex::new(uart)
    });
    super::plic::enable(IRQ);
}

/// The next byte that was typed.
pub(super) fn read() -> Option<u8> {
    UART.get()?.lock().try_receive_byte().ok()
}

/// Writes all `bytes`.
pub(super) fn write(bytes: &[u8]) {
    if let Some(uart) = UART.get() {
        uart.lock().send_bytes_exact(bytes);
    }
}

/// The console for messages of the VMM itself.
pub(super) struct Messages;

impl fmt::Write for Messages {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for line in text.split_inclusive('\n') {
            let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\r\n"));
            write(line.as_bytes());
            write(end.as_bytes());
        }
        Ok(())
    }
}
