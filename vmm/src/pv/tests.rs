//! The interface from the guest's chair.

use alloc::boxed::Box;

use proptest::prelude::*;
use trapeze_protocol::call::Function;
use trapeze_protocol::device::DeviceType;
use trapeze_protocol::device::block::{Header, Kind};
use trapeze_protocol::interrupt::{self, CHANGED, PENDING};

use super::*;
use crate::disk::{Disk, RamDisk, Request, SERIAL, Submitted};
use crate::vcpu::Interrupt;
use crate::virtio::blk::Blk;
use crate::virtio::fake::{BASE, BUFFERS, Driver, RAM, reads, writes};
use crate::virtio::queue::Options;

const HARTS: usize = 2;
const LINE: u64 = BUFFERS.0 + 0x4_0000;
const PLAIN: Options = Options { indirect: false, event_idx: false };
/// ACKNOWLEDGE, DRIVER, FEATURES_OK; and DRIVER_OK.
const AGREED: u64 = 11;
const RUNNING: u64 = 15;

fn ram_disk() -> RamDisk {
    RamDisk::new(vec![7; 64 * 512].leak(), [b'x'; SERIAL], false)
}

/// A disk that never finishes what it has begun.
struct Stuck;

impl Disk for Stuck {
    fn sectors(&self) -> u64 {
        64
    }

    fn read_only(&self) -> bool {
        false
    }

    fn serial(&self) -> [u8; SERIAL] {
        [0; SERIAL]
    }

    fn submit(&mut self, _: Request<'_>, _: &GuestRam) -> Submitted {
        Submitted::Pending
    }

    fn complete(&mut self, _: &GuestRam) -> Option<(u16, bool)> {
        None
    }
}

/// A guest with two disks, and the driver of the second one.
struct Guest {
    pv: Pv,
    driver: Driver,
}

impl Guest {
    fn new(disk: impl Disk + 'static) -> Self {
        let mut pv = Pv::default();
        assert_eq!(pv.add(Box::new(Blk::new(Box::new(ram_disk())))), 0);
        assert_eq!(pv.add(Box::new(Blk::new(Box::new(disk)))), 1);
        Self { pv, driver: Driver::new(8, PLAIN) }
    }

    fn call(&mut self, call: Call) -> Result<Answer, Error> {
        self.pv.call(call, HARTS, &self.driver.ram)
    }

    fn value(&mut self, call: Call) -> u64 {
        match self.call(call) {
            Ok(Answer::Value(value)) => value,
            other => panic!("{call:?}: {other:?}"),
        }
    }

    fn status(&mut self, status: u64) -> Result<Answer, Error> {
        self.call(Call::SetStatus { device: 1, status })
    }

    fn set_up(&mut self) -> Call {
        let Place { size, descriptors, avail, used } = self.driver.place;
        let (descriptors, avail, used) = (descriptors.0, avail.0, used.0);
        Call::QueueSetUp { device: 1, queue: 0, size: size.into(), descriptors, avail, used }
    }

    /// By the book.
    fn bring_up(&mut self) {
        for status in [0, 1, 3] {
            self.status(status).unwrap();
        }
        self.value(Call::AcceptFeatures { device: 1, features: 1 << 32 });
        self.status(AGREED).unwrap();
        let call = self.set_up();
        self.value(call);
        self.status(RUNNING).unwrap();
        let line = Some((LINE, interrupt::Line::SupervisorExternal));
        self.value(Call::InterruptSetUp { line, hart: 1 });
    }

    /// Puts a read of sector 0 into the ring.
    fn add_read(&mut self) {
        let header = Header { kind: Kind::READ.0, reserved: 0, sector: 0 };
        self.driver.ram.write(BUFFERS, &header).unwrap();
        let data = BUFFERS.wrapping_add(0x1000);
        self.driver.add(&[reads(BUFFERS, 16), writes(data, 512), writes(BUFFERS, 1)], None);
    }

    fn notify(&mut self) -> Result<Answer, Error> {
        self.call(Call::Notify { device: 1, queue: 0 })
    }

    fn publish(&mut self) -> Option<Raise> {
        self.pv.publish(&self.driver.ram)
    }

    fn line(&self, offset: u64) -> u64 {
        self.driver.ram.load_u64(Gpa(LINE + offset)).unwrap()
    }
}

