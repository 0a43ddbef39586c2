//! Hostile: drivers of a console and of a source of random bytes that break
//! rules, and that ask for as much as they can. Afterwards both still work.
#![no_std]
#![no_main]

use probes::Probe;
use probes::dev::virtio::{self, CONFIG, CONSOLE, Disk, ENTROPY, NEXT, QUEUE_SIZE, WRITE};
use probes::rng::Rng;

probes::probe!(main);

/// Buffer addresses that are no RAM, or wrap.
const WILD: [u64; 6] = [0, 0x1000_0000, 0x7fff_fff8, 0x9_0000_0000, u64::MAX - 7, 1 << 63];

fn main(p: &mut Probe) {
    for (name, id, queues) in [("console", CONSOLE, 2), ("rng", ENTROPY, 1)] {
        let Some(slot) = virtio::find(id) else {
            p.holds(name, false);
            return;
        };
        for number in 0..queues {
            outside(slot, number);
            loops(slot, number);
            rubbish(slot, number);
            flood(slot, number);
        }
        p.holds(format_args!("{name} still works"), works(slot, queues - 1));
    }
}

/// Whether the last queue takes a buffer and gives it back.
fn works(slot: u64, number: u32) -> bool {
    let mut device = Disk::on_queue(slot, number);
    device.data().fill(u64::from_le_bytes(*b"       \n"));
    let flags = if number == 0 { WRITE } else { 0 };
    device.describe(0, device.data().pa(), 8, flags, 0);
    device.submit(0);
    device.wait()
}

fn outside(slot: u64, number: u32) {
    for wild in WILD {
        for flags in [0, WRITE] {
            let mut device = Disk::on_queue(slot, number);
            device.describe(0, wild, 0xffff_ffff, flags, 0);
            device.submit(0);
            let _ = device.wait_ms(5);
        }
    }
}

fn loops(slot: u64, number: u32) {
    for flags in [NEXT, NEXT | WRITE] {
        let mut device = Disk::on_queue(slot, number);
        for n in 0..u64::from(QUEUE_SIZE) {
            device.describe(n, device.data().pa(), 64, flags, (n + 1) % u64::from(QUEUE_SIZE));
        }
        device.submit(0);
        let _ = device.wait_ms(5);
    }
}

/// Random descriptors, indices and configuration.
fn rubbish(slot: u64, number: u32) {
    let mut rng = Rng::new(u64::from(number) + 1);
    for _ in 0..50 {
        let mut device = Disk::on_queue(slot, number);
        for n in 0..u64::from(QUEUE_SIZE) {
            let near = device.data().pa() + rng.draw() % 4096;
            device.describe(n, near, rng.draw() % 16, rng.draw() % 8, rng.draw() % 16);
        }
        device.offer(rng.draw() % 16);
        device.set_avail_index(rng.draw() % 16);
        device.submit(rng.draw() % 8);
        device.regs.write(CONFIG + rng.draw() % 64 * 4, u32::from(b' '));
    }
}

/// A queue full of long chains of long buffers, which takes many turns, and a
/// reset in their midst.
fn flood(slot: u64, number: u32) {
    let mut device = Disk::on_queue(slot, number);
    device.data().fill(u64::from_le_bytes(*b"       \n"));
    let flags = if number == 1 { 0 } else { WRITE };
    for n in 0..u64::from(QUEUE_SIZE) {
        let flags = if n + 1 == u64::from(QUEUE_SIZE) { flags } else { flags | NEXT };
        device.describe(n, device.data().pa(), 4096, flags, n + 1);
    }
    for head in 0..u64::from(QUEUE_SIZE) - 1 {
        device.offer(head);
    }
    device.submit(u64::from(QUEUE_SIZE) - 1);
    let _ = Disk::on_queue(slot, number);
}
