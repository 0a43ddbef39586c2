//! A PCI function of its own: configuration space, windows that move, its
//! interrupt, and copies within the memory of the guest.
#![no_std]
#![no_main]

use probes::Probe;
use probes::dev::pci::{ANSWER, BAR, COMMAND, CONFIG, EDU, Edu, Function, IRQS, MASTER, MEMORY};
use probes::dev::{clint, plic};
use probes::paging::Frame;

probes::probe!(main);

const M: u64 = plic::context_m(0);
/// The device, its interrupt, and where its window goes first and then.
const DEVICE: Function = Function(1);
const IRQ: u32 = IRQS + 1;
const FIRST: u64 = 0x0100_0000;
const THEN: u64 = 0x3ff0_0000;

fn main(p: &mut Probe) {
    bus(p);
    window(p);
    interrupt(p);
    copies(p);
}

fn bus(p: &mut Probe) {
    let all = (0..256).map(|n| CONFIG.read::<u32>(n << 12));
    p.number("functions", all.filter(|id| *id != u32::MAX).count() as u64, 2);
    p.hex("identity", DEVICE.read::<u32>(0).into(), EDU.into());
    p.hex("class", (DEVICE.read::<u32>(8) >> 8).into(), 0x00_ff00);
    p.hex("a half of it", DEVICE.read::<u16>(2).into(), (EDU >> 16).into());
    p.hex("a byte of it", DEVICE.read::<u8>(1).into(), u64::from(EDU) >> 8 & 0xff);
    p.hex("pin", DEVICE.read::<u8>(0x3d).into(), 1);
    p.hex("nobody's byte", Function(2).read::<u8>(0).into(), 0xff);
    Function(2).write(COMMAND, u32::MAX);
    p.hex("nobody's command", Function(2).read::<u16>(COMMAND).into(), 0xffff);
    DEVICE.write(0x3c, 0x5a_u8);
    p.hex("interrupt line", DEVICE.read::<u8>(0x3c).into(), 0x5a);
}

fn window(p: &mut Probe) {
    DEVICE.write(BAR, u32::MAX);
    p.hex("size", DEVICE.read::<u32>(BAR).into(), 0xfff0_0000);
    DEVICE.write(BAR + 4, u32::MAX);
    p.hex("size of the next", DEVICE.read::<u32>(BAR + 4).into(), 0);
    place(FIRST);
    p.hex("identity in the window", Edu(FIRST).read(0).into(), 0x0100_00ed);
    Edu(FIRST).write(4, 0x1234_5678);
    p.hex("inverted", Edu(FIRST).read(4).into(), 0xedcb_a987);
    place(THEN);
    p.hex("identity after a move", Edu(THEN).read(0).into(), 0x0100_00ed);
    p.hex("inverted after a move", Edu(THEN).read(4).into(), 0xedcb_a987);
    p.holds("the old place is empty", Edu(FIRST).read(0) != 0x0100_00ed);
    DEVICE.write(COMMAND, 0_u16);
    p.holds("nothing answers when off", Edu(THEN).read(0) != 0x0100_00ed);
    place(FIRST);
    p.hex("identity when back", Edu(FIRST).read(0).into(), 0x0100_00ed);
}

/// Puts the window there.
fn place(offset: u64) {
    DEVICE.write(COMMAND, 0_u16);
    let [low, ..] = [MEMORY.address(offset)].map(|address| address & 0xffff_ffff);
    DEVICE.write(BAR, u32::try_from(low).unwrap_or(0));
    DEVICE.write(COMMAND, ANSWER);
}

fn interrupt(p: &mut Probe) {
    let edu = Edu(FIRST);
    plic::set_priority(IRQ, 1);
    plic::set_enabled_word(M, 1, 1 << (IRQ - 32));
    for round in 1..=3 {
        p.number(format_args!("claim before {round}"), plic::claim(M).into(), 0);
        edu.write(0x60, round);
        p.holds(
            format_args!("request {round} comes"),
            (0..100).any(|_| {
                clint::delay_ms(1);
                plic::pending(IRQ)
            }),
        );
        p.number(format_args!("claim {round}"), plic::claim(M).into(), IRQ.into());
        p.hex(format_args!("cause {round}"), edu.read(0x24).into(), round.into());
        p.holds(format_args!("status {round}"), DEVICE.read::<u16>(COMMAND + 2) & 8 != 0);
        edu.write(0x64, round);
        p.holds(format_args!("status after {round}"), DEVICE.read::<u16>(COMMAND + 2) & 8 == 0);
        plic::complete(M, IRQ);
    }
}

fn copies(p: &mut Probe) {
    let (edu, from, to) = (Edu(FIRST), Frame::new(), Frame::new());
    for n in 0..512 {
        from.set(n, 0x0123_4567_89ab_cdef ^ (n as u64) << 20);
    }
    p.holds("a copy without a master ends", edu.copy(from.pa(), 4096, false));
    DEVICE.write(COMMAND, ANSWER | MASTER);
    p.holds("a copy to the device ends", edu.copy(from.pa(), 4096, false));
    p.holds("and one to memory", edu.copy(to.pa() + 8, 4080, true));
    p.holds("what is copied is right", (0..510).all(|n| to.get(n + 1) == from.get(n)));
    p.hex("nothing before it", to.get(0), 0);
    p.hex("nothing behind it", to.get(511), 0);
    DEVICE.write(COMMAND, ANSWER);
    p.holds("a copy without a master ends", edu.copy(to.pa(), 8, true));
    p.hex("and copies nothing", to.get(0), 0);
}
