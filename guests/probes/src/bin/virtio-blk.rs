//! A block device: read, write, read back; interrupt; errors. Runs with either
//! version of virtio-mmio.
#![no_std]
#![no_main]

use probes::Probe;
use probes::csr::{self, MEI, MIP};
use probes::dev::plic::{self, context_m};
use probes::dev::virtio::{self, Disk, INTERRUPT_ACK, INTERRUPT_STATUS, NEXT, STATUS, WRITE};
use probes::report::Hex;

probes::probe!(main);

const M: u64 = context_m(0);

fn main(p: &mut Probe) {
    let Some(slot) = virtio::find_block() else {
        p.holds("a block device", false);
        return;
    };
    let mut disk = Disk::new(slot);
    p.show("version", disk.version);
    p.show("status", Hex(disk.regs.read::<u32>(STATUS).into()));
    contents(p, &mut disk);
    many(p, &mut disk);
    interrupt(p, &mut disk, slot);
    errors(p, &mut disk);
    fresh(p, slot);
}

/// The image is all zeroes at first.
fn contents(p: &mut Probe, disk: &mut Disk) {
    disk.data().fill(u64::MAX);
    p.number("read sector 0: status", disk.transfer(0, false), 0);
    p.hex("first doubleword", disk.data().get(0), 0);
    p.hex("last doubleword", disk.data().get(63), 0);
    p.hex("behind the sector", disk.data().get(64), u64::MAX);
    for index in 0..64 {
        disk.data().set(index, 0x0101_0101_0101_0101 * index as u64);
    }
    p.number("write sector 1: status", disk.transfer(1, true), 0);
    disk.data().fill(0);
    p.number("read sector 1: status", disk.transfer(1, false), 0);
    let right =
        (0..64).filter(|n| disk.data().get(*n) == 0x0101_0101_0101_0101 * *n as u64).count();
    p.number("right doublewords", right as u64, 64);
    p.number("read sector 0 again: status", disk.transfer(0, false), 0);
    p.hex("sector 0 is untouched", disk.data().get(1), 0);
}

/// The ring wraps several times.
fn many(p: &mut Probe, disk: &mut Disk) {
    let mut good = 0;
    for sector in 0..100 {
        disk.data().fill(0x1000 + sector);
        good += u64::from(disk.transfer(2 + sector, true) == 0);
    }
    for sector in 0..100 {
        good += u64::from(
            disk.transfer(2 + sector, false) == 0 && disk.data().get(9) == 0x1000 + sector,
        );
    }
    p.number("good of 200 requests", good, 200);
}

/// The interrupt, up to its acknowledgement.
fn interrupt(p: &mut Probe, disk: &mut Disk, slot: u64) {
    let source = u32::try_from(virtio::irq(slot)).unwrap_or(0);
    disk.regs.write(INTERRUPT_ACK, 3_u32);
    plic::set_priority(source, 1);
    plic::set_enabled(M, 1 << source);
    let stale = plic::claim(M);
    plic::complete(M, stale);
    p.hex("MEIP before", csr::read::<MIP>() & MEI, 0);
    let status = disk.transfer(0, false);
    while csr::read::<MIP>() & MEI == 0 {}
    p.number("status", status, 0);
    p.number("interrupt status", disk.regs.read::<u32>(INTERRUPT_STATUS).into(), 1);
    let claim = plic::claim(M);
    p.number("claimed source is the slot's", claim.into(), source.into());
    disk.regs.write(INTERRUPT_ACK, 1_u32);
    p.number("interrupt status after", disk.regs.read::<u32>(INTERRUPT_STATUS).into(), 0);
    plic::complete(M, claim);
    p.hex("MEIP after", csr::read::<MIP>() & MEI, 0);
    plic::set_enabled(M, 0);
}

/// Requests that a device must refuse in the status byte: IOERR 1, UNSUPP 2.
fn errors(p: &mut Probe, disk: &mut Disk) {
    p.number("read behind the end", disk.transfer(1 << 40, false), 1);
    p.number(
        "read over the last sector",
        {
            two_sectors(disk, 2047);
            disk.submit(0);
            let _ = disk.wait();
            disk.request.get(2) & 0xff
        },
        1,
    );
    disk.prepare(0, false);
    disk.request.set(0, 0x77);
    disk.submit(0);
    let answered = disk.wait();
    p.holds("unknown type is answered", answered);
    p.number("unknown type", disk.request.get(2) & 0xff, 2);
    // GET_ID: 20 bytes.
    disk.prepare(0, false);
    disk.request.set(0, 8);
    disk.describe(1, disk.data().pa(), 20, NEXT | WRITE, 2);
    disk.submit(0);
    p.holds("get id is answered", disk.wait());
    p.number("get id", disk.request.get(2) & 0xff, 0);
    p.number("and the disk still works", disk.transfer(0, false), 0);
}

/// Makes the prepared request two sectors long.
fn two_sectors(disk: &Disk, sector: u64) {
    disk.prepare(sector, false);
    disk.describe(1, disk.data().pa(), 1024, NEXT | WRITE, 2);
}

/// Reset and set up again, elsewhere.
fn fresh(p: &mut Probe, slot: u64) {
    let mut disk = Disk::new(slot);
    p.number("after a reset: status", disk.transfer(2, false), 0);
    p.hex("after a reset: data", disk.data().get(0), 0x1000);
}
