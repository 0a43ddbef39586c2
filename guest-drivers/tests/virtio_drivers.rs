//! The drivers of `virtio-drivers`, unchanged, on our transport, with the
//! VMM's devices at the other end.

mod common;
#[path = "common/hal.rs"]
mod hal;

use common::ends::{Loop, Teletype};
use common::{Machine, disk};
use guest_drivers::DeviceType;
use guest_drivers::protocol::call::Function;
use hal::Copied;
use trapeze_vmm::entropy::Random;
use trapeze_vmm::net::Mac;
use trapeze_vmm::virtio::{AnyDevice, console, entropy, function::Interface, net};
use virtio_drivers::device::blk::VirtIOBlk;
use virtio_drivers::device::console::{Size, VirtIOConsole};
use virtio_drivers::device::net::VirtIONet;
use virtio_drivers::device::rng::VirtIORng;
use virtio_drivers::transport::{DeviceStatus, Transport};
use virtio_drivers::{Error, transport};

/// A machine with one device, and the transport to it.
fn machine(device: AnyDevice, kind: DeviceType) -> (&'static Machine, hal::Transport) {
    let machine = Machine::new(vec![device]);
    hal::use_machine(machine);
    (machine, hal::transport(machine, kind))
}

fn disk_of(sectors: u8) -> (&'static Machine, hal::Transport) {
    machine(disk::device(sectors), DeviceType::Block)
}

#[test]
fn a_disk_reads_and_writes() {
    let (machine, transport) = disk_of(16);
    assert_eq!(transport.device_type(), transport::DeviceType::Block);
    let mut disk = VirtIOBlk::<Copied, _>::new(transport).expect("a disk");
    assert_eq!((disk.capacity(), disk.readonly()), (16, false));
    let (before, mut bytes) = (machine.count(Function::Notify), [0; 1024]);
    disk.read_blocks(3, &mut bytes).unwrap();
    assert_eq!((bytes[0], bytes[511], bytes[512], bytes[1023]), (3, 3, 4, 4));
    assert_eq!(machine.count(Function::Notify) - before, 1, "one exit for a request");
    disk.write_blocks(9, &[0xaa; 1024]).unwrap();
    disk.flush().unwrap();
    disk.read_blocks(10, &mut bytes[..512]).unwrap();
    assert_eq!((bytes[0], bytes[512]), (0xaa, 4));
    assert_eq!(disk.read_blocks(16, &mut bytes[..512]), Err(Error::IoError), "beyond the end");
    let mut id = [0; 20];
    disk.device_id(&mut id).unwrap();
    assert_eq!(id, disk::SERIAL_NUMBER);
}

/// With EVENT_IDX this fails near the 65,536th request, of which the queues
/// of `virtio-drivers` do not tell the device.
#[test]
fn requests_do_not_get_stuck_when_indices_wrap() {
    let device = entropy::Entropy::new(Random::new([7; 32]));
    let (machine, transport) = machine(Box::new(device), DeviceType::Entropy);
    let mut batches = hal::Batches::new(transport);
    let count = 0x1_0010 / 4;
    for number in 0..count {
        let mut buffers = [[0; 8]; 4];
        assert!(batches.fill(&mut buffers), "request {}", 4 * number);
        assert!(buffers.iter().all(|buffer| *buffer != [0; 8]));
    }
    assert_eq!(machine.count(Function::Notify), count);
}

#[test]
fn a_console_shows_and_reads() {
    let terminal = Teletype::default();
    let device = console::Console::new(Box::new(terminal.clone()), (80, 24));
    let (machine, transport) = machine(Box::new(device), DeviceType::Console);
    let mut console = VirtIOConsole::<Copied, _>::new(transport).expect("a console");
    assert_eq!(console.size(), Ok(Some(Size { columns: 80, rows: 24 })));
    console.send_bytes(b"hello").unwrap();
    console.emergency_write(b'!').unwrap();
    assert_eq!(terminal.shown(), b"hello!");
    assert_eq!(console.recv(true), Ok(None));
    terminal.type_in(b"ab");
    machine.poll();
    assert_eq!(console.ack_interrupt(), Ok(true), "something came");
    assert_eq!([console.recv(true), console.recv(true)], [Ok(Some(b'a')), Ok(Some(b'b'))]);
    assert_eq!((console.recv(true), console.ack_interrupt()), (Ok(None), Ok(false)));
}

