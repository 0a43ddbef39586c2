//! The balloon from the driver's chair, and a keeper that takes its time.

use alloc::sync::Arc;
use std::sync::Mutex;

use trapeze_protocol::device::balloon::DEFLATE;

use super::super::fake::{BASE, BUFFERS, Slot, reads, writes};
use super::super::mmio::Version;
use super::super::queue::Options;
use super::*;
use crate::bus::Width;

const PLAIN: Options = Options { indirect: false, event_idx: false };
/// Offset of the configuration, and of `ConfigGeneration`.
const CONFIG: u64 = 0x100;
const GENERATION: u64 = 0xfc;

#[derive(Default)]
struct Desk {
    wanted: u32,
    actual: u32,
    taking: Vec<Gpa>,
    given: Vec<Gpa>,
}

impl Keeper for Arc<Mutex<Desk>> {
    fn wanted(&self) -> u32 {
        self.lock().unwrap().wanted
    }

    fn note(&mut self, actual: u32) {
        self.lock().unwrap().actual = actual;
    }

    fn take(&mut self, pages: &[Gpa]) {
        self.lock().unwrap().taking.extend(pages);
    }

    fn has_taken(&self) -> bool {
        self.lock().unwrap().taking.is_empty()
    }

    fn give(&mut self, page: Gpa, _: &GuestRam) {
        self.lock().unwrap().given.push(page);
    }

    fn forget(&mut self) {
        self.lock().unwrap().taking.clear();
    }
}

struct Fixture {
    slot: Slot<Balloon>,
    desk: Arc<Mutex<Desk>>,
}

impl Fixture {
    /// A driver that says whether it asks before it uses a page again.
    fn new(asks: bool) -> Self {
        let desk = Arc::<Mutex<Desk>>::default();
        let balloon = Balloon::new(Box::new(desk.clone()));
        let mut slot = Slot::start_both(Version::Modern, balloon, 16, PLAIN);
        slot.own_features = asks;
        slot.bring_up();
        Self { slot, desk }
    }

    /// A list of pages at `at`, from number `first` on.
    fn list(&self, at: Gpa, first: u32, count: u32) -> u64 {
        for n in 0..count {
            self.slot.driver.ram.store_u32(at.wrapping_add(4 * u64::from(n)), first + n).unwrap();
        }
        4 * u64::from(count)
    }

    fn inflate(&mut self, first: u32, count: u32) {
        let len = self.list(BUFFERS, first, count);
        self.slot.send(&[reads(BUFFERS, len)], None);
    }

    fn taking(&self) -> Vec<Gpa> {
        self.desk.lock().unwrap().taking.clone()
    }

    /// The keeper has what it was to take; the device hears of it.
    fn taken(&mut self) {
        self.desk.lock().unwrap().taking.clear();
        self.slot.mmio.complete(&self.slot.driver.ram);
    }
}

fn gpas(first: u64, count: u64) -> Vec<Gpa> {
    (first..first + count).map(Gpa::from_page).collect()
}

#[test]
fn a_list_comes_back_when_its_pages_are_taken() {
    let mut fixture = Fixture::new(true);
    fixture.inflate(0x80010, 200);
    assert_eq!(fixture.taking(), gpas(0x80010, 200));
    // The next one has to wait.
    let second = Gpa(BUFFERS.0 + 0x1000);
    let len = fixture.list(second, 0x80200, 2);
    fixture.slot.send(&[reads(second, 4), reads(Gpa(second.0 + 4), len - 4)], None);
    assert_eq!(fixture.taking().len(), 200);
    assert!(!fixture.slot.interrupted() && fixture.slot.driver.take_used().is_none());
    fixture.taken();
    assert!(fixture.slot.interrupted() && fixture.slot.driver.take_used().is_some());
    assert_eq!(fixture.taking(), gpas(0x80200, 2));
    fixture.taken();
    assert!(fixture.slot.driver.take_used().is_some());
}

#[test]
fn of_a_driver_that_does_not_ask_nothing_is_taken() {
    let mut fixture = Fixture::new(false);
    fixture.inflate(0x80010, 3);
    assert_eq!(fixture.taking(), []);
    assert!(fixture.slot.interrupted() && fixture.slot.driver.take_used().is_some());
}

#[test]
fn pages_are_given_back_list_by_list() {
    let mut fixture = Fixture::new(true);
    let second = Gpa(BUFFERS.0 + 0x1000);
    for (at, first) in [(BUFFERS, 0x80001), (second, 0x80007)] {
        let len = fixture.list(at, first, 2);
        fixture.slot.second.as_mut().unwrap().add(&[reads(at, len)], None);
    }
    fixture.slot.set(0x50, DEFLATE.into());
    assert!(fixture.slot.mmio.function().has_backlog());
    fixture.slot.mmio.complete(&fixture.slot.driver.ram);
    fixture.slot.mmio.complete(&fixture.slot.driver.ram);
    assert!(!fixture.slot.mmio.function().has_backlog());
    assert_eq!(fixture.desk.lock().unwrap().given, [gpas(0x80001, 2), gpas(0x80007, 2)].concat());
}

#[test]
fn what_is_wanted_is_told_with_an_interrupt() {
    let mut fixture = Fixture::new(true);
    let generation = fixture.slot.get(GENERATION);
    assert_eq!(fixture.slot.get(CONFIG), 0);
    fixture.desk.lock().unwrap().wanted = 77;
    fixture.slot.mmio.complete(&fixture.slot.driver.ram);
    assert_eq!(fixture.slot.get(0x60), 2, "the configuration changed");
    assert_eq!(fixture.slot.get(CONFIG), 77);
    assert_ne!(fixture.slot.get(GENERATION), generation);
    fixture.slot.mmio.complete(&fixture.slot.driver.ram);
    assert_eq!(fixture.slot.get(GENERATION), generation + 1, "once");
    fixture.slot.set(CONFIG + ACTUAL, 60);
    assert_eq!((fixture.slot.get(CONFIG + ACTUAL), fixture.desk.lock().unwrap().actual), (60, 60));
    // Nothing else can be written.
    fixture.slot.set(CONFIG, 5);
    let byte = fixture.slot.mmio.write(CONFIG + ACTUAL, Width::Byte, 9, &fixture.slot.driver.ram);
    assert_eq!(byte, Ok(()));
    assert_eq!([0, ACTUAL].map(|at| fixture.slot.get(CONFIG + at)), [77, 60]);
}

#[test]
fn after_a_reset_no_list_comes_back() {
    let mut fixture = Fixture::new(true);
    fixture.inflate(0x80010, 4);
    fixture.slot.set(0x70, 0);
    assert_eq!(fixture.taking(), [], "forgotten");
    fixture.slot.mmio.complete(&fixture.slot.driver.ram);
    assert!(!fixture.slot.interrupted() && fixture.slot.driver.take_used().is_none());
}

#[test]
fn lists_that_are_none_break_the_device() {
    let bad = [
        reads(BUFFERS, 3),
        reads(BUFFERS, 4 * (MAX_PAGES + 1)),
        writes(BUFFERS, 8),
        reads(BASE, u64::from(u32::MAX)),
    ];
    for part in bad {
        for queue in [0, 1] {
            let mut fixture = Fixture::new(true);
            match queue {
                0 => _ = fixture.slot.send(&[part], None),
                _ => _ = fixture.slot.send_second(&[part], None),
            }
            assert!(fixture.slot.needs_reset(), "{part:?}");
            assert_eq!(fixture.taking(), []);
        }
    }
}
