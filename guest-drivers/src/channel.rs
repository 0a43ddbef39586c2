//! A queue of a device, and who owns the memory of its requests.
//!
//! One of the places where `unsafe` is allowed. The invariant **in-flight**:
//! memory that a descriptor names belongs to the device from when its slot is
//! offered until the slot comes back by the used ring, or the device is reset.
//! So buffers are taken by value and become the owner's again only there;
//! what is borrowed is borrowed for as long as [`Channel::transfer`] takes,
//! which does not end before.
#![allow(unsafe_code)]

use core::ptr::NonNull;

use trapeze_protocol::device::Status;

use crate::dma::{Dma, Segment};
use crate::error::Error;
use crate::memory::Memory;
use crate::queue::{Broken, Interrupts, Queue, Slot};
use crate::rings::{RingMemory, Rings};
use crate::vmm::{Device, Hypercall, Quiet};

/// Names a request of a driver, once and for all.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Token(u64);

/// A request that was not taken, with the buffers that came with it.
#[derive(Debug)]
pub struct Refused<D> {
    /// Why.
    pub error: Error,
    /// The buffers.
    pub data: D,
}

/// What a driver has done since it began.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Statistics {
    /// Requests that the device was given.
    pub requests: u64,
    /// Requests that it gave back.
    pub completions: u64,
    /// How often it had to be told, by a hypercall, that there are requests.
    pub notifications: u64,
}

/// A request that has ended.
pub(crate) struct Landed<D> {
    pub(crate) token: Token,
    pub(crate) data: D,
    pub(crate) outcome: Result<Written, Error>,
}

/// What the device said of a request that it gave back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Written {
    pub(crate) slot: u16,
    /// Bytes that it wrote; no more than there was room for.
    pub(crate) len: u32,
    pub(crate) room: u32,
}

/// Memory that is lent to the device for a call.
pub(crate) enum Lent<'a> {
    /// For the device to read.
    Read(&'a [u8]),
    /// For the device to write.
    Write(&'a mut [u8]),
}

impl Lent<'_> {
    fn part(&mut self) -> NonNull<[u8]> {
        match self {
            Self::Read(bytes) => NonNull::from(*bytes),
            Self::Write(bytes) => NonNull::from(&mut **bytes),
        }
    }
}

/// The memory of a request, part by part.
pub(crate) type Segments<'a> = &'a mut dyn Iterator<Item = Result<Segment, Error>>;

/// A request with a slot.
struct Flight<D: Dma> {
    token: Token,
    /// `None` if its memory is lent.
    given: Option<D::Given>,
    /// Bytes that the device may write.
    room: u32,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Flying,
    /// Ended, and not told yet.
    Ended(Result<Written, Error>),
}

/// What a channel keeps for a slot.
pub(crate) struct Seat<D: Dma>(Option<Flight<D>>);

/// What a channel keeps in a static: memory of the queue, and books.
pub(crate) struct ChannelStorage<D: Dma, const SIZE: usize> {
    rings: RingMemory<SIZE>,
    slots: [Slot; SIZE],
    seats: [Seat<D>; SIZE],
}

impl<D: Dma, const SIZE: usize> ChannelStorage<D, SIZE> {
    pub(crate) const fn new() -> Self {
        let seats = [const { Seat(None) }; SIZE];
        Self { rings: RingMemory::new(), slots: [Slot::NEW; SIZE], seats }
    }
}

// SAFETY: what is given is memory, which belongs to no thread; what comes
// back with it is as `D`.
unsafe impl<D: Dma + Send> Send for Seat<D> {}

/// A queue of a device.
pub(crate) struct Channel<D: Dma + 'static, M, H> {
    device: Device<M, H>,
    number: u16,
    queue: Queue<'static>,
    seats: &'static mut [Seat<D>],
    /// Requests that have ended and were not told yet.
    ended: u16,
    broken: bool,
    statistics: Statistics,
}

