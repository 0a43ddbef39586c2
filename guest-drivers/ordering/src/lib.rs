//! The order of memory accesses, by the table in `docs/protocol.md`: both
//! sides of a queue, each in a thread of its own, in all interleavings, and
//! with every value that the memory model lets a load return.
//!
//! The code is that of the driver and of the VMM, included here a second time
//! with the atomics of `loom` for those of the machine. So an order that is
//! too weak on either side fails one of these models, which panic then.

mod mem;

#[allow(dead_code, unreachable_pub, reason = "the VMM's, which needs more of it")]
#[path = "../../../vmm/src/virtio/chain.rs"]
mod chain;
#[allow(dead_code, unreachable_pub, reason = "likewise")]
#[path = "../../../vmm/src/virtio/queue.rs"]
mod device;
#[allow(dead_code, unreachable_pub, reason = "the driver's, likewise")]
#[path = "../../src/queue.rs"]
mod queue;
#[allow(dead_code, reason = "likewise")]
#[path = "../../src/rings.rs"]
mod rings;

use loom::sync::Arc;
use loom::sync::atomic::Ordering;
use loom::thread;
use trapeze_protocol::queue::DescriptorFlags;

use chain::{Chain, Cursor};
use mem::{AVAIL, DATA, DESCRIPTORS, ELEMENTS, GuestRam, SIZE, Shared, USED};
use queue::{Interrupts, Queue, Slot};
use rings::Rings;

/// What the included files find under these names in their own crates.
mod addr {
    pub(crate) use trapeze_vmm::addr::{Gpa, to_usize};
}
mod atomic {
    pub(crate) use loom::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering, fence};
}

/// Runs `model` in every way that matters.
fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    // How often a thread is interrupted where it does not wait. With three it
    // takes five times as long, and finds the same weakened orders.
    builder.preemption_bound = Some(2);
    builder.check(model);
}

/// The device's side of the queue.
struct Device {
    ram: GuestRam,
    queue: device::Queue,
    chain: Chain,
}

impl Device {
    fn new(shared: Arc<Shared>, event_idx: bool) -> Self {
        let (ram, mut queue) = (GuestRam(shared), device::Queue::default());
        let (size, descriptors) = (ELEMENTS, DESCRIPTORS);
        let place = device::Place { size, descriptors, avail: AVAIL, used: USED };
        let options = device::Options { indirect: false, event_idx };
        queue.enable(place, options, &ram).expect("a queue");
        Self { ram, queue, chain: Chain::default() }
    }

    fn pop(&mut self) -> bool {
        self.queue.pop(&self.ram, &mut self.chain).expect("the driver keeps the rules")
    }

    /// Answers the request that was popped, which must be whole.
    fn answer(&mut self) {
        let mut word = [0; 8];
        let read = Cursor::new(self.chain.writable()).read(&self.ram, &mut word);
        assert_eq!(read, Ok(8), "a descriptor is complete");
        let answer = u64::from_le_bytes(word) + 100;
        assert!((101..110).contains(&answer), "data is there");
        let written = Cursor::new(self.chain.writable()).write(&self.ram, &answer.to_le_bytes());
        assert_eq!(written, Ok(8));
        self.queue.push(&self.ram, self.chain.head, 8).expect("a used ring");
    }
}

/// Makes request `number`, which is not 0, of a free slot.
fn offer(queue: &mut Queue<'_>, shared: &Shared, number: u64) {
    let slot = queue.reserve().expect("a slot");
    let place = usize::from(slot);
    shared.data[place].store(number, Ordering::Relaxed);
    let descriptor = &shared.rings.descriptors[place];
    descriptor.address.store(DATA.0 + 8 * u64::from(slot), Ordering::Relaxed);
    descriptor.set_rest(8, DescriptorFlags::WRITE, 0);
    queue.offer(slot);
}

/// Takes one completion, if there is one, and checks that it is whole.
fn take(queue: &mut Queue<'_>, shared: &Shared) -> Option<u64> {
    let (slot, len) = queue.take().expect("the device keeps the rules")?;
    let answer = shared.data[usize::from(slot)].load(Ordering::Relaxed);
    assert_eq!(len, 8, "an element is complete");
    assert!(answer > 100, "the device's data is there");
    queue.release(slot);
    Some(answer)
}

/// Three requests in two slots: nobody sees a part of one.
pub fn requests(event_idx: bool) {
    const COUNT: u64 = 3;
    explore(move || {
        let shared = Arc::new(Shared::new());
        let mut slots = [Slot::NEW; SIZE];
        let mut queue = Queue::new(Rings::new(&shared.rings), &mut slots, event_idx);
        let mut device = Device::new(shared.clone(), event_idx);
        let other = thread::spawn(move || {
            for _ in 0..COUNT {
                while !device.pop() {
                    thread::yield_now();
                }
                device.answer();
            }
        });
        let mut answers = 0;
        offer(&mut queue, &shared, 1);
        for number in 2..=COUNT + 1 {
            if number <= COUNT {
                offer(&mut queue, &shared, number);
            }
            answers += loop {
                match take(&mut queue, &shared) {
                    Some(answer) => break answer,
                    None => thread::yield_now(),
                }
            };
        }
        assert_eq!(answers, 101 + 102 + 103);
        other.join().unwrap();
    });
}

/// The device goes to sleep while the driver makes a request: it looks once
/// more, or it is told.
pub fn notification(event_idx: bool) {
    explore(move || {
        let shared = Arc::new(Shared::new());
        let mut slots = [Slot::NEW; SIZE];
        let mut queue = Queue::new(Rings::new(&shared.rings), &mut slots, event_idx);
        let mut device = Device::new(shared.clone(), event_idx);
        // One request was served, and no notification is wanted meanwhile.
        device.queue.refuse_notifications(&device.ram).unwrap();
        offer(&mut queue, &shared, 1);
        queue.must_notify();
        assert!(device.pop());
        device.answer();
        let other = thread::spawn(move || device.queue.want_notification(&device.ram).unwrap());
        offer(&mut queue, &shared, 2);
        let told = queue.must_notify();
        let looked = other.join().unwrap();
        assert!(told || looked, "the request is forgotten");
    });
}

/// The driver goes to sleep while the device ends a request: it looks once
/// more, or it is interrupted.
pub fn interrupt(event_idx: bool) {
    explore(move || {
        let shared = Arc::new(Shared::new());
        let mut slots = [Slot::NEW; SIZE];
        let mut queue = Queue::new(Rings::new(&shared.rings), &mut slots, event_idx);
        let mut device = Device::new(shared.clone(), event_idx);
        queue.set_interrupts(Interrupts::Off);
        offer(&mut queue, &shared, 1);
        assert!(device.pop());
        let other = thread::spawn(move || {
            device.answer();
            device.queue.should_interrupt(&device.ram).unwrap()
        });
        queue.set_interrupts(Interrupts::After(1));
        let looked = take(&mut queue, &shared).is_some();
        let interrupted = other.join().unwrap();
        assert!(looked || interrupted, "the completion is forgotten");
    });
}
