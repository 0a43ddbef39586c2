//! UART 16550A: the console of the guest.
//!
//! After National Semiconductor's PC16550D data sheet, chapter 8, with an
//! infinitely fast line: a byte written is gone at once, so the transmitter is
//! always empty, and a byte that lies in the receive FIFO below the trigger
//! level has always lain there for the four character times of the time-out.
//! Nothing is attached to the modem lines; as on QEMU's `virt` machine they
//! read as ready, and never change by themselves.
//!
//! The registers are a byte apart. As there, an access of 2, 4 or 8 bytes is
//! one of the register at its address alone.

use crate::bus::{AccessFault, Width};

/// Bits of IER, the interrupts wanted.
mod ier {
    pub(super) const RECEIVED: u8 = 1;
    pub(super) const TRANSMIT_EMPTY: u8 = 1 << 1;
    pub(super) const LINE_STATUS: u8 = 1 << 2;
    pub(super) const ALL: u8 = 0xf;
}

/// Values of IIR, the interrupt that is reported, most urgent first.
mod iir {
    pub(super) const LINE_STATUS: u8 = 0x6;
    pub(super) const RECEIVED: u8 = 0x4;
    pub(super) const TIMEOUT: u8 = 0xc;
    pub(super) const TRANSMIT_EMPTY: u8 = 0x2;
    pub(super) const NONE: u8 = 0x1;
    pub(super) const FIFO: u8 = 0xc0;
}

/// Bits of FCR.
mod fcr {
    pub(super) const ENABLE: u8 = 1;
    pub(super) const CLEAR_RECEIVED: u8 = 1 << 1;
    pub(super) const CLEAR_TRANSMIT: u8 = 1 << 2;
}

/// Bits of MCR, and the bits of MSR that they drive in loop-back.
mod modem {
    pub(super) const LOOP: u8 = 1 << 4;
    pub(super) const ALL: u8 = 0x1f;
    pub(super) const OUT2: u8 = 1 << 3;
    /// DCD, DSR and CTS: somebody is at the other end.
    pub(super) const READY: u8 = 0xb0;
}

/// Bits of LSR.
mod lsr {
    pub(super) const DATA_READY: u8 = 1;
    pub(super) const OVERRUN: u8 = 1 << 1;
    /// Transmit holding register and shift register: always.
    pub(super) const EMPTY: u8 = 0x60;
}

/// LCR: offsets 0 and 1 are the divisor of the clock.
const DIVISOR_ACCESS: u8 = 0x80;
/// 9600 baud, which QEMU starts with.
const DIVISOR: [u8; 2] = [0x0c, 0];
/// Receive FIFO levels that FCR bits 7 and 6 choose from.
const TRIGGERS: [u8; 4] = [1, 4, 8, 14];

/// Bytes received and not yet read.
#[derive(Clone, Default, Debug)]
struct Fifo {
    bytes: [u8; 16],
    first: u8,
    len: u8,
}

impl Fifo {
    /// The caller has seen that there is room.
    fn push(&mut self, byte: u8) {
        self.bytes[usize::from((self.first + self.len) % 16)] = byte;
        self.len += 1;
    }

    fn pop(&mut self) -> Option<u8> {
        if self.len == 0 {
            return None;
        }
        let byte = self.bytes[usize::from(self.first % 16)];
        self.first = (self.first + 1) % 16;
        self.len -= 1;
        Some(byte)
    }
}

/// One UART.
#[derive(Clone, Debug)]
pub struct Uart {
    received: Fifo,
    /// FCR bit 0; without it the chip is a 16450 with one byte of buffer.
    fifo: bool,
    trigger: u8,
    ier: u8,
    lcr: u8,
    mcr: u8,
    scratch: u8,
    divisor: [u8; 2],
    overrun: bool,
    /// The transmitter became empty, and IIR has not been read since.
    emptied: bool,
}

impl Default for Uart {
    fn default() -> Self {
        Self::new()
    }
}

impl Uart {
    /// A UART after reset.
    pub const fn new() -> Self {
        Self {
            received: Fifo { bytes: [0; 16], first: 0, len: 0 },
            fifo: false,
            trigger: 1,
            ier: 0,
            lcr: 0,
            mcr: modem::OUT2,
            scratch: 0,
            divisor: DIVISOR,
            overrun: false,
            emptied: false,
        }
    }

    /// Back to [`Uart::new`].
    pub fn reset(&mut self) {
        *self = Self::new();
    }

    /// Loads the register at `offset`, zero-extended.
    ///
    /// # Errors
    /// [`AccessFault`] if the access is not within the eight registers.
    #[inline]
    pub fn read(&mut self, offset: u64, width: Width) -> Result<u64, AccessFault> {
        check(offset, width)?;
        let divisor = self.lcr & DIVISOR_ACCESS != 0;
        Ok(u64::from(match offset {
            0 if divisor => self.divisor[0],
            1 if divisor => self.divisor[1],
            0 => self.read_received(),
            1 => self.ier,
            2 => self.read_identification(),
            3 => self.lcr,
            4 => self.mcr,
            5 => self.read_line_status(),
            6 => self.modem_status(),
            _ => self.scratch,
        }))
    }

