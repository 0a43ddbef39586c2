//! What each command does (chapter 8), block after block.

use zerocopy::IntoBytes;

use super::{Ata, BUFFER, MULTIPLE, Phase, Transfer, Want, error};
use crate::addr::Gpa;
use crate::disk::SECTOR;

/// The commands there are; all others are aborted.
mod op {
    pub(super) const READ_SECTORS: u8 = 0x20;
    /// The same with retries, whatever they are.
    pub(super) const READ_SECTORS_ONCE: u8 = 0x21;
    pub(super) const READ_SECTORS_EXT: u8 = 0x24;
    pub(super) const READ_MULTIPLE_EXT: u8 = 0x29;
    pub(super) const WRITE_SECTORS: u8 = 0x30;
    pub(super) const WRITE_SECTORS_ONCE: u8 = 0x31;
    pub(super) const WRITE_SECTORS_EXT: u8 = 0x34;
    pub(super) const WRITE_MULTIPLE_EXT: u8 = 0x39;
    pub(super) const DIAGNOSTIC: u8 = 0x90;
    pub(super) const READ_MULTIPLE: u8 = 0xc4;
    pub(super) const WRITE_MULTIPLE: u8 = 0xc5;
    pub(super) const SET_MULTIPLE: u8 = 0xc6;
    /// The disk has no platters to stop: what is left is to flush.
    pub(super) const STANDBY_IMMEDIATE: u8 = 0xe0;
    pub(super) const FLUSH: u8 = 0xe7;
    pub(super) const FLUSH_EXT: u8 = 0xea;
    pub(super) const IDENTIFY: u8 = 0xec;
    pub(super) const SET_FEATURES: u8 = 0xef;
}

/// SET FEATURES: the write cache is on; it always is.
const ENABLE_WRITE_CACHE: u8 = 0x02;
/// SET FEATURES: the transfer mode is in the sector count.
const TRANSFER_MODE: u8 = 0x03;

/// Which way the data of a command goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    In,
    Out,
}

/// How wide addresses are, and how long blocks.
#[derive(Clone, Copy)]
struct Form {
    wide: bool,
    multiple: bool,
}

const PLAIN: Form = Form { wide: false, multiple: false };
const EXT: Form = Form { wide: true, multiple: false };
const LONG: Form = Form { wide: false, multiple: true };
const LONG_EXT: Form = Form { wide: true, multiple: true };

impl Ata {
    /// The host writes the command register.
    pub(super) fn command(&mut self, code: u8) {
        if !self.file.is_selected() && code != op::DIAGNOSTIC {
            return;
        }
        (self.interrupt, self.failed, self.error) = (false, false, 0);
        match code {
            op::READ_SECTORS | op::READ_SECTORS_ONCE => self.start(Direction::In, PLAIN),
            op::READ_SECTORS_EXT => self.start(Direction::In, EXT),
            op::READ_MULTIPLE => self.start(Direction::In, LONG),
            op::READ_MULTIPLE_EXT => self.start(Direction::In, LONG_EXT),
            op::WRITE_SECTORS | op::WRITE_SECTORS_ONCE => self.start(Direction::Out, PLAIN),
            op::WRITE_SECTORS_EXT => self.start(Direction::Out, EXT),
            op::WRITE_MULTIPLE => self.start(Direction::Out, LONG),
            op::WRITE_MULTIPLE_EXT => self.start(Direction::Out, LONG_EXT),
            op::FLUSH | op::FLUSH_EXT | op::STANDBY_IMMEDIATE => self.ask(Want::Flush),
            op::IDENTIFY => self.identify(),
            op::SET_MULTIPLE => self.set_multiple(self.file.count()),
            op::SET_FEATURES => self.set_features(),
            op::DIAGNOSTIC => {
                self.file.select_first();
                self.sign();
                self.finish();
            }
            _ => self.fail(error::ABORTED),
        }
    }

    /// The storage has done, or not, what was wanted of it.
    pub fn done(&mut self, success: bool) {
        match (self.phase, success) {
            (Phase::Storage(Want::Read { count, .. }), true) => {
                self.open(Phase::In, count);
                self.interrupt = true;
            }
            (Phase::Storage(Want::Write { count, .. }), true) => {
                self.advance(count);
                self.interrupt = true;
                match self.transfer.left {
                    0 => self.finish(),
                    left => self.open(Phase::Out, left),
                }
            }
            (Phase::Storage(Want::Flush), true) => self.finish(),
            (Phase::Storage(Want::Read { sector, .. }), false) => {
                self.fail_at(sector, error::UNREADABLE);
            }
            (Phase::Storage(Want::Write { sector, .. }), false) => {
                self.fail_at(sector, error::ABORTED);
            }
            (Phase::Storage(Want::Flush), false) => self.fail(error::ABORTED),
            (Phase::Forgotten, _) => self.phase = Phase::Idle,
            (Phase::Idle | Phase::In | Phase::Out, _) => {}
        }
    }

