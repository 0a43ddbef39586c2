//! Hostile: a network driver that floods, pretends, and breaks every rule.
//! After each attack the device must send again once it is reset.
#![no_std]
#![no_main]

use probes::Probe;
use probes::dev::net::{self, Nic, RECEIVE, TRANSMIT};
use probes::dev::virtio::{NEXT, QUEUE_NOTIFY, QUEUE_SIZE, WRITE};
use probes::paging::PAGE;
use probes::rng::Rng;

probes::probe!(main);

/// Buffer addresses that are no RAM, or wrap.
const WILD: &[u64] = &[0, 0x1000, 0x1000_1000, 0x7fff_fff8, 0x9_0000_0000, u64::MAX - 7, 1 << 63];

/// A way to misbehave, from a working device.
type Attack = (&'static str, fn(&mut Nic));

const ATTACKS: &[Attack] = &[
    ("a flood of frames for all", flood),
    ("a flood for another guest", aimed),
    ("the addresses of others", pretend),
    ("frames of every length", lengths),
    ("buffers outside memory", outside),
    ("buffers too small", small),
    ("wrong directions", directions),
    ("chains that loop", loops),
    ("one chain offered many times", again),
    ("rubbish in the rings", rubbish),
    ("notifications of nothing", notifications),
];

fn main(p: &mut Probe) {
    let Some(slot) = net::find() else {
        p.holds("a network device", false);
        return;
    };
    let mut nic = Nic::new(slot);
    for (name, attack) in ATTACKS {
        nic.restart();
        attack(&mut nic);
        nic.restart();
        let frame = frame(&nic, [0xff; 6]);
        p.holds(format_args!("after {name}: a frame is sent"), nic.send(&frame));
    }
}

fn frame(nic: &Nic, to: [u8; 6]) -> [u8; 60] {
    let mut frame = [0x77; 60];
    frame[..6].copy_from_slice(&to);
    frame[6..12].copy_from_slice(&nic.mac());
    frame
}

/// Full queues of the longest frames, as fast as they are taken.
fn storm(nic: &mut Nic, to: [u8; 6]) {
    let frame = frame(nic, to);
    let _ = nic.send(&frame);
    let (page, header) = (nic.outgoing(), nic.header());
    for head in 0..u64::from(QUEUE_SIZE) {
        nic.transmit.describe(head, page.pa(), header + 1514, 0, 0);
    }
    for _ in 0..500 {
        for head in 0..u64::from(QUEUE_SIZE) {
            nic.transmit.offer(head);
        }
        nic.regs.write(QUEUE_NOTIFY, TRANSMIT);
        for _ in 0..QUEUE_SIZE {
            if !nic.sent(1000) {
                return;
            }
        }
    }
}

fn flood(nic: &mut Nic) {
    storm(nic, [0xff; 6]);
}

/// The other guest's address differs in the last bit.
fn aimed(nic: &mut Nic) {
    let mut mac = nic.mac();
    mac[5] ^= 1;
    storm(nic, mac);
}

fn pretend(nic: &mut Nic) {
    for last in 0..=255 {
        let mut frame = frame(nic, [0xff; 6]);
        frame[11] = last;
        let _ = nic.send(&frame);
        frame[6..12].fill(last);
        let _ = nic.send(&frame);
    }
}

/// Sends what descriptor 0 of the queue is made to say.
fn send(nic: &mut Nic, address: u64, len: u64, flags: u64, next: u64) {
    nic.transmit.describe(0, address, len, flags, next);
    nic.transmit.offer(0);
    nic.regs.write(QUEUE_NOTIFY, TRANSMIT);
    if !nic.sent(2) {
        nic.restart();
    }
}

fn lengths(nic: &mut Nic) {
    let page = nic.outgoing().pa();
    for len in (0..40).chain([1513, 1525, 1526, 1527, 4096, 0xffff, 0x7fff_ffff, 0xffff_ffff]) {
        send(nic, page, len, 0, 0);
    }
}

fn outside(nic: &mut Nic) {
    for wild in WILD {
        send(nic, *wild, 100, 0, 0);
        nic.receive.describe(0, *wild, 2000, WRITE, 0);
        nic.regs.write(QUEUE_NOTIFY, RECEIVE);
        nic.restart();
    }
}

fn small(nic: &mut Nic) {
    for len in [0, 1, 11, 12, 13, 40, 71] {
        nic.restart();
        for head in 0..u64::from(QUEUE_SIZE) {
            nic.receive.describe(head, nic.buffers.pa(), len, WRITE, 0);
        }
        nic.regs.write(QUEUE_NOTIFY, RECEIVE);
    }
}

fn directions(nic: &mut Nic) {
    let page = nic.outgoing().pa();
    send(nic, page, 100, WRITE, 0);
    nic.transmit.describe(1, page, 100, 0, 0);
    send(nic, page, 100, WRITE | NEXT, 1);
    for head in 0..u64::from(QUEUE_SIZE) {
        nic.receive.describe(head, page, 2000, 0, 0);
    }
    nic.regs.write(QUEUE_NOTIFY, RECEIVE);
}

fn loops(nic: &mut Nic) {
    let page = nic.outgoing().pa();
    for next in [0, 7, 8, 0x7fff, 0xffff] {
        send(nic, page, 100, NEXT, next);
    }
}

fn again(nic: &mut Nic) {
    nic.transmit.describe(0, nic.outgoing().pa(), 100, 0, 0);
    for _ in 0..3 * QUEUE_SIZE {
        nic.transmit.offer(0);
        nic.receive.offer(0);
    }
    nic.regs.write(QUEUE_NOTIFY, TRANSMIT);
    nic.regs.write(QUEUE_NOTIFY, RECEIVE);
}

fn rubbish(nic: &mut Nic) {
    let mut rng = Rng::new(4711);
    for _ in 0..300 {
        nic.restart();
        for _ in 0..4 {
            let near = nic.buffers.pa() + rng.below(2 * PAGE);
            let value = if rng.below(2) == 0 { near } else { rng.draw() };
            let index = usize::try_from(rng.below(20)).unwrap_or(0);
            let ring = if rng.below(2) == 0 { &nic.receive } else { &nic.transmit };
            ring.pages.set(index, value);
        }
        nic.regs.write(QUEUE_NOTIFY, u32::from(rng.below(2) == 0));
    }
}

fn notifications(nic: &mut Nic) {
    for number in (0..1000).chain([u32::MAX]) {
        nic.regs.write(QUEUE_NOTIFY, number);
    }
}