#[test]
fn a_guest_finds_its_disks() {
    let mut guest = Guest::new(ram_disk());
    assert_eq!(guest.value(Call::Version), Version::CURRENT.to_value());
    assert_eq!(guest.value(Call::DeviceCount), 2);
    let description = Description::from_value(guest.value(Call::Describe { device: 1 }));
    assert_eq!(description.device_type(), Some(DeviceType::Block));
    assert_eq!((description.queues, description.config_len), (1, 24));
    let read = |offset, width| Call::ConfigRead { device: 1, offset, width };
    assert_eq!(guest.value(read(0, Width::Double)), 64);
    assert_eq!(guest.value(read(20, Width::Half)), 512);
    assert_eq!(guest.value(read(1 << 40, Width::Word)), 0);
    assert_eq!(guest.call(read(2, Width::Word)), Err(Error::InvalidParameter));
    assert_eq!(guest.call(Call::Describe { device: 2 }), Err(Error::InvalidParameter));
    let write = Call::ConfigWrite { device: 1, offset: 0, width: Width::Byte, value: 1 };
    assert_eq!(guest.call(write), Err(Error::Denied));
}

#[test]
fn a_request_is_one_call_and_one_bit() {
    let mut guest = Guest::new(ram_disk());
    guest.bring_up();
    guest.add_read();
    guest.add_read();
    assert_eq!(guest.notify(), Ok(Answer::Value(0)));
    let raise = Raise { hart: 1, interrupt: Interrupt::SupervisorExternal };
    assert_eq!(guest.publish(), Some(raise));
    assert_eq!((guest.line(PENDING), guest.line(CHANGED)), (2, 0));
    assert!(guest.driver.take_used().is_some() && guest.driver.take_used().is_some());
    // Not raised again before the guest has taken the word.
    guest.add_read();
    assert_eq!(guest.notify(), Ok(Answer::Value(0)));
    assert_eq!((guest.publish(), guest.line(PENDING)), (None, 2));
    guest.driver.ram.store_u64(Gpa(LINE + PENDING), 0).unwrap();
    guest.add_read();
    assert_eq!(guest.notify(), Ok(Answer::Value(0)));
    assert_eq!(guest.publish(), Some(raise));
}

#[test]
fn each_step_has_its_time() {
    let mut guest = Guest::new(ram_disk());
    let accept = |features| Call::AcceptFeatures { device: 1, features };
    assert_eq!(guest.call(accept(0)), Err(Error::InvalidState));
    guest.status(3).unwrap();
    assert_eq!(guest.call(accept(1 << 50)), Err(Error::InvalidParameter));
    guest.value(accept(1 << 29));
    let set_up = guest.set_up();
    assert_eq!(guest.call(set_up), Err(Error::InvalidState));
    guest.status(AGREED).unwrap();
    assert_eq!(guest.call(accept(0)), Err(Error::InvalidState));
    assert_eq!(guest.notify(), Err(Error::InvalidState));
    guest.value(set_up);
    assert_eq!(guest.call(set_up), Err(Error::InvalidState));
    assert_eq!(guest.notify(), Err(Error::InvalidState));
    guest.status(RUNNING).unwrap();
    guest.notify().unwrap();
    guest.value(Call::QueueStop { device: 1, queue: 0 });
    assert_eq!(guest.notify(), Err(Error::InvalidState));
    // The device sets NEEDS_RESET, no one else.
    for status in [1 << 8, 64] {
        assert_eq!(guest.status(status), Err(Error::InvalidParameter));
    }
}

#[test]
fn a_queue_is_where_it_can_be() {
    let mut guest = Guest::new(ram_disk());
    guest.status(AGREED).unwrap();
    let at = |size, [descriptors, avail, used]: [u64; 3]| Call::QueueSetUp {
        device: 1,
        queue: 0,
        size,
        descriptors,
        avail,
        used,
    };
    let good = [BASE.0, BASE.0 + 0x1000, BASE.0 + 0x2000];
    for size in [0, 3, 512, 1 << 16 | 8] {
        assert_eq!(guest.call(at(size, good)), Err(Error::InvalidParameter), "{size}");
    }
    let ends = [0, u64::MAX - 15, BASE.0 + RAM - 16];
    for bad in [[good[0] + 8, good[1], good[2]], [good[0], good[1] + 1, good[2]], ends] {
        assert_eq!(guest.call(at(8, bad)), Err(Error::InvalidAddress), "{bad:x?}");
    }
    let status = guest.value(Call::GetStatus { device: 1 });
    assert_eq!(status, AGREED, "a refused call changes nothing");
    guest.value(at(8, good));
}

