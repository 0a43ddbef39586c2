//! A network device of virtio-mmio, either version: the smallest driver that
//! sends a frame at a time and has a few buffers for what comes.

use super::virtio::{self, CONFIG, DEVICE_ID, QUEUE_NOTIFY, QUEUE_SIZE, SLOTS, STATUS, VERSION};
use super::{Window, clint};
use crate::paging::{Frame, PAGE};

/// Device id of a network device.
pub const NET: u32 = 1;
/// Queue of buffers for frames that come.
pub const RECEIVE: u32 = 0;
/// Queue of frames to be sent.
pub const TRANSMIT: u32 = 1;

/// Doublewords before the available ring.
const AVAIL: usize = QUEUE_SIZE as usize * 2;

/// The first slot with a network device.
#[must_use]
pub fn find() -> Option<u64> {
    (0..SLOTS).find(|n| virtio::slot(*n).read::<u32>(DEVICE_ID) == NET)
}

/// A queue: two pages, and what was done with them.
pub struct Ring {
    /// Descriptors and available ring; in the next page the used ring.
    pub pages: Frame,
    offered: u64,
    taken: u64,
}

impl Ring {
    /// A queue that nothing was done with.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it takes memory")]
    pub fn new() -> Self {
        Self { pages: Frame::run(2), offered: 0, taken: 0 }
    }

    /// Forgets what was done.
    pub fn restart(&mut self) {
        self.pages.fill(0);
        self.pages.after(1).fill(0);
        (self.offered, self.taken) = (0, 0);
    }

    /// Writes a descriptor.
    pub fn describe(&self, index: u64, address: u64, len: u64, flags: u64, next: u64) {
        let at = usize::try_from(index * 2).unwrap_or(0);
        self.pages.set(at, address);
        self.pages.set(at + 1, len | flags << 32 | next << 48);
    }

    /// Makes the chain that starts at `head` available.
    pub fn offer(&mut self, head: u64) {
        self.set_half(2 + self.offered % u64::from(QUEUE_SIZE), head);
        self.offered += 1;
        self.set_half(1, self.offered & 0xffff);
    }

    fn set_half(&self, half: u64, value: u64) {
        let at = AVAIL + usize::try_from(half / 4).unwrap_or(0);
        let shift = half % 4 * 16;
        self.pages.set(at, self.pages.get(at) & !(0xffff << shift) | value << shift);
    }

    /// Takes the next chain back: its head, and the bytes written.
    pub fn take(&mut self) -> Option<(u64, u64)> {
        let used = self.pages.after(1);
        if used.get(0) >> 16 & 0xffff == self.taken & 0xffff {
            return None;
        }
        // Elements of 8 bytes start 4 bytes behind the beginning.
        let word = usize::try_from(self.taken % u64::from(QUEUE_SIZE)).unwrap_or(0);
        self.taken += 1;
        Some((used.get(word) >> 32, used.get(word + 1) & 0xffff_ffff))
    }
}

/// The device with its queues and buffers.
pub struct Nic {
    /// Its registers.
    pub regs: Window,
    /// Register layout: 1 or 2.
    pub version: u32,
    /// Queue 0.
    pub receive: Ring,
    /// Queue 1.
    pub transmit: Ring,
    /// One page for each buffer of the receive queue, and one for sending.
    pub buffers: Frame,
}

impl Nic {
    /// The driver of the device in `slot`, which is set up.
    #[must_use]
    pub fn new(n: u64) -> Self {
        let regs = virtio::slot(n);
        let version = regs.read(VERSION);
        let buffers = Frame::run(u64::from(QUEUE_SIZE) + 1);
        let mut nic = Self { regs, version, receive: Ring::new(), transmit: Ring::new(), buffers };
        nic.restart();
        nic
    }

    /// Resets the device and sets its queues up, with all buffers on offer.
    pub fn restart(&mut self) {
        virtio::negotiate(self.regs, self.version);
        for (number, ring) in [(RECEIVE, &mut self.receive), (TRANSMIT, &mut self.transmit)] {
            ring.restart();
            virtio::place_queue(self.regs, self.version, number, ring.pages.pa());
        }
        self.regs.write(STATUS, self.regs.read::<u32>(STATUS) | 4);
        for head in 0..u64::from(QUEUE_SIZE) {
            self.give(head);
        }
        self.regs.write(QUEUE_NOTIFY, RECEIVE);
    }

    /// Bytes before each frame.
    #[must_use]
    pub fn header(&self) -> u64 {
        if self.version == 2 { 12 } else { 10 }
    }

    /// The address of the interface, its first byte in the lowest bits.
    #[must_use]
    pub fn mac(&self) -> [u8; 6] {
        core::array::from_fn(|at| self.regs.read(CONFIG + at as u64))
    }

    /// Offers buffer `head` to the device.
    pub fn give(&mut self, head: u64) {
        self.receive.describe(head, self.buffers.after(head).pa(), PAGE / 2, virtio::WRITE, 0);
        self.receive.offer(head);
    }

    /// The page from which frames are sent.
    #[must_use]
    pub fn outgoing(&self) -> Frame {
        self.buffers.after(u64::from(QUEUE_SIZE))
    }

    /// Sends a frame; whether the device took it.
    pub fn send(&mut self, frame: &[u8]) -> bool {
        let (page, header) = (self.outgoing(), self.header());
        page.fill(0);
        for (at, byte) in (header..).zip(frame) {
            set_byte(page, at, *byte);
        }
        self.transmit.describe(0, page.pa(), header + frame.len() as u64, 0, 0);
        self.transmit.offer(0);
        self.regs.write(QUEUE_NOTIFY, TRANSMIT);
        self.sent(5000)
    }

    /// Waits until a frame is sent, or for `ms` milliseconds.
    pub fn sent(&mut self, ms: u64) -> bool {
        let end = clint::mtime() + ms * clint::TICKS_PER_MS;
        while self.transmit.take().is_none() {
            if clint::mtime() > end {
                return false;
            }
        }
        true
    }

    /// Waits for a frame that is `wanted`, by its first bytes; tells its
    /// length, header included, and gives the buffers back.
    pub fn expect<const N: usize>(
        &mut self,
        wanted: impl Fn(&[u8; N]) -> bool,
    ) -> Option<(u64, [u8; N])> {
        let end = clint::mtime() + 5000 * clint::TICKS_PER_MS;
        loop {
            while let Some((head, len)) = self.receive.take() {
                let page = self.buffers.after(head);
                let bytes = core::array::from_fn(|at| byte(page, self.header() + at as u64));
                self.give(head);
                self.regs.write(QUEUE_NOTIFY, RECEIVE);
                if wanted(&bytes) {
                    return Some((len, bytes));
                }
            }
            if clint::mtime() > end {
                return None;
            }
        }
    }
}

fn place(at: u64) -> (usize, u64) {
    (usize::try_from(at / 8).unwrap_or(0), at % 8 * 8)
}

/// One byte of a page.
#[must_use]
pub fn byte(page: Frame, at: u64) -> u8 {
    let (word, shift) = place(at);
    (page.get(word) >> shift & 0xff).to_le_bytes()[0]
}

fn set_byte(page: Frame, at: u64, value: u8) {
    let (word, shift) = place(at);
    page.set(word, page.get(word) & !(0xff << shift) | u64::from(value) << shift);
}
