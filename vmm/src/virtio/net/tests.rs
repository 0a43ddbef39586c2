//! The network device from the driver's chair, before a wire of the test's.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use std::sync::Mutex;

use proptest::prelude::*;

use super::super::fake::{BUFFERS, Driver, Slot, reads, reg, writes};
use super::super::mmio::Version;
use super::super::queue::Options;
use super::*;
use crate::addr::Gpa;

const VERSIONS: [Version; 2] = [Version::Legacy, Version::Modern];
const PLAIN: Options = Options { indirect: false, event_idx: false };
const EVENTS: Options = Options { indirect: true, event_idx: true };
const SIZE: u16 = 16;
/// Where the frames lie that a test sends, and those that it gets.
const SENT: Gpa = BUFFERS;
const GOT: Gpa = Gpa(BUFFERS.0 + 0x4_0000);
/// Bytes of a buffer.
const ROOM: u64 = 0x800;

/// The other end of the wire: what came out, and what is to go in.
#[derive(Clone, Default)]
struct Tape(Arc<Mutex<(Vec<Bytes>, VecDeque<Bytes>)>>);

type Bytes = Vec<u8>;

impl Wire for Tape {
    fn send(&mut self, frame: &[u8]) -> bool {
        self.0.lock().unwrap().0.push(frame.to_vec());
        true
    }

    fn receive(&mut self, frame: &mut Frame) -> Option<usize> {
        let next = self.0.lock().unwrap().1.pop_front()?;
        frame[..next.len()].copy_from_slice(&next);
        Some(next.len())
    }

    fn clear(&mut self) {
        self.0.lock().unwrap().1.clear();
    }
}

/// A driver of both queues.
struct Nic {
    slot: Slot<Net>,
    tape: Tape,
    header: usize,
}

impl Nic {
    fn start(version: Version, options: Options) -> Self {
        let tape = Tape::default();
        let net = Net::new(version, Mac::numbered(3), Box::new(tape.clone()));
        let header = net.header;
        let slot = Slot::start_both(version, net, SIZE, options);
        Self { slot, tape, header }
    }

    /// Everything from the beginning, as after the device gave up.
    fn restart(&mut self) {
        self.slot.driver = Driver::new(SIZE, self.slot.driver.options);
        self.slot.second = Some(self.slot.driver.beside());
        self.slot.bring_up();
    }

    /// The driver that sends.
    fn transmit(&mut self) -> &mut Driver {
        self.slot.second.as_mut().unwrap()
    }

    /// Gives the device a buffer of so many bytes to fill.
    fn offer(&mut self, number: u64, len: u64) {
        self.slot.send(&[writes(Gpa(GOT.0 + ROOM * number), len)], None);
    }

    /// A frame comes, and the device is told.
    fn arrive(&mut self, frame: &[u8]) {
        self.tape.0.lock().unwrap().1.push_back(frame.to_vec());
        self.slot.mmio.complete(&self.slot.driver.ram);
    }

    fn bytes(&self, gpa: Gpa, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.slot.driver.ram.read_bytes(gpa, &mut bytes).unwrap();
        bytes
    }

    fn went_out(&self) -> Vec<Vec<u8>> {
        core::mem::take(&mut self.tape.0.lock().unwrap().0)
    }

    fn is_well(&self) -> bool {
        self.slot.get(reg::STATUS) & 64 == 0
    }
}

fn frame(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * 7 + len).to_le_bytes()[0]).collect()
}

#[test]
fn the_configuration_tells_address_state_and_length() {
    let mut nic = Nic::start(Version::Modern, PLAIN);
    let words = [0, 4, 8].map(|at| nic.slot.get(reg::CONFIG + at));
    assert_eq!(words, [0x1200_5452, 0x0001_5934, 1500 << 16]);
    nic.slot.set(reg::DEVICE_FEATURES_SEL, 0);
    assert_eq!(nic.slot.get(reg::DEVICE_FEATURES) & 0xff_ffff, 1 << 3 | 1 << 5 | 1 << 16);
}

#[test]
fn frames_go_out_without_their_header() {
    for version in VERSIONS {
        let mut nic = Nic::start(version, PLAIN);
        for len in [14, 60, 1514] {
            let frame = frame(len);
            nic.slot.driver.ram.write_bytes(SENT.wrapping_add(nic.header as u64), &frame).unwrap();
            nic.slot.send_second(&[reads(SENT, (nic.header + len) as u64)], None);
            assert_eq!(nic.went_out(), [frame]);
            assert!(nic.slot.interrupted());
            assert!(nic.transmit().take_used().is_some());
        }
    }
}

