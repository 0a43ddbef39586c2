//! The ATA disk: identity, data by every command, interrupt, errors, reset.
//! Its image is 1 MiB of zeroes at first.
#![no_std]
#![no_main]

use probes::Probe;
use probes::csr::{self, MEI, MIP};
use probes::dev::ata::{self, ALT_STATUS, ATA, CONTROL, COUNT, DATA, DEVICE, ERROR, STATUS};
use probes::dev::plic::{self, context_m};

probes::probe!(main);

const M: u64 = context_m(0);
/// Halfwords in a sector.
const SECTOR: usize = 256;
/// Status: ready, and nothing else.
const READY: u64 = 0x50;
/// Status: the last command failed.
const FAILED: u64 = 0x51;

fn main(p: &mut Probe) {
    p.hex("status after a reset", ata::reset().into(), READY);
    identity(p);
    contents(p);
    multiple(p);
    wide(p);
    interrupt(p);
    errors(p);
    missing(p);
}

fn identity(p: &mut Probe) {
    let mut id = [0; SECTOR];
    ata::set(DEVICE, 0);
    ata::set(ata::COMMAND, ata::IDENTIFY);
    let status = ata::read(SECTOR, SECTOR, |at, half| id[at] = half);
    p.hex("identify: status", status.into(), READY);
    p.hex("a fixed disk", id[0].into(), 0x40);
    p.holds("it has LBA, and no DMA", id[49] & 0x300 == 0x200);
    p.holds("and 48-bit addresses", id[83] & 1 << 10 != 0);
    p.number("sectors", u64::from(id[60]) | u64::from(id[61]) << 16, 2048);
    p.number("sectors, 48 bits", u64::from(id[100]), 2048);
    p.hex("sectors in a block", id[59].into(), 0x110);
}

/// The data of a test: no two sectors alike.
fn pattern(seed: u16) -> impl Fn(usize) -> u16 {
    move |at| {
        let [low, high, ..] = at.to_le_bytes();
        seed.wrapping_add(u16::from_le_bytes([low, high])).wrapping_mul(0x9e37)
    }
}

/// Says how a write of so many sectors ended.
fn written(p: &mut Probe, what: &str, sectors: usize, block: usize, seed: u16) {
    let status = ata::write(sectors * SECTOR, block, pattern(seed));
    p.hex(format_args!("{what}: status"), status.into(), READY);
}

/// Says how a read of so many sectors ended, and whether they were right.
fn read(p: &mut Probe, what: &str, sectors: usize, block: usize, each: impl Fn(usize) -> u16) {
    let count = sectors * SECTOR;
    let (status, right) = ata::compare(count, block, each);
    p.hex(format_args!("{what}: status"), status.into(), READY);
    p.number(format_args!("{what}: right halfwords"), right, count as u64);
}

fn contents(p: &mut Probe) {
    ata::command(ata::READ_SECTORS, 0, 4);
    read(p, "read zeroes", 4, SECTOR, |_| 0);
    ata::command(ata::WRITE_SECTORS, 2044, 4);
    written(p, "write the last sectors", 4, SECTOR, 1);
    ata::command(ata::READ_SECTORS, 2044, 4);
    read(p, "read the last sectors", 4, SECTOR, pattern(1));
    words(p);
    ata::set(ata::COMMAND, ata::FLUSH);
    p.hex("flush: status", ata::wait().into(), READY);
}

/// The data port takes four bytes at a time, too.
fn words(p: &mut Probe) {
    ata::command(ata::READ_SECTORS, 2044, 1);
    ata::wait();
    let right = (0..SECTOR).step_by(2).all(|at| {
        let [low, high] = [at, at + 1].map(pattern(1)).map(u32::from);
        ATA.read::<u32>(DATA) == low | high << 16
    });
    p.holds("the same by words", right);
    p.hex("and no more: status", ata::get(STATUS).into(), READY);
}

/// Blocks of as many sectors as SET MULTIPLE MODE says.
fn multiple(p: &mut Probe) {
    for (count, seed) in [(16, 2), (8, 3), (1, 4)] {
        ata::set(COUNT, count);
        ata::set(ata::COMMAND, ata::SET_MULTIPLE);
        p.hex("set multiple: status", ata::wait().into(), READY);
        let block = usize::from(count) * SECTOR;
        ata::command(ata::WRITE_MULTIPLE, 100, 20);
        written(p, "write multiple", 20, block, seed);
        ata::command(ata::READ_MULTIPLE, 100, 20);
        read(p, "read multiple", 20, block, pattern(seed));
    }
}

