//! A network device before QEMU's user network: its address, frames out and
//! in, the interrupt. Runs with either version of virtio-mmio.
#![no_std]
#![no_main]

use probes::Probe;
use probes::csr::{self, MEI, MIP};
use probes::dev::net::{self, Nic, RECEIVE, byte};
use probes::dev::plic::{self, context_m};
use probes::dev::virtio::{
    self, CONFIG, DEVICE_FEATURES, DEVICE_FEATURES_SEL, INTERRUPT_ACK, INTERRUPT_STATUS,
    QUEUE_NOTIFY, QUEUE_NUM_MAX, QUEUE_SEL, STATUS,
};
use probes::report::Hex;

probes::probe!(main);

const M: u64 = context_m(0);
/// MAC and STATUS (section 5.1.3).
const FEATURES: u32 = 1 << 5 | 1 << 16;
/// QEMU's gateway, and us.
const GATEWAY: [u8; 4] = [10, 0, 2, 2];
const OURS: [u8; 4] = [10, 0, 2, 15];
/// An ARP packet for IPv4 over Ethernet (RFC 826), with its operation.
const ARP: [u8; 7] = [0, 1, 8, 0, 6, 4, 0];
const REQUEST: u8 = 1;
const REPLY: u8 = 2;

fn main(p: &mut Probe) {
    let Some(slot) = net::find() else {
        p.holds("a network device", false);
        return;
    };
    let mut nic = Nic::new(slot);
    p.show("version", nic.version);
    p.show("status", Hex(nic.regs.read::<u32>(STATUS).into()));
    configuration(p, &nic);
    answer(p, &mut nic);
    many(p, &mut nic);
    interrupt(p, &mut nic, slot);
    nic.restart();
    answer(p, &mut nic);
}

fn configuration(p: &mut Probe, nic: &Nic) {
    nic.regs.write(DEVICE_FEATURES_SEL, 0_u32);
    let features = nic.regs.read::<u32>(DEVICE_FEATURES) & FEATURES;
    p.hex("address and status are offered", features.into(), FEATURES.into());
    for (at, byte) in nic.mac().into_iter().enumerate() {
        p.show(format_args!("byte {at} of the address"), Hex(byte.into()));
    }
    p.number("link", nic.regs.read::<u16>(CONFIG + 6).into(), 1);
    for queue in 0..2_u32 {
        nic.regs.write(QUEUE_SEL, queue);
        let max = nic.regs.read::<u32>(QUEUE_NUM_MAX);
        p.holds(format_args!("queue {queue} is there"), max >= virtio::QUEUE_SIZE);
    }
}

/// Who has the address of the gateway?
fn question(nic: &Nic) -> [u8; 42] {
    let mut frame = [0; 42];
    frame[..6].fill(0xff);
    frame[6..12].copy_from_slice(&nic.mac());
    frame[12..14].copy_from_slice(&[8, 6]);
    frame[14..21].copy_from_slice(&ARP);
    frame[21] = REQUEST;
    frame[22..28].copy_from_slice(&nic.mac());
    frame[28..32].copy_from_slice(&OURS);
    frame[38..42].copy_from_slice(&GATEWAY);
    frame
}

/// Whether a frame says where the gateway is.
fn is_answer(frame: &[u8; 42]) -> bool {
    frame[12..14] == [8, 6] && frame[21] == REPLY && frame[28..32] == GATEWAY
}

fn answer(p: &mut Probe, nic: &mut Nic) {
    p.holds("a question is sent", nic.send(&question(nic)));
    let answer = nic.expect(is_answer);
    p.holds("the gateway answers", answer.is_some());
    let Some((len, frame)) = answer else { return };
    p.show("length behind the header", len - nic.header());
    p.holds("to us", frame[..6] == nic.mac());
    for (at, byte) in frame[6..12].iter().enumerate() {
        p.show(format_args!("byte {at} of the gateway's address"), Hex((*byte).into()));
    }
    let header = nic.buffers.after(0);
    // `num_buffers` behind these is 1 by the specification, 0 on QEMU 7.2.
    let zero = (0..10).all(|at| byte(header, at) == 0);
    p.holds("the header asks for nothing", zero);
}

/// The rings wrap several times.
fn many(p: &mut Probe, nic: &mut Nic) {
    let question = question(nic);
    let answers = (0..100).filter(|_| nic.send(&question) && nic.expect(is_answer).is_some());
    p.number("answers to 100 questions", answers.count() as u64, 100);
}

/// The interrupt of a frame that comes, up to its acknowledgement.
fn interrupt(p: &mut Probe, nic: &mut Nic, slot: u64) {
    let source = u32::try_from(virtio::irq(slot)).unwrap_or(0);
    let question = question(nic);
    nic.regs.write(INTERRUPT_ACK, 3_u32);
    plic::set_priority(source, 1);
    plic::set_enabled(M, 1 << source);
    let stale = plic::claim(M);
    plic::complete(M, stale);
    p.holds("a question is sent", nic.send(&question));
    while csr::read::<MIP>() & MEI == 0 {}
    p.holds("the gateway answers", nic.expect(is_answer).is_some());
    p.number("interrupt status", nic.regs.read::<u32>(INTERRUPT_STATUS).into(), 1);
    let claim = plic::claim(M);
    p.number("claimed source is the slot's", claim.into(), source.into());
    plic::set_enabled(M, 0);
    nic.regs.write(INTERRUPT_ACK, 1_u32);
    plic::complete(M, claim);
    nic.regs.write(QUEUE_NOTIFY, RECEIVE);
}
