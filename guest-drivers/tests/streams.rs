//! Console, random bytes and network, with the VMM's devices at the other
//! end.

mod common;

use common::ends::{Loop, Teletype};
use common::{Machine, Ram};
use guest_drivers::protocol::call::Function;
use guest_drivers::{
    Console, ConsoleStorage, DeviceType, Entropy, EntropyStorage, Error, Interrupts, Net,
    NetStorage,
};
use trapeze_vmm::entropy::Random;
use trapeze_vmm::net::Mac;
use trapeze_vmm::virtio::{AnyDevice, console, entropy, function::Interface, net};

fn with_console() -> (&'static Machine, Teletype, Console<Ram, &'static Machine>) {
    let terminal = Teletype::default();
    let device = console::Console::new(Box::new(terminal.clone()), (80, 24));
    let machine = Machine::new(vec![Box::new(device)]);
    let device = machine.guest().find(DeviceType::Console).expect("a console");
    let console = Console::new(device, machine.place(ConsoleStorage::new())).expect("it works");
    (machine, terminal, console)
}

/// Bytes in the guest's memory.
fn text(machine: &'static Machine, bytes: &[u8]) -> &'static mut [u8] {
    let buffer = machine.buffer(bytes.len());
    buffer.copy_from_slice(bytes);
    buffer
}

#[test]
fn what_is_written_is_shown_by_one_call() {
    let (machine, terminal, mut console) = with_console();
    assert_eq!(console.size(), Some((80, 24)));
    let before = machine.count(Function::Notify);
    let long: Vec<u8> = (0..10_000u32).map(|n| n.to_le_bytes()[0]).collect();
    console.write(text(machine, b"hello")).unwrap();
    assert_eq!((terminal.shown(), machine.count(Function::Notify) - before), (b"hello".into(), 1));
    console.write(text(machine, &long)).unwrap();
    assert!(terminal.shown()[5..] == long[..]);
    console.write(&[]).unwrap();
    console.emergency_write(b'!').unwrap();
    assert_eq!(terminal.shown().last(), Some(&b'!'));
    assert_eq!(console.write(b"not in guest memory"), Err(Error::Address));
}

#[test]
fn what_is_typed_is_read_in_order() {
    let (machine, terminal, mut console) = with_console();
    let line = machine.line();
    console.set_interrupts(Interrupts::After(1));
    let mut bytes = [0; 10];
    assert_eq!((console.read(&mut bytes), console.has_input()), (0, false));
    terminal.type_in(b"a");
    machine.poll();
    assert!(line.take(machine.guest()).has(console.device().number()));
    assert_eq!((console.read(&mut bytes), bytes[0]), (1, b'a'));
    // More than all buffers hold.
    let long: Vec<u8> = (0..2000u32).map(|n| n.to_le_bytes()[0]).collect();
    terminal.type_in(&long);
    let mut read = Vec::new();
    while read.len() < long.len() {
        machine.poll();
        let count = console.read(&mut bytes);
        assert_ne!(count, 0, "after {} bytes", read.len());
        read.extend_from_slice(&bytes[..count]);
    }
    assert!(read == long && console.read(&mut bytes) == 0);
}

#[test]
fn what_was_typed_is_read_without_a_call() {
    let (machine, terminal, mut console) = with_console();
    let before = machine.calls();
    for _ in 0..10 {
        terminal.type_in(b"abc");
        machine.poll();
        assert_eq!(console.read(&mut [0; 10]), 3);
    }
    assert_eq!(machine.calls() - before, 0);
}

#[test]
fn random_bytes_come_in_any_number() {
    let device: AnyDevice = Box::new(entropy::Entropy::new(Random::new([7; 32])));
    let machine = Machine::new(vec![device]);
    let device = machine.guest().find(DeviceType::Entropy).expect("a source");
    let storage = machine.place(EntropyStorage::new());
    let mut source = Entropy::new(device, storage).expect("it works");
    let bytes = machine.buffer(5000);
    source.fill(bytes).unwrap();
    let zeroes = bytes.iter().filter(|byte| **byte == 0).count();
    assert!(zeroes < 100, "{zeroes} zeroes");
    source.fill(&mut []).unwrap();
}

const MAC: [u8; 6] = [0x52, 0x54, 0, 1, 2, 3];

fn with_net() -> (&'static Machine, Net<Ram, &'static Machine>) {
    let device = net::Net::new(Interface::Modern, Mac(MAC), Box::new(Loop::default()));
    let machine = Machine::new(vec![Box::new(device)]);
    let device = machine.guest().find(DeviceType::Net).expect("a network");
    let net = Net::new(device, machine.place(NetStorage::<8>::new())).expect("it works");
    (machine, net)
}

/// Frame `number`, of some length.
fn frame(number: usize) -> Vec<u8> {
    let len = [14, 60, 1000, 1514][number % 4];
    (0..len).map(|at| (at * 7 + number).to_le_bytes()[0]).collect()
}

#[test]
fn frames_come_as_they_were_sent() {
    let (machine, mut net) = with_net();
    assert_eq!((net.mac(), net.mtu()), (Some(MAC), 1500));
    let mut came = 0;
    for number in 0..100 {
        let sent = frame(number);
        net.send(sent.len(), |bytes| bytes.copy_from_slice(&sent)).unwrap();
        machine.poll();
        // Now and then some wait.
        while number % 5 == 4
            && let Some(received) = net.receive(<[u8]>::to_vec)
        {
            assert_eq!(received, frame(came));
            came += 1;
        }
    }
    assert_eq!(came, 100);
    assert_eq!(net.send(13, |_| ()), Err(Error::TooShort));
    assert_eq!(net.send(1515, |_| ()), Err(Error::TooLong));
    assert!(!net.is_broken());
}

#[test]
fn a_device_that_does_not_listen_fills_the_queue() {
    let (machine, mut net) = with_net();
    machine.hearing.set(false);
    for number in 0..8 {
        assert_eq!(net.send(20, |bytes| bytes.fill(number)), Ok(()));
    }
    assert_eq!(net.send(20, |_| ()), Err(Error::Full));
}

#[test]
fn frames_that_go_together_are_told_once() {
    let (_, mut net) = with_net();
    for number in 1..=5 {
        assert_eq!(net.enqueue(20, |bytes| bytes.fill(number)), Ok(()));
    }
    assert_eq!(net.statistics()[1].notifications, 0);
    assert_eq!(net.receive(<[u8]>::len), None);
    net.kick();
    net.kick();
    assert_eq!(net.statistics()[1].notifications, 1);
}

#[cfg(feature = "smoltcp")]
#[test]
fn smoltcp_sends_and_receives() {
    use smoltcp::phy::{Device, RxToken, TxToken};
    use smoltcp::time::Instant;

    let (machine, mut net) = with_net();
    let now = Instant::from_millis(0);
    assert_eq!(net.capabilities().max_transmission_unit, 1514);
    for number in 0..50 {
        let token = Device::transmit(&mut net, now).expect("room");
        token.consume(frame(number).len(), |bytes| bytes.copy_from_slice(&frame(number)));
        machine.poll();
        let (token, _) = Device::receive(&mut net, now).expect("a frame");
        assert!(token.consume(|bytes| bytes == frame(number)));
    }
    assert!(Device::receive(&mut net, now).is_none());
}

#[cfg(feature = "embedded-io")]
#[test]
fn embedded_io_reads_and_writes() {
    use embedded_io::{Read, ReadReady, Write};

    let (machine, terminal, mut console) = with_console();
    assert_eq!(Write::write(&mut console, text(machine, b"abc")), Ok(3));
    assert_eq!((terminal.shown(), console.read_ready()), (b"abc".to_vec(), Ok(false)));
    terminal.type_in(b"xyz");
    let mut bytes = [0; 2];
    assert_eq!((Read::read(&mut console, &mut bytes), bytes), (Ok(2), *b"xy"));
    assert_eq!(console.read_ready(), Ok(true));
}

#[cfg(feature = "rand_core")]
#[test]
fn rand_core_draws() {
    use rand_core::TryRng;

    let device: AnyDevice = Box::new(entropy::Entropy::new(Random::new([7; 32])));
    let machine = Machine::new(vec![device]);
    let device = machine.guest().find(DeviceType::Entropy).expect("a source");
    let mut source = Entropy::new(device, machine.place(EntropyStorage::new())).expect("it works");
    let bytes = machine.buffer(64);
    source.try_fill_bytes(bytes).unwrap();
    assert!(bytes.iter().any(|byte| *byte != 0));
}
