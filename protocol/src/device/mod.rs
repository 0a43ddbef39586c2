//! What a device is: its type, the features that both sides agree on, its
//! status, and, in one module per type, its configuration and requests.
//!
//! All of it is virtio's (Virtio 1.2, chapters 2, 5 and 6), so that a driver
//! for virtio needs nothing but another transport. A driver goes through
//! these steps (3.1.1):
//!
//! ```text
//!  set_status 0                         reset
//!  set_status ACKNOWLEDGE, DRIVER
//!  device_features, accept_features
//!  set_status ... FEATURES_OK
//!  config_read, queue_set_up for each queue
//!  set_status ... DRIVER_OK             from here on queues are served
//! ```

pub mod balloon;
pub mod block;
pub mod console;
pub mod entropy;
pub mod net;

/// Devices that a guest can have: one per bit of the interrupt line.
pub const MAX_DEVICES: u64 = 64;

/// Types of devices, by virtio's numbers (Virtio 1.2, chapter 5).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u16)]
pub enum DeviceType {
    /// [`net`]
    Net = 1,
    /// [`block`]
    Block = 2,
    /// [`console`]
    Console = 3,
    /// [`entropy`]
    Entropy = 4,
    /// [`balloon`]
    Balloon = 5,
}

impl DeviceType {
    /// Every type.
    pub const ALL: [Self; 5] =
        [Self::Net, Self::Block, Self::Console, Self::Entropy, Self::Balloon];

    /// The type with virtio's number; `None` if it is not known here.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u16 == number)
    }
}

/// What there is to know of a device before anything is agreed on: the value
/// of [`Call::Describe`](crate::call::Call::Describe).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Description {
    /// Virtio's number of its type. A driver leaves devices alone whose type
    /// it does not know.
    pub kind: u16,
    /// How many queues it has.
    pub queues: u16,
    /// Bytes of configuration.
    pub config_len: u32,
}

impl Description {
    /// Type in bits 15 to 0, queues in 31 to 16, length in 63 to 32.
    pub const fn to_value(self) -> u64 {
        self.kind as u64 | (self.queues as u64) << 16 | (self.config_len as u64) << 32
    }

    /// The opposite.
    #[expect(clippy::cast_possible_truncation, reason = "each takes its part")]
    pub const fn from_value(value: u64) -> Self {
        let (kind, queues) = (value as u16, (value >> 16) as u16);
        Self { kind, queues, config_len: (value >> 32) as u32 }
    }

    /// The type, if it is one of ours.
    pub fn device_type(self) -> Option<DeviceType> {
        DeviceType::from_number(self.kind)
    }
}

bitflags::bitflags! {
    /// The status of a device (Virtio 1.2, 2.1).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Status: u64 {
        /// The guest has noticed the device.
        const ACKNOWLEDGE = 1;
        /// The guest has a driver for it.
        const DRIVER = 2;
        /// The driver is ready: queues are served.
        const DRIVER_OK = 4;
        /// The features are agreed on.
        const FEATURES_OK = 8;
        /// Set by the device: the driver broke the rules, and nothing goes on
        /// until a reset.
        const NEEDS_RESET = 64;
        /// The driver has given up.
        const FAILED = 128;
    }
}

bitflags::bitflags! {
    /// Features that every device may have (Virtio 1.2, chapter 6). Those of
    /// its type are in the bits below 24, and above 49.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct RingFeatures: u64 {
        /// Tables of descriptors.
        const INDIRECT_DESC = 1 << 28;
        /// `used_event` and `avail_event` say when to notify.
        const EVENT_IDX = 1 << 29;
        /// Always offered, and always in force, whether taken or not.
        const VERSION_1 = 1 << 32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_survive_as_values() {
        let description = Description { kind: 2, queues: 0xffff, config_len: u32::MAX };
        assert_eq!(Description::from_value(description.to_value()), description);
        assert_eq!(description.device_type(), Some(DeviceType::Block));
    }

    #[test]
    fn types_are_known_by_number() {
        for kind in DeviceType::ALL {
            assert_eq!(DeviceType::from_number(kind as u16), Some(kind));
        }
        assert_eq!(DeviceType::from_number(0), None);
    }
}
