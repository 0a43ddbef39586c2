//! The network device (virtio 1.2, section 5.1): from a chain to a frame on a
//! wire and back. Frames are copied once on each way, so that what is checked
//! is what is sent.

#[cfg(test)]
mod tests;

use alloc::boxed::Box;

use trapeze_protocol::device::DeviceType;
use trapeze_protocol::device::net::{Config, Features, Header, LinkStatus, RECEIVE};
use zerocopy::IntoBytes;

use super::chain::{self, Chain, Cursor};
use super::function::Interface;
use super::queue::{Broken, Queue};
use super::{Device, Served};
use crate::addr::to_usize;
use crate::mem::GuestRam;
use crate::net::{FRAME_MAX, FRAME_MIN, Frame, MTU, Mac, Wire};

/// Frames after which a queue is left for later, in either direction.
const TURN: usize = 64;

/// Bytes of the header that legacy drivers put before a frame: it ends before
/// `num_buffers` (section 5.1.6.1).
const LEGACY_HEADER: usize = 10;

/// Its queues (section 5.1.2).
const QUEUES: usize = 2;

/// A network device.
pub struct Net {
    config: Config,
    /// Bytes before each frame.
    header: usize,
    wire: Box<dyn Wire>,
    chain: Box<Chain>,
    /// The frame that goes out.
    out: Box<Frame>,
    /// The frame that came, and its length while it waits for a buffer.
    back: Box<Frame>,
    waiting: Option<usize>,
    /// Whether the driver has asked for frames since the queue for them was
    /// last taken into use. It does so by a notification, and may not before
    /// it is ready; buffers may be there earlier (section 3.1.1).
    listening: bool,
    dropped: u64,
}

impl Net {
    /// A network device with address `mac` before `wire`.
    pub fn new(interface: Interface, mac: Mac, wire: Box<dyn Wire>) -> Self {
        let status = LinkStatus::LINK_UP.bits();
        let config = Config { mac: mac.0, status, mtu: MTU, ..Config::default() };
        let header = match interface {
            Interface::Legacy => LEGACY_HEADER,
            Interface::Modern => size_of::<Header>(),
        };
        let [out, back] = [(); 2].map(|()| Box::new([0; FRAME_MAX]));
        let (chain, waiting) = (Box::default(), None);
        Self { config, header, wire, chain, out, back, waiting, listening: false, dropped: 0 }
    }

    /// Frames that were too short, or too long for the network or for the
    /// driver's buffer, and went nowhere.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Fills the driver's buffers with what has come.
    fn receive(&mut self, queue: &mut Queue, ram: &GuestRam) -> Result<Served, Broken> {
        let mut served = Served::empty();
        for left in (0..=TURN).rev() {
            self.waiting = self.waiting.or_else(|| self.wire.receive(&mut self.back));
            let Some(len) = self.waiting else {
                // New buffers are no news while there is nothing to put there.
                queue.refuse_notifications(ram)?;
                break;
            };
            if left == 0 {
                served |= Served::MORE;
                break;
            }
            if !queue.pop(ram, &mut self.chain)? {
                if queue.want_notification(ram)? {
                    continue;
                }
                break;
            }
            self.waiting = None;
            let written = self.fill(ram, len)?;
            queue.push(ram, self.chain.head, written)?;
        }
        served.set(Served::INTERRUPT, queue.should_interrupt(ram)?);
        Ok(served)
    }

    /// Copies the frame that came, of `len` bytes, to the buffer at hand;
    /// tells how much was written. In a buffer that is too small that is
    /// nothing, and the frame is lost.
    fn fill(&mut self, ram: &GuestRam, len: usize) -> Result<u32, Broken> {
        let header = Header { num_buffers: 1, ..Header::default() };
        let header = header.as_bytes().get(..self.header).unwrap_or_default();
        let total = self.header + len;
        if chain::total(self.chain.writable()) < total as u64 {
            self.dropped += 1;
            return Ok(0);
        }
        let mut to = Cursor::new(self.chain.writable());
        to.write(ram, header)?;
        to.write(ram, self.back.get(..len).unwrap_or_default())?;
        Ok(u32::try_from(total).unwrap_or(0))
    }

    /// Sends what the driver has put into the queue.
    fn transmit(&mut self, queue: &mut Queue, ram: &GuestRam) -> Result<Served, Broken> {
        let mut served = Served::empty();
        let mut left = TURN;
        loop {
            if left == 0 {
                served |= Served::MORE;
                break;
            }
            if queue.pop(ram, &mut self.chain)? {
                left -= 1;
                self.send(ram)?;
                queue.push(ram, self.chain.head, 0)?;
            } else if !queue.want_notification(ram)? {
                break;
            }
        }
        served.set(Served::INTERRUPT, queue.should_interrupt(ram)?);
        Ok(served)
    }

    /// Sends the frame in the chain at hand. Its header is not looked at: it
    /// can ask for nothing that was not offered.
    fn send(&mut self, ram: &GuestRam) -> Result<(), Broken> {
        let total = chain::total(self.chain.readable());
        let len = total.checked_sub(self.header as u64).ok_or(Broken::Request)?;
        let frame = self.out.get_mut(..to_usize(len)).filter(|frame| frame.len() >= FRAME_MIN);
        let Some(frame) = frame else {
            self.dropped += 1;
            return Ok(());
        };
        let mut from = Cursor::new(self.chain.readable());
        from.skip(self.header as u64);
        from.read(ram, frame)?;
        if !self.wire.send(frame) {
            self.dropped += 1;
        }
        Ok(())
    }
}

impl Device for Net {
    fn kind(&self) -> DeviceType {
        DeviceType::Net
    }

    fn queues(&self) -> usize {
        QUEUES
    }

    fn features(&self) -> u64 {
        (Features::MTU | Features::MAC | Features::STATUS).bits()
    }

    fn config(&self) -> &[u8] {
        self.config.as_bytes()
    }

    fn serve(
        &mut self,
        index: usize,
        queues: &mut [Queue],
        ram: &GuestRam,
    ) -> Result<Served, Broken> {
        let Some(queue) = queues.get_mut(index) else { return Ok(Served::empty()) };
        if index == usize::from(RECEIVE) {
            // What came while nobody listened is lost.
            if !core::mem::replace(&mut self.listening, true) {
                self.wire.clear();
            }
            self.receive(queue, ram)
        } else {
            self.transmit(queue, ram)
        }
    }

    fn collect(&mut self, queues: &mut [Queue], ram: &GuestRam) -> Result<Served, Broken> {
        match queues.get_mut(usize::from(RECEIVE)) {
            Some(queue) if self.listening => self.receive(queue, ram),
            _ => Ok(Served::empty()),
        }
    }

    fn abandon(&mut self, index: usize) {
        if index == usize::from(RECEIVE) {
            (self.listening, self.waiting) = (false, None);
        }
    }

    fn busy(&self) -> usize {
        // The wire has frames, but never memory of the guest.
        0
    }
}
