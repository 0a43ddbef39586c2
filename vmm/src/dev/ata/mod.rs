//! An ATA disk: the fully emulated one, every register of which traps.
//!
//! After AT Attachment with Packet Interface 6 (T13/1410D): one device, number
//! 0, of the PIO data-in, PIO data-out and non-data protocols, with 28- and
//! 48-bit addresses. There is no DMA, so each two bytes are one access of the
//! data port. Linux drives it as `ata-generic` (`pata_of_platform`).
//!
//! ```text
//!  offset    read              written
//!  0x00      data, 16 or 32 bits at a time
//!  0x01      error             features       ┐
//!  0x02      sector count      sector count   │ 8 bits; all but status and
//!  0x03-05   LBA               LBA            │ command are two deep, for
//!  0x06      device            device         │ 48-bit addresses
//!  0x07      status            command        ┘
//!  0x10      alternate status  device control
//! ```
//!
//! The disk reads ahead, and gathers what is written, in a buffer of
//! [`BUFFER`] bytes; what it wants of the storage it says with
//! [`Ata::take_want`], and goes on when it is told the result
//! ([`Ata::done`]). Until then it is busy.

mod command;
mod identify;
mod taskfile;
#[cfg(test)]
mod tests;

use crate::addr::Gpa;
use crate::bus::{AccessFault, Width};
use crate::disk::{SECTOR, SERIAL};
use crate::mem::GuestRam;
use taskfile::TaskFile;

/// Bytes in the buffer.
pub const BUFFER: u64 = 64 << 10;

/// The most sectors between two interrupts of READ and WRITE MULTIPLE, and
/// how many there are until SET MULTIPLE MODE says otherwise.
const MULTIPLE: u8 = 16;
const _: () = assert!(BUFFER.is_multiple_of(MULTIPLE as u64 * SECTOR));

/// Bits of the status register.
mod status {
    pub(super) const BUSY: u8 = 1 << 7;
    pub(super) const READY: u8 = 1 << 6;
    /// Seek complete, which drivers of old disks look at.
    pub(super) const SEEK: u8 = 1 << 4;
    pub(super) const DATA_REQUEST: u8 = 1 << 3;
    pub(super) const ERROR: u8 = 1;
}

/// Values of the error register.
mod error {
    /// The device works; after a reset or a diagnostic.
    pub(super) const PASSED: u8 = 1;
    pub(super) const ABORTED: u8 = 1 << 2;
    pub(super) const NO_SUCH_SECTOR: u8 = 1 << 4;
    pub(super) const UNREADABLE: u8 = 1 << 6;
}

/// Bits of the device control register.
mod control {
    pub(super) const NO_INTERRUPT: u8 = 1 << 1;
    pub(super) const RESET: u8 = 1 << 2;
    /// Reads give the older of two bytes.
    pub(super) const HIGH_ORDER: u8 = 1 << 7;
}

/// Offset of the control block in the window.
pub const CONTROL: u64 = 0x10;

/// What a disk needs of its storage; data is at the start of the buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Want {
    /// So many sectors into the buffer.
    Read {
        /// The first one.
        sector: u64,
        /// At least one, and what the buffer holds at most.
        count: u32,
    },
    /// So many sectors out of the buffer.
    Write {
        /// The first one.
        sector: u64,
        /// As of a read.
        count: u32,
    },
    /// What was written becomes durable.
    Flush,
}

/// What a disk works on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Nothing.
    Idle,
    /// The storage has a want.
    Storage(Want),
    /// The same, but a software reset came meanwhile.
    Forgotten,
    /// The host reads a block.
    In,
    /// The host writes a block.
    Out,
}

/// What is left of a command that moves data.
#[derive(Clone, Copy, Default, Debug)]
struct Transfer {
    /// The sector at the start of the buffer.
    sector: u64,
    /// Sectors from there on.
    left: u32,
    /// Bytes in a block: between two interrupts.
    block: u64,
    /// Bytes of the buffer that are in use, and where the present block ends.
    filled: u64,
    block_end: u64,
    /// Where the host reads or writes next.
    at: u64,
    /// Whether sectors have addresses of 48 bits.
    wide: bool,
}

/// One disk.
pub struct Ata {
    /// Sectors that there are.
    sectors: u64,
    serial: [u8; SERIAL],
    buffer: GuestRam,
    file: TaskFile,
    error: u8,
    failed: bool,
    control: u8,
    interrupt: bool,
    multiple: u8,
    phase: Phase,
    want: Option<Want>,
    transfer: Transfer,
}

impl Ata {
    /// A disk of so many sectors, after power-on. The buffer has [`BUFFER`]
    /// bytes from address 0 on.
    pub fn new(sectors: u64, serial: [u8; SERIAL], buffer: GuestRam) -> Self {
        let mut disk = Self {
            sectors,
            serial,
            buffer,
            file: TaskFile::default(),
            error: 0,
            failed: false,
            control: 0,
            interrupt: false,
            multiple: MULTIPLE,
            phase: Phase::Idle,
            want: None,
            transfer: Transfer::default(),
        };
        disk.sign();
        disk
    }

    /// Power-on once more. The disk is busy until the storage is done with
    /// what it has.
    pub fn reset(&mut self) {
        self.control = 0;
        self.stop();
    }

    /// Where the storage reads and writes.
    pub fn buffer(&self) -> &GuestRam {
        &self.buffer
    }

    /// What the storage is to do next; told once.
    #[inline]
    pub fn take_want(&mut self) -> Option<Want> {
        self.want.take()
    }

