//! The paravirtual interface: the devices of one guest behind hypercalls.
//!
//! ```text
//!  ecall ─ protocol::Call ── Pv ── Function<device> ── queue, disk, ...
//!                             └─ line: which devices have news
//! ```
//!
//! What a register access says to virtio-mmio, a call says here; the devices
//! are the same. A call that breaks a rule gets an error and changes nothing:
//! only what is in a queue can break a device. Sources: `docs/protocol.md`,
//! and Virtio 1.2 for what stands behind it.

mod line;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;

use trapeze_protocol::call::{Call, Error, Features, QueueState, Version, Width};
use trapeze_protocol::device::{Description, DeviceType, Status};
use trapeze_protocol::queue::is_valid_size;

pub use line::{Line, Raise};

use crate::addr::{Gpa, to_usize};
use crate::mem::GuestRam;
use crate::virtio::chain::Segment;
use crate::virtio::function::{Function, Interface, InterruptStatus};
use crate::virtio::queue::{MAX_SIZE, Place};
use crate::virtio::{AnyDevice, Device};

/// Bits of a status that a driver may write.
const STATUS: Status = Status::all().difference(Status::NEEDS_RESET);

/// What becomes of a call that is not refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// It is done.
    Value(u64),
    /// It is to be made again: a backend still uses the guest's memory.
    Again,
    /// It is about the vCPU, not about a device.
    Other(Call),
}

/// The paravirtual devices of one guest.
#[derive(Default)]
pub struct Pv {
    functions: Vec<Function<AnyDevice>>,
    line: Option<Line>,
    /// Bit n: device n may have a reason for an interrupt.
    news: u64,
}

impl Pv {
    /// Adds a device, and tells its number.
    pub fn add(&mut self, device: AnyDevice) -> usize {
        self.functions.push(Function::new(device, Interface::Modern));
        self.functions.len() - 1
    }

    /// All devices as at power-on, and no interrupt line; but see
    /// [`busy`](Self::busy).
    pub fn reset(&mut self) {
        self.functions.iter_mut().for_each(Function::reset);
        (self.line, self.news) = (None, 0);
    }

    /// Whether a backend may still write guest memory.
    pub fn busy(&self) -> bool {
        self.functions.iter().any(|function| function.busy() != 0)
    }

    /// Shows the guest memory that backends may still read or write.
    pub fn in_flight(&self, visit: &mut dyn FnMut(Segment)) {
        self.functions.iter().for_each(|function| function.in_flight(visit));
    }

    /// Whether [`poll_backlog`](Self::poll_backlog) has something to do.
    #[inline]
    pub fn has_backlog(&self) -> bool {
        self.functions.iter().any(Function::has_backlog)
    }

    /// Goes on with what was put off.
    pub fn poll_backlog(&mut self, ram: &GuestRam) {
        for number in 0..self.functions.len() {
            if self.functions.get(number).is_some_and(Function::has_backlog) {
                self.poll(number, ram);
            }
        }
    }

    /// Goes on with what device `number` has under way.
    pub fn poll(&mut self, number: usize, ram: &GuestRam) {
        if let Some(function) = self.functions.get_mut(number) {
            function.poll(ram);
            self.has_news(number);
        }
    }

    /// A device of this type whose driver is ready.
    pub fn running(&self, kind: DeviceType) -> Option<usize> {
        self.functions.iter().position(|function| function.runs(kind))
    }

    /// Where the interrupt line is, if the guest has one.
    pub fn line(&self) -> Option<Line> {
        self.line
    }

    fn has_news(&mut self, number: usize) {
        self.news |= u32::try_from(number).ok().and_then(|n| 1u64.checked_shl(n)).unwrap_or(0);
    }

    /// Writes the news of the devices to the interrupt line, and tells which
    /// interrupt is to be raised.
    #[inline]
    pub fn publish(&mut self, ram: &GuestRam) -> Option<Raise> {
        if self.news == 0 { None } else { self.publish_news(ram) }
    }

