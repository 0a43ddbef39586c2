//! The device's side of a queue against a driver that keeps the rules, one
//! that breaks each of them, and memory that is noise.

use proptest::prelude::*;

use super::super::fake::{BASE, BUFFERS, Driver, Part, RAM, descriptor, reads, writes};
use super::*;

const PLAIN: Options = Options { indirect: false, event_idx: false };
const FULL: Options = Options { indirect: true, event_idx: true };

/// A driver and a queue that agree.
fn pair(size: u16, options: Options) -> (Driver, Queue) {
    pair_at(size, options, 0)
}

/// The same, with indices that begin at `index`.
fn pair_at(size: u16, options: Options, index: u16) -> (Driver, Queue) {
    let driver = Driver::starting_at(size, options, index);
    let mut queue = Queue::default();
    queue.enable(driver.place, options, &driver.ram).unwrap();
    (queue.next_avail, queue.next_used, queue.told_used) = (index, index, index);
    queue.want_notification(&driver.ram).unwrap();
    (driver, queue)
}

fn pop(driver: &Driver, queue: &mut Queue) -> Result<Option<Chain>, Broken> {
    let mut chain = Chain::default();
    Ok(queue.pop(&driver.ram, &mut chain)?.then_some(chain))
}

/// What a chain of these parts should come out as.
fn expected(parts: &[Part], writable: bool) -> Vec<Segment> {
    let these = parts.iter().filter(|part| part.writable == writable && part.segment.len != 0);
    these.map(|part| part.segment).collect()
}

#[test]
fn a_chain_comes_out_as_it_went_in() {
    let (mut driver, mut queue) = pair(8, PLAIN);
    let parts = [reads(BUFFERS, 16), writes(Gpa(BUFFERS.0 + 64), 3), writes(BASE, 1)];
    let head = driver.add(&parts, None);
    let chain = pop(&driver, &mut queue).unwrap().unwrap();
    assert_eq!(chain.head, head);
    assert_eq!(chain.readable(), expected(&parts, false));
    assert_eq!(chain.writable(), expected(&parts, true));
    assert_eq!(queue.taken(), 1);
    assert!(pop(&driver, &mut queue).unwrap().is_none());
    queue.push(&driver.ram, head, 4).unwrap();
    assert_eq!(queue.should_interrupt(&driver.ram), Ok(true));
    assert_eq!(queue.should_interrupt(&driver.ram), Ok(false), "nothing new");
    assert_eq!(driver.take_used(), Some((head, 4)));
}

#[test]
fn a_queue_that_is_not_in_use_does_nothing() {
    let (mut driver, mut queue) = pair(8, FULL);
    driver.add(&[reads(BUFFERS, 1)], None);
    queue.disable();
    assert!(pop(&driver, &mut queue).unwrap().is_none());
    assert_eq!(queue.push(&driver.ram, 0, 0), Ok(()));
    assert_eq!(driver.take_used(), None);
    assert_eq!(queue.should_interrupt(&driver.ram), Ok(false));
    assert_eq!(queue.want_notification(&driver.ram), Ok(false));
}

#[test]
fn places_that_cannot_be_are_refused() {
    let (driver, mut queue) = pair(8, PLAIN);
    let good = driver.place;
    let end = Gpa(BASE.0 + RAM);
    for (bad, why) in [
        (Place { size: 0, ..good }, Broken::Size),
        (Place { size: 7, ..good }, Broken::Size),
        (Place { size: 512, ..good }, Broken::Size),
        (Place { descriptors: Gpa(BASE.0 + 8), ..good }, Broken::Memory),
        (Place { descriptors: Gpa(end.0 - 64), ..good }, Broken::Memory),
        (Place { avail: Gpa(BASE.0 + 1), ..good }, Broken::Memory),
        (Place { avail: Gpa(0), ..good }, Broken::Memory),
        (Place { used: Gpa(u64::MAX - 3), ..good }, Broken::Memory),
        (Place { used: Gpa(end.0 - 68), ..good }, Broken::Memory),
    ] {
        assert_eq!(queue.enable(bad, PLAIN, &driver.ram), Err(why), "{bad:?}");
    }
}