    /// Stores the low byte of `value` to the register at `offset`. What is
    /// returned goes to the console.
    ///
    /// # Errors
    /// As of [`Uart::read`].
    #[inline]
    pub fn write(
        &mut self,
        offset: u64,
        width: Width,
        value: u64,
    ) -> Result<Option<u8>, AccessFault> {
        check(offset, width)?;
        let byte = value.to_le_bytes()[0];
        let divisor = self.lcr & DIVISOR_ACCESS != 0;
        match offset {
            0 if divisor => self.divisor[0] = byte,
            1 if divisor => self.divisor[1] = byte,
            0 => return Ok(self.transmit(byte)),
            1 => self.enable(byte),
            2 => self.control_fifo(byte),
            3 => self.lcr = byte,
            4 => self.mcr = byte & modem::ALL,
            // LSR and MSR are not for writing.
            5 | 6 => {}
            _ => self.scratch = byte,
        }
        Ok(None)
    }

    /// A byte arrives from the console. False if it is lost: there is no room,
    /// which the guest sees as an overrun, or loop-back has cut the line. One
    /// who can hold bytes back asks [`Uart::has_room`] first.
    pub fn push(&mut self, byte: u8) -> bool {
        !self.looped() && self.receive(byte)
    }

    /// Whether a byte from the console would be taken.
    pub fn has_room(&self) -> bool {
        !self.looped() && self.received.len < self.capacity()
    }

    /// The interrupt line.
    #[inline]
    pub fn interrupt(&self) -> bool {
        self.identification() != iir::NONE
    }

    fn looped(&self) -> bool {
        self.mcr & modem::LOOP != 0
    }

    fn capacity(&self) -> u8 {
        if self.fifo { 16 } else { 1 }
    }

    /// Full, the FIFO loses the new byte, the 16450 the old one (8.4, OE).
    fn receive(&mut self, byte: u8) -> bool {
        let room = self.received.len < self.capacity();
        self.overrun |= !room;
        if !room && !self.fifo {
            self.received.pop();
        }
        if room || !self.fifo {
            self.received.push(byte);
        }
        room
    }

    fn read_received(&mut self) -> u8 {
        self.received.pop().unwrap_or(0)
    }

    /// The byte leaves at once, and the transmitter is empty anew.
    fn transmit(&mut self, byte: u8) -> Option<u8> {
        self.emptied = true;
        if self.looped() {
            self.receive(byte);
            return None;
        }
        Some(byte)
    }

    /// Wanting the interrupt of an empty transmitter raises it at once.
    fn enable(&mut self, byte: u8) {
        if (self.ier ^ byte) & ier::TRANSMIT_EMPTY != 0 {
            self.emptied = byte & ier::TRANSMIT_EMPTY != 0;
        }
        self.ier = byte & ier::ALL;
    }

    /// Switching the FIFOs on or off also empties them (8.5).
    fn control_fifo(&mut self, byte: u8) {
        let fifo = byte & fcr::ENABLE != 0;
        if fifo != self.fifo || byte & fcr::CLEAR_RECEIVED != 0 {
            self.received = Fifo::default();
        }
        if fifo != self.fifo || byte & fcr::CLEAR_TRANSMIT != 0 {
            self.emptied = true;
        }
        self.fifo = fifo;
        self.trigger = TRIGGERS[usize::from(byte >> 6)];
    }

    /// The most urgent interrupt that is wanted and there (8.6).
    #[inline]
    fn identification(&self) -> u8 {
        if self.ier & ier::LINE_STATUS != 0 && self.overrun {
            iir::LINE_STATUS
        } else if self.ier & ier::RECEIVED != 0 && self.received.len != 0 {
            let below = self.fifo && self.received.len < self.trigger;
            if below { iir::TIMEOUT } else { iir::RECEIVED }
        } else if self.ier & ier::TRANSMIT_EMPTY != 0 && self.emptied {
            iir::TRANSMIT_EMPTY
        } else {
            iir::NONE
        }
    }

    /// Reading that the transmitter is empty takes note of it.
    fn read_identification(&mut self) -> u8 {
        let id = self.identification();
        if id == iir::TRANSMIT_EMPTY {
            self.emptied = false;
        }
        if self.fifo { id | iir::FIFO } else { id }
    }

    fn read_line_status(&mut self) -> u8 {
        let ready = if self.received.len != 0 { lsr::DATA_READY } else { 0 };
        let overrun = if self.overrun { lsr::OVERRUN } else { 0 };
        self.overrun = false;
        lsr::EMPTY | ready | overrun
    }

    /// In loop-back, OUT2, OUT1, DTR and RTS arrive as DCD, RI, DSR and CTS
    /// (8.8). The bits that report a change stay 0, as on QEMU.
    fn modem_status(&self) -> u8 {
        if !self.looped() {
            return modem::READY;
        }
        (self.mcr & 0xc) << 4 | (self.mcr & 1) << 5 | (self.mcr & 2) << 3
    }
}

#[inline]
fn check(offset: u64, width: Width) -> Result<(), AccessFault> {
    if offset <= 8 - width.bytes() { Ok(()) } else { Err(AccessFault) }
}

#[cfg(test)]
mod tests;