    fn publish_news(&mut self, ram: &GuestRam) -> Option<Raise> {
        let (mut used, mut changed) = (0, 0);
        let mut news = core::mem::take(&mut self.news);
        while news != 0 {
            let (number, bit) = (news.trailing_zeros() as usize, news & news.wrapping_neg());
            news ^= bit;
            let Some(function) = self.functions.get_mut(number) else { continue };
            let why = function.interrupt();
            function.acknowledge(why);
            used |= if why.is_empty() { 0 } else { bit };
            changed |= if why.contains(InterruptStatus::CONFIGURATION) { bit } else { 0 };
        }
        self.line.and_then(|line| line.publish(ram, used, changed))
    }

    /// Serves `call` of a guest with `harts` vCPUs.
    ///
    /// # Errors
    /// As `docs/protocol.md` says of each call.
    #[inline]
    pub fn call(&mut self, call: Call, harts: usize, ram: &GuestRam) -> Result<Answer, Error> {
        match call {
            Call::Notify { device, queue } => self.notify(device, queue, ram),
            Call::InterruptSetUp { line, hart } => {
                self.line = Line::new(line, hart, harts, ram)?;
                self.news = 0;
                Ok(0)
            }
            Call::SetStatus { device, status: 0 } => return self.reset_device(device),
            Call::InterruptDone
            | Call::Yield
            | Call::Counter { .. }
            | Call::CounterName { .. }
            | Call::CpuPageSetUp { .. }
            | Call::CpuPageEnd => return Ok(Answer::Other(call)),
            _ => self.configure(call, ram),
        }
        .map(Answer::Value)
    }

    /// The calls that are made once, when a driver starts or ends.
    fn configure(&mut self, call: Call, ram: &GuestRam) -> Result<u64, Error> {
        match call {
            Call::Version => Ok(Version::CURRENT.to_value()),
            Call::Features => Ok((Features::YIELD | Features::COUNTERS).bits()),
            Call::DeviceCount => Ok(self.functions.len() as u64),
            Call::Describe { device } => Ok(describe(self.function(device)?).to_value()),
            Call::DeviceFeatures { device } => Ok(self.function(device)?.offered()),
            Call::GetStatus { device } => Ok(self.function(device)?.status().bits()),
            Call::ConfigGeneration { device } => Ok(self.function(device)?.generation().into()),
            Call::QueueState { device, queue } => self.queue_state(device, queue),
            Call::ConfigRead { device, offset, width } => self.config_read(device, offset, width),
            Call::AcceptFeatures { device, features } => self.accept(device, features),
            Call::SetStatus { device, status } => self.set_status(device, status),
            Call::QueueSetUp { device, queue, size, descriptors, avail, used } => {
                let parts = [descriptors, avail, used].map(Gpa);
                self.queue_set_up((device, queue), size, parts, ram)
            }
            Call::QueueStop { device, queue } => {
                let (function, queue, _) = self.queue(device, queue)?;
                function.disable(queue);
                Ok(0)
            }
            Call::ConfigWrite { device, offset, width, value } => {
                let place = aligned(offset, width)?;
                let bytes = value.to_le_bytes();
                let written = bytes.get(..width as usize).unwrap_or_default();
                let number = self.number(device)?;
                let taken = self.function_mut(device)?.write_config(place, written);
                self.has_news(number);
                if taken { Ok(0) } else { Err(Error::Denied) }
            }
            _ => Err(Error::NotSupported),
        }
    }

    fn number(&self, device: u64) -> Result<usize, Error> {
        let number = to_usize(device);
        if number < self.functions.len() { Ok(number) } else { Err(Error::InvalidParameter) }
    }

    fn function(&self, device: u64) -> Result<&Function<AnyDevice>, Error> {
        self.functions.get(to_usize(device)).ok_or(Error::InvalidParameter)
    }

    fn function_mut(&mut self, device: u64) -> Result<&mut Function<AnyDevice>, Error> {
        self.functions.get_mut(to_usize(device)).ok_or(Error::InvalidParameter)
    }