/// A queue of 8 whose table holds these descriptors, with chain 0 offered.
fn broken_by(options: Options, table: &[Descriptor]) -> Result<Option<Chain>, Broken> {
    let (mut driver, mut queue) = pair(8, options);
    for (index, descriptor) in (0u16..).zip(table) {
        driver.describe(driver.place.descriptors, index, *descriptor);
    }
    driver.offer(0);
    pop(&driver, &mut queue)
}

#[test]
fn descriptors_that_break_the_rules() {
    let (read, write) = (reads(BUFFERS, 1), writes(BUFFERS, 1));
    let outside = reads(Gpa(BASE.0 + RAM - 4), 5);
    let around = reads(Gpa(u64::MAX - 3), 8);
    for (table, why) in [
        (vec![descriptor(read, Some(0))], Broken::Loop),
        (vec![descriptor(read, Some(1)), descriptor(read, Some(0))], Broken::Loop),
        (vec![descriptor(reads(BUFFERS, 0), Some(0))], Broken::Loop),
        (vec![descriptor(read, Some(8))], Broken::Descriptor),
        (vec![descriptor(write, Some(1)), descriptor(read, None)], Broken::Buffers),
        (vec![descriptor(outside, None)], Broken::Memory),
        (vec![descriptor(around, None)], Broken::Memory),
        (vec![descriptor(reads(Gpa(0), 16), None)], Broken::Memory),
    ] {
        assert_eq!(broken_by(PLAIN, &table).map(|_| ()), Err(why), "{table:?}");
    }
    let empty = broken_by(PLAIN, &[descriptor(reads(Gpa(0), 0), None)]).unwrap().unwrap();
    assert!(empty.readable().is_empty(), "an empty buffer is nowhere");
}

#[test]
fn tables_that_break_the_rules() {
    let table = |address: u64, length, flags: DescriptorFlags| Descriptor {
        address,
        length,
        flags: (flags | DescriptorFlags::INDIRECT).bits(),
        next: 0,
    };
    let none = DescriptorFlags::empty();
    let good = table(BASE.0 + 16, 16, none);
    let read = descriptor(reads(BUFFERS, 1), None);
    for (first, second, why) in [
        (table(BASE.0 + 16, 15, none), read, Broken::Indirect),
        (table(BASE.0 + 16, 0, none), read, Broken::Indirect),
        (table(BASE.0 + 16, 16, DescriptorFlags::NEXT), read, Broken::Indirect),
        (good, good, Broken::Indirect),
        (good, Descriptor { flags: 1, next: 1, ..read }, Broken::Loop),
        (
            table(BASE.0 + 16, 32, none),
            Descriptor { flags: 1, next: 2, ..read },
            Broken::Descriptor,
        ),
        (table(0, 16, none), read, Broken::Memory),
        (table(u64::MAX - 15, 32, none), read, Broken::Memory),
        (table(BASE.0, u32::MAX - 15, none), read, Broken::Indirect),
    ] {
        assert_eq!(broken_by(FULL, &[first, second]).map(|_| ()), Err(why), "{first:?}");
    }
    assert_eq!(broken_by(PLAIN, &[good, read]).map(|_| ()), Err(Broken::Indirect));
    assert_eq!(broken_by(FULL, &[good, read]).unwrap().unwrap().readable().len(), 1);
}

#[test]
fn an_indirect_table_with_too_many_buffers_ends() {
    let (mut driver, mut queue) = pair(8, FULL);
    for index in 0..300 {
        let part = descriptor(reads(BUFFERS, 1), Some(index + 1));
        driver.describe(Gpa(BASE.0 + 0x8000), index, part);
    }
    let flags = DescriptorFlags::INDIRECT.bits();
    let table = Descriptor { address: BASE.0 + 0x8000, length: 16 * 300, flags, next: 0 };
    driver.describe(driver.place.descriptors, 0, table);
    driver.offer(0);
    assert_eq!(pop(&driver, &mut queue).map(|_| ()), Err(Broken::Buffers));
}

