//! Consoles: what is written is shown, what is typed can be read.
//!
//! Writing waits until the VMM has taken the text, which it does within the
//! hypercall: one exit, however long the text. What was typed waits in
//! buffers of the driver's, and reading it costs no exit as long as one of
//! them is with the device.

use trapeze_protocol::call::{Call, Width};
use trapeze_protocol::device::console::{Config, EMERG_WR, Features, RECEIVE, TRANSMIT};
use trapeze_protocol::device::{DeviceType, RingFeatures};

use crate::channel::{Channel, ChannelStorage, Lent, Segments, Statistics};
use crate::ecall::Ecall;
use crate::error::Error;
use crate::memory::{Linear, Memory};
use crate::plain;
use crate::queue::Interrupts;
use crate::vmm::{Device, Hypercall};

/// Buffers for what is typed.
const BUFFERS: usize = 4;
/// Bytes of each.
const LEN: usize = 64;

type Buffer = &'static mut [u8; LEN];

/// What a [`Console`] keeps for ever: put it in a static.
pub struct ConsoleStorage {
    receive: ChannelStorage<Buffer, BUFFERS>,
    transmit: ChannelStorage<Buffer, 1>,
    buffers: [[u8; LEN]; BUFFERS],
}

impl ConsoleStorage {
    /// Storage of a driver that has not begun.
    pub const fn new() -> Self {
        let (receive, transmit) = (ChannelStorage::new(), ChannelStorage::new());
        Self { receive, transmit, buffers: [[0; LEN]; BUFFERS] }
    }
}

impl Default for ConsoleStorage {
    fn default() -> Self {
        Self::new()
    }
}

/// A buffer that came back, and what of it is still to be read.
struct Typed {
    buffer: Buffer,
    from: usize,
    to: usize,
}

/// The driver of a console.
///
/// ```no_run
/// use guest_drivers::{Console, ConsoleStorage, DeviceType, Linear, Once, Vmm};
///
/// static STORAGE: Once<ConsoleStorage> = Once::new(ConsoleStorage::new());
///
/// fn greet(vmm: Vmm<Linear>) -> Option<u8> {
///     let mut console = Console::new(vmm.find(DeviceType::Console)?, STORAGE.take()?).ok()?;
///     console.write(b"press a key\r\n").ok()?;
///     let mut key = [0];
///     while console.read(&mut key) == 0 {}
///     Some(key[0])
/// }
/// ```
pub struct Console<M: Memory = Linear, H: Hypercall = Ecall> {
    device: Device<M, H>,
    receive: Channel<Buffer, M, H>,
    transmit: Channel<Buffer, M, H>,
    typed: Option<Typed>,
    features: Features,
    config: Config,
}

impl<M: Memory, H: Hypercall> Console<M, H> {
    /// Takes a console into service. It interrupts for nothing until
    /// [`set_interrupts`](Self::set_interrupts).
    ///
    /// # Errors
    /// If it is no console, or cannot be taken into service. The storage is
    /// lost.
    pub fn new(device: Device<M, H>, storage: &'static mut ConsoleStorage) -> Result<Self, Error> {
        if device.kind() != Some(DeviceType::Console) {
            return Err(Error::WrongDevice);
        }
        let event_idx = RingFeatures::EVENT_IDX.bits();
        let agreed = device.begin(Features::all().bits() | event_idx)?;
        let ConsoleStorage { receive, transmit, buffers } = storage;
        let event_idx = agreed & event_idx != 0;
        let receive = Channel::new(device, RECEIVE, event_idx, receive)?;
        let transmit = Channel::new(device, TRANSMIT, event_idx, transmit)?;
        let (features, config) = (Features::from_bits_truncate(agreed), device.config()?);
        let mut console = Self { device, receive, transmit, typed: None, features, config };
        for buffer in buffers {
            console.offer(buffer)?;
        }
        device.finish()?;
        console.receive.kick();
        Ok(console)
    }

    fn offer(&mut self, buffer: Buffer) -> Result<(), Error> {
        let rings = self.receive.rings();
        let describe = |slot, data: Segments<'_>| plain::to_fill(rings, slot, data);
        self.receive.submit(buffer, describe).map(|_| ()).map_err(|refused| refused.error)
    }

    /// The device that this drives.
    pub fn device(&self) -> Device<M, H> {
        self.device
    }

