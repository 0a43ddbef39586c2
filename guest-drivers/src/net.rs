//! Network interfaces: Ethernet frames, without check sum.
//!
//! All buffers are the driver's own. Those for frames that come are with the
//! device; a frame is looked at where it lies, and the buffer goes back. A
//! frame to send is written where the device will read it.

use trapeze_protocol::device::net::{Config, ETHERNET_HEADER, Features, Header, RECEIVE, TRANSMIT};
use trapeze_protocol::device::{DeviceType, RingFeatures};

use crate::channel::{Channel, ChannelStorage, Segments, Statistics};
use crate::ecall::Ecall;
use crate::error::Error;
use crate::memory::{Linear, Memory};
use crate::plain;
use crate::queue::Interrupts;
use crate::vmm::{Device, Hypercall};

/// The longest frame.
pub(crate) const FRAME: usize = ETHERNET_HEADER + 1500;
/// Bytes before each frame, which are zero.
const HEADER: usize = size_of::<Header>();
const LEN: usize = HEADER + FRAME;

type Buffer = &'static mut [u8; LEN];

/// What a [`Net`] keeps for ever: put it in a static. `SIZE` frames can wait
/// to be received, and as many to be sent; a power of two.
pub struct NetStorage<const SIZE: usize> {
    receive: ChannelStorage<Buffer, SIZE>,
    transmit: ChannelStorage<Buffer, SIZE>,
    buffers: [[[u8; LEN]; SIZE]; 2],
    free: [Option<Buffer>; SIZE],
}

impl<const SIZE: usize> NetStorage<SIZE> {
    /// Storage of a driver that has not begun.
    pub const fn new() -> Self {
        let (receive, transmit) = (ChannelStorage::new(), ChannelStorage::new());
        let free = [const { None }; SIZE];
        Self { receive, transmit, buffers: [[[0; LEN]; SIZE]; 2], free }
    }
}

impl<const SIZE: usize> Default for NetStorage<SIZE> {
    fn default() -> Self {
        Self::new()
    }
}

/// The driver of a network interface.
///
/// ```no_run
/// use guest_drivers::{DeviceType, Linear, Net, NetStorage, Once, Vmm};
///
/// static STORAGE: Once<NetStorage<16>> = Once::new(NetStorage::new());
///
/// /// Sends every frame back to where it came from.
/// fn echo(vmm: Vmm<Linear>) -> Option<()> {
///     let mut net = Net::new(vmm.find(DeviceType::Net)?, STORAGE.take()?).ok()?;
///     let mut frame = [0; 1514];
///     loop {
///         let received = net.receive(|bytes| {
///             frame[..bytes.len()].copy_from_slice(bytes);
///             bytes.len()
///         });
///         if let Some(len) = received {
///             frame[..12].rotate_left(6);
///             net.send(len, |bytes| bytes.copy_from_slice(&frame[..len])).ok()?;
///         }
///     }
/// }
/// ```
pub struct Net<M: Memory = Linear, H: Hypercall = Ecall> {
    device: Device<M, H>,
    receiver: Receiver<M, H>,
    sender: Sender<M, H>,
    features: Features,
    config: Config,
}

/// Frames that come.
pub(crate) struct Receiver<M: Memory, H: Hypercall>(Channel<Buffer, M, H>);

/// Frames that go.
pub(crate) struct Sender<M: Memory, H: Hypercall> {
    channel: Channel<Buffer, M, H>,
    free: &'static mut [Option<Buffer>],
}

/// A frame that came, in a buffer that goes back to the device.
pub(crate) struct Received {
    buffer: Buffer,
    len: usize,
}

impl Received {
    pub(crate) fn frame(&self) -> &[u8] {
        self.buffer.get(HEADER..HEADER + self.len).unwrap_or_default()
    }
}

impl<M: Memory, H: Hypercall> Receiver<M, H> {
    fn offer(&mut self, buffer: Buffer) -> Result<(), Error> {
        let rings = self.0.rings();
        let describe = |slot, data: Segments<'_>| plain::to_fill(rings, slot, data);
        self.0.submit(buffer, describe).map(|_| ()).map_err(|refused| refused.error)
    }

