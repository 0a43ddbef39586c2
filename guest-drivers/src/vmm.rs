//! The VMM as its guest sees it: hypercalls, and what they say of devices.
//!
//! One of the places where `unsafe` is allowed. A hypercall can give memory
//! away, so making one is unsafe; all that is built on it here is safe,
//! because the only memory that is given is made of atomics and lives for
//! ever.
#![allow(unsafe_code)]

use core::ptr::NonNull;

use trapeze_protocol::call::{Call, Features, Function, QueueState, Reply, Version, Width};
use trapeze_protocol::device::{Description, DeviceType, RingFeatures, Status};
use trapeze_protocol::interrupt::Line;
use zerocopy::{FromBytes, IntoBytes};

use crate::cpu::CpuPage;
use crate::ecall::Ecall;
use crate::error::Error;
use crate::interrupt::InterruptLine;
use crate::memory::Memory;
use crate::rings::Rings;

/// The way to the VMM. [`Ecall`] is the real one; tests have others.
///
/// # Safety
/// What answers must keep the protocol. In particular, devices touch only
/// memory that was given to them, until they give it back by the used ring,
/// and not at all from a status of zero on.
pub unsafe trait Hypercall: Copy {
    /// Makes a call.
    ///
    /// # Safety
    /// The memory that the call names, and all that rings there refer to,
    /// must be the devices' to use until they give it back.
    unsafe fn call(self, call: Call) -> Reply;
}

/// A VMM that has answered, and how it sees this kernel's memory.
#[derive(Clone, Copy, Debug)]
pub struct Vmm<M, H = Ecall> {
    memory: M,
    hypercall: H,
    features: Features,
}

impl<M: Memory, H: Hypercall> Vmm<M, H> {
    /// Asks for the version of the interface.
    ///
    /// # Errors
    /// If it is not one that this crate works with.
    pub fn connect(memory: M, hypercall: H) -> Result<Self, Error> {
        let mut vmm = Self { memory, hypercall, features: Features::empty() };
        let version = Version::from_value(vmm.ask(Call::Version)?);
        if !version.is_some_and(|version| version.serves(Version::CURRENT)) {
            return Err(Error::Version);
        }
        vmm.features = Features::from_bits_truncate(vmm.ask(Call::Features)?);
        Ok(vmm)
    }

    /// The devices, by number.
    pub fn devices(self) -> impl Iterator<Item = Device<M, H>> {
        let count = self.ask(Call::DeviceCount).unwrap_or(0);
        let count = count.min(trapeze_protocol::device::MAX_DEVICES);
        (0..count).filter_map(move |number| {
            let description =
                Description::from_value(self.ask(Call::Describe { device: number }).ok()?);
            Some(Device { vmm: self, number, description })
        })
    }

    /// The first device of a type.
    pub fn find(self, kind: DeviceType) -> Option<Device<M, H>> {
        self.devices().find(|device| device.kind() == Some(kind))
    }

    /// How the VMM sees this kernel's memory.
    pub fn memory(self) -> M {
        self.memory
    }

    /// What the interface has beyond its first version.
    pub fn features(self) -> Features {
        self.features
    }

    /// Passes a moment in which there is nothing to do but to wait: somebody
    /// else may have the hart, if the VMM knows how.
    pub fn relax(self) {
        if self.features.contains(Features::YIELD) {
            // It matters only for how long we wait.
            let _ = self.ask(Call::Yield);
        }
        core::hint::spin_loop();
    }

    /// A call that gives no memory away.
    pub(crate) fn ask(self, call: Call) -> Reply {
        let gives = matches!(
            call.function(),
            Function::QueueSetUp | Function::InterruptSetUp | Function::CpuPageSetUp
        );
        debug_assert!(!gives, "memory is given by functions of their own");
        // SAFETY: no memory is named. A `notify` points to requests that were
        // given to the device when their index was stored.
        unsafe { self.hypercall.call(call) }
    }

    /// Has the registers of S-mode of this hart in `page`. The kernel reaches
    /// them at other addresses from then on: see [`Cpu::set_up`](crate::Cpu::set_up).
    ///
    /// # Errors
    /// If the VMM gives no such page.
    pub fn set_cpu_page(self, page: &'static CpuPage) -> Result<(), Error> {
        let place = NonNull::from(page).cast();
        let address = self.memory.physical(place, size_of_val(page)).ok_or(Error::Address)?;
        // SAFETY: the page is made of atomics and lives for ever.
        unsafe { self.hypercall.call(Call::CpuPageSetUp { address }) }?;
        Ok(())
    }

    /// Says where the interrupt line is, and whom it interrupts.
    pub(crate) fn set_line(
        self,
        to: Option<(&'static InterruptLine, Line)>,
        hart: u64,
    ) -> Result<(), Error> {
        let line = match to {
            Some((line, code)) => {
                let address = self.memory.physical(NonNull::from(line).cast(), size_of_val(line));
                Some((address.ok_or(Error::Address)?, code))
            }
            None => None,
        };
        // SAFETY: the line is made of atomics and lives for ever.
        unsafe { self.hypercall.call(Call::InterruptSetUp { line, hart }) }?;
        Ok(())
    }
}

/// A device of the interface, before or under a driver.
#[derive(Clone, Copy, Debug)]
pub struct Device<M, H = Ecall> {
    vmm: Vmm<M, H>,
    number: u64,
    description: Description,
}

/// Shows that a device was reset and has let go of all memory.
pub(crate) struct Quiet {
    number: u64,
}

impl Quiet {
    /// Whether the device with this number was meant.
    pub(crate) fn is(&self, number: u64) -> bool {
        self.number == number
    }
}

impl<M: Memory, H: Hypercall> Device<M, H> {
    /// Its number: its bit in the interrupt line.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Its type, if it is known.
    pub fn kind(&self) -> Option<DeviceType> {
        self.description.device_type()
    }

