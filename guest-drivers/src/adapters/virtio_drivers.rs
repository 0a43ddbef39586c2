//! A device as `virtio-drivers` wants it: a transport whose every operation
//! is a hypercall.
//!
//! One of the places where `unsafe` is allowed: that crate's queues say where
//! their memory is by plain numbers.
#![allow(unsafe_code)]

use trapeze_protocol::call::{Call, Width};
use trapeze_protocol::device::{RingFeatures, Status};
use virtio_drivers::transport::{DeviceStatus, DeviceType, InterruptStatus, Transport};
use virtio_drivers::{PhysAddr, Result};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::ecall::Ecall;
use crate::error::Error;
use crate::memory::{Linear, Memory};
use crate::vmm::{Device, Hypercall};

/// A device as a transport for the drivers of `virtio-drivers`: what those
/// drive by registers on other machines, they drive by hypercalls here.
///
/// Interrupts come by the [`InterruptLine`](crate::InterruptLine), which all
/// devices share: taking its word acknowledges them, so that
/// `ack_interrupt` has nothing to do, and says that there may be news.
///
/// ```no_run
/// use guest_drivers::{DeviceType, HypercallTransport, Linear, Vmm};
/// use virtio_drivers::Hal;
/// use virtio_drivers::device::blk::VirtIOBlk;
///
/// fn first_sector<H: Hal>(vmm: Vmm<Linear>) -> Option<[u8; 512]> {
///     let device = vmm.find(DeviceType::Block)?;
///     // SAFETY: the transport goes to a driver of `virtio-drivers`.
///     let transport = unsafe { HypercallTransport::new(device) }.ok()?;
///     let mut disk = VirtIOBlk::<H, _>::new(transport).ok()?;
///     let mut sector = [0; 512];
///     disk.read_blocks(0, &mut sector).ok()?;
///     Some(sector)
/// }
/// ```
#[derive(Debug)]
pub struct HypercallTransport<M: Memory = Linear, H: Hypercall = Ecall> {
    device: Device<M, H>,
    kind: DeviceType,
}

impl<M: Memory, H: Hypercall> HypercallTransport<M, H> {
    /// The transport to `device`, which must have no other driver.
    ///
    /// # Safety
    /// [`Transport::queue_set`] gives the memory that it names to the device,
    /// with all that the rings there name. So the transport may only go to a
    /// driver that gives memory which is the device's until it comes back, or
    /// until a reset: those of `virtio-drivers` do, on a correct `Hal`.
    ///
    /// # Errors
    /// If `virtio-drivers` does not know the type of the device.
    pub unsafe fn new(device: Device<M, H>) -> core::result::Result<Self, Error> {
        let kind = DeviceType::try_from(device.description().kind);
        Ok(Self { device, kind: kind.map_err(|_| Error::WrongDevice)? })
    }

    /// The device.
    pub fn device(&self) -> Device<M, H> {
        self.device
    }

    /// Checks that the configuration has `len` bytes at `offset`.
    fn check(&self, offset: usize, len: usize) -> Result<u64> {
        let there = u64::from(self.device.description().config_len);
        match offset.checked_add(len) {
            _ if there == 0 => Err(virtio_drivers::Error::ConfigSpaceMissing),
            Some(end) if end as u64 <= there => Ok(offset as u64),
            _ => Err(virtio_drivers::Error::ConfigSpaceTooSmall),
        }
    }
}

impl<M: Memory, H: Hypercall> Transport for HypercallTransport<M, H> {
    fn device_type(&self) -> DeviceType {
        self.kind
    }

    /// All but EVENT_IDX: with it, `VirtQueue::should_notify` of version 0.13
    /// compares by `>=` what wraps. So when the index has wrapped, and the
    /// device was last told before, it says no; the device never looks, and
    /// it stays at no for ever.
    fn read_device_features(&mut self) -> u64 {
        let offered = self.device.vmm().ask(Call::DeviceFeatures { device: self.device.number() });
        offered.unwrap_or(0) & !RingFeatures::EVENT_IDX.bits()
    }

    fn write_driver_features(&mut self, features: u64) {
        let accept = Call::AcceptFeatures { device: self.device.number(), features };
        // A refusal shows: FEATURES_OK stays away.
        let _ = self.device.vmm().ask(accept);
    }