    /// The next frame. Who takes it gives it back.
    pub(crate) fn next(&mut self) -> Option<Received> {
        loop {
            let landed = self.0.complete()?;
            // What a stopped device had is not offered again.
            let written = usize::try_from(landed.outcome.ok()?.len).unwrap_or(0);
            match written.checked_sub(HEADER) {
                Some(len) if len >= ETHERNET_HEADER => {
                    return Some(Received { buffer: landed.data, len });
                }
                _ => self.give_back(landed.data),
            }
        }
    }

    /// The frame was seen.
    pub(crate) fn done(&mut self, received: Received) {
        self.give_back(received.buffer);
    }

    fn give_back(&mut self, buffer: Buffer) {
        if self.offer(buffer).is_ok() {
            self.0.kick();
        }
    }
}

impl<M: Memory, H: Hypercall> Sender<M, H> {
    /// Takes back what was sent; says whether there is a free buffer.
    pub(crate) fn reclaim(&mut self) -> bool {
        while let Some(landed) = self.channel.complete() {
            self.keep(landed.data);
        }
        !self.channel.is_broken() && self.free.iter().any(Option::is_some)
    }

    /// Sends a frame of `len` bytes that `fill` writes, or gives `fill` back.
    pub(crate) fn send<R, F: FnOnce(&mut [u8]) -> R>(
        &mut self,
        len: usize,
        fill: F,
    ) -> Result<R, (Error, F)> {
        let result = self.enqueue(len, fill)?;
        self.channel.kick();
        Ok(result)
    }

    /// The same without telling the device.
    fn enqueue<R, F: FnOnce(&mut [u8]) -> R>(
        &mut self,
        len: usize,
        fill: F,
    ) -> Result<R, (Error, F)> {
        let buffer = match self.buffer(len) {
            Ok(buffer) => buffer,
            Err(error) => return Err((error, fill)),
        };
        let (header, frame) = buffer.split_at_mut(HEADER);
        header.fill(0);
        let result = fill(frame.split_at_mut(len).0);
        let (rings, bytes) = (self.channel.rings(), u32::try_from(HEADER + len).unwrap_or(0));
        let describe = |slot, data: Segments<'_>| plain::to_read(rings, slot, data, bytes);
        // A device that does not take it is stopped, and says so next time.
        if let Err(refused) = self.channel.submit(buffer, describe) {
            self.keep(refused.data);
        }
        Ok(result)
    }

    /// A buffer for a frame of `len` bytes.
    fn buffer(&mut self, len: usize) -> Result<Buffer, Error> {
        match len {
            ..ETHERNET_HEADER => return Err(Error::TooShort),
            ETHERNET_HEADER..=FRAME => {}
            _ => return Err(Error::TooLong),
        }
        if !self.reclaim() && self.channel.is_broken() {
            return Err(Error::Broken);
        }
        self.free.iter_mut().find_map(Option::take).ok_or(Error::Full)
    }

    fn keep(&mut self, buffer: Buffer) {
        if let Some(place) = self.free.iter_mut().find(|place| place.is_none()) {
            *place = Some(buffer);
        }
    }
}

impl<M: Memory, H: Hypercall> Net<M, H> {
    /// Takes a network interface into service. It interrupts for nothing
    /// until [`set_interrupts`](Self::set_interrupts).
    ///
    /// # Errors
    /// If it is none, or cannot be taken into service. The storage is lost.
    pub fn new<const SIZE: usize>(
        device: Device<M, H>,
        storage: &'static mut NetStorage<SIZE>,
    ) -> Result<Self, Error> {
        if device.kind() != Some(DeviceType::Net) {
            return Err(Error::WrongDevice);
        }
        let event_idx = RingFeatures::EVENT_IDX.bits();
        let agreed = device.begin(Features::all().bits() | event_idx)?;
        let NetStorage { receive, transmit, buffers: [incoming, outgoing], free } = storage;
        let event_idx = agreed & event_idx != 0;
        let mut receiver = Receiver(Channel::new(device, RECEIVE, event_idx, receive)?);
        let channel = Channel::new(device, TRANSMIT, event_idx, transmit)?;
        for buffer in incoming {
            receiver.offer(buffer)?;
        }
        for (place, buffer) in free.iter_mut().zip(outgoing) {
            *place = Some(buffer);
        }
        let (features, config) = (Features::from_bits_truncate(agreed), device.config()?);
        device.finish()?;
        receiver.0.kick();
        Ok(Self { device, receiver, sender: Sender { channel, free }, features, config })
    }

