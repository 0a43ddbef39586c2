//! Hostile: the driver of a passed disk wants the device to reach memory that
//! is not its own. What it asks for is refused before the device hears of it,
//! and what it changes afterwards reaches nobody.
#![no_std]
#![no_main]

use probes::Probe;
use probes::dev::virtio::{self, Disk, NEXT, QUEUE_DESC_LOW, STATUS, WRITE};
use probes::paging::{Frame, PAGE};

probes::probe!(main);

/// End of this probe's memory, of 128 MiB.
const END: u64 = 0x8800_0000;
/// `DEVICE_NEEDS_RESET`
const NEEDS_RESET: u32 = 64;
/// What is on the disk, and what must stay in memory.
const ON_DISK: u64 = 0xd15c;
const CANARY: u64 = 0xca_7a71;
const SECTOR: u64 = 9;

/// Buffers of other guests, of the VMM, of devices, or that only begin well.
const WRONG: &[(&str, u64, u64)] = &[
    ("the first byte behind memory", END, 512),
    ("memory of the machine's, further up", END + 0x100_0000, 512),
    ("memory below", 0x7fff_f000, 512),
    ("a device", 0x1000_1000, 512),
    ("a good address, a length that leaves memory", END - 512, 1024),
    ("a good address, the longest length", END - PAGE, 0xffff_ffff),
    ("an address and a length that wrap", u64::MAX - 511, 1024),
];

fn main(p: &mut Probe) {
    let Some(slot) = virtio::find_block() else {
        p.holds("a block device", false);
        return;
    };
    let mut disk = Disk::new(slot);
    disk.data().fill(ON_DISK);
    p.number("write", disk.transfer(SECTOR, true), 0);
    for (what, address, len) in WRONG {
        for flags in [NEXT | WRITE, NEXT] {
            disk.restart();
            disk.prepare(SECTOR, flags & WRITE == 0);
            disk.describe(1, *address, *len, flags, 2);
            disk.submit(0);
            let refused = disk.regs.read::<u32>(STATUS) & NEEDS_RESET != 0;
            p.holds(format_args!("{what}: refused"), refused && disk.used() == 0);
        }
    }
    changed(p, &mut disk);
    moved(p, &mut disk);
    disk.restart();
    p.number("the disk works", disk.transfer(SECTOR, false), 0);
    p.hex("with what was written", disk.data().get(63), ON_DISK);
}

/// The descriptors change once the device was notified.
fn changed(p: &mut Probe, disk: &mut Disk) {
    let canary = Frame::new();
    let mut well = true;
    for _ in 0..200 {
        disk.restart();
        canary.fill(CANARY);
        disk.data().fill(0);
        disk.prepare(SECTOR, false);
        disk.submit(0);
        disk.describe(1, canary.pa(), PAGE, NEXT | WRITE, 2);
        disk.describe(2, 0x8000_0000, 0xffff_ffff, WRITE, 0);
        well &= disk.wait() && disk.data().get(0) == ON_DISK && intact(canary);
    }
    p.holds("descriptors changed after the check", well);
}

/// The queue's registers change while the queue is in use; what lies at the
/// new place would be obeyed, if it counted.
fn moved(p: &mut Probe, disk: &mut Disk) {
    let (canary, elsewhere) = (Frame::new(), Frame::run(2));
    let mut well = true;
    for _ in 0..200 {
        disk.restart();
        canary.fill(CANARY);
        disk.data().fill(0);
        disk.prepare(SECTOR, false);
        (0..512).for_each(|n| elsewhere.set(n, disk.queue.get(n)));
        elsewhere.set(2, canary.pa());
        let place = u32::try_from(elsewhere.pa()).unwrap_or(0);
        disk.regs.write(QUEUE_DESC_LOW, place);
        disk.submit(0);
        disk.regs.write(QUEUE_DESC_LOW, place);
        well &= disk.wait() && disk.data().get(0) == ON_DISK && intact(canary);
    }
    p.holds("a ring moved while in use", well);
}

fn intact(frame: Frame) -> bool {
    (0..512).all(|n| frame.get(n) == CANARY)
}
