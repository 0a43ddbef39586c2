//! A virtio network interface by the queues of `virtio-drivers`, on any
//! transport.

use guest_drivers::Once;
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::Transport;

use super::{Nic, SIZE};
use crate::kernel::driver::memory::Memory;

/// Queues (virtio 1.2, section 5.1.2).
const RECEIVE: u16 = 0;
const TRANSMIT: u16 = 1;
/// The header before each frame, and what legacy devices leave out of it.
const HEADER: usize = 12;
const LEGACY: usize = 2;
/// Bytes of a buffer.
const LEN: usize = 2048;

bitflags::bitflags! {
    /// Features that we use.
    #[derive(Clone, Copy, Debug)]
    struct Features: u64 {
        const MAC = 1 << 5;
        const VERSION_1 = 1 << 32;
    }
}

type Buffers = [[u8; LEN]; SIZE];
static BUFFERS: Once<[Buffers; 2]> = Once::new([[[0; LEN]; SIZE]; 2]);

/// The driver. A queue's token is the descriptor of a request, which has but
/// one; it is the number of its buffer, too.
pub(crate) struct Card<T: Transport> {
    transport: T,
    receive: VirtQueue<Memory, SIZE>,
    transmit: VirtQueue<Memory, SIZE>,
    incoming: &'static mut Buffers,
    outgoing: &'static mut Buffers,
    /// The buffers that tokens stand for, and the lengths of what is sent.
    filled: [usize; SIZE],
    sent: [(usize, usize); SIZE],
    /// Buffers that can be sent.
    free: [usize; SIZE],
    count: usize,
    header: usize,
    mac: [u8; 6],
    /// Whether the device must be told.
    news: [bool; 2],
}

impl<T: Transport> Card<T> {
    pub(crate) fn new(mut transport: T, polls: bool) -> Option<Self> {
        let legacy = transport.requires_legacy_layout();
        transport.begin_init(Features::all());
        let mac = transport.read_config_space::<[u8; 6]>(0).ok()?;
        let mut receive = VirtQueue::new(&mut transport, RECEIVE, false, false).ok()?;
        let mut transmit = VirtQueue::new(&mut transport, TRANSMIT, false, false).ok()?;
        receive.set_dev_notify(!polls);
        transmit.set_dev_notify(false);
        transport.finish_init();
        let [incoming, outgoing] = BUFFERS.take()?;
        let mut card = Self {
            transport,
            receive,
            transmit,
            incoming,
            outgoing,
            filled: [0; SIZE],
            sent: [(0, 0); SIZE],
            free: core::array::from_fn(|n| n),
            count: SIZE,
            header: if legacy { HEADER - LEGACY } else { HEADER },
            mac,
            news: [false; 2],
        };
        (0..SIZE).for_each(|buffer| card.offer(buffer));
        card.kick();
        Some(card)
    }

    /// Gives the device a buffer for a frame.
    fn offer(&mut self, buffer: usize) {
        // SAFETY: the buffer is the device's until `next` has popped it.
        let token = unsafe { self.receive.add(&[], &mut [&mut self.incoming[buffer]]) };
        let token = token.expect("there are descriptors for all buffers");
        self.filled[usize::from(token)] = buffer;
        self.news[0] = true;
    }

    /// Takes back what was sent.
    fn reclaim(&mut self) {
        while let Some(token) = self.transmit.peek_used() {
            let (buffer, len) = self.sent[usize::from(token) % SIZE];
            let bytes = &self.outgoing[buffer][..len];
            // SAFETY: the same as was added.
            let popped = unsafe { self.transmit.pop_used(token, &[bytes], &mut []) };
            assert!(popped.is_ok(), "a frame was not sent");
            self.free[self.count] = buffer;
            self.count += 1;
        }
    }
}

impl<T: Transport> Nic for Card<T> {
    fn mac(&self) -> [u8; 6] {
        self.mac
    }

    fn put(&mut self, frame: &[u8]) -> bool {
        self.reclaim();
        let Some(last) = self.count.checked_sub(1) else { return false };
        let (buffer, len) = (self.free[last], self.header + frame.len());
        self.count = last;
        let bytes = &mut self.outgoing[buffer][..len];
        bytes[self.header..].copy_from_slice(frame);
        // SAFETY: the buffer is the device's until `reclaim` has popped it.
        let token = unsafe { self.transmit.add(&[bytes], &mut []) };
        let token = token.expect("there are descriptors for all buffers");
        self.sent[usize::from(token)] = (buffer, len);
        self.news[1] = true;
        true
    }

    fn kick(&mut self) {
        let [receive, transmit] = core::mem::take(&mut self.news);
        if receive && self.receive.should_notify() {
            self.transport.notify(RECEIVE);
        }
        if transmit && self.transmit.should_notify() {
            self.transport.notify(TRANSMIT);
        }
    }

    fn next(&mut self, see: &mut dyn FnMut(&[u8])) -> bool {
        let Some(token) = self.receive.peek_used() else { return false };
        let buffer = self.filled[usize::from(token) % SIZE];
        // SAFETY: the same as was added.
        let len = unsafe {
            let bytes = &mut self.incoming[buffer];
            self.receive.pop_used(token, &[], &mut [bytes])
        };
        let len = usize::try_from(len.unwrap_or(0)).unwrap_or(0).min(LEN);
        see(self.incoming[buffer].get(self.header..len).unwrap_or_default());
        self.offer(buffer);
        true
    }
}