    /// The device that this drives.
    pub fn device(&self) -> Device<M, H> {
        self.device
    }

    /// The interface's address, if it was given one.
    pub fn mac(&self) -> Option<[u8; 6]> {
        self.features.contains(Features::MAC).then_some(self.config.mac)
    }

    /// The longest payload of a frame, in bytes.
    pub fn mtu(&self) -> u16 {
        let most = 1500;
        if self.features.contains(Features::MTU) { self.config.mtu.min(most) } else { most }
    }

    /// Sends a frame of `len` bytes, which `fill` writes, with both addresses
    /// and type. It waits for nobody.
    ///
    /// # Errors
    /// [`Error::Full`] if all buffers are on their way; `TooShort` and
    /// `TooLong` for what is no frame; [`Error::Broken`] if the device was
    /// stopped. Then `fill` was not called.
    pub fn send<R>(&mut self, len: usize, fill: impl FnOnce(&mut [u8]) -> R) -> Result<R, Error> {
        let sent = self.sender.send(len, fill);
        self.agree();
        sent.map_err(|(error, _)| error)
    }

    /// Puts a frame into the queue without telling the device, which it need
    /// not hear before there is a [`kick`](Self::kick): one for many frames.
    ///
    /// # Errors
    /// As of [`send`](Self::send).
    pub fn enqueue<R>(
        &mut self,
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> R,
    ) -> Result<R, Error> {
        let queued = self.sender.enqueue(len, fill);
        self.agree();
        queued.map_err(|(error, _)| error)
    }

    /// Tells the device of all that was put into the queue, if it wants to
    /// know.
    pub fn kick(&mut self) {
        self.sender.channel.kick();
    }

    /// Shows the next frame that came to `see`.
    ///
    /// Where interrupts are wanted there is one for the next frame after
    /// `None`: so the handler calls this until it says so.
    pub fn receive<R>(&mut self, see: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let received = self.receiver.next();
        self.agree();
        let received = received?;
        let result = see(received.frame());
        self.receiver.done(received);
        Some(result)
    }

    /// Says when the device is to interrupt for frames that came, by the
    /// [`InterruptLine`](crate::InterruptLine).
    pub fn set_interrupts(&mut self, interrupts: Interrupts) {
        self.receiver.0.set_interrupts(interrupts);
    }

    /// What was done until now: receiving, and sending.
    pub fn statistics(&self) -> [Statistics; 2] {
        [self.receiver.0.statistics(), self.sender.channel.statistics()]
    }

    /// Whether the device was stopped, because one side broke the rules.
    pub fn is_broken(&self) -> bool {
        self.receiver.0.is_broken()
    }

    /// Both queues are of one device: when one is stopped, so is the other.
    fn agree(&mut self) {
        if self.receiver.0.is_broken() != self.sender.channel.is_broken() {
            let quiet = self.device.reset();
            self.receiver.0.abandon(&quiet);
            self.sender.channel.abandon(&quiet);
        }
    }

    /// Both directions, for those that are borrowed at the same time.
    #[cfg(feature = "smoltcp")]
    pub(crate) fn halves(&mut self) -> (&mut Receiver<M, H>, &mut Sender<M, H>) {
        self.agree();
        (&mut self.receiver, &mut self.sender)
    }
}

impl<M: Memory, H: Hypercall> Drop for Net<M, H> {
    /// Stops the device.
    fn drop(&mut self) {
        self.device.reset();
    }
}
