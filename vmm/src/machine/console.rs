//! The terminal that all guests share.
//!
//! A single guest has it as it is. Of several, each line of output is marked
//! with its guest's name, and what is typed goes to the guest in focus. The
//! monitor's own lines are marked, too.

use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use spin::mutex::SpinMutex;

use super::Host;
use super::monitor::Keys;

/// What marks the monitor's lines.
const MONITOR: &str = "[trapeze] ";

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
    /// What typed bytes mean. Only hart 0, which has the real UART's
    /// interrupt, takes this lock; it is a leaf.
    pub(super) keys: SpinMutex<Keys>,
}

impl Console {
    /// The terminal of guests with these names; `escape` is the key that
    /// calls the monitor.
    pub(super) fn new<'a>(
        names: impl ExactSizeIterator<Item = &'a str>,
        escape: Option<u8>,
    ) -> Self {
        let alone = names.len() == 1;
        let marks = names.map(|name| alloc::format!("[{name}] "));
        let marks = if alone { Vec::new() } else { marks.collect() };
        let (focus, line) = (AtomicUsize::new(0), SpinMutex::default());
        Self { marks, focus, line, keys: SpinMutex::new(Keys::new(escape)) }
    }

    /// Number of the guest that gets what is typed.
    pub(super) fn focus(&self) -> usize {
        self.focus.load(Ordering::Relaxed)
    }

    pub(super) fn set_focus(&self, guest: usize) {
        self.focus.store(guest, Ordering::Relaxed);
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

    /// Writes whole lines of the monitor's, all at once.
    pub(super) fn message<H: Host>(&self, host: &H, text: &str) {
        let mut line = self.line.lock();
        // Where a single guest's line ends, nobody keeps.
        let mut bytes = String::new();
        if core::mem::take(&mut line.open) || self.marks.is_empty() {
            bytes.push_str("\r\n");
        }
        for text in text.lines() {
            bytes.extend([MONITOR, text, "\r\n"]);
        }
        host.write_console(bytes.as_bytes());
    }
}
