//! The paravirtual transport for `virtio-drivers`: each of its operations is
//! a hypercall.

use core::cell::Cell;

use trapeze_protocol::call::{Call, QueueState, Width};
use virtio_drivers::transport::{DeviceStatus, DeviceType, InterruptStatus, Transport};
use virtio_drivers::{Error, PhysAddr, Result};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{call, ecall};

/// The device of this number.
pub(crate) struct Bridge {
    device: u64,
    /// Its status as far as we set it.
    status: Cell<DeviceStatus>,
}

impl Bridge {
    pub(crate) fn new(device: u64) -> Self {
        Self { device, status: Cell::new(DeviceStatus::empty()) }
    }
}

impl Transport for Bridge {
    fn device_type(&self) -> DeviceType {
        DeviceType::Block
    }

    fn read_device_features(&mut self) -> u64 {
        call(Call::DeviceFeatures { device: self.device }).unwrap_or(0)
    }

    fn write_driver_features(&mut self, features: u64) {
        let _ = call(Call::AcceptFeatures { device: self.device, features });
    }

    fn max_queue_size(&mut self, queue: u16) -> u32 {
        let state = call(Call::QueueState { device: self.device, queue: queue.into() });
        state.map_or(0, |value| QueueState::from_value(value).max_size.into())
    }

    #[inline]
    fn notify(&mut self, queue: u16) {
        let _ = call(Call::Notify { device: self.device, queue: queue.into() });
    }

    fn get_status(&self) -> DeviceStatus {
        self.status.get()
    }

    /// The protocol wants one step after the other.
    fn set_status(&mut self, status: DeviceStatus) {
        let set = |status: DeviceStatus| {
            let _ = call(Call::SetStatus { device: self.device, status: status.bits().into() });
        };
        if status == DeviceStatus::ACKNOWLEDGE | DeviceStatus::DRIVER {
            set(DeviceStatus::ACKNOWLEDGE);
        }
        set(status);
        self.status.set(status);
    }

    fn set_guest_page_size(&mut self, _: u32) {}

    fn requires_legacy_layout(&self) -> bool {
        false
    }

    fn queue_set(
        &mut self,
        queue: u16,
        size: u32,
        descriptors: PhysAddr,
        driver_area: PhysAddr,
        device_area: PhysAddr,
    ) {
        let set_up = Call::QueueSetUp {
            device: self.device,
            queue: queue.into(),
            size: size.into(),
            descriptors,
            avail: driver_area,
            used: device_area,
        };
        // SAFETY: `VirtQueue` gives rings that are the device's from now on.
        let _ = unsafe { ecall(set_up) };
    }

    fn queue_unset(&mut self, queue: u16) {
        let _ = call(Call::QueueStop { device: self.device, queue: queue.into() });
    }

    fn queue_used(&mut self, queue: u16) -> bool {
        let state = call(Call::QueueState { device: self.device, queue: queue.into() });
        state.is_ok_and(|value| QueueState::from_value(value).ready)
    }

    fn ack_interrupt(&mut self) -> InterruptStatus {
        InterruptStatus::QUEUE_INTERRUPT
    }

    fn read_config_generation(&self) -> u32 {
        0
    }

    fn read_config_space<T: FromBytes + IntoBytes>(&self, offset: usize) -> Result<T> {
        let mut value = T::new_zeroed();
        let offsets = (offset as u64..).step_by(4);
        for (bytes, offset) in value.as_mut_bytes().chunks_mut(4).zip(offsets) {
            let read = Call::ConfigRead { device: self.device, offset, width: Width::Word };
            let word = call(read).map_err(|_| Error::IoError)?.to_le_bytes();
            bytes.iter_mut().zip(word).for_each(|(byte, value)| *byte = value);
        }
        Ok(value)
    }

    fn write_config_space<T: IntoBytes + Immutable>(&mut self, _: usize, _: T) -> Result<()> {
        Err(Error::Unsupported)
    }
}