impl<D: Dma + 'static, M: Memory, H: Hypercall> Channel<D, M, H> {
    /// Queue `number` of `device`, which must be between FEATURES_OK and
    /// DRIVER_OK.
    pub(crate) fn new<const SIZE: usize>(
        device: Device<M, H>,
        number: u16,
        event_idx: bool,
        storage: &'static mut ChannelStorage<D, SIZE>,
    ) -> Result<Self, Error> {
        let ChannelStorage { rings, slots, seats } = storage;
        let rings = Rings::new(rings);
        let queue = Queue::new(rings, slots, event_idx);
        let (ended, broken, statistics) = (0, false, Statistics::default());
        let channel = Self { device, number, queue, seats, ended, broken, statistics };
        channel.device.set_up_queue(number, rings)?;
        Ok(channel)
    }

    /// Goes on with the same queue after a reset, when all requests were told.
    pub(crate) fn restart(&mut self, event_idx: bool) -> Result<(), Error> {
        if self.ended != 0 {
            return Err(Error::Full);
        }
        self.queue.restart(event_idx);
        self.device.set_up_queue(self.number, self.queue.rings())?;
        self.broken = false;
        Ok(())
    }

    pub(crate) fn rings(&self) -> Rings<'static> {
        self.queue.rings()
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.broken
    }

    pub(crate) fn flying(&self) -> u16 {
        self.queue.flying()
    }

    pub(crate) fn statistics(&self) -> Statistics {
        self.statistics
    }

    pub(crate) fn set_interrupts(&mut self, interrupts: Interrupts) {
        self.queue.set_interrupts(interrupts);
    }

    /// Gives a request to the device, without telling it.
    ///
    /// `describe` stores the descriptors of slot and segments, and says how
    /// many bytes the device may write.
    pub(crate) fn submit(
        &mut self,
        data: D,
        describe: impl FnOnce(u16, Segments<'_>) -> Result<u32, Error>,
    ) -> Result<Token, Refused<D>> {
        let slot = match self.reserve() {
            Ok(slot) => slot,
            Err(error) => return Err(Refused { error, data }),
        };
        let given = data.give();
        let memory = self.device.vmm().memory();
        // Nothing has no place in a descriptor.
        let mut parts = D::parts(&given).filter(|part| !part.is_empty());
        // SAFETY: given away; a slot that is not offered is not looked at.
        let mut segments = parts.by_ref().map(|part| unsafe { Segment::new(part, memory) });
        let described = describe(slot, &mut segments);
        drop(parts);
        match described {
            Ok(room) => Ok(self.launch(slot, Some(given), room)),
            Err(error) => {
                self.queue.release(slot);
                // SAFETY: the device never had it.
                Err(Refused { error, data: unsafe { D::take_back(given) } })
            }
        }
    }

    fn reserve(&mut self) -> Result<u16, Error> {
        if self.broken {
            return Err(Error::Broken);
        }
        self.queue.reserve().ok_or(Error::Full)
    }

    fn launch(&mut self, slot: u16, given: Option<D::Given>, room: u32) -> Token {
        let token = Token(self.statistics.requests);
        self.statistics.requests += 1;
        if let Some(seat) = self.seats.get_mut(usize::from(slot)) {
            seat.0 = Some(Flight { token, given, room, state: State::Flying });
            self.queue.offer(slot);
        }
        token
    }

    /// Tells the device of new requests, if it wants to know.
    pub(crate) fn kick(&mut self) {
        if !self.broken && self.queue.must_notify() {
            self.statistics.notifications += 1;
            if self.device.notify(self.number).is_err() {
                self.break_down();
            }
        }
    }

    /// The next request that has ended. If there is none and interrupts are
    /// wanted, there will be one for the next.
    pub(crate) fn complete(&mut self) -> Option<Landed<D>> {
        loop {
            if let Some(landed) = self.next_ended() {
                return Some(landed);
            }
            if let Some(written) = self.take() {
                return self.land(written.slot, Ok(written));
            }
            if self.ended == 0 && !self.queue.rearm() {
                return None;
            }
        }
    }

    /// One that ended while somebody waited for another, or with the device.
    fn next_ended(&mut self) -> Option<Landed<D>> {
        if self.ended == 0 {
            return None;
        }
        let ended = |(slot, seat): (usize, &Seat<D>)| match seat.0.as_ref()?.state {
            State::Ended(outcome) => Some((u16::try_from(slot).ok()?, outcome)),
            State::Flying => None,
        };
        let (slot, outcome) = self.seats.iter().enumerate().find_map(ended)?;
        self.ended -= 1;
        self.land(slot, outcome)
    }

    /// Takes a completion out of the used ring. A device that breaks the
    /// rules is stopped, and leaves its requests to [`next_ended`].
    ///
    /// [`next_ended`]: Self::next_ended
    fn take(&mut self) -> Option<Written> {
        if self.broken {
            return None;
        }
        let written = self.queue.take().and_then(|taken| {
            let Some((slot, len)) = taken else { return Ok(None) };
            let seat = self.seats.get(usize::from(slot)).and_then(|seat| seat.0.as_ref());
            let room = seat.map_or(0, |flight| flight.room);
            // Memory that it did not have may be changed.
            if len > room { Err(Broken) } else { Ok(Some(Written { slot, len, room })) }
        });
        match written {
            Ok(written) => written,
            Err(Broken) => {
                self.break_down();
                None
            }
        }
    }

    /// Frees a slot whose request has come back, or was ended by a reset, and
    /// gives the buffers back.
    fn land(&mut self, slot: u16, outcome: Result<Written, Error>) -> Option<Landed<D>> {
        let flight = self.leave(slot)?;
        // SAFETY: the device has let go (in-flight).
        let data = unsafe { D::take_back(flight.given?) };
        Some(Landed { token: flight.token, data, outcome })
    }

    fn leave(&mut self, slot: u16) -> Option<Flight<D>> {
        let flight = self.seats.get_mut(usize::from(slot))?.0.take()?;
        self.queue.release(slot);
        self.statistics.completions += 1;
        Some(flight)
    }

    /// Stops the device, and ends all that is in flight.
    pub(crate) fn break_down(&mut self) {
        let quiet = self.device.reset();
        self.abandon(&quiet);
    }

    /// The device was reset: ends all that is in flight.
    pub(crate) fn abandon(&mut self, quiet: &Quiet) {
        if !quiet.is(self.device.number()) {
            return;
        }
        self.broken = true;
        for flight in self.seats.iter_mut().filter_map(|seat| seat.0.as_mut()) {
            if flight.state == State::Flying {
                flight.state = State::Ended(Err(Error::Broken));
                self.ended += u16::from(flight.given.is_some());
            }
        }
    }

    /// Makes a request of borrowed memory and waits for its end. Others that
    /// end meanwhile are told by [`complete`](Self::complete) later.
    pub(crate) fn transfer(
        &mut self,
        mut lent: Lent<'_>,
        describe: impl FnOnce(u16, Segments<'_>) -> Result<u32, Error>,
    ) -> Result<Written, Error> {
        let slot = self.reserve()?;
        let memory = self.device.vmm().memory();
        let part = Some(lent.part()).filter(|part| !part.is_empty());
        // SAFETY: borrowed until this function returns, which it does when
        // the device has let go (in-flight).
        let mut segments = part.into_iter().map(|part| unsafe { Segment::new(part, memory) });
        match describe(slot, &mut segments) {
            Ok(room) => _ = self.launch(slot, None, room),
            Err(error) => {
                self.queue.release(slot);
                return Err(error);
            }
        }
        let waiting = Waiting { channel: self, slot };
        waiting.channel.kick();
        waiting.channel.wait(slot)
    }

    fn wait(&mut self, slot: u16) -> Result<Written, Error> {
        let mut turns = 0u32;
        loop {
            match self.take() {
                Some(written) if written.slot == slot => {
                    self.leave(slot);
                    self.queue.rearm();
                    return Ok(written);
                }
                Some(other) => self.put_off(other),
                None if self.broken => return Err(Error::Broken),
                None => self.device.vmm().relax(),
            }
            turns = turns.wrapping_add(1);
            if turns.is_multiple_of(LOOK_EVERY) {
                self.look_after();
            }
        }
    }

    fn put_off(&mut self, written: Written) {
        if let Some(Seat(Some(flight))) = self.seats.get_mut(usize::from(written.slot)) {
            flight.state = State::Ended(Ok(written));
            self.ended += 1;
        }
    }

    /// Stops a device that found that the driver broke the rules, and would
    /// never answer.
    pub(crate) fn look_after(&mut self) {
        let stuck = Status::NEEDS_RESET | Status::FAILED;
        if !self.broken && self.device.status().is_ok_and(|status| status.intersects(stuck)) {
            self.break_down();
        }
    }
}

/// How many turns of waiting pass between two looks at the status.
const LOOK_EVERY: u32 = 1 << 12;

/// Somebody waits for a request of borrowed memory: however the wait ends,
/// the device has let go afterwards.
struct Waiting<'a, D: Dma + 'static, M: Memory, H: Hypercall> {
    channel: &'a mut Channel<D, M, H>,
    slot: u16,
}

impl<D: Dma + 'static, M: Memory, H: Hypercall> Drop for Waiting<'_, D, M, H> {
    fn drop(&mut self) {
        let seat = self.channel.seats.get(usize::from(self.slot));
        if seat.is_some_and(|seat| seat.0.is_some()) {
            if !self.channel.broken {
                self.channel.break_down();
            }
            self.channel.leave(self.slot);
        }
    }
}
