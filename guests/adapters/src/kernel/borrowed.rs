//! The drivers of `virtio-drivers`, unchanged, on hypercalls: disk, console,
//! random bytes, network.

use guest_drivers::{DeviceType, HypercallTransport, Linear, Vmm};
use probes::Probe;
use virtio_drivers::device::blk::VirtIOBlk;
use virtio_drivers::device::console::VirtIOConsole;
use virtio_drivers::device::net::VirtIONet;
use virtio_drivers::device::rng::VirtIORng;

use super::heap::Identity;

/// Buffers for frames that come, and their length.
const FRAMES: usize = 8;
const FRAME: usize = 2048;
/// QEMU's gateway, and us.
const GATEWAY: [u8; 4] = [10, 0, 2, 2];
const OURS: [u8; 4] = [10, 0, 2, 15];

pub(super) fn main(p: &mut Probe, vmm: Vmm<Linear>) {
    disk(p, vmm);
    console(p, vmm);
    random(p, vmm);
    network(p, vmm);
}

fn transport(p: &mut Probe, vmm: Vmm<Linear>, kind: DeviceType) -> Option<HypercallTransport> {
    // SAFETY: it goes to one of the drivers of `virtio-drivers`.
    let transport = unsafe { HypercallTransport::new(vmm.find(kind)?) };
    p.holds(format_args!("a transport, {kind:?}"), transport.is_ok());
    transport.ok()
}

fn disk(p: &mut Probe, vmm: Vmm<Linear>) {
    let disk = transport(p, vmm, DeviceType::Block).map(VirtIOBlk::<Identity, _>::new);
    let Some(Ok(mut disk)) = disk else { return p.holds("a disk", false) };
    p.number("sectors", disk.capacity(), 2048);
    let good = (0..200).filter(|round| {
        let (first, mut read) = (8 * round, [0; 4096]);
        let written: [u8; 4096] = core::array::from_fn(|at| (at / 7 + round).to_le_bytes()[0]);
        let done = disk.write_blocks(first, &written).and_then(|()| disk.flush());
        done.and_then(|()| disk.read_blocks(first, &mut read)).is_ok() && read == written
    });
    p.number("pages that came back", good.count() as u64, 200);
    p.holds("beyond the end is refused", disk.read_blocks(2048, &mut [0; 512]).is_err());
}

fn console(p: &mut Probe, vmm: Vmm<Linear>) {
    let console = transport(p, vmm, DeviceType::Console).map(VirtIOConsole::<Identity, _>::new);
    let Some(Ok(mut console)) = console else { return p.holds("a console", false) };
    p.holds("it has a size", matches!(console.size(), Ok(Some(_))));
    p.holds("shown", console.send_bytes(b"adapters: shown by virtio-drivers\n").is_ok());
    let bytes = b"adapters: shown byte by byte\n";
    p.holds("at once", bytes.iter().all(|byte| console.emergency_write(*byte).is_ok()));
    // The test types when it sees this.
    p.show("waiting", "for a key");
    let key = loop {
        if let Ok(Some(key)) = console.recv(true) {
            break key;
        }
    };
    p.hex("key", key.into(), b'k'.into());
}

fn random(p: &mut Probe, vmm: Vmm<Linear>) {
    let source = transport(p, vmm, DeviceType::Entropy).map(VirtIORng::<Identity, _>::new);
    let Some(Ok(mut source)) = source else { return p.holds("a source", false) };
    let (mut one, mut two) = ([0; 64], [0; 64]);
    let got = [source.request_entropy(&mut one), source.request_entropy(&mut two)];
    p.holds("64 bytes, twice", got == [Ok(64), Ok(64)]);
    p.holds("which differ", one != two);
}

fn network(p: &mut Probe, vmm: Vmm<Linear>) {
    let net = transport(p, vmm, DeviceType::Net);
    let net = net.map(|transport| VirtIONet::<Identity, _, FRAMES>::new(transport, FRAME));
    let Some(Ok(mut net)) = net else { return p.holds("a network", false) };
    let question = question(net.mac_address());
    let answers = (0..50).filter(|_| {
        let mut frame = net.new_tx_buffer(question.len());
        frame.packet_mut().copy_from_slice(&question);
        net.send(frame).is_ok() && is_answered(&mut net)
    });
    p.number("answers of the gateway to 50 questions", answers.count() as u64, 50);
}

/// Waits for a frame that says where the gateway is.
fn is_answered(net: &mut VirtIONet<Identity, HypercallTransport, FRAMES>) -> bool {
    loop {
        let Ok(frame) = net.receive() else { continue };
        let bytes = frame.packet();
        let answer = bytes.len() >= 42 && bytes[12..14] == [8, 6] && bytes[28..32] == GATEWAY;
        if net.recycle_rx_buffer(frame).is_err() {
            return false;
        }
        if answer {
            return true;
        }
    }
}

/// Who has the address of the gateway (RFC 826)?
fn question(mac: [u8; 6]) -> [u8; 42] {
    let mut frame = [0; 42];
    frame[..6].fill(0xff);
    frame[6..12].copy_from_slice(&mac);
    frame[12..22].copy_from_slice(&[8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    frame[22..28].copy_from_slice(&mac);
    frame[28..32].copy_from_slice(&OURS);
    frame[38..42].copy_from_slice(&GATEWAY);
    frame
}