#[test]
fn what_is_no_frame_goes_nowhere_and_comes_back() {
    let mut nic = Nic::start(Version::Modern, PLAIN);
    for len in [12, 12 + 13, 12 + 1515, 0x1_0000] {
        nic.slot.send_second(&[reads(SENT, len)], None);
        assert_eq!(nic.transmit().take_used().map(|used| used.1), Some(0), "{len}");
    }
    assert!(nic.is_well() && nic.went_out().is_empty());
    assert_eq!(nic.slot.mmio.function().device().dropped(), 4);
    nic.slot.send_second(&[reads(SENT, 11)], None);
    assert!(!nic.is_well(), "not even a header");
}

#[test]
fn frames_come_behind_a_header() {
    for version in VERSIONS {
        let mut nic = Nic::start(version, PLAIN);
        nic.offer(0, ROOM);
        assert!(!nic.slot.interrupted());
        nic.arrive(&frame(77));
        assert!(nic.slot.interrupted());
        let total = nic.header + 77;
        assert_eq!(nic.slot.driver.take_used(), Some((0, u32::try_from(total).unwrap())));
        let mut expected = vec![0; nic.header];
        if version == Version::Modern {
            expected[10] = 1;
        }
        expected.extend(frame(77));
        assert_eq!(nic.bytes(GOT, total), expected);
        assert_eq!(nic.bytes(GOT.wrapping_add(total as u64), 1), [0], "and not a byte more");
    }
}

#[test]
fn a_buffer_may_be_in_pieces_but_not_too_small() {
    let mut nic = Nic::start(Version::Modern, PLAIN);
    let pieces = [writes(GOT, 5), writes(GOT.wrapping_add(0x100), 30), writes(SENT, 100)];
    nic.slot.send(&pieces, None);
    nic.arrive(&frame(60));
    assert_eq!(nic.slot.driver.take_used(), Some((0, 72)));
    let all = [nic.bytes(GOT, 5), nic.bytes(GOT.wrapping_add(0x100), 30), nic.bytes(SENT, 37)];
    assert_eq!(all.concat()[12..], frame(60));
    nic.offer(1, 71);
    nic.offer(2, 72);
    nic.arrive(&frame(60));
    nic.arrive(&frame(60));
    let used: Vec<_> = core::iter::from_fn(|| nic.slot.driver.take_used()).map(|u| u.1).collect();
    assert_eq!(used, [0, 72]);
    assert_eq!(nic.slot.mmio.function().device().dropped(), 1);
}

#[test]
fn frames_wait_for_buffers_and_ask_for_them() {
    for options in [PLAIN, EVENTS] {
        let mut nic = Nic::start(Version::Modern, options);
        nic.offer(0, ROOM);
        nic.arrive(&frame(20));
        nic.slot.driver.add(&[writes(GOT, ROOM)], None);
        assert!(!nic.slot.driver.must_notify(), "nothing waits for a buffer");
        nic.arrive(&frame(21));
        for len in [22, 23] {
            nic.arrive(&frame(len));
        }
        let used: Vec<_> = core::iter::from_fn(|| nic.slot.driver.take_used()).collect();
        assert_eq!(used.iter().map(|used| used.1).collect::<Vec<_>>(), [32, 33]);
        for (number, len) in [(0, 34), (1, 35)] {
            nic.slot.driver.arm();
            nic.offer(number, ROOM);
            assert_eq!(nic.slot.driver.take_used().map(|used| used.1), Some(len));
        }
    }
}

#[test]
fn what_comes_before_the_driver_listens_is_lost() {
    let mut nic = Nic::start(Version::Modern, PLAIN);
    nic.slot.driver.add(&[writes(GOT, ROOM)], None);
    nic.arrive(&frame(50));
    assert_eq!(nic.slot.driver.take_used(), None);
    nic.slot.set(reg::QUEUE_NOTIFY, 0);
    assert_eq!(nic.slot.driver.take_used(), None);
    nic.arrive(&frame(51));
    assert_eq!(nic.slot.driver.take_used().map(|used| used.1), Some(63));
    nic.arrive(&frame(52));
    nic.restart();
    nic.offer(0, ROOM);
    assert_eq!(nic.slot.driver.take_used(), None, "of another life");
}

