//! The real network interface: frames are copied in and out of buffers that
//! the device always has, and nobody ever waits for it.
//!
//! `virtio-drivers` has a network driver, but with event indices, whose check
//! in that crate loses a notification when an index wraps; so this uses the
//! crate's queue and transport directly. There is nothing to be gained by
//! them: the device looks into its queues for as long as it finds something.

use alloc::boxed::Box;
use alloc::vec::Vec;

use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::Transport;

use super::{MachineHal, Mmio};
use crate::net::{BURST, FRAME_MAX, Frame};

/// Buffers in either direction.
const SIZE: usize = BURST;
/// Queues (virtio 1.2, section 5.1.2).
const RECEIVE: u16 = 0;
const TRANSMIT: u16 = 1;
/// Bytes before each frame (section 5.1.6): zero in what we send.
const HEADER: usize = 12;

bitflags::bitflags! {
    /// Features that we use; without the others, frames are as on the wire.
    #[derive(Clone, Copy, Debug)]
    struct Features: u64 {
        const VERSION_1 = 1 << 32;
    }
}

/// Header and frame.
type Buffer = Box<[u8; HEADER + FRAME_MAX]>;

/// One direction: its queue, and the buffers that the device has, each under
/// its token.
struct Direction {
    queue: VirtQueue<MachineHal, SIZE>,
    at_device: [Option<(Buffer, usize)>; SIZE],
}

impl Direction {
    fn new(transport: &mut Mmio, index: u16) -> Option<Self> {
        let queue = VirtQueue::new(transport, index, false, false).ok()?;
        Some(Self { queue, at_device: [const { None }; SIZE] })
    }

    /// Gives the first `len` bytes of a buffer to the device; it comes back
    /// from where there is no room for it.
    fn give(&mut self, mut buffer: Buffer, len: usize, write: bool) -> Result<(), Buffer> {
        let Some(bytes) = buffer.get_mut(..len) else { return Err(buffer) };
        // SAFETY: the buffer stays boxed and untouched in `at_device` until
        // the device is done with it.
        let token = unsafe {
            if write {
                self.queue.add(&[], &mut [bytes])
            } else {
                self.queue.add(&[bytes], &mut [])
            }
        };
        let slot = token.ok().and_then(|token| self.at_device.get_mut(usize::from(token)));
        match slot {
            Some(slot) => {
                *slot = Some((buffer, len));
                Ok(())
            }
            None => Err(buffer),
        }
    }

    /// Takes the next buffer back that the device is done with; with how many
    /// bytes it wrote there.
    fn take(&mut self, write: bool) -> Option<(Buffer, usize)> {
        let token = self.queue.peek_used()?;
        let (mut buffer, len) = self.at_device.get_mut(usize::from(token))?.take()?;
        let bytes = buffer.get_mut(..len)?;
        // SAFETY: the same buffer as given to `add`.
        let written = unsafe {
            if write {
                self.queue.pop_used(token, &[], &mut [bytes])
            } else {
                self.queue.pop_used(token, &[bytes], &mut [])
            }
        };
        Some((buffer, written.map_or(0, |written| written as usize)))
    }
}

/// The interface.
pub(super) struct Net {
    transport: Mmio,
    receive: Direction,
    transmit: Direction,
    /// Buffers for frames to be sent.
    free: Vec<Buffer>,
}

impl Net {
    /// Takes the interface behind `transport` into service.
    pub(super) fn new(mut transport: Mmio) -> Option<Self> {
        if !transport.begin_init(Features::all()).contains(Features::VERSION_1) {
            return None;
        }
        let receive = Direction::new(&mut transport, RECEIVE)?;
        let mut transmit = Direction::new(&mut transport, TRANSMIT)?;
        transport.finish_init();
        // Who sends looks for the buffers that have come back.
        transmit.queue.set_dev_notify(false);
        let buffers = || (0..SIZE).map(|_| Box::new([0; HEADER + FRAME_MAX]));
        let mut net = Self { transport, receive, transmit, free: buffers().collect() };
        buffers().for_each(|buffer| net.refill(buffer));
        net.transport.notify(RECEIVE);
        Some(net)
    }

    /// Gives the device a buffer for a frame that comes.
    fn refill(&mut self, buffer: Buffer) {
        // There are as many buffers as places in the queue.
        let _ = self.receive.give(buffer, HEADER + FRAME_MAX, true);
    }

    /// Sends a frame; `false` if all buffers are under way. Then an interrupt
    /// tells when they are back.
    pub(super) fn send(&mut self, frame: &[u8]) -> bool {
        let Some(mut buffer) = self.buffer() else { return false };
        let len = HEADER + frame.len();
        let fits = buffer.get_mut(HEADER..len).map(|to| to.copy_from_slice(frame)).is_some();
        if !fits {
            self.free.push(buffer);
            return true;
        }
        match self.transmit.give(buffer, len, false) {
            Ok(()) if self.transmit.queue.should_notify() => self.transport.notify(TRANSMIT),
            Ok(()) => {}
            Err(buffer) => self.free.push(buffer),
        }
        true
    }

    /// A buffer for a frame to be sent.
    fn buffer(&mut self) -> Option<Buffer> {
        self.reclaim();
        if self.free.is_empty() {
            self.transmit.queue.set_dev_notify(true);
            // They may have come back before the device knew.
            core::sync::atomic::fence(core::sync::atomic::Ordering::SeqCst);
            self.reclaim();
        }
        let buffer = self.free.pop()?;
        self.transmit.queue.set_dev_notify(false);
        Some(buffer)
    }

    fn reclaim(&mut self) {
        while let Some((buffer, _)) = self.transmit.take(false) {
            self.free.push(buffer);
        }
    }

    /// The next frame that came.
    pub(super) fn receive(&mut self, frame: &mut Frame) -> Option<usize> {
        let (buffer, written) = self.receive.take(true)?;
        let came = buffer.get(HEADER..written).unwrap_or_default();
        let to = frame.get_mut(..came.len())?;
        to.copy_from_slice(came);
        let len = came.len();
        self.refill(buffer);
        if self.receive.queue.should_notify() {
            self.transport.notify(RECEIVE);
        }
        Some(len)
    }

    /// Quietens the device's interrupt line.
    pub(super) fn acknowledge(&mut self) {
        self.transport.ack_interrupt();
    }
}