#[test]
fn a_driver_cannot_have_more_out_than_the_queue_holds() {
    let (driver, mut queue) = pair(8, PLAIN);
    driver.jump(9);
    assert_eq!(pop(&driver, &mut queue).map(|_| ()), Err(Broken::Index));
    let (mut driver, mut queue) = pair(4, PLAIN);
    for _ in 0..4 {
        driver.add(&[reads(BUFFERS, 1)], None);
        pop(&driver, &mut queue).unwrap().unwrap();
    }
    driver.offer(0);
    assert_eq!(pop(&driver, &mut queue).map(|_| ()), Err(Broken::Index), "none came back");
}

#[test]
fn flags_suppress_without_event_indices() {
    let (mut driver, mut queue) = pair(8, PLAIN);
    queue.refuse_notifications(&driver.ram).unwrap();
    driver.set_flags(layout::AVAIL_NO_INTERRUPT);
    let head = driver.add(&[reads(BUFFERS, 1)], None);
    assert!(!driver.must_notify());
    assert_eq!(queue.want_notification(&driver.ram), Ok(true), "one came meanwhile");
    pop(&driver, &mut queue).unwrap().unwrap();
    assert_eq!(queue.want_notification(&driver.ram), Ok(false));
    queue.push(&driver.ram, head, 0).unwrap();
    assert_eq!(queue.should_interrupt(&driver.ram), Ok(false));
    driver.take_used();
    driver.add(&[reads(BUFFERS, 1)], None);
    assert!(driver.must_notify());
}

/// What the two ends do, in some order.
#[derive(Clone, Debug)]
enum Step {
    /// The driver adds a chain with so many buffers, some of them indirect.
    Add { parts: Vec<(u64, u64, bool)>, indirect_from: Option<usize> },
    /// The device gives one of the chains that it has back.
    Give(usize),
    /// The driver looks for chains that came back.
    Look,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let part = (0u64..0x1000, 0u64..300, any::<bool>());
    let parts = prop::collection::vec(part, 1..6);
    let add = (parts, prop::option::of(0usize..5))
        .prop_map(|(parts, indirect_from)| Step::Add { parts, indirect_from });
    let step =
        prop_oneof![3 => add, 2 => any::<usize>().prop_map(Step::Give), 1 => Just(Step::Look)];
    prop::collection::vec(step, 1..120)
}

fn parts_of(parts: &[(u64, u64, bool)]) -> Vec<Part> {
    let mut parts: Vec<_> = parts
        .iter()
        .map(|(at, len, writable)| Part {
            segment: Segment { gpa: Gpa(BUFFERS.0 + at), len: *len },
            writable: *writable,
        })
        .collect();
    parts.sort_by_key(|part| part.writable);
    parts
}

/// Both ends, each of which acts only when it looks or is told.
struct Play {
    driver: Driver,
    queue: Queue,
    /// What was added, by head, until it comes back.
    out: Vec<Option<Vec<Part>>>,
    /// Taken by the device and not given back.
    held: Vec<(u16, u32)>,
    /// Given back and not seen by the driver.
    due: Vec<(u16, u32)>,
}

impl Play {
    fn add(&mut self, parts: &[(u64, u64, bool)], indirect_from: Option<usize>) {
        let parts = parts_of(parts);
        let from = indirect_from.filter(|from| self.driver.options.indirect && *from < parts.len());
        if self.driver.room() < parts.len() {
            return;
        }
        let head = self.driver.add(&parts, from);
        self.out[usize::from(head)] = Some(parts);
        if self.driver.must_notify() {
            self.serve();
        }
    }

