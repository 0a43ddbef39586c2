//! A virtio console: what is written to its queue is shown, however it is cut
//! into buffers, and so is the emergency byte.
#![no_std]
#![no_main]

use probes::Probe;
use probes::dev::virtio::{
    self, CONFIG, CONSOLE, DEVICE_FEATURES, DEVICE_FEATURES_SEL, Disk, INTERRUPT_ACK,
    INTERRUPT_STATUS, NEXT,
};
use probes::report::Hex;

probes::probe!(main);

/// The queue of what is to be shown.
const TRANSMIT: u32 = 1;
/// Feature: a byte written to `emerg_wr` is shown at once.
const EMERGENCY: u32 = 1 << 2;
const EMERG_WR: u64 = CONFIG + 8;

fn main(p: &mut Probe) {
    let Some(slot) = virtio::find(CONSOLE) else {
        p.holds("a console", false);
        return;
    };
    let mut console = Disk::on_queue(slot, TRANSMIT);
    p.show("version", console.version);
    console.regs.write(DEVICE_FEATURES_SEL, 0_u32);
    let features = console.regs.read::<u32>(DEVICE_FEATURES);
    p.show("emergency feature", Hex((features & EMERGENCY).into()));
    one_buffer(p, &mut console);
    three_buffers(p, &mut console);
    many(p, &mut console);
    emergency(p, &console);
}

/// Puts `text` at the start of the data page.
fn write(console: &Disk, text: &str) -> u64 {
    for (n, part) in text.as_bytes().chunks(8).enumerate() {
        let mut word = [0; 8];
        word[..part.len()].copy_from_slice(part);
        console.data().set(n, u64::from_le_bytes(word));
    }
    text.len() as u64
}

fn one_buffer(p: &mut Probe, console: &mut Disk) {
    console.regs.write(INTERRUPT_ACK, 3_u32);
    let len = write(console, "virtio-console: shown from one buffer\n");
    console.describe(0, console.data().pa(), len, 0, 0);
    console.submit(0);
    p.holds("the buffer came back", console.wait());
    p.number("interrupt status", console.regs.read::<u32>(INTERRUPT_STATUS).into(), 1);
    console.regs.write(INTERRUPT_ACK, 1_u32);
}

fn three_buffers(p: &mut Probe, console: &mut Disk) {
    let len = write(console, "virtio-console: shown from three buffers\n");
    let pa = console.data().pa();
    console.describe(0, pa, 1, NEXT, 3);
    console.describe(3, pa + 1, len - 2, NEXT, 1);
    console.describe(1, pa + len - 1, 1, 0, 0);
    console.submit(0);
    p.holds("the chain came back", console.wait());
}

/// A page at a time, so that the ring wraps and turns end.
fn many(p: &mut Probe, console: &mut Disk) {
    console.data().fill(u64::from_le_bytes(*b"       \n"));
    console.describe(0, console.data().pa(), 4096, 0, 0);
    let good = (0..20).filter(|_| {
        console.submit(0);
        console.wait()
    });
    p.number("pages that were shown", good.count() as u64, 20);
}

fn emergency(p: &mut Probe, console: &Disk) {
    for byte in b"virtio-console: shown byte by byte\n" {
        console.regs.write(EMERG_WR, u32::from(*byte));
    }
    p.number("interrupt status after", console.regs.read::<u32>(INTERRUPT_STATUS).into(), 1);
}
