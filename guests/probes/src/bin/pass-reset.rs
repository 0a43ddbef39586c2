//! A reset in the middle of a disk's work: nothing of it goes on in the next
//! life, and the disk works there.
#![no_std]
#![no_main]

use probes::Probe;
use probes::dev::clint::{self, TICKS_PER_MS};
use probes::dev::finisher;
use probes::dev::virtio::{self, Disk, NEXT, QUEUE_NOTIFY, WRITE};
use probes::paging::{Frame, PAGE};

probes::probe!(main);

/// The sector that tells which life it is, and the next one's data.
const MARK: u64 = 9;
const MARKED: u64 = 0x0001_1fe5;
/// What memory must hold on to.
const CANARY: u64 = 0xca_7a71;
/// Pages that the disk reads into at once: most of its image.
const PAGES: u64 = 128;

fn main(p: &mut Probe) {
    let Some(slot) = virtio::find_block() else {
        p.holds("a block device", false);
        return;
    };
    let buffer = Frame::run(PAGES);
    let mut disk = Disk::new(slot);
    if disk.transfer(MARK, false) == 0 && disk.data().get(0) != MARKED {
        disk.data().fill(MARKED);
        p.number("write", disk.transfer(MARK, true), 0);
        read_all(&mut disk, buffer);
        finisher::reset();
    }
    (0..PAGES).for_each(|n| buffer.after(n).fill(CANARY));
    let end = clint::mtime() + 200 * TICKS_PER_MS;
    while clint::mtime() < end {}
    let intact = |n| (0..512).all(|word| buffer.after(n).get(word) == CANARY);
    p.holds("nothing goes on", (0..PAGES).all(intact));
    p.number("read", disk.transfer(MARK, false), 0);
    p.hex("what was written", disk.data().get(63), MARKED);
}

/// Starts requests that together fill `buffer`, and waits for none.
fn read_all(disk: &mut Disk, buffer: Frame) {
    disk.restart();
    disk.prepare(0, false);
    disk.describe(1, buffer.pa(), PAGES * PAGE, NEXT | WRITE, 2);
    disk.offer(0);
    disk.regs.write(QUEUE_NOTIFY, 0_u32);
}
