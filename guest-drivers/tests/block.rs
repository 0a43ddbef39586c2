//! The disk driver and the VMM's disk, end to end.

mod common;

use std::sync::atomic::Ordering;

use common::{Machine, Ram, disk};
use guest_drivers::protocol::call::{Function, Version};
use guest_drivers::{Block, BlockStorage, DeviceType, Error, Interrupts, Operation};

type Buffer = (&'static mut [u8], u8);
type Disk<D = Buffer> = Block<D, Ram, &'static Machine>;

fn block<D: guest_drivers::Dma>(machine: &'static Machine) -> Disk<D> {
    let device = machine.guest().find(DeviceType::Block).expect("a disk");
    Block::new(device, machine.place(BlockStorage::<D, 8>::new())).expect("a disk that works")
}

/// A request for `sectors` sectors, named `name`.
fn buffer(machine: &'static Machine, sectors: usize, name: u8) -> Buffer {
    (machine.buffer(512 * sectors), name)
}

#[test]
fn a_guest_finds_its_disk() {
    let machine = Machine::new(vec![disk::device(16)]);
    let disk = block::<Buffer>(machine);
    assert_eq!((disk.capacity(), disk.block_size(), disk.read_only()), (16, 512, false));
    assert_eq!(machine.guest().devices().count(), 1);
    assert!(machine.guest().find(DeviceType::Net).is_none());
}

#[test]
fn waiting_calls_read_and_write() {
    let machine = Machine::new(vec![disk::device(16)]);
    let mut disk = block::<Buffer>(machine);
    let bytes = machine.buffer(1024);
    disk.read(3, bytes).unwrap();
    assert!(
        bytes[..512].iter().all(|byte| *byte == 3) && bytes[512..].iter().all(|byte| *byte == 4)
    );
    bytes.fill(0xaa);
    disk.write(14, bytes).unwrap();
    disk.flush().unwrap();
    bytes.fill(0);
    disk.read(15, &mut bytes[..512]).unwrap();
    assert!(bytes[..512].iter().all(|byte| *byte == 0xaa) && bytes[512] == 0);
    assert_eq!(disk.in_flight(), 0);
}

#[test]
fn errors_of_the_disk_are_told() {
    let machine = Machine::new(vec![disk::device(16)]);
    let mut disk = block::<Buffer>(machine);
    let bytes = machine.buffer(1024);
    assert_eq!(disk.read(15, bytes), Err(Error::Io), "beyond the end");
    assert_eq!(disk.write(0, &bytes[..100]), Err(Error::Io), "no whole sector");
    assert_eq!(disk.read(0, &mut [0; 512]), Err(Error::Address), "not in guest memory");
    disk.read(15, &mut bytes[..512]).unwrap();
}

#[test]
fn many_requests_cost_one_notification() {
    let machine = Machine::new(vec![disk::device(16)]);
    let line = machine.line();
    let mut disk = block::<Buffer>(machine);
    for name in 0..8 {
        disk.enqueue(Operation::Read, name.into(), buffer(machine, 1, name)).unwrap();
    }
    let refused = disk.enqueue(Operation::Read, 0, buffer(machine, 1, 99)).unwrap_err();
    assert_eq!((refused.error, refused.data.1), (Error::Full, 99));
    disk.kick();
    disk.kick();
    assert_eq!(machine.count(Function::Notify), 1);
    for name in 0..8 {
        let done = disk.complete().unwrap();
        assert_eq!((done.result, done.data.1), (Ok(()), name));
        assert!(done.data.0.iter().all(|byte| *byte == name));
    }
    assert!(disk.complete().is_none());
    let statistics = disk.statistics();
    assert_eq!((statistics.requests, statistics.completions, statistics.notifications), (8, 8, 1));
    assert!(line.take(machine.guest()).is_empty(), "nobody asked for an interrupt");
}

#[test]
fn requests_end_in_any_order() {
    let (device, may_say) = disk::Slow::device(16);
    let machine = Machine::new(vec![device]);
    let mut disk = block::<Buffer>(machine);
    let first = disk.submit(Operation::Read, 1, buffer(machine, 1, 1)).unwrap();
    let second = disk.submit(Operation::Read, 2, buffer(machine, 2, 2)).unwrap();
    assert!(disk.complete().is_none());
    assert_eq!(disk.in_flight(), 2);
    may_say.store(1, Ordering::Relaxed);
    machine.poll();
    let done = disk.complete().unwrap();
    assert_eq!((done.token, done.data.1, done.data.0[512]), (second, 2, 3));
    assert!(disk.complete().is_none());
    may_say.store(1, Ordering::Relaxed);
    machine.poll();
    assert_eq!(disk.complete().unwrap().token, first);
}

#[test]
fn a_request_of_many_buffers_is_one_request() {
    let machine = Machine::new(vec![disk::device(16)]);
    let mut disk = block::<[&'static mut [u8]; 4]>(machine);
    let parts = [100, 924, 0, 512].map(|len| machine.buffer(len));
    disk.submit(Operation::Read, 5, parts).unwrap();
    let done = disk.complete().unwrap();
    assert_eq!(done.result, Ok(()));
    assert_eq!((done.data[1][411], done.data[1][412], done.data[3][0]), (5, 6, 7));
    assert_eq!(disk.statistics().notifications, 1);
    let flush = disk.submit(Operation::Flush, 0, [0; 4].map(|len| machine.buffer(len))).unwrap();
    let done = disk.complete().unwrap();
    assert_eq!((done.token, done.result), (flush, Ok(())));
}

#[test]
fn too_many_buffers_come_back() {
    let machine = Machine::new(vec![disk::device(16)]);
    let mut disk = block::<[&'static mut [u8]; 7]>(machine);
    let refused =
        disk.submit(Operation::Read, 0, [512; 7].map(|len| machine.buffer(len))).unwrap_err();
    assert_eq!((refused.error, refused.data[6].len()), (Error::TooLong, 512));
    assert_eq!(disk.in_flight(), 0);
    disk.submit(Operation::Read, 0, [0, 0, 0, 0, 0, 0, 512].map(|len| machine.buffer(len)))
        .unwrap();
    assert_eq!(disk.complete().unwrap().result, Ok(()));
}

#[test]
fn an_interrupt_says_who_has_news() {
    let (device, may_say) = disk::Slow::device(16);
    let machine = Machine::new(vec![disk::device(1), device]);
    let line = machine.line();
    let device = machine.guest().devices().nth(1).unwrap();
    let storage = machine.place(BlockStorage::<Buffer, 8>::new());
    let mut disk = Block::new(device, storage).unwrap();
    disk.set_interrupts(Interrupts::After(1));
    for name in 0..4 {
        disk.submit(Operation::Read, 0, buffer(machine, 1, name)).unwrap();
    }
    assert!(line.take(machine.guest()).is_empty());
    may_say.store(3, Ordering::Relaxed);
    machine.poll();
    let news = line.take(machine.guest());
    assert!(news.devices().eq([1]) && news.has(1) && !news.has_changed(1));
    assert!(line.take(machine.guest()).is_empty());
    for _ in 0..3 {
        assert_eq!(disk.complete().unwrap().result, Ok(()));
    }
    assert!(disk.complete().is_none());
    may_say.store(1, Ordering::Relaxed);
    machine.poll();
    assert!(line.take(machine.guest()).has(1));
    assert_eq!(machine.interrupts.get(), 2);
    assert_eq!(disk.complete().unwrap().data.1, 0);
}

#[test]
fn several_completions_may_share_an_interrupt() {
    let (device, may_say) = disk::Slow::device(16);
    let machine = Machine::new(vec![device]);
    machine.line();
    let mut disk = block::<Buffer>(machine);
    for name in 0..6 {
        disk.submit(Operation::Read, 0, buffer(machine, 1, name)).unwrap();
    }
    disk.set_interrupts(Interrupts::After(4));
    for (polls, interrupts) in [(3, 0), (1, 1), (2, 1)] {
        for _ in 0..polls {
            may_say.store(1, Ordering::Relaxed);
            machine.poll();
        }
        assert_eq!(machine.interrupts.get(), interrupts);
    }
    assert_eq!((0..6).filter_map(|_| disk.complete()).count(), 6);
}

#[test]
fn what_ends_while_somebody_waits_is_kept() {
    let (device, may_say) = disk::Slow::device(16);
    let machine = Machine::new(vec![device]);
    let mut disk = block::<Buffer>(machine);
    may_say.store(u64::MAX, Ordering::Relaxed);
    // The slow disk tells of the last first, so that the others are left.
    for name in 0..3 {
        disk.submit(Operation::Read, name.into(), buffer(machine, 1, name)).unwrap();
    }
    let bytes = machine.buffer(512);
    disk.read(9, bytes).unwrap();
    assert_eq!(bytes[0], 9);
    machine.poll();
    let mut names = std::iter::from_fn(|| disk.complete()).map(|done| done.data.1);
    assert!(names.by_ref().take(3).all(|name| name < 3) && names.next().is_none());
}

#[test]
fn indices_wrap_without_a_trace() {
    let machine = Machine::new(vec![disk::device(16)]);
    let mut disk = block::<Buffer>(machine);
    let mut kept = Some(buffer(machine, 1, 0));
    for _ in 0..0x1_0010 {
        disk.submit(Operation::Read, 7, kept.take().unwrap()).unwrap();
        let done = disk.complete().unwrap();
        assert_eq!((done.result, done.data.0[0]), (Ok(()), 7));
        kept = Some(done.data);
    }
}

#[test]
fn a_driver_that_is_dropped_leaves_the_device_alone() {
    let (device, _) = disk::Slow::device(16);
    let machine = Machine::new(vec![device]);
    let mut disk = block::<Buffer>(machine);
    disk.submit(Operation::Read, 0, buffer(machine, 1, 0)).unwrap();
    let device = disk.device();
    drop(disk);
    assert!(device.status().unwrap().is_empty());
    let mut disk = block::<Buffer>(machine);
    assert!(disk.complete().is_none(), "what was in flight is forgotten");
    let serial = machine.place([0; 20]);
    disk.serial(serial).unwrap();
    assert_eq!(*serial, disk::SERIAL_NUMBER);
}

#[test]
fn other_versions_are_refused() {
    let machine = Machine::new(vec![]);
    for (major, minor, works) in [(1, 0, true), (1, 7, true), (2, 0, false), (0, 9, false)] {
        machine.version.set(Version { major, minor });
        let guest = guest_drivers::Vmm::connect(machine.guest_memory(), machine);
        assert_eq!(guest.is_ok(), works, "{major}.{minor}");
    }
}

#[test]
fn a_driver_wants_its_own_kind_of_device() {
    let machine = Machine::new(vec![disk::device(16)]);
    let device = machine.guest().find(DeviceType::Block).unwrap();
    let long = machine.place(BlockStorage::<Buffer, 512>::new());
    assert_eq!(Block::new(device, long).err(), Some(Error::QueueSize));
}

#[cfg(feature = "embedded-sdmmc")]
#[test]
fn embedded_sdmmc_reads_and_writes() {
    use embedded_sdmmc::{Block as Sector, BlockCount, BlockDevice, BlockIdx};
    use guest_drivers::SectorDevice;

    let machine = Machine::new(vec![disk::device(16)]);
    let disk = SectorDevice::new(block::<Buffer>(machine));
    assert_eq!(disk.num_blocks(), Ok(BlockCount(16)));
    let sectors = machine.place([Sector::new(), Sector::new(), Sector::new()]);
    disk.read(sectors, BlockIdx(5)).unwrap();
    assert_eq!(sectors.each_ref().map(|sector| sector[511]), [5, 6, 7]);
    disk.write(sectors, BlockIdx(0)).unwrap();
    disk.with(|disk| disk.flush()).unwrap();
    disk.read(&mut sectors[..1], BlockIdx(2)).unwrap();
    assert_eq!(sectors[0].contents, [7; 512]);
    assert_eq!(disk.read(sectors, BlockIdx(14)), Err(Error::Io), "the last one is not there");
}
