//! A device that keeps no rule: it writes into the used rings of a driver
//! what it likes.

use guest_drivers::protocol::queue::{self as layout, Descriptor, DescriptorFlags, UsedElement};
use trapeze_vmm::addr::Gpa;

use super::Machine;

/// What is called with the number of a queue that was notified.
pub(crate) type Answers = Box<dyn FnMut(u64)>;

/// What the device does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    /// Gives the oldest request back as it should, with so many bytes, or as
    /// many as there is room for.
    Honest(u32),
    /// Gives it back with so many bytes more than there is room for.
    TooLong(u32),
    /// Gives back what no queue can have.
    Unknown(u32),
    /// Gives back once more what it gave back last.
    Again,
    /// Gives back so many more than it ever had.
    RunsAway(u16),
    /// Says nothing, and that it failed.
    GivesUp,
}

/// Every way to break the rules.
pub(crate) const LIES: [Answer; 8] = [
    Answer::TooLong(1),
    Answer::TooLong(u32::MAX),
    Answer::Unknown(0),
    Answer::Unknown(u32::MAX),
    Answer::Again,
    Answer::RunsAway(1),
    Answer::RunsAway(0x7fff),
    Answer::GivesUp,
];

/// What honest devices write.
pub(crate) const BYTE: u8 = b'x';

/// The lying side of a queue.
pub(crate) struct Liar {
    machine: &'static Machine,
    device: u64,
    queue: u64,
    next_avail: u16,
    next_used: u16,
    last: u16,
}

impl Liar {
    pub(crate) fn new(machine: &'static Machine, device: u64, queue: u64) -> Self {
        Self { machine, device, queue, next_avail: 0, next_used: 0, last: 0 }
    }

    /// Does it, and wants to hear of the next request.
    pub(crate) fn answer(&mut self, answer: Answer) {
        let (place, ram) = (self.machine.place_of(self.device, self.queue), self.machine.ram());
        let (size, index) = (place.size, Gpa(place.avail.0 + layout::RING_INDEX));
        let event = Gpa(place.used.0 + layout::avail_event_offset(size));
        ram.store_u16(event, ram.load_u16(index).unwrap()).unwrap();
        match answer {
            Answer::Honest(len) => {
                let Some(head) = self.take() else { return };
                let written = self.fill(head, len);
                self.give(head.into(), written);
            }
            Answer::TooLong(by) => {
                let Some(head) = self.take() else { return };
                let room = self.fill(head, u32::MAX);
                self.give(head.into(), room.saturating_add(by));
            }
            Answer::Unknown(number) => self.give(number.saturating_add(size.into()), 0),
            Answer::Again => self.give(self.last.into(), 0),
            Answer::RunsAway(by) => {
                self.next_used = self.next_used.wrapping_add(size + by);
                self.store_used_index();
            }
            Answer::GivesUp => self.machine.fail(self.device),
        }
    }

    /// The oldest request that was not given back.
    fn take(&mut self) -> Option<u16> {
        let (place, ram) = (self.machine.place_of(self.device, self.queue), self.machine.ram());
        if ram.load_u16(Gpa(place.avail.0 + layout::RING_INDEX)).unwrap() == self.next_avail {
            return None;
        }
        let at = layout::RING_ELEMENTS + 2 * layout::place(self.next_avail, place.size);
        self.next_avail = self.next_avail.wrapping_add(1);
        Some(ram.load_u16(Gpa(place.avail.0 + at)).unwrap())
    }

    /// Fills up to `most` bytes of the request; tells how many.
    fn fill(&self, head: u16, most: u32) -> u32 {
        let (place, ram) = (self.machine.place_of(self.device, self.queue), self.machine.ram());
        let (mut table, mut next, mut done) = (place.descriptors.0, head, 0);
        loop {
            let at = Gpa(table + 16 * u64::from(next));
            let descriptor: Descriptor = ram.read(at).expect("a descriptor");
            let flags = DescriptorFlags::from_bits_truncate(descriptor.flags);
            next = descriptor.next;
            if flags.contains(DescriptorFlags::INDIRECT) {
                (table, next) = (descriptor.address, 0);
                continue;
            }
            if flags.contains(DescriptorFlags::WRITE) {
                let len = descriptor.length.min(most - done);
                let bytes = vec![BYTE; usize::try_from(len).unwrap()];
                ram.write_bytes(Gpa(descriptor.address), &bytes).expect("a buffer");
                done += len;
            }
            if !flags.contains(DescriptorFlags::NEXT) {
                return done;
            }
        }
    }

    fn give(&mut self, id: u32, length: u32) {
        let (place, ram) = (self.machine.place_of(self.device, self.queue), self.machine.ram());
        let at = layout::RING_ELEMENTS + 8 * layout::place(self.next_used, place.size);
        ram.write(Gpa(place.used.0 + at), &UsedElement { id, length }).expect("a used ring");
        self.next_used = self.next_used.wrapping_add(1);
        self.last = u16::try_from(id).unwrap_or(self.last);
        self.store_used_index();
    }

    fn store_used_index(&self) {
        let place = self.machine.place_of(self.device, self.queue);
        let at = Gpa(place.used.0 + layout::RING_INDEX);
        self.machine.ram().store_u16(at, self.next_used).expect("a used ring");
    }
}