fn wide(p: &mut Probe) {
    ata::command_ext(ata::WRITE_SECTORS_EXT, 300, 16);
    written(p, "write ext", 16, SECTOR, 5);
    ata::command_ext(ata::READ_MULTIPLE_EXT, 300, 16);
    read(p, "read multiple ext", 16, SECTOR, pattern(5));
    // 512 sectors are more than the disk reads ahead, and than 28 bits can say.
    ata::command_ext(ata::READ_SECTORS_EXT, 0, 512);
    read(p, "read 512 sectors", 512, SECTOR, |at| match at / SECTOR {
        100..120 => pattern(4)(at - 100 * SECTOR),
        300..316 => pattern(5)(at - 300 * SECTOR),
        _ => 0,
    });
    ata::set(ata::COMMAND, ata::FLUSH_EXT);
    p.hex("flush ext: status", ata::wait().into(), READY);
}

fn interrupt(p: &mut Probe) {
    plic::set_priority(ata::IRQ, 1);
    plic::set_enabled(M, 1 << ata::IRQ);
    plic::complete(M, plic::claim(M));
    p.hex("MEIP before", csr::read::<MIP>() & MEI, 0);
    ata::command(ata::READ_SECTORS, 2044, 2);
    for block in ["first", "second"] {
        while csr::read::<MIP>() & MEI == 0 {}
        let claim = plic::claim(M);
        p.number(format_args!("{block} block: claimed source"), claim.into(), ata::IRQ.into());
        p.hex(format_args!("{block} block: status"), ata::get(STATUS).into(), 0x58);
        plic::complete(M, claim);
        p.hex(format_args!("{block} block: MEIP after"), csr::read::<MIP>() & MEI, 0);
        (0..SECTOR).for_each(|_| {
            let _: u16 = ATA.read(DATA);
        });
    }
    p.hex("MEIP after the last block", csr::read::<MIP>() & MEI, 0);
    ata::set(CONTROL, 2);
    ata::set(ata::COMMAND, ata::FLUSH);
    p.hex("status with interrupts off", ata::wait().into(), READY);
    p.hex("MEIP with interrupts off", csr::read::<MIP>() & MEI, 0);
    ata::set(CONTROL, 0);
    plic::set_enabled(M, 0);
}

fn errors(p: &mut Probe) {
    ata::command(ata::READ_SECTORS, 2047, 2);
    p.hex("read over the end: status", ata::wait().into(), FAILED);
    p.hex("no such sector", ata::get(ERROR).into(), 0x10);
    let sector = u64::from(ata::get(ata::LBA_MID)) << 8 | u64::from(ata::get(ata::LBA_LOW));
    p.number("which one", sector, 2048);
    ata::command_ext(ata::WRITE_SECTORS_EXT, 1 << 40, 1);
    p.hex("write behind the end: status", ata::wait().into(), FAILED);
    p.hex("no such sector", ata::get(ERROR).into(), 0x10);
    ata::command(0xc8, 0, 1);
    p.hex("read with DMA: status", ata::wait().into(), FAILED);
    p.hex("aborted", ata::get(ERROR).into(), 4);
    ata::set(COUNT, 3);
    ata::set(ata::COMMAND, ata::SET_MULTIPLE);
    p.hex("blocks of three sectors: status", ata::wait().into(), FAILED);
    ata::command(ata::READ_SECTORS, 0, 1);
    p.hex("and the disk still works", ata::read(SECTOR, SECTOR, |_, _| {}).into(), READY);
}

/// A reset in the middle of a command; and the device that is not there.
fn missing(p: &mut Probe) {
    ata::command(ata::READ_SECTORS, 0, 5);
    ata::wait();
    let _: u16 = ATA.read(DATA);
    p.hex("reset in a block: status", ata::reset().into(), READY);
    p.hex("and its diagnosis", ata::get(ERROR).into(), 1);
    ata::set(DEVICE, 0x10);
    p.hex("device 1: status", ata::get(ALT_STATUS).into(), 0);
    ata::set(ata::COMMAND, ata::DIAGNOSTIC);
    p.hex("diagnostic: status", ata::wait().into(), READY);
    p.hex("diagnostic: result", ata::get(ERROR).into(), 1);
}