    /// Whether the storage has something to do, or is about to have.
    pub fn wants(&self) -> bool {
        matches!(self.phase, Phase::Storage(_) | Phase::Forgotten)
    }

    /// The interrupt line, INTRQ.
    #[inline]
    pub fn interrupt(&self) -> bool {
        self.interrupt && self.control & control::NO_INTERRUPT == 0 && self.file.is_selected()
    }

    /// Loads the register at `offset`, zero-extended.
    ///
    /// # Errors
    /// [`AccessFault`] if there is none of that width.
    #[inline]
    pub fn read(&mut self, offset: u64, width: Width) -> Result<u64, AccessFault> {
        match (offset, width) {
            (0, Width::Half) => Ok(self.read_data().into()),
            // Two cycles of a bus that is 16 bits wide.
            (0, Width::Word) => {
                let low = u64::from(self.read_data());
                Ok(low | u64::from(self.read_data()) << 16)
            }
            (1..=7 | CONTROL, Width::Byte) => Ok(self.read_register(offset).into()),
            _ => Err(AccessFault),
        }
    }

    /// Stores `value` to the register at `offset`.
    ///
    /// # Errors
    /// As of [`Ata::read`].
    #[inline]
    pub fn write(&mut self, offset: u64, width: Width, value: u64) -> Result<(), AccessFault> {
        let [a, b, c, d, ..] = value.to_le_bytes();
        match (offset, width) {
            (0, Width::Half) => self.write_data(u16::from_le_bytes([a, b])),
            (0, Width::Word) => {
                self.write_data(u16::from_le_bytes([a, b]));
                self.write_data(u16::from_le_bytes([c, d]));
            }
            (1..=7, Width::Byte) => self.write_register(offset, a),
            (CONTROL, Width::Byte) => self.set_control(a),
            _ => return Err(AccessFault),
        }
        Ok(())
    }

    fn read_register(&mut self, offset: u64) -> u8 {
        match offset {
            1 => self.error,
            7 => {
                self.interrupt = false;
                self.status()
            }
            CONTROL => self.status(),
            _ => self.file.read(offset, self.control & control::HIGH_ORDER != 0),
        }
    }

    /// While the disk has a command, only the control register is heard.
    fn write_register(&mut self, offset: u64, value: u8) {
        self.control &= !control::HIGH_ORDER;
        if self.phase != Phase::Idle || self.control & control::RESET != 0 {
            return;
        }
        if offset == 7 { self.command(value) } else { self.file.write(offset, value) }
    }

    /// A missing device 1 has the status 0.
    fn status(&self) -> u8 {
        if !self.file.is_selected() {
            return 0;
        }
        if self.wants() || self.control & control::RESET != 0 {
            return status::BUSY;
        }
        let ready = status::READY | status::SEEK;
        match self.phase {
            Phase::In | Phase::Out => ready | status::DATA_REQUEST,
            _ if self.failed => ready | status::ERROR,
            _ => ready,
        }
    }

    /// Software reset (9.2): the disk is busy while the bit is set, and then
    /// as after power-on.
    fn set_control(&mut self, value: u8) {
        self.control = value;
        if value & control::RESET != 0 {
            self.stop();
        }
    }

    /// Ends what is under way. The storage may still write to the buffer.
    fn stop(&mut self) {
        let flying = self.wants() && self.want.take().is_none();
        self.phase = if flying { Phase::Forgotten } else { Phase::Idle };
        (self.interrupt, self.failed, self.multiple) = (false, false, MULTIPLE);
        self.file.select_first();
        self.sign();
    }

    /// The signature of an ATA disk, and the result of its diagnostic (9.12).
    fn sign(&mut self) {
        self.error = error::PASSED;
        self.file.sign();
    }

    #[inline]
    fn read_data(&mut self) -> u16 {
        if self.phase != Phase::In {
            return 0;
        }
        // The buffer is longer than any position in it, and positions are even.
        let half = self.buffer.load_u16(Gpa(self.transfer.at)).unwrap_or(0);
        self.moved(2);
        half
    }

    #[inline]
    fn write_data(&mut self, half: u16) {
        if self.phase == Phase::Out && self.buffer.store_u16(Gpa(self.transfer.at), half).is_ok() {
            self.moved(2);
        }
    }

    /// How many bytes of the present block the host can read, or write.
    pub fn readable(&self) -> u64 {
        if self.phase == Phase::In { self.transfer.block_left() } else { 0 }
    }

    /// As [`Ata::readable`].
    pub fn writable(&self) -> u64 {
        if self.phase == Phase::Out { self.transfer.block_left() } else { 0 }
    }

    /// The next `bytes` of the present block at once, as reads of the data
    /// port give them; an even number, and no more than [`Ata::readable`].
    pub fn read_block(&mut self, bytes: &mut [u8]) {
        let len = bytes.len() as u64;
        if len <= self.readable() && self.buffer.read_bytes(Gpa(self.transfer.at), bytes).is_ok() {
            self.moved(len);
        }
    }

    /// The same for writes.
    pub fn write_block(&mut self, bytes: &[u8]) {
        let len = bytes.len() as u64;
        if len <= self.writable() && self.buffer.write_bytes(Gpa(self.transfer.at), bytes).is_ok() {
            self.moved(len);
        }
    }

    /// The host has read or written so many bytes.
    #[inline]
    fn moved(&mut self, bytes: u64) {
        self.transfer.at += bytes;
        if self.transfer.block_left() == 0 {
            self.end_block();
        }
    }
}

impl Transfer {
    #[inline]
    fn block_left(&self) -> u64 {
        self.block_end.saturating_sub(self.at)
    }
}