#[test]
fn a_broken_ring_is_told_as_a_change() {
    let mut guest = Guest::new(ram_disk());
    guest.bring_up();
    guest.driver.jump(500);
    assert_eq!(guest.notify(), Ok(Answer::Value(0)));
    assert!(guest.publish().is_some());
    assert_eq!((guest.line(PENDING), guest.line(CHANGED)), (2, 2));
    assert_eq!(guest.value(Call::GetStatus { device: 1 }), RUNNING | 64);
    assert_eq!(guest.notify(), Err(Error::InvalidState));
    // The other disk has not noticed.
    assert_eq!(guest.value(Call::GetStatus { device: 0 }), 0);
    assert_eq!(guest.status(0), Ok(Answer::Value(0)));
    assert_eq!(guest.value(Call::GetStatus { device: 1 }), 0);
}

#[test]
fn a_reset_lasts_until_the_disk_has_let_go() {
    let mut guest = Guest::new(Stuck);
    guest.bring_up();
    guest.add_read();
    assert_eq!(guest.notify(), Ok(Answer::Value(0)));
    assert!(guest.pv.busy());
    assert_eq!(guest.status(0), Ok(Answer::Again));
    assert_eq!(guest.status(0), Ok(Answer::Again));
    assert_eq!(guest.publish(), None);
}

#[test]
fn the_line_is_in_memory_and_belongs_to_a_hart() {
    let mut guest = Guest::new(ram_disk());
    let line = |address, hart| {
        let line = Some((address, interrupt::Line::MachineExternal));
        Call::InterruptSetUp { line, hart }
    };
    for hart in [2, 1 << 32, u64::MAX] {
        assert_eq!(guest.call(line(LINE, hart)), Err(Error::InvalidParameter));
    }
    for address in [0, LINE + 8, BASE.0 + RAM, u64::MAX - 63] {
        assert_eq!(guest.call(line(address, 0)), Err(Error::InvalidAddress));
    }
    assert_eq!(guest.pv.line(), None);
    guest.driver.ram.store_u64(Gpa(LINE), 99).unwrap();
    guest.value(line(LINE, 0));
    assert_eq!(guest.line(PENDING), 0);
    assert_eq!(guest.pv.line().map(Line::pending), Some(Gpa(LINE)));
    guest.value(Call::InterruptSetUp { line: None, hart: 0 });
    assert_eq!(guest.pv.line(), None);
}

#[test]
fn only_a_line_of_vs_can_ask_to_be_told_of_its_end() {
    let mut guest = Guest::new(ram_disk());
    for (code, flags) in [
        (interrupt::Line::MachineExternal, 0),
        (interrupt::Line::SupervisorExternal, interrupt::Flags::DONE.bits()),
    ] {
        guest.value(Call::InterruptSetUp { line: Some((LINE, code)), hart: 0 });
        guest.pv.line().unwrap().ask_for_done(&guest.driver.ram);
        assert_eq!(guest.driver.ram.load_u32(Gpa(LINE + interrupt::FLAGS)), Ok(flags));
    }
}

/// Arguments that are sometimes right.
fn argument() -> impl Strategy<Value = u64> {
    prop_oneof![0u64..4, 0u64..600, any::<u64>(), (0u64..RAM).prop_map(|at| BASE.0 + at)]
}

/// Numbers of all functions, and one that is none.
fn functions() -> core::ops::RangeInclusive<u64> {
    0..=Function::ALL.len() as u64
}

proptest! {
    /// Whatever a guest calls, and whatever its memory holds, the calls are
    /// answered, and only its own memory changes.
    #[test]
    fn no_call_does_harm(
        calls in prop::collection::vec((functions(), prop::array::uniform6(argument())), 1..60),
        rubbish in prop::collection::vec((0u64..0x3000 / 8, any::<u64>()), 0..100),
    ) {
        let mut guest = Guest::new(ram_disk());
        guest.bring_up();
        for (place, value) in rubbish {
            guest.driver.ram.store_u64(Gpa(BASE.0 + 8 * place), value).unwrap();
        }
        for (function, arguments) in calls {
            match Call::decode(function, arguments) {
                Ok(call) => {
                    let _ = guest.call(call);
                    let _ = guest.publish();
                    guest.pv.poll_backlog(&guest.driver.ram);
                }
                Err(error) => prop_assert_ne!(error, Error::Failed),
            }
        }
    }
}
