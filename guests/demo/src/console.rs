//! The console: what is printed, and the keys that were typed.

mod pv;
mod uart;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use core::fmt::{self, Write};

use guest_drivers::DeviceType;
use spin::mutex::SpinMutex;

use crate::Vmm;
use crate::tree::Machine;

/// Ctrl-C: a command that takes long looks for it.
const INTERRUPT: u8 = 0x03;

/// What the console is made of.
trait Port: Send {
    /// Shows all `bytes`.
    fn write(&mut self, bytes: &[u8]);

    /// The next key, if there is one.
    fn read(&mut self) -> Option<u8>;
}

struct Console {
    port: Option<Box<dyn Port>>,
    /// Keys that came while a command was looking for Ctrl-C.
    ahead: VecDeque<u8>,
}

static CONSOLE: SpinMutex<Console> = SpinMutex::new(Console { port: None, ahead: VecDeque::new() });

/// Takes the console into service; says how it is reached.
pub(crate) fn init(machine: &Machine, vmm: Option<Vmm>) -> &'static str {
    let mut console = CONSOLE.lock();
    let device = vmm.and_then(|vmm| vmm.find(DeviceType::Console));
    if let Some(port) = device.and_then(pv::Port::new) {
        console.port = Some(Box::new(port));
        return "paravirtual";
    }
    match machine.uart.and_then(uart::Port::new) {
        Some(port) => {
            console.port = Some(Box::new(port));
            "a 16550 UART"
        }
        None => "none",
    }
}

/// The next key that was typed.
pub(crate) fn key() -> Option<u8> {
    let mut console = CONSOLE.lock();
    console.ahead.pop_front().or_else(|| console.port.as_mut()?.read())
}

/// Whether Ctrl-C was typed. Other keys are kept for later.
pub(crate) fn interrupted() -> bool {
    let mut console = CONSOLE.lock();
    let Console { port, ahead } = &mut *console;
    while let Some(key) = port.as_mut().and_then(|port| port.read()) {
        if key == INTERRUPT {
            return true;
        }
        ahead.push_back(key);
    }
    false
}

/// What [`print!`](crate::print) writes to; `\n` becomes the end of a line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Screen;

impl Write for Screen {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut console = CONSOLE.lock();
        let Some(port) = &mut console.port else { return Ok(()) };
        // In one piece: each costs an exit.
        let text: String = text.split_inclusive('\n').flat_map(lines_end).collect();
        port.write(text.as_bytes());
        Ok(())
    }
}

/// A line with the end that a terminal wants.
fn lines_end(line: &str) -> [&str; 2] {
    line.strip_suffix('\n').map_or([line, ""], |line| [line, "\r\n"])
}

/// The last words, whoever holds the console.
pub(crate) fn emergency(message: fmt::Arguments<'_>) {
    if CONSOLE.is_locked() {
        // SAFETY: there is one hart, and what it was doing is over.
        unsafe { CONSOLE.force_unlock() };
    }
    let _ = Screen.write_fmt(message);
}

/// Prints to the console.
#[macro_export]
macro_rules! print {
    ($($arguments:tt)*) => {{
        use core::fmt::Write as _;
        let text = alloc::format!($($arguments)*);
        // The screen takes everything.
        let _ = $crate::console::Screen.write_str(&text);
    }};
}

/// Prints a line to the console.
#[macro_export]
macro_rules! println {
    () => { $crate::print!("\n") };
    ($($arguments:tt)*) => { $crate::print!("{}\n", format_args!($($arguments)*)) };
}
