//! Hostile: a device of the guest's own is told to read and write memory that
//! is not the guest's, and rubbish is written to all of its configuration
//! space. Behind the IOMMU nothing comes of it but faults.
#![no_std]
#![no_main]

use probes::Probe;
use probes::dev::pci::{ANSWER, BAR, COMMAND, CONFIG, EDU, Edu, Function, MASTER, MEMORY};
use probes::paging::Frame;
use probes::rng::Rng;

probes::probe!(main);

const DEVICE: Function = Function(1);
const WINDOW: u64 = 0x0100_0000;
/// RAM of the guest, in `probes.toml`.
const RAM: core::ops::Range<u64> = 0x8000_0000..0x8800_0000;
/// What the device is to leave everywhere.
const RUBBISH: u64 = 0xdead_dead_dead_dead;

fn main(p: &mut Probe) {
    p.hex("identity", DEVICE.read::<u32>(0).into(), EDU.into());
    set_up();
    let (own, back) = (Frame::new(), Frame::new());
    own.fill(RUBBISH);
    attack(p, own, back);
    straddle(p, own);
    storm(p);
    set_up();
    p.hex("identity after a storm", DEVICE.read::<u32>(0).into(), EDU.into());
    let edu = Edu(WINDOW);
    p.hex("identity in the window", edu.read(0).into(), 0x0100_00ed);
    own.fill(1);
    p.holds("copies go on", edu.copy(own.pa(), 4096, false) && edu.copy(back.pa(), 4096, true));
    p.hex("and are right", back.get(511), 1);
}

fn set_up() {
    DEVICE.write(COMMAND, 0_u16);
    DEVICE.write(BAR, u32::try_from(MEMORY.address(WINDOW)).unwrap_or(0));
    DEVICE.write(COMMAND, ANSWER | MASTER);
}

/// Where memory may be that is not ours: the VMM's and the neighbour's by
/// their real addresses, devices, the IOMMU itself, and the ends of it all.
fn places() -> impl Iterator<Item = u64> {
    let real = (0..8).map(|n| RAM.end + n * 0x0300_0000);
    let devices = [0, 0x0010_0000, 0x0200_4000, 0x0301_0000, 0x0c00_0000, 0x1000_0000, 0x1000_1000];
    let ends = [RAM.start - 4096, RAM.end, 1 << 32, 1 << 38, 1 << 40, 1 << 56, u64::MAX - 4095];
    real.chain(devices).chain([0x3000_8000, MEMORY.address(0)]).chain(ends)
}

/// Reads each place into the device and from there into memory, and writes
/// rubbish there.
fn attack(p: &mut Probe, own: Frame, back: Frame) {
    let edu = Edu(WINDOW);
    let (mut ended, mut learnt) = (0, 0);
    for place in places() {
        // What the buffer holds is known.
        ended += u64::from(edu.copy(own.pa(), 64, false));
        ended += u64::from(edu.copy(place, 64, false));
        ended += u64::from(edu.copy(back.pa(), 64, true));
        learnt += (0..8).filter(|n| ![RUBBISH, 0].contains(&back.get(*n))).count() as u64;
        ended += u64::from(edu.copy(own.pa(), 64, false));
        ended += u64::from(edu.copy(place, 64, true));
    }
    p.number("copies that ended", ended, 5 * places().count() as u64);
    p.number("words that were read", learnt, 0);
}

/// A copy that begins in our memory and ends behind it.
fn straddle(p: &mut Probe, own: Frame) {
    let edu = Edu(WINDOW);
    p.holds("rubbish is there", edu.copy(own.pa(), 4096, false));
    p.holds("a copy over the end ends", edu.copy(RAM.end - 2048, 4096, true));
}

/// Rubbish in all registers, of everybody.
fn storm(p: &mut Probe) {
    let mut rng = Rng::new(7);
    for _ in 0..20_000 {
        let offset = rng.below(1 << 20);
        // Half of it to our own function.
        let offset = if rng.below(2) == 0 { 1 << 15 | offset & 0xff } else { offset };
        match rng.below(4) {
            0 => CONFIG.write(offset, rng.draw().to_le_bytes()[0]),
            1 => CONFIG.write(offset & !1, u16::from(rng.draw().to_le_bytes()[0]) << 3),
            2 => CONFIG.write(offset & !7, rng.draw()),
            _ => CONFIG.write(offset & !3, u32::try_from(rng.draw() >> 32).unwrap_or(0)),
        }
        let _: u32 = CONFIG.read(offset & !3);
    }
    p.show("storm", "over");
}
