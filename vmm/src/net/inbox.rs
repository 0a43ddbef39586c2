//! Frames that wait for one port: a lane for each sender, and each lane in
//! its turn. So a sender that floods a port fills its own lane, and takes no
//! more than its share of what the port receives.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::{FRAME_MAX, Frame};

/// Frames that one sender may have waiting at a port: more than what a TCP
/// connection of today has under way between two machines as near as these.
pub(super) const LANE: usize = 128;

/// A frame that waits.
#[derive(Clone)]
struct Slot {
    len: usize,
    bytes: Frame,
}

/// A ring of frames from one sender, all of it allocated beforehand.
struct Lane {
    sender: usize,
    slots: Box<[Slot]>,
    first: usize,
    count: usize,
}

impl Lane {
    fn new(sender: usize) -> Self {
        let slots = alloc::vec![Slot { len: 0, bytes: [0; FRAME_MAX] }; LANE];
        Self { sender, slots: slots.into_boxed_slice(), first: 0, count: 0 }
    }

    fn push(&mut self, frame: &[u8]) -> bool {
        let place = (self.first + self.count) % LANE;
        let slot = self.slots.get_mut(place).filter(|_| self.count < LANE);
        let Some(Slot { len, bytes }) = slot else { return false };
        let Some(to) = bytes.get_mut(..frame.len()) else { return false };
        to.copy_from_slice(frame);
        *len = frame.len();
        self.count += 1;
        true
    }

    fn pop(&mut self, frame: &mut Frame) -> Option<usize> {
        self.count = self.count.checked_sub(1)?;
        let Slot { len, bytes } = self.slots.get(self.first)?;
        self.first = (self.first + 1) % LANE;
        frame.get_mut(..*len)?.copy_from_slice(bytes.get(..*len)?);
        Some(*len)
    }
}

/// What waits for one port.
pub(super) struct Inbox {
    lanes: Vec<Lane>,
    /// The lane whose turn it is.
    turn: usize,
    /// The port found nothing here, and waits to hear of the next frame. One
    /// that has not taken all yet will look again without being told: so a
    /// flood does not keep it from its work.
    hungry: bool,
}

/// What became of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pushed {
    /// Its sender has no room left, or none at all.
    Lost,
    /// It waits, and its receiver looks for it of its own accord.
    Waits,
    /// It waits, and its receiver must be told.
    Tell,
}

impl Inbox {
    /// An inbox for frames from these ports.
    pub(super) fn new(senders: impl Iterator<Item = usize>) -> Self {
        Self { lanes: senders.map(Lane::new).collect(), turn: 0, hungry: true }
    }

    /// Adds a frame.
    pub(super) fn push(&mut self, sender: usize, frame: &[u8]) -> Pushed {
        let lane = self.lanes.iter_mut().find(|lane| lane.sender == sender);
        if !lane.is_some_and(|lane| lane.push(frame)) {
            return Pushed::Lost;
        }
        if core::mem::take(&mut self.hungry) { Pushed::Tell } else { Pushed::Waits }
    }

    /// Takes the next frame out; tells its length.
    pub(super) fn pop(&mut self, frame: &mut Frame) -> Option<usize> {
        let lanes = self.lanes.len();
        for _ in 0..lanes {
            let lane = self.lanes.get_mut(self.turn)?;
            self.turn = (self.turn + 1) % lanes;
            if let Some(len) = lane.pop(frame) {
                return Some(len);
            }
        }
        self.hungry = true;
        None
    }

    /// Throws all frames away.
    pub(super) fn clear(&mut self) {
        self.lanes.iter_mut().for_each(|lane| lane.count = 0);
        self.hungry = true;
    }

    /// Frames that wait.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.lanes.iter().map(|lane| lane.count).sum()
    }
}
