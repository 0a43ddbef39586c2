//! The driver's side of a split virtqueue.
//!
//! Every request has one descriptor of the queue, its *slot*, which is the
//! head of its chain; what does not fit there is in an indirect table. So
//! there are no chains to follow and no free descriptors to gather.
//!
//! What the device says is an allegation: it is compared with the slots that
//! are out, which are in memory of the driver's own, and a device that breaks
//! the rules is [`Broken`].

use crate::rings::Rings;

/// The device gave back what it did not have, or more than it was given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Broken;

/// When the device is to interrupt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interrupts {
    /// Never: completions are found by looking.
    Off,
    /// After so many completions, or as many as there are requests in flight,
    /// if these are fewer; 0 is as 1.
    After(u16),
}

/// What the driver knows of a slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    /// Whether the device has it.
    flying: bool,
    /// The next free one, if this one is free.
    next: u16,
}

impl Slot {
    pub(crate) const NEW: Self = Self { flying: false, next: NONE };
}

/// No slot: the largest queue has 32768.
const NONE: u16 = u16::MAX;

/// A queue.
#[derive(Debug)]
pub(crate) struct Queue<'m> {
    rings: Rings<'m>,
    slots: &'m mut [Slot],
    first_free: u16,
    event_idx: bool,
    interrupts: Interrupts,
    /// The next element of the available ring, and where it was when the
    /// device was last told.
    next_avail: u16,
    told: u16,
    next_used: u16,
    /// Slots that the device has.
    flying: u16,
}

impl<'m> Queue<'m> {
    /// An empty queue. `slots` are as many as the rings have elements.
    pub(crate) fn new(rings: Rings<'m>, slots: &'m mut [Slot], event_idx: bool) -> Self {
        let mut queue = Self {
            rings,
            slots,
            first_free: NONE,
            event_idx,
            interrupts: Interrupts::Off,
            next_avail: 0,
            told: 0,
            next_used: 0,
            flying: 0,
        };
        queue.restart(event_idx);
        queue
    }

    /// Begins anew with all slots free; the device must have been reset.
    pub(crate) fn restart(&mut self, event_idx: bool) {
        self.rings.clear();
        (self.next_avail, self.told, self.next_used, self.flying) = (0, 0, 0, 0);
        (self.event_idx, self.first_free) = (event_idx, NONE);
        for slot in (0..self.rings.size()).rev() {
            self.release(slot);
        }
        self.set_interrupts(self.interrupts);
    }

    pub(crate) fn rings(&self) -> Rings<'m> {
        self.rings
    }

    /// How many requests the device has.
    pub(crate) fn flying(&self) -> u16 {
        self.flying
    }

    /// Takes a slot for a request.
    pub(crate) fn reserve(&mut self) -> Option<u16> {
        let slot = self.first_free;
        self.first_free = self.slots.get(usize::from(slot))?.next;
        Some(slot)
    }

    /// Gives a slot back that is not the device's.
    pub(crate) fn release(&mut self, slot: u16) {
        if let Some(state) = self.slots.get_mut(usize::from(slot)) {
            *state = Slot { flying: false, next: self.first_free };
            self.first_free = slot;
        }
    }

    /// Gives a reserved slot, whose descriptor is complete, to the device.
    pub(crate) fn offer(&mut self, slot: u16) {
        if let Some(state) = self.slots.get_mut(usize::from(slot)) {
            state.flying = true;
            self.flying += 1;
            self.rings.offer(self.next_avail, slot);
            self.next_avail = self.next_avail.wrapping_add(1);
        }
    }

    /// Whether the device must be told of what was offered since the last
    /// call.
    pub(crate) fn must_notify(&mut self) -> bool {
        let old = core::mem::replace(&mut self.told, self.next_avail);
        old != self.next_avail && self.rings.must_notify(self.event_idx, old, self.next_avail)
    }

    /// The next completion: its slot, which is then the caller's to release,
    /// and how many bytes the device says that it wrote.
    pub(crate) fn take(&mut self) -> Result<Option<(u16, u32)>, Broken> {
        let completions = self.rings.completions(self.next_used);
        if completions == 0 {
            return Ok(None);
        }
        if completions > self.flying {
            return Err(Broken);
        }
        let element = self.rings.completion(self.next_used);
        let slot = u16::try_from(element.id).map_err(|_| Broken)?;
        let state = self.slots.get_mut(usize::from(slot)).ok_or(Broken)?;
        if !core::mem::replace(&mut state.flying, false) {
            return Err(Broken);
        }
        self.next_used = self.next_used.wrapping_add(1);
        self.flying -= 1;
        Ok(Some((slot, element.length)))
    }

    /// Says when the device is to interrupt, from now on.
    pub(crate) fn set_interrupts(&mut self, interrupts: Interrupts) {
        self.interrupts = interrupts;
        match interrupts {
            Interrupts::Off => self.rings.refuse_interrupts(self.event_idx, self.next_used),
            Interrupts::After(_) => _ = self.rearm(),
        }
    }

    /// Asks for the next interrupt, if they are wanted; `true` if it is due
    /// already, so that there may be none.
    pub(crate) fn rearm(&mut self) -> bool {
        let Interrupts::After(count) = self.interrupts else { return false };
        let ahead = count.min(self.flying).max(1) - 1;
        let event = self.next_used.wrapping_add(ahead);
        self.rings.want_interrupt(self.event_idx, self.next_used, event)
    }
}