    /// The VMM that has it.
    pub fn vmm(&self) -> Vmm<M, H> {
        self.vmm
    }

    /// The type, the number of queues, and the length of the configuration.
    pub fn description(&self) -> Description {
        self.description
    }

    /// Its status.
    ///
    /// # Errors
    /// If the VMM does not tell.
    pub fn status(&self) -> Result<Status, Error> {
        let status = self.vmm.ask(Call::GetStatus { device: self.number })?;
        Ok(Status::from_bits_retain(status))
    }

    pub(crate) fn set_status(&self, status: Status) -> Result<(), Error> {
        self.vmm.ask(Call::SetStatus { device: self.number, status: status.bits() })?;
        Ok(())
    }

    /// Resets the device and begins its life again: agrees on those of
    /// `wanted` that it offers, and says which these are.
    pub(crate) fn begin(&self, wanted: u64) -> Result<u64, Error> {
        self.set_status(Status::empty())?;
        self.set_status(Status::ACKNOWLEDGE)?;
        self.set_status(Status::ACKNOWLEDGE | Status::DRIVER)?;
        let wanted = wanted | RingFeatures::VERSION_1.bits();
        let features = wanted & self.vmm.ask(Call::DeviceFeatures { device: self.number })?;
        self.vmm.ask(Call::AcceptFeatures { device: self.number, features })?;
        self.set_status(Status::ACKNOWLEDGE | Status::DRIVER | Status::FEATURES_OK)?;
        if !self.status()?.contains(Status::FEATURES_OK) {
            return Err(Error::Features);
        }
        Ok(features)
    }

    /// Takes the device into service.
    pub(crate) fn finish(&self) -> Result<(), Error> {
        self.set_status(self.status()? | Status::DRIVER_OK)
    }

    /// Makes the device let go of all memory.
    ///
    /// There is no going on before it has, so a VMM that refuses is asked for
    /// ever; it could as well not run this guest any more.
    pub(crate) fn reset(&self) -> Quiet {
        while self.set_status(Status::empty()).is_err() || self.status() != Ok(Status::empty()) {
            self.vmm.relax();
        }
        Quiet { number: self.number }
    }

    /// Whether a queue is in use, and how long it may be.
    pub(crate) fn queue_state(&self, queue: u16) -> Result<QueueState, Error> {
        let (device, queue) = (self.number, queue.into());
        Ok(QueueState::from_value(self.vmm.ask(Call::QueueState { device, queue })?))
    }

    /// Tells the device where queue `queue` is.
    pub(crate) fn set_up_queue(&self, queue: u16, rings: Rings<'static>) -> Result<(), Error> {
        if self.queue_state(queue)?.max_size < rings.size() {
            return Err(Error::QueueSize);
        }
        let [descriptors, avail, used] = rings.parts().map(|(start, len)| {
            let start = NonNull::new(start.cast_mut()).ok_or(Error::Address)?;
            self.vmm.memory.physical(start, len).ok_or(Error::Address)
        });
        let parts = [descriptors?, avail?, used?];
        // SAFETY: the rings are made of atomics and live for ever; they refer
        // to nothing but what `Segment`s stand for.
        unsafe { self.give_queue(queue, rings.size().into(), parts) }
    }

    /// Gives the memory of a queue to the device: where descriptors,
    /// available and used ring are.
    ///
    /// # Safety
    /// As of [`Hypercall::call`].
    pub(crate) unsafe fn give_queue(
        &self,
        queue: u16,
        size: u64,
        [descriptors, avail, used]: [u64; 3],
    ) -> Result<(), Error> {
        let (device, queue) = (self.number, queue.into());
        let call = Call::QueueSetUp { device, queue, size, descriptors, avail, used };
        // SAFETY: as the caller says.
        unsafe { self.vmm.hypercall.call(call) }?;
        Ok(())
    }

    /// Tells the device that a queue has new requests.
    pub(crate) fn notify(&self, queue: u16) -> Result<(), Error> {
        self.vmm.ask(Call::Notify { device: self.number, queue: queue.into() })?;
        Ok(())
    }

    /// The configuration, as it was at one moment.
    pub(crate) fn config<T: FromBytes + IntoBytes>(&self) -> Result<T, Error> {
        let mut config = T::new_zeroed();
        // Whoever changes it all the time gets a mixture.
        for _ in 0..8 {
            let before = self.vmm.ask(Call::ConfigGeneration { device: self.number })?;
            self.read_config(0, config.as_mut_bytes())?;
            if self.vmm.ask(Call::ConfigGeneration { device: self.number })? == before {
                return Ok(config);
            }
        }
        Ok(config)
    }

    /// Reads `bytes` of the configuration from `offset` on.
    pub(crate) fn read_config(&self, offset: u64, bytes: &mut [u8]) -> Result<(), Error> {
        let mut word = (u64::MAX, [0; 8]);
        for (byte, place) in bytes.iter_mut().zip(offset..) {
            let offset = place & !7;
            if word.0 != offset {
                let read = Call::ConfigRead { device: self.number, offset, width: Width::Double };
                word = (offset, self.vmm.ask(read)?.to_le_bytes());
            }
            *byte = word.1[usize::from(place.to_le_bytes()[0] & 7)];
        }
        Ok(())
    }
}
