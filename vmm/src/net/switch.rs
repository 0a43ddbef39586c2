//! The switch between the guests of one VMM, and to the uplink.
//!
//! It knows who is at which port, so it learns nothing, and nobody can teach
//! it wrong: a guest has the address that it was given, and frames that it
//! sends under another one are refused. What is for no guest goes to the
//! uplink, where any number of addresses may be; what is for a group goes to
//! all, but never from a guest without uplink to the uplink, nor back.
//!
//! The only locks are those of the inboxes, one at a time: leaf locks in the
//! sense of **no-nesting**.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use spin::mutex::SpinMutex;

use super::inbox::{Inbox, Pushed};
use super::{FRAME_MAX, FRAME_MIN, Frame, Mac, Wire, addresses};

/// Who is at a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Station {
    /// A guest.
    Guest {
        /// The only address that it may use.
        address: Mac,
        /// Whether it and the uplink see each other.
        uplink: bool,
    },
    /// The real network. There is one at most.
    Uplink,
}

impl Station {
    /// Whether frames go from here to `other`.
    fn reaches(self, other: Self) -> bool {
        match (self, other) {
            (Self::Guest { .. }, Self::Guest { .. }) => true,
            (Self::Guest { uplink, .. }, Self::Uplink)
            | (Self::Uplink, Self::Guest { uplink, .. }) => uplink,
            (Self::Uplink, Self::Uplink) => false,
        }
    }

    fn has(self, mac: Mac) -> bool {
        matches!(self, Self::Guest { address, .. } if address == mac)
    }
}

/// What a port has seen, in frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Sent from it, refused ones included.
    pub sent: u64,
    /// Sent from it under an address that is not its own, or with a length
    /// that no frame has.
    pub refused: u64,
    /// Delivered to it.
    pub received: u64,
    /// Lost, because it did not receive fast enough.
    pub lost: u64,
}

struct Port {
    station: Station,
    inbox: SpinMutex<Inbox>,
    sent: AtomicU64,
    refused: AtomicU64,
    received: AtomicU64,
    lost: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// The switch.
pub struct Switch {
    ports: Vec<Port>,
    /// Bit n: port n is to be told of frames.
    news: AtomicU32,
}

impl Switch {
    /// A switch with a port for each of `stations`, 32 at most.
    pub fn new(stations: &[Station]) -> Self {
        let port = |(number, station): (usize, &Station)| {
            let senders = stations
                .iter()
                .enumerate()
                .filter(move |(other, from)| *other != number && from.reaches(*station));
            Port {
                station: *station,
                inbox: SpinMutex::new(Inbox::new(senders.map(|(other, _)| other))),
                sent: AtomicU64::new(0),
                refused: AtomicU64::new(0),
                received: AtomicU64::new(0),
                lost: AtomicU64::new(0),
            }
        };
        let ports = stations.iter().enumerate().take(32).map(port).collect();
        Self { ports, news: AtomicU32::new(0) }
    }

    /// The ports that are to be told of frames; bit n is port n. Who takes
    /// the news tells the ports.
    #[inline]
    pub fn take_news(&self) -> u32 {
        match self.news.load(Ordering::Relaxed) {
            0 => 0,
            _ => self.news.swap(0, Ordering::Acquire),
        }
    }

    /// What port `number` has seen.
    pub fn counts(&self, number: usize) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        self.ports.get(number).map_or(Counts::default(), |port| Counts {
            sent: read(&port.sent),
            refused: read(&port.refused),
            received: read(&port.received),
            lost: read(&port.lost),
        })
    }

    /// Takes a frame from port `from` to where it belongs.
    fn forward(&self, from: usize, frame: &[u8]) {
        let Some(sender) = self.ports.get(from) else { return };
        count(&sender.sent);
        let fits = (FRAME_MIN..=FRAME_MAX).contains(&frame.len());
        let Some((to, source)) = addresses(frame).filter(|_| fits) else {
            return count(&sender.refused);
        };
        if sender.station != Station::Uplink && !sender.station.has(source) {
            return count(&sender.refused);
        }
        let guest = self.ports.iter().position(|port| port.station.has(to));
        for (number, port) in self.ports.iter().enumerate() {
            let meant = match guest {
                _ if to.is_group() => true,
                Some(guest) => guest == number,
                None => port.station == Station::Uplink,
            };
            if meant && number != from && sender.station.reaches(port.station) {
                self.deliver(from, number, port, frame);
            }
        }
    }

    fn deliver(&self, from: usize, number: usize, port: &Port, frame: &[u8]) {
        let pushed = port.inbox.lock().push(from, frame);
        match pushed {
            Pushed::Lost => return count(&port.lost),
            Pushed::Waits => {}
            Pushed::Tell => self.announce(number),
        }
        count(&port.received);
    }

    /// Port `number` is to be told of frames.
    pub fn announce(&self, number: usize) {
        self.news.fetch_or(bit(number), Ordering::Release);
    }
}

/// The bit of port `number` among the news.
pub fn bit(number: usize) -> u32 {
    u32::try_from(number).ok().and_then(|n| 1u32.checked_shl(n)).unwrap_or(0)
}

/// What is plugged into a port: the wire of who is there.
pub struct Plug {
    switch: Arc<Switch>,
    port: usize,
}

impl Plug {
    /// The plug in port `port`.
    pub fn new(switch: Arc<Switch>, port: usize) -> Self {
        Self { switch, port }
    }

    /// Frames that wait to be received.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.switch.ports.get(self.port).map_or(0, |port| port.inbox.lock().count())
    }
}

impl Wire for Plug {
    /// There is always room: who does not receive fast enough loses frames,
    /// and keeps no sender waiting.
    fn send(&mut self, frame: &[u8]) -> bool {
        self.switch.forward(self.port, frame);
        true
    }

    fn receive(&mut self, frame: &mut Frame) -> Option<usize> {
        self.switch.ports.get(self.port)?.inbox.lock().pop(frame)
    }

    fn clear(&mut self) {
        if let Some(port) = self.switch.ports.get(self.port) {
            port.inbox.lock().clear();
        }
    }
}