    /// The device takes all there is, and compares.
    fn serve(&mut self) {
        loop {
            while let Some(chain) = pop(&self.driver, &mut self.queue).unwrap() {
                let parts = self.out[usize::from(chain.head)].as_ref().unwrap();
                assert_eq!(chain.readable(), expected(parts, false));
                assert_eq!(chain.writable(), expected(parts, true));
                self.held.push((chain.head, u32::from(chain.head) + 7));
            }
            if !self.queue.want_notification(&self.driver.ram).unwrap() {
                return;
            }
        }
    }

    fn give(&mut self, which: usize) {
        if self.held.is_empty() {
            return;
        }
        let (head, written) = self.held.swap_remove(which % self.held.len());
        self.queue.push(&self.driver.ram, head, written).unwrap();
        self.due.push((head, written));
        if self.queue.should_interrupt(&self.driver.ram).unwrap() {
            self.look();
        }
    }

    /// The driver takes all that came back, and compares.
    fn look(&mut self) {
        loop {
            while let Some(back) = self.driver.take_used() {
                assert_eq!(back, self.due.remove(0));
                self.out[usize::from(back.0)] = None;
            }
            if !self.driver.arm() {
                return;
            }
        }
    }
}

proptest! {
    /// Whatever is added comes out unchanged, once, in order; whatever is
    /// given back arrives; and nobody waits for a notification or an
    /// interrupt that is not sent. Indices begin anywhere, often at the wrap.
    #[test]
    fn both_ends_keep_the_rules(
        steps in steps(),
        order in 0u32..7,
        start in prop_oneof![any::<u16>(), 0xffc0u16..],
        indirect: bool,
        event_idx: bool,
    ) {
        let options = Options { indirect, event_idx };
        let (driver, queue) = pair_at(1 << order, options, start);
        let out = vec![None; 1 << order];
        let mut play = Play { driver, queue, out, held: vec![], due: vec![] };
        for step in &steps {
            match step {
                Step::Add { parts, indirect_from } => play.add(parts, *indirect_from),
                Step::Give(which) => play.give(*which),
                Step::Look => play.look(),
            }
        }
        // The device has seen all that was added, or it was told too little.
        prop_assert_eq!(usize::from(play.queue.taken()), play.held.len());
        prop_assert_eq!(play.out.iter().flatten().count(), play.held.len() + play.due.len());
        while !play.held.is_empty() {
            play.give(0);
        }
        // The last interrupt brought everything back.
        prop_assert!(play.due.is_empty());
    }

    /// Rings of noise break the queue or yield chains in RAM, in bounded time.
    #[test]
    fn noise_does_no_harm(
        order in 0u32..9,
        indirect: bool,
        event_idx: bool,
        noise in prop::collection::vec((0u64..0x3000, any::<u64>()), 1..400),
        near in prop::collection::vec((0u16..256, 0u64..0x11_0000, 0u32..0x1_0000, any::<u16>()), 0..40),
        index: u16,
    ) {
        let (driver, mut queue) = pair(1 << order, Options { indirect, event_idx });
        for (at, value) in noise {
            driver.ram.write(BASE.wrapping_add(at), &value).unwrap();
        }
        for (number, at, len, bits) in near {
            // Flags and links that often make sense.
            let (flags, next) = (bits & 7, bits >> 8);
            let address = BASE.0 + at;
            let descriptor = Descriptor { address, length: len, flags, next };
            driver.describe(BASE, number, descriptor);
        }
        driver.jump(index);
        let mut chain = Chain::default();
        let mut popped = 0;
        while let Ok(true) = queue.pop(&driver.ram, &mut chain) {
            popped += 1;
            for segment in chain.readable().iter().chain(chain.writable()) {
                prop_assert!(driver.ram.hpa(segment.gpa, segment.len).is_some());
            }
            queue.push(&driver.ram, chain.head, 0).unwrap();
            queue.should_interrupt(&driver.ram).unwrap();
            // The used ring may lie over the available one: stop some time.
            if popped > 1000 {
                break;
            }
        }
    }
}
