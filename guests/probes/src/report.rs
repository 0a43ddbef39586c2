//! `name: check = value` lines.
//!
//! Where the specification (or the machine we look like) leaves one answer,
//! the probe knows it and fails on another; where it leaves several, the line
//! is only printed, and the comparison with the native run judges it.

use core::fmt::{self, Display, Write};

use crate::dev::{finisher, uart};

/// A running probe: counts what went wrong.
pub struct Probe {
    name: &'static str,
    /// The boot hart.
    pub hart: u64,
    /// Address of the device tree that the boot hart was given.
    pub dtb: u64,
    wrong: u16,
}

/// A value in hexadecimal.
#[derive(Clone, Copy)]
pub struct Hex(pub u64);

impl Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl Probe {
    /// Starts the report of the probe `name`.
    #[must_use]
    pub fn start(name: &'static str, hart: u64, dtb: u64) -> Self {
        Self { name, hart, dtb, wrong: 0 }
    }

    /// Prints a value that is right if the native machine prints it too.
    pub fn show(&mut self, check: impl Display, value: impl Display) {
        uart::print(format_args!("{}: {check} = {value}\n", self.name));
    }

    /// Prints a value that must read `want`.
    pub fn is(&mut self, check: impl Display, value: impl Display, want: impl Display) {
        let same = Text::of(&value).as_str() == Text::of(&want).as_str();
        self.decide(check, value, want, same);
    }

    /// Prints the outcome of an instruction that must be illegal, to M-mode,
    /// with the instruction itself in `mtval`.
    pub fn illegal(&mut self, check: impl Display, outcome: impl Display, word: u32) {
        self.is(check, outcome, format_args!("illegal-instruction to M, tval {word:#x}"));
    }

    /// Prints a number, in hexadecimal, that must be `want`.
    pub fn hex(&mut self, check: impl Display, value: u64, want: u64) {
        self.decide(check, Hex(value), Hex(want), value == want);
    }

    /// Prints a number, in decimal, that must be `want`.
    pub fn number(&mut self, check: impl Display, value: u64, want: u64) {
        self.decide(check, value, want, value == want);
    }

    /// Prints whether a condition that must hold does.
    pub fn holds(&mut self, check: impl Display, value: bool) {
        self.decide(check, value, true, value);
    }

    fn decide(&mut self, check: impl Display, value: impl Display, want: impl Display, ok: bool) {
        if ok {
            self.show(check, value);
        } else {
            self.wrong += 1;
            self.show(check, format_args!("{value} (want {want})"));
        }
    }

    /// Ends the program: finisher pass, or fail with the count of wrong lines.
    pub fn finish(&mut self) -> ! {
        match self.wrong {
            0 => {
                uart::print(format_args!("{}: pass\n", self.name));
                finisher::pass()
            }
            wrong => {
                uart::print(format_args!("{}: {wrong} wrong\n", self.name));
                finisher::fail(wrong)
            }
        }
    }
}

/// A short text without a heap.
struct Text {
    bytes: [u8; 160],
    len: usize,
}

impl Default for Text {
    fn default() -> Self {
        Self { bytes: [0; 160], len: 0 }
    }
}

impl Text {
    /// A text that does not fit is cut.
    fn of(value: &impl Display) -> Self {
        let mut text = Self::default();
        let _ = write!(text, "{value}");
        text
    }

    fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.len]).unwrap_or("")
    }
}

impl Write for Text {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let end = self.len + s.len();
        let room = self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?;
        room.copy_from_slice(s.as_bytes());
        self.len = end;
        Ok(())
    }
}
