//! The terminal that all guests share.
//!
//! A single guest has it as it is. Of several, each line of output is marked
//! with its guest's name, and what is typed goes to the guest in focus.

use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use spin::mutex::SpinMutex;

use super::{Host, Machine};

/// Who wrote last, and whether that line is still open.
#[derive(Default)]
struct Line {
    writer: usize,
    open: bool,
}

/// The terminal.
pub struct Console {
    /// What marks a guest's lines; empty for a single guest.
    marks: Vec<String>,
    focus: AtomicUsize,
    line: SpinMutex<Line>,
}

impl Console {
    /// The terminal of guests with these names.
    pub(super) fn new<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> Self {
        let alone = names.len() == 1;
        let marks = names.map(|name| alloc::format!("[{name}] "));
        let marks = if alone { Vec::new() } else { marks.collect() };
        Self { marks, focus: AtomicUsize::new(0), line: SpinMutex::new(Line::default()) }
    }

    /// Writes what guest `writer` has to say.
    pub fn output<H: Host>(&self, host: &H, writer: usize, bytes: &[u8]) {
        let Some(mark) = self.marks.get(writer) else {
            return host.write_console(bytes);
        };
        let mut line = self.line.lock();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            if line.open && line.writer != writer {
                host.write_console(b"\r\n");
                line.open = false;
            }
            if !line.open {
                host.write_console(mark.as_bytes());
            }
            host.write_console(part);
            *line = Line { writer, open: part.last() != Some(&b'\n') };
        }
    }

    /// Gives a typed byte to the guest in focus.
    pub(super) fn input<H: Host>(&self, machine: &Machine, host: &H, byte: u8) {
        if let Some(guest) = machine.guests.get(self.focus.load(Ordering::Relaxed)) {
            guest.type_in(host, byte);
        }
    }
}
