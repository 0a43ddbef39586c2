//! Hostile: a virtio driver that breaks every rule. After each the device must
//! work again once it is reset.
#![no_std]
#![no_main]

use probes::Probe;
use probes::dev::virtio::{
    self, DRIVER_FEATURES, DRIVER_FEATURES_SEL, Disk, GUEST_PAGE_SIZE, NEXT, QUEUE_ALIGN,
    QUEUE_DESC_HIGH, QUEUE_DESC_LOW, QUEUE_NOTIFY, QUEUE_NUM, QUEUE_PFN, QUEUE_READY, QUEUE_SEL,
    STATUS, WRITE,
};
use probes::paging::PAGE;
use probes::rng::Rng;

probes::probe!(main);

/// Buffer addresses that are no RAM, or wrap.
const WILD: &[u64] = &[
    0,
    0x1000,
    0x10_0000,
    0x1000_0000,
    0x1000_1000,
    0x1800_0000,
    0x7fff_fff8,
    0x9_0000_0000,
    u64::MAX - 7,
    1 << 63,
];

/// A way to break a rule, from a working device.
type Attack = (&'static str, fn(&mut Disk));

const ATTACKS: &[Attack] = &[
    ("buffers outside memory", outside),
    ("wild lengths", lengths),
    ("chains that loop", loops),
    ("next out of range", range),
    ("wild heads", heads),
    ("wild available indices", indices),
    ("wrong directions", directions),
    ("chains of every length", chains),
    ("queue moved while in use", moved),
    ("queue outside memory", nowhere),
    ("wild queue sizes", sizes),
    ("wild queue numbers", numbers),
    ("wild status", status),
    ("rubbish in all registers", registers),
    ("rubbish in the rings", rings),
    ("memory changed while in use", changing),
];

fn main(p: &mut Probe) {
    let Some(slot) = virtio::find_block() else {
        p.holds("a block device", false);
        return;
    };
    let mut reference = Disk::new(slot);
    reference.data().fill(0x1234_5678);
    p.number("write", reference.transfer(5, true), 0);
    for (name, attack) in ATTACKS {
        let mut disk = Disk::new(slot);
        attack(&mut disk);
        let mut after = Disk::new(slot);
        let status = after.transfer(5, false);
        p.number(format_args!("after {name}: status"), status, 0);
        p.hex(format_args!("after {name}: data"), after.data().get(7), 0x1234_5678);
    }
}

/// Submits what is prepared, and waits a little, whatever happens.
fn send(disk: &mut Disk) {
    disk.submit(0);
    let _ = disk.wait_ms(5);
}

/// Starts again after the device gave up.
fn again(disk: &mut Disk) {
    disk.restart();
    disk.prepare(5, false);
}

fn outside(disk: &mut Disk) {
    for wild in WILD {
        for (index, len, flags, next) in
            [(0, 16, NEXT, 1), (1, 512, NEXT | WRITE, 2), (2, 1, WRITE, 0)]
        {
            again(disk);
            disk.describe(index, *wild, len, flags, next);
            send(disk);
        }
    }
}

fn lengths(disk: &mut Disk) {
    for len in [0, 1, 15, 17, 511, 513, 4096, 0x7fff_ffff, 0xffff_ffff] {
        again(disk);
        disk.describe(1, disk.data().pa(), len, NEXT | WRITE, 2);
        send(disk);
        again(disk);
        disk.describe(0, disk.request.pa(), len, NEXT, 1);
        send(disk);
        again(disk);
        disk.describe(2, disk.request.pa() + 16, len, WRITE, 0);
        send(disk);
    }
}

fn loops(disk: &mut Disk) {
    for next in 0..3 {
        again(disk);
        disk.describe(2, disk.request.pa() + 16, 1, NEXT | WRITE, next);
        send(disk);
        again(disk);
        disk.describe(0, disk.request.pa(), 16, NEXT, 0);
        send(disk);
    }
}

fn range(disk: &mut Disk) {
    for next in [8, 9, 255, 0x7fff, 0x8000, 0xffff] {
        again(disk);
        disk.describe(0, disk.request.pa(), 16, NEXT, next);
        send(disk);
    }
}

fn heads(disk: &mut Disk) {
    for head in [3, 7, 8, 100, 0xffff] {
        again(disk);
        disk.submit(head);
        let _ = disk.wait_ms(5);
    }
}

fn indices(disk: &mut Disk) {
    for index in [0, 7, 8, 9, 100, 0x8000, 0xffff] {
        again(disk);
        disk.set_avail_index(index);
        disk.regs.write(QUEUE_NOTIFY, 0_u32);
        let _ = disk.wait_ms(5);
    }
}

fn directions(disk: &mut Disk) {
    for flags in 0..8 {
        for index in 0..3 {
            again(disk);
            let next = (index + 1) % 3;
            disk.describe(index, disk.data().pa(), 512, flags, next);
            send(disk);
        }
    }
}

fn chains(disk: &mut Disk) {
    for len in 1..8 {
        again(disk);
        for index in 0..len {
            let flags = if index + 1 < len { NEXT } else { 0 };
            disk.describe(
                index,
                disk.request.pa(),
                16,
                flags | if index > 0 { WRITE } else { 0 },
                index + 1,
            );
        }
        send(disk);
    }
}

fn moved(disk: &mut Disk) {
    for offset in [PAGE, 16, 0] {
        again(disk);
        disk.submit(0);
        disk.set_queue(disk.queue.pa() + offset);
        disk.submit(0);
        let _ = disk.wait_ms(5);
    }
}

fn nowhere(disk: &mut Disk) {
    for wild in WILD {
        again(disk);
        disk.set_queue(*wild);
        send(disk);
    }
}

fn sizes(disk: &mut Disk) {
    for size in [0, 1, 3, 7, 255, 1024, 1025, 0x8000, 0x1_0000, u32::MAX] {
        again(disk);
        disk.regs.write(QUEUE_READY, 0_u32);
        disk.regs.write(QUEUE_NUM, size);
        disk.regs.write(QUEUE_READY, 1_u32);
        send(disk);
    }
}

fn numbers(disk: &mut Disk) {
    for number in [1, 2, 63, 64, 1023, 1024, 0xffff, u32::MAX] {
        again(disk);
        disk.regs.write(QUEUE_SEL, number);
        disk.regs.write(QUEUE_NUM, 8_u32);
        disk.regs.write(QUEUE_DESC_LOW, 0x1234_u32);
        disk.regs.write(QUEUE_READY, 1_u32);
        disk.regs.write(QUEUE_NOTIFY, number);
        send(disk);
    }
}

fn status(disk: &mut Disk) {
    for value in [1, 2, 4, 8, 0x0f, 0x40, 0x80, 0xff, 0x100, u32::MAX] {
        again(disk);
        disk.regs.write(STATUS, value);
        send(disk);
    }
    disk.regs.write(STATUS, 0_u32);
    disk.regs.write(DRIVER_FEATURES_SEL, u32::MAX);
    disk.regs.write(DRIVER_FEATURES, u32::MAX);
    disk.regs.write(STATUS, 0x0f_u32);
    send(disk);
}

fn registers(disk: &mut Disk) {
    let mut rng = Rng::new(4242);
    for _ in 0..300 {
        again(disk);
        for _ in 0..4 {
            let register = rng.below(0x40) * 4;
            let value = u32::try_from(rng.draw() >> 32 >> rng.below(32)).unwrap_or(0);
            disk.regs.write(register, value);
        }
        disk.regs.write(QUEUE_NOTIFY, 0_u32);
    }
    for value in [0, 1, 2, 3, 0x8000, 0xffff_ffff_u32] {
        again(disk);
        for register in [QUEUE_PFN, QUEUE_ALIGN, GUEST_PAGE_SIZE, QUEUE_DESC_HIGH] {
            disk.regs.write(register, value);
            disk.regs.write(QUEUE_NOTIFY, 0_u32);
        }
    }
}

fn rings(disk: &mut Disk) {
    let mut rng = Rng::new(777);
    for _ in 0..200 {
        again(disk);
        for _ in 0..4 {
            let index = usize::try_from(rng.below(20)).unwrap_or(0);
            // Addresses in the two pages of the request, or anything.
            let near = disk.request.pa() + rng.below(2 * PAGE);
            disk.queue.set(index, if rng.below(2) == 0 { near } else { rng.draw() });
        }
        disk.regs.write(QUEUE_NOTIFY, 0_u32);
    }
    let _ = disk.wait_ms(20);
}

/// The descriptors change between the notification and the answer.
fn changing(disk: &mut Disk) {
    for round in 0..300 {
        again(disk);
        disk.submit(0);
        for index in 0..3 {
            disk.describe(index, WILD[round % WILD.len()], 0xffff_ffff, 0xffff, 0xffff);
        }
        let _ = disk.wait_ms(1);
    }
}