    /// A queue, with its device and whether it is in use.
    fn queue(
        &mut self,
        device: u64,
        queue: u64,
    ) -> Result<(&mut Function<AnyDevice>, usize, bool), Error> {
        let (function, queue) = (self.function_mut(device)?, to_usize(queue));
        let ready = function.queue_ready(queue).ok_or(Error::InvalidParameter)?;
        Ok((function, queue, ready))
    }

    fn notify(&mut self, device: u64, queue: u64, ram: &GuestRam) -> Result<u64, Error> {
        let number = self.number(device)?;
        let (function, queue, ready) = self.queue(device, queue)?;
        let over = Status::NEEDS_RESET | Status::FAILED;
        let status = function.status();
        if !ready || !status.contains(Status::DRIVER_OK) || status.intersects(over) {
            return Err(Error::InvalidState);
        }
        function.notify(queue, ram);
        self.has_news(number);
        Ok(0)
    }

    fn reset_device(&mut self, device: u64) -> Result<Answer, Error> {
        let function = self.function_mut(device)?;
        function.reset();
        Ok(if function.busy() == 0 { Answer::Value(0) } else { Answer::Again })
    }

    fn accept(&mut self, device: u64, features: u64) -> Result<u64, Error> {
        let function = self.function_mut(device)?;
        let status = function.status();
        let agreed = status.intersects(Status::FEATURES_OK | Status::DRIVER_OK);
        if !status.contains(Status::DRIVER) || agreed {
            return Err(Error::InvalidState);
        }
        if features & !function.offered() != 0 {
            return Err(Error::InvalidParameter);
        }
        function.accept_all(features);
        Ok(0)
    }

    /// Any status but zero.
    fn set_status(&mut self, device: u64, status: u64) -> Result<u64, Error> {
        let status = Status::from_bits(status).ok_or(Error::InvalidParameter)? & STATUS;
        if status.is_empty() {
            return Err(Error::InvalidParameter);
        }
        self.function_mut(device)?.set_status(status);
        Ok(0)
    }

    fn queue_state(&mut self, device: u64, queue: u64) -> Result<u64, Error> {
        let (_, _, ready) = self.queue(device, queue)?;
        Ok(QueueState { max_size: MAX_SIZE, ready }.to_value())
    }

    fn queue_set_up(
        &mut self,
        (device, queue): (u64, u64),
        size: u64,
        [descriptors, avail, used]: [Gpa; 3],
        ram: &GuestRam,
    ) -> Result<u64, Error> {
        let (function, queue, ready) = self.queue(device, queue)?;
        let size = u16::try_from(size).map_err(|_| Error::InvalidParameter)?;
        if !is_valid_size(size) || size > MAX_SIZE {
            return Err(Error::InvalidParameter);
        }
        let status = function.status();
        if ready || !status.contains(Status::FEATURES_OK) || status.contains(Status::NEEDS_RESET) {
            return Err(Error::InvalidState);
        }
        let place = Place { size, descriptors, avail, used };
        function.try_enable(queue, place, ram).map_err(|_| Error::InvalidAddress)?;
        Ok(0)
    }

    fn config_read(&self, device: u64, offset: u64, width: Width) -> Result<u64, Error> {
        let place = to_usize(aligned(offset, width)?);
        let mut bytes = [0; 8];
        let there = self.function(device)?.config().get(place..).unwrap_or_default();
        let wanted = bytes.iter_mut().zip(there).take(width as usize);
        wanted.for_each(|(byte, value)| *byte = *value);
        Ok(u64::from_le_bytes(bytes))
    }
}

fn describe(function: &Function<AnyDevice>) -> Description {
    let device = function.device();
    Description {
        kind: device.kind() as u16,
        queues: u16::try_from(device.queues()).unwrap_or(u16::MAX),
        config_len: u32::try_from(device.config().len()).unwrap_or(u32::MAX),
    }
}

/// An offset that a configuration can have at this width.
fn aligned(offset: u64, width: Width) -> Result<u64, Error> {
    if offset.is_multiple_of(width as u64) { Ok(offset) } else { Err(Error::InvalidParameter) }
}