    fn max_queue_size(&mut self, queue: u16) -> u32 {
        self.device.queue_state(queue).map_or(0, |state| state.max_size.into())
    }

    /// A device that broke down does not hear; its status says so.
    #[inline]
    fn notify(&mut self, queue: u16) {
        let _ = self.device.notify(queue);
    }

    fn get_status(&self) -> DeviceStatus {
        // Whoever does not tell is no device that works.
        let status = self.device.status().unwrap_or(Status::FAILED);
        DeviceStatus::from_bits_truncate(u32::try_from(status.bits()).unwrap_or(0))
    }

    fn set_status(&mut self, status: DeviceStatus) {
        let set = |status: DeviceStatus| {
            self.device.set_status(Status::from_bits_truncate(status.bits().into()))
        };
        if status.is_empty() {
            // Comes back when the device has let go of all memory.
            let _ = self.device.reset();
            return;
        }
        if status == DeviceStatus::ACKNOWLEDGE | DeviceStatus::DRIVER {
            // One after the other, as the protocol wants it.
            let _ = set(DeviceStatus::ACKNOWLEDGE);
        }
        let _ = set(status);
    }

    fn set_guest_page_size(&mut self, _: u32) {
        // Of the legacy interface.
    }

    fn requires_legacy_layout(&self) -> bool {
        false
    }

    /// # Panics
    /// If the VMM refuses the queue, for example because the `Hal` gave
    /// addresses that are no memory: there is no other way to tell, and the
    /// driver would wait for ever.
    fn queue_set(
        &mut self,
        queue: u16,
        size: u32,
        descriptors: PhysAddr,
        driver_area: PhysAddr,
        device_area: PhysAddr,
    ) {
        let parts = [descriptors, driver_area, device_area];
        // SAFETY: who made the transport promised that the memory is given.
        let done = unsafe { self.device.give_queue(queue, size.into(), parts) };
        if let Err(error) = done {
            panic!("queue {queue} is refused: {error}");
        }
    }

    fn queue_unset(&mut self, queue: u16) {
        let stop = Call::QueueStop { device: self.device.number(), queue: queue.into() };
        let _ = self.device.vmm().ask(stop);
    }

    fn queue_used(&mut self, queue: u16) -> bool {
        self.device.queue_state(queue).is_ok_and(|state| state.ready)
    }

    fn ack_interrupt(&mut self) -> InterruptStatus {
        InterruptStatus::QUEUE_INTERRUPT
    }

    fn read_config_generation(&self) -> u32 {
        let device = self.device.number();
        let generation = self.device.vmm().ask(Call::ConfigGeneration { device });
        u32::try_from(generation.unwrap_or(0) & 0xffff_ffff).unwrap_or(0)
    }

    fn read_config_space<T: FromBytes + IntoBytes>(&self, offset: usize) -> Result<T> {
        let (mut value, place) = (T::new_zeroed(), self.check(offset, size_of::<T>())?);
        let read = self.device.read_config(place, value.as_mut_bytes());
        read.map_err(|_| virtio_drivers::Error::IoError)?;
        Ok(value)
    }

    /// Writes a value of 1, 2, 4 or 8 bytes.
    fn write_config_space<T: IntoBytes + Immutable>(
        &mut self,
        offset: usize,
        value: T,
    ) -> Result<()> {
        let offset = self.check(offset, size_of::<T>())?;
        let width = Width::ALL.into_iter().find(|width| *width as usize == size_of::<T>());
        let width = width.ok_or(virtio_drivers::Error::Unsupported)?;
        let mut bytes = [0; 8];
        bytes.iter_mut().zip(value.as_bytes()).for_each(|(to, from)| *to = *from);
        let (device, value) = (self.device.number(), u64::from_le_bytes(bytes));
        let write = Call::ConfigWrite { device, offset, width, value };
        self.device.vmm().ask(write).map_err(|_| virtio_drivers::Error::IoError)?;
        Ok(())
    }
}

impl<M: Memory, H: Hypercall> Drop for HypercallTransport<M, H> {
    /// Stops the device: drivers free their queues after it.
    fn drop(&mut self) {
        self.device.reset();
    }
}