#[test]
fn a_network_sends_and_receives() {
    let mac = [0x52, 0x54, 0, 1, 2, 3];
    let device = net::Net::new(Interface::Modern, Mac(mac), Box::new(Loop::default()));
    let (machine, transport) = machine(Box::new(device), DeviceType::Net);
    let mut net = VirtIONet::<Copied, _, 8>::new(transport, 2048).expect("a network");
    assert_eq!(net.mac_address(), mac);
    for number in 0..100u8 {
        let mut frame = net.new_tx_buffer(60 + 14 * usize::from(number));
        frame.packet_mut().fill(number);
        net.send(frame).unwrap();
        machine.poll();
        let frame = net.receive().expect("the frame comes back");
        assert_eq!(frame.packet_len(), 60 + 14 * usize::from(number));
        assert!(frame.packet().iter().all(|byte| *byte == number));
        net.recycle_rx_buffer(frame).unwrap();
    }
    assert!(!net.can_recv());
}

#[test]
fn a_source_gives_random_bytes() {
    let device = entropy::Entropy::new(Random::new([7; 32]));
    let (_, transport) = machine(Box::new(device), DeviceType::Entropy);
    let mut source = VirtIORng::<Copied, _>::new(transport).expect("a source");
    let mut bytes = [0; 256];
    assert_eq!(source.request_entropy(&mut bytes), Ok(256));
    let zeroes = bytes.iter().filter(|byte| **byte == 0).count();
    assert!(zeroes < 20, "{zeroes} zeroes");
}

#[test]
fn a_configuration_ends_where_it_ends() {
    let (_, mut transport) = disk_of(16);
    assert_eq!(transport.read_config_space::<u64>(0), Ok(16));
    assert_eq!(transport.read_config_space::<[u8; 3]>(0), Ok([16, 0, 0]));
    assert_eq!(transport.read_config_space::<u32>(20), Ok(512), "the size of a block");
    let small = Err(Error::ConfigSpaceTooSmall);
    for offset in [1 << 20, usize::MAX - 1, usize::MAX] {
        assert_eq!(transport.read_config_space::<u64>(offset), small);
        assert_eq!(transport.write_config_space(offset, 1u32), Err(Error::ConfigSpaceTooSmall));
    }
    assert_eq!(transport.write_config_space(0, [1u8; 3]), Err(Error::Unsupported));
    assert_eq!(transport.write_config_space(0, 1u64), Err(Error::IoError), "nobody resizes it");
}

#[test]
fn a_driver_that_is_dropped_frees_the_device() {
    let (machine, first) = disk_of(16);
    let device = first.device();
    let disk = VirtIOBlk::<Copied, _>::new(first).expect("a disk");
    assert!(!device.status().unwrap().is_empty());
    drop(disk);
    assert!(device.status().unwrap().is_empty());
    let again = hal::transport(machine, DeviceType::Block);
    let mut disk = VirtIOBlk::<Copied, _>::new(again).expect("the same disk");
    let mut bytes = [0; 512];
    disk.read_blocks(5, &mut bytes).unwrap();
    assert_eq!(bytes, [5; 512]);
}

#[test]
#[should_panic(expected = "queue 0 is refused: the address is not in memory")]
fn a_queue_that_is_refused_is_no_secret() {
    let (_, mut transport) = disk_of(16);
    transport.set_status(DeviceStatus::FEATURES_OK);
    transport.queue_set(0, 8, 0x10, 0x20, 0x30);
}