    /// The host has moved all of a block.
    pub(super) fn end_block(&mut self) {
        let Transfer { at, filled, .. } = self.transfer;
        match self.phase {
            phase @ (Phase::In | Phase::Out) if at < filled => {
                self.open_block(phase);
                self.interrupt = true;
            }
            Phase::In => {
                self.advance(sectors(filled));
                match self.transfer.left {
                    0 => self.phase = Phase::Idle,
                    left => self.read_ahead(left),
                }
            }
            Phase::Out => {
                let (sector, count) = (self.transfer.sector, sectors(filled));
                self.ask(Want::Write { sector, count });
            }
            Phase::Idle | Phase::Storage(_) | Phase::Forgotten => {}
        }
    }

    /// Begins a command that moves sectors.
    fn start(&mut self, direction: Direction, form: Form) {
        if !self.file.is_lba() || form.multiple && self.multiple == 0 {
            return self.fail(error::ABORTED);
        }
        let (sector, left) = if form.wide { self.file.range48() } else { self.file.range28() };
        if sector >= self.sectors || u64::from(left) > self.sectors - sector {
            self.transfer.wide = form.wide;
            let first = sector.max(self.sectors);
            return self.fail_at(first, error::NO_SUCH_SECTOR);
        }
        let block = SECTOR * if form.multiple { self.multiple.into() } else { 1 };
        self.transfer = Transfer { sector, left, block, wide: form.wide, ..Transfer::default() };
        match direction {
            Direction::In => self.read_ahead(left),
            // The first block is awaited without an interrupt.
            Direction::Out => self.open(Phase::Out, left),
        }
    }

    fn read_ahead(&mut self, left: u32) {
        let (sector, count) = (self.transfer.sector, left.min(sectors(BUFFER)));
        self.ask(Want::Read { sector, count });
    }

    fn ask(&mut self, want: Want) {
        (self.phase, self.want) = (Phase::Storage(want), Some(want));
    }

    /// Offers the buffer, filled with so many sectors or as many as it holds.
    fn open(&mut self, phase: Phase, count: u32) {
        self.transfer.at = 0;
        self.transfer.filled = (u64::from(count) * SECTOR).min(BUFFER);
        self.open_block(phase);
    }

    fn open_block(&mut self, phase: Phase) {
        let transfer = &mut self.transfer;
        transfer.block_end = transfer.filled.min(transfer.at + transfer.block);
        self.phase = phase;
    }

    /// So many sectors are dealt with.
    fn advance(&mut self, count: u32) {
        self.transfer.sector += u64::from(count);
        self.transfer.left = self.transfer.left.saturating_sub(count);
    }

    fn identify(&mut self) {
        let words = self.identity();
        if self.buffer.write_bytes(Gpa(0), words.as_bytes()).is_err() {
            return self.fail(error::ABORTED);
        }
        self.transfer = Transfer { left: 1, block: SECTOR, ..Transfer::default() };
        self.open(Phase::In, 1);
        self.interrupt = true;
    }

    /// A power of two up to [`MULTIPLE`], or 0 to switch it off.
    fn set_multiple(&mut self, count: u8) {
        if count != 0 && (!count.is_power_of_two() || count > MULTIPLE) {
            return self.fail(error::ABORTED);
        }
        self.multiple = count;
        self.finish();
    }

    /// PIO modes are all the same here; modes of DMA there are none.
    fn set_features(&mut self) {
        const FLOW_CONTROL: core::ops::RangeInclusive<u8> = 0x08..=0x0c;
        let mode = self.file.count();
        match self.file.features() {
            ENABLE_WRITE_CACHE => self.finish(),
            TRANSFER_MODE if mode <= 1 || FLOW_CONTROL.contains(&mode) => self.finish(),
            _ => self.fail(error::ABORTED),
        }
    }

    /// The command is done.
    fn finish(&mut self) {
        (self.phase, self.interrupt) = (Phase::Idle, true);
    }

    fn fail(&mut self, error: u8) {
        (self.error, self.failed) = (error, true);
        self.finish();
    }

    /// The same, and the host is shown where.
    fn fail_at(&mut self, sector: u64, error: u8) {
        self.file.show_sector(sector, self.transfer.wide);
        self.fail(error);
    }
}

/// Whole sectors in so many bytes, which the buffer can hold.
fn sectors(bytes: u64) -> u32 {
    u32::try_from(bytes / SECTOR).unwrap_or(u32::MAX)
}
