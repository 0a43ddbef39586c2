//! Hostile: a million hypercalls with random functions and arguments, among
//! which a disk is used. It must work again once it is reset.
#![no_std]
#![no_main]

use probes::Probe;
use probes::dev::pv;
use probes::dev::virtio::Disk;
use probes::rng::Rng;

probes::probe!(main);

const CALLS: u64 = 1_000_000;
/// Addresses and numbers that are none, or wrap.
const WILD: &[u64] =
    &[0, 1, 2, 3, 15, 64, 0x1000_0000, 0x7fff_ffc0, 0x9_0000_0000, u64::MAX - 63, 1 << 63, 1 << 32];

fn main(p: &mut Probe) {
    let Some(device) = pv::find_block() else {
        p.holds("a block device", false);
        return;
    };
    let mut disk = Disk::detached(0);
    p.holds("brought up", pv::bring_up(device, &disk).is_ok());
    disk.data().fill(0x1234_5678);
    p.number("write", pv::transfer(device, &mut disk, 5, true), 0);
    attack(p, device, &mut disk);
    let mut fresh = Disk::detached(0);
    p.holds("brought up again", pv::bring_up(device, &fresh).is_ok());
    p.number("read", pv::transfer(device, &mut fresh, 5, false), 0);
    p.hex("data", fresh.data().get(7), 0x1234_5678);
}

fn attack(p: &mut Probe, device: u64, disk: &mut Disk) {
    let mut rng = Rng::new(0x9a9a);
    // Queues and lines that are really there, in memory that is scratch.
    let [descriptors, avail, used] = disk.parts();
    let ours = [descriptors, avail, used, device];
    for round in 0..CALLS {
        let function = if rng.below(8) == 0 { rng.draw() } else { rng.below(21) };
        let arguments = [0; 6].map(|_: u64| match rng.below(4) {
            0 => pick(&mut rng, WILD),
            1 => pick(&mut rng, &ours),
            2 => rng.below(17),
            _ => rng.draw() >> rng.below(64),
        });
        let _ = pv::raw(function, arguments);
        if round % 5000 == 0 {
            // A read that may find a device in any state.
            let _ = pv::bring_up(device, disk);
            disk.prepare(5, false);
            disk.offer(rng.below(3));
            let _ = pv::notify(device);
        }
    }
    p.show("a million calls", "survived");
}

fn pick(rng: &mut Rng, from: &[u64]) -> u64 {
    let at = usize::try_from(rng.below(from.len() as u64)).unwrap_or(0);
    from.get(at).copied().unwrap_or(0)
}
