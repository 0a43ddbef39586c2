//! A virtio source of random bytes: fills what it is given, never the same
//! way, and goes on for ever.
#![no_std]
#![no_main]

use probes::Probe;
use probes::dev::virtio::{self, Disk, ENTROPY, INTERRUPT_STATUS, NEXT, WRITE};

probes::probe!(main);

fn main(p: &mut Probe) {
    let Some(slot) = virtio::find(ENTROPY) else {
        p.holds("a source of random bytes", false);
        return;
    };
    let mut rng = Disk::new(slot);
    p.show("version", rng.version);
    rng.data().fill(0);
    rng.describe(0, rng.data().pa(), 24, NEXT | WRITE, 1);
    rng.describe(1, rng.data().pa() + 24, 40, WRITE, 0);
    rng.submit(0);
    p.holds("64 bytes came", rng.wait());
    p.number("length", rng.written(0), 64);
    p.number("interrupt status", rng.regs.read::<u32>(INTERRUPT_STATUS).into(), 1);
    p.hex("behind the buffer", rng.data().get(8), 0);
    let words: [u64; 8] = core::array::from_fn(|n| rng.data().get(n));
    let alike = (0..8).filter(|n| words[..*n].contains(&words[*n]) || words[*n] == 0);
    p.number("words that are zero or came before", alike.count() as u64, 0);
    let ones: u32 = words.iter().map(|word| word.count_ones()).sum();
    // 512 fair coins: a wrong verdict once in 10^12.
    p.holds("about as many ones as zeroes", (176..336).contains(&ones));
    rng.describe(0, rng.data().pa(), 64, WRITE, 0);
    let fresh = (0..100).filter(|_| {
        let before = rng.data().get(7);
        rng.submit(0);
        rng.wait() && rng.data().get(7) != before
    });
    p.number("fresh buffers of 100", fresh.count() as u64, 100);
}