    /// Columns and rows, if the console has a size.
    pub fn size(&self) -> Option<(u16, u16)> {
        let known = self.features.contains(Features::SIZE);
        known.then_some((self.config.cols, self.config.rows))
    }

    /// Shows `bytes`, and waits until the VMM has them.
    ///
    /// # Errors
    /// If it does not work; some of it may have been shown all the same.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if bytes.is_empty() {
            return Ok(());
        }
        let rings = self.transmit.rings();
        let len = u32::try_from(bytes.len()).map_err(|_| Error::TooLong)?;
        let describe = |slot, data: Segments<'_>| plain::to_read(rings, slot, data, len);
        let shown = self.transmit.transfer(Lent::Read(bytes), describe);
        self.agree();
        shown.map(|_| ())
    }

    /// Shows one byte at once, without a queue: for the last words of a
    /// kernel that no longer trusts itself.
    ///
    /// # Errors
    /// If the console cannot.
    pub fn emergency_write(&self, byte: u8) -> Result<(), Error> {
        Self::emergency(self.device, byte)
    }

    /// The same by the device alone, for who cannot get at its driver.
    ///
    /// # Errors
    /// If it is no console, or cannot.
    pub fn emergency(device: Device<M, H>, byte: u8) -> Result<(), Error> {
        if device.kind() != Some(DeviceType::Console) {
            return Err(Error::WrongDevice);
        }
        let (vmm, device, value) = (device.vmm(), device.number(), byte.into());
        vmm.ask(Call::ConfigWrite { device, offset: EMERG_WR, width: Width::Word, value })?;
        Ok(())
    }

    /// Takes typed bytes, as many as there are and fit; says how many.
    ///
    /// Where interrupts are wanted there is one for the next byte after a 0:
    /// so the handler calls this until it says so.
    pub fn read(&mut self, bytes: &mut [u8]) -> usize {
        let mut done = 0;
        while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let Some(typed) = self.next_typed() else { break };
            let there = typed.buffer.get(typed.from..typed.to).unwrap_or_default();
            let count = there.len().min(rest.len());
            rest.iter_mut().zip(there).for_each(|(to, from)| *to = *from);
            (typed.from, done) = (typed.from + count, done + count);
            self.recycle();
        }
        done
    }

    /// Whether something typed can be read.
    pub fn has_input(&mut self) -> bool {
        self.next_typed().is_some()
    }

    /// Whether the device was stopped, because one side broke the rules.
    pub fn is_broken(&self) -> bool {
        self.receive.is_broken()
    }

    /// The buffer that is being read, or the next one.
    fn next_typed(&mut self) -> Option<&mut Typed> {
        if self.typed.is_none() {
            let landed = self.receive.complete();
            self.agree();
            let landed = landed?;
            // What a stopped device had is not offered again.
            let to = usize::try_from(landed.outcome.ok()?.len).unwrap_or(0).min(LEN);
            self.typed = Some(Typed { buffer: landed.data, from: 0, to });
        }
        self.recycle();
        self.typed.as_mut()
    }

    /// Gives a buffer that was read back to the device.
    fn recycle(&mut self) {
        if let Some(typed) = self.typed.take_if(|typed| typed.from >= typed.to)
            && self.offer(typed.buffer).is_ok()
        {
            self.receive.kick();
        }
    }

    /// Says when the device is to interrupt for what is typed, by the
    /// [`InterruptLine`](crate::InterruptLine).
    pub fn set_interrupts(&mut self, interrupts: Interrupts) {
        self.receive.set_interrupts(interrupts);
    }

    /// What was done until now: reading, and writing.
    pub fn statistics(&self) -> [Statistics; 2] {
        [self.receive.statistics(), self.transmit.statistics()]
    }

    /// Both queues are of one device: when one is stopped, so is the other.
    fn agree(&mut self) {
        if self.receive.is_broken() != self.transmit.is_broken() {
            let quiet = self.device.reset();
            self.receive.abandon(&quiet);
            self.transmit.abandon(&quiet);
        }
    }
}

impl<M: Memory, H: Hypercall> core::fmt::Write for Console<M, H> {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        self.write(text.as_bytes()).map_err(|_| core::fmt::Error)
    }
}

impl<M: Memory, H: Hypercall> Drop for Console<M, H> {
    /// Stops the device.
    fn drop(&mut self) {
        self.device.reset();
    }
}
