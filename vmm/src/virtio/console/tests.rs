//! The console from the driver's chair, and a terminal that keeps what it
//! shows.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use std::sync::Mutex;

use proptest::prelude::*;

use super::super::fake::{BASE, BUFFERS, RAM, Slot, reads, reg, writes};
use super::super::mmio::Version;
use super::super::queue::Options;
use super::*;
use crate::addr::Gpa;
use crate::bus::Width;

const PLAIN: Options = Options { indirect: false, event_idx: false };
const EVENTS: Options = Options { indirect: true, event_idx: true };

#[derive(Default)]
struct Screen {
    shown: Vec<u8>,
    typed: VecDeque<u8>,
}

impl Terminal for Arc<Mutex<Screen>> {
    fn show(&mut self, bytes: &[u8]) {
        self.lock().unwrap().shown.extend(bytes);
    }

    fn waiting(&self) -> usize {
        self.lock().unwrap().typed.len()
    }

    fn take(&mut self, bytes: &mut [u8]) -> usize {
        let typed = &mut self.lock().unwrap().typed;
        let count = bytes.len().min(typed.len());
        bytes.iter_mut().zip(typed.drain(..count)).for_each(|(to, byte)| *to = byte);
        count
    }
}

struct Fixture {
    slot: Slot<Console>,
    screen: Arc<Mutex<Screen>>,
}

impl Fixture {
    fn new(options: Options) -> Self {
        let screen = Arc::<Mutex<Screen>>::default();
        let console = Console::new(Box::new(screen.clone()), (80, 24));
        Self { slot: Slot::start_both(Version::Modern, console, 16, options), screen }
    }

    fn shown(&self) -> Vec<u8> {
        core::mem::take(&mut self.screen.lock().unwrap().shown)
    }

    fn type_in(&mut self, bytes: &[u8]) {
        self.screen.lock().unwrap().typed.extend(bytes);
        self.slot.mmio.complete(&self.slot.driver.ram);
    }

    /// Takes the next buffer of the receive queue back.
    fn received(&mut self, at: Gpa) -> Option<Vec<u8>> {
        let (_, length) = self.slot.driver.take_used()?;
        let mut bytes = vec![0; usize::try_from(length).unwrap()];
        self.slot.driver.ram.read_bytes(at, &mut bytes).unwrap();
        Some(bytes)
    }

    fn sent(&mut self) -> usize {
        let driver = self.slot.second.as_mut().unwrap();
        core::iter::from_fn(|| driver.take_used()).count()
    }
}

#[test]
fn what_the_driver_writes_is_shown() {
    for options in [PLAIN, EVENTS] {
        let mut fixture = Fixture::new(options);
        fixture.slot.driver.ram.write_bytes(BUFFERS, b"hello, world").unwrap();
        let parts = [reads(BUFFERS, 5), reads(Gpa(BUFFERS.0 + 5), 7)];
        fixture.slot.send_second(&parts, options.indirect.then_some(1));
        assert_eq!((fixture.shown(), fixture.sent()), (b"hello, world".to_vec(), 1));
        assert!(fixture.slot.interrupted());
    }
}

#[test]
fn what_is_typed_waits_for_a_buffer() {
    for options in [PLAIN, EVENTS] {
        let mut fixture = Fixture::new(options);
        fixture.type_in(b"ls\n");
        assert_eq!(fixture.received(BUFFERS), None);
        let second = Gpa(BUFFERS.0 + 0x100);
        fixture.slot.send(&[writes(BUFFERS, 2)], None);
        fixture.slot.send(&[writes(second, 64)], None);
        assert_eq!(fixture.received(BUFFERS), Some(b"ls".to_vec()));
        assert_eq!(fixture.received(second), Some(b"\n".to_vec()));
        // And the other way round.
        fixture.slot.send(&[writes(BUFFERS, 64)], None);
        assert_eq!(fixture.received(BUFFERS), None);
        fixture.type_in(b"pwd\n");
        assert!(fixture.slot.interrupted());
        assert_eq!(fixture.received(BUFFERS), Some(b"pwd\n".to_vec()));
    }
}

#[test]
fn a_long_buffer_is_shown_in_turns() {
    let mut fixture = Fixture::new(PLAIN);
    let text: Vec<u8> = (0..10_000u32).map(|n| n.to_le_bytes()[0]).collect();
    fixture.slot.driver.ram.write_bytes(BUFFERS, &text).unwrap();
    fixture.slot.send_second(&[reads(BUFFERS, 10_000)], None);
    let mut all = Vec::new();
    for left in [2, 1, 0] {
        let part = fixture.shown();
        assert!(part.len() <= TURN);
        all.extend(part);
        assert_eq!(fixture.slot.mmio.function().has_backlog(), left != 0);
        assert_eq!(fixture.sent(), usize::from(left == 0));
        fixture.slot.mmio.complete(&fixture.slot.driver.ram);
    }
    assert_eq!(all, text);
}

#[test]
fn a_reset_forgets_the_buffer_that_is_being_shown() {
    let mut fixture = Fixture::new(PLAIN);
    fixture.slot.send_second(&[reads(BUFFERS, 10_000)], None);
    assert_eq!(fixture.shown().len(), TURN);
    fixture.slot.set(reg::STATUS, 0);
    fixture.slot.mmio.complete(&fixture.slot.driver.ram);
    assert!(fixture.shown().is_empty() && !fixture.slot.mmio.function().has_backlog());
}

#[test]
fn the_emergency_byte_needs_no_driver() {
    let mut fixture = Fixture::new(PLAIN);
    fixture.slot.set(reg::STATUS, 0);
    fixture.slot.set(reg::CONFIG + EMERG_WR, u32::from(b'!'));
    let size = fixture.slot.mmio.read(reg::CONFIG, Width::Word);
    assert_eq!((fixture.shown(), size), (b"!".to_vec(), Ok(24 << 16 | 80)));
    fixture.slot.set(reg::CONFIG, 7);
    assert_eq!(fixture.slot.mmio.read(reg::CONFIG, Width::Word), size, "is not for writing");
    assert!(fixture.shown().is_empty());
}

#[test]
fn a_buffer_without_room_breaks_the_device() {
    let mut fixture = Fixture::new(PLAIN);
    fixture.slot.send(&[reads(BUFFERS, 4)], None);
    assert!(!fixture.slot.needs_reset(), "nobody has looked at it yet");
    fixture.type_in(b"x");
    assert!(fixture.slot.needs_reset());
}

proptest! {
    /// Buffers anywhere, queues that the driver fills at will: no byte is
    /// shown that is not in memory, and work is bounded.
    #[test]
    fn wild_buffers_are_survived(
        sends in prop::collection::vec((any::<bool>(), 0..2 * RAM, 0u64..1 << 20, any::<bool>()), 1..8),
        typed in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        let mut fixture = Fixture::new(PLAIN);
        for (second, at, len, writable) in sends {
            let at = Gpa(BASE.0 + at);
            let part = if writable { writes(at, len) } else { reads(at, len) };
            match second {
                true => fixture.slot.send_second(&[part], None),
                false => fixture.slot.send(&[part], None),
            };
            prop_assert!(fixture.shown().len() <= TURN);
        }
        for part in typed.chunks(200) {
            fixture.type_in(part);
            prop_assert!(fixture.shown().len() <= TURN);
        }
    }
}
