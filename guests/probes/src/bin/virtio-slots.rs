//! The eight virtio-mmio slots: what an empty one and an occupied one show, to
//! accesses of each specified width.
#![no_std]
#![no_main]

use probes::access::{self, Access, try_access};
use probes::dev::virtio::{
    CONFIG, DEVICE_ID, INTERRUPT_STATUS, MAGIC_VALUE, QUEUE_NUM_MAX, QUEUE_SEL, SLOTS, STATUS,
    VERSION, find_block, slot,
};
use probes::report::Hex;
use probes::{Mode, Probe};

probes::probe!(main);

fn main(p: &mut Probe) {
    for n in 0..SLOTS {
        let regs = slot(n);
        p.hex(format_args!("slot {n}: magic"), regs.read::<u32>(MAGIC_VALUE).into(), 0x7472_6976);
        p.show(format_args!("slot {n}: device id"), regs.read::<u32>(DEVICE_ID));
        if regs.read::<u32>(DEVICE_ID) != 0 {
            p.show(format_args!("slot {n}: version"), regs.read::<u32>(VERSION));
        }
    }
    match find_block() {
        Some(n) => block(p, n),
        None => p.show("block device", "none"),
    }
}

fn block(p: &mut Probe, n: u64) {
    let regs = slot(n);
    regs.write(STATUS, 0_u32);
    p.number("status after reset", regs.read::<u32>(STATUS).into(), 0);
    p.number("interrupt status after reset", regs.read::<u32>(INTERRUPT_STATUS).into(), 0);
    for status in [1_u32, 3] {
        regs.write(STATUS, status);
        p.number(format_args!("status {status}"), regs.read::<u32>(STATUS).into(), status.into());
    }
    regs.write(QUEUE_SEL, 0_u32);
    p.holds("queue 0 exists", regs.read::<u32>(QUEUE_NUM_MAX) >= 8);
    regs.write(QUEUE_SEL, 9_u32);
    p.number("queue 9", regs.read::<u32>(QUEUE_NUM_MAX).into(), 0);
    p.show("capacity in sectors", regs.read::<u32>(CONFIG));
    p.show("capacity, upper half", regs.read::<u32>(CONFIG + 4));
    regs.write(STATUS, 0_u32);
    // Registers are specified for 32 bits only, the configuration for 8 to 32.
    for (name, at, least) in [("magic", MAGIC_VALUE, 4), ("capacity", CONFIG, 1)] {
        let fits = |access: &&Access| (least..=4).contains(&access.width());
        for access in access::LOADS.iter().filter(fits) {
            let outcome = try_access(Mode::M, access.code, regs.address(at), 0);
            p.show(format_args!("{} of {name}", access.name), outcome.brief());
        }
    }
    p.show("bytes of the capacity", Bytes([0, 1, 2, 3].map(|n| regs.read(CONFIG + n))));
    p.show("a register that is not", Hex(regs.read::<u32>(0xf0).into()));
}

struct Bytes([u8; 4]);

impl core::fmt::Display for Bytes {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x} "))
    }
}