#[test]
fn floods_are_served_in_turns() {
    let mut nic = Nic::start(Version::Modern, PLAIN);
    let tape = nic.tape.clone();
    let net = Net::new(Version::Modern, Mac::numbered(0), Box::new(tape.clone()));
    nic.slot = Slot::start(Version::Modern, net, 256, PLAIN);
    nic.offer(0, ROOM);
    for _ in 0..2 * TURN {
        nic.slot.driver.add(&[writes(GOT, ROOM)], None);
    }
    tape.0.lock().unwrap().1.extend((0..3 * TURN).map(|_| frame(64)));
    for expected in [TURN, TURN, 1] {
        nic.slot.mmio.complete(&nic.slot.driver.ram);
        assert_eq!(core::iter::from_fn(|| nic.slot.driver.take_used()).count(), expected);
        assert_eq!(nic.slot.mmio.function().has_backlog(), expected == TURN);
    }
    assert_eq!(tape.0.lock().unwrap().1.len(), TURN - 2, "one waits at hand for a buffer");
}

#[test]
fn a_full_queue_is_sent_in_turns() {
    let tape = Tape::default();
    let net = Net::new(Version::Modern, Mac::numbered(0), Box::new(tape.clone()));
    let mut slot = Slot::start_both(Version::Modern, net, 128, PLAIN);
    for _ in 0..100 {
        slot.second.as_mut().unwrap().add(&[reads(SENT, 12 + 60)], None);
    }
    slot.set(reg::QUEUE_NOTIFY, 1);
    assert_eq!(tape.0.lock().unwrap().0.len(), TURN);
    assert!(slot.mmio.function().has_backlog());
    slot.mmio.complete(&slot.driver.ram);
    assert_eq!(tape.0.lock().unwrap().0.len(), 100);
    assert!(!slot.mmio.function().has_backlog());
}

/// What a driver of the property test does.
#[derive(Clone, Debug)]
enum Act {
    Offer(u64),
    Send(Vec<(u64, u64, bool)>),
    Arrive(usize),
}

fn act() -> impl Strategy<Value = Act> {
    let part = (0u64..0x5_0000, 0u64..0x1000, prop::bool::weighted(0.2));
    prop_oneof![
        (0u64..ROOM).prop_map(Act::Offer),
        prop::collection::vec(part, 1..4).prop_map(Act::Send),
        (14usize..1515).prop_map(Act::Arrive),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Chains of noise end in a frame, in nothing, or in
    /// `DEVICE_NEEDS_RESET`; what goes out always is a frame.
    #[test]
    fn noise_does_no_harm(acts in prop::collection::vec(act(), 1..80), events: bool) {
        let mut nic = Nic::start(Version::Modern, if events { EVENTS } else { PLAIN });
        for act in acts {
            match act {
                Act::Offer(len) if nic.slot.driver.room() > 0 => nic.offer(0, len),
                Act::Offer(_) => {}
                Act::Arrive(len) => nic.arrive(&frame(len)),
                Act::Send(parts) if nic.transmit().room() >= parts.len() => {
                    let part = |(at, len, writable): &(u64, u64, bool)| {
                        let gpa = BUFFERS.wrapping_add(*at);
                        if *writable { writes(gpa, *len) } else { reads(gpa, *len) }
                    };
                    nic.slot.send_second(&parts.iter().map(part).collect::<Vec<_>>(), None);
                }
                Act::Send(_) => {}
            }
            for frame in nic.went_out() {
                prop_assert!((FRAME_MIN..=FRAME_MAX).contains(&frame.len()));
            }
            while nic.slot.driver.take_used().is_some() {}
            while nic.transmit().take_used().is_some() {}
            if !nic.is_well() {
                nic.restart();
            }
        }
    }

    /// Frames come out of the queue as they came in, in order, however the
    /// driver divides its buffers and whenever it refills them.
    #[test]
    fn frames_arrive_in_order(
        lens in prop::collection::vec(14usize..1515, 1..60),
        refill in prop::collection::vec(0usize..4, 60),
        events: bool,
    ) {
        let mut nic = Nic::start(Version::Modern, if events { EVENTS } else { PLAIN });
        let mut got = Vec::new();
        nic.offer(0, ROOM);
        for (len, buffers) in lens.iter().zip(refill) {
            nic.arrive(&frame(*len));
            for _ in 0..buffers.min(nic.slot.driver.room()) {
                nic.offer(0, ROOM);
            }
            got.extend(core::iter::from_fn(|| nic.slot.driver.take_used()).map(|used| used.1));
            nic.slot.driver.arm();
        }
        while got.len() < lens.len() {
            nic.offer(0, ROOM);
            let used = nic.slot.driver.take_used();
            prop_assert!(used.is_some(), "{} of {}", got.len(), lens.len());
            got.extend(used.map(|used| used.1));
            nic.slot.driver.arm();
        }
        let expected: Vec<u32> = lens.iter().map(|len| u32::try_from(len + 12).unwrap()).collect();
        prop_assert_eq!(got, expected);
    }
}
