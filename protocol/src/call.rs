//! Hypercalls: an `ecall` by the calling convention of the SBI.
//!
//! a7 holds [`EXTENSION`], a6 the [`Function`], a0 to a5 the arguments. On
//! return a0 is zero or a negative [`Error`], and a1 the value; all other
//! registers are as before (SBI 2.0, chapter 3). Calls are served from vM and
//! from vS, never from vU.
//!
//! A [`Call`] is a function with its arguments, typed; both sides go through
//! it, so that encoding and decoding cannot drift apart. Every call does a
//! bounded amount of work.

mod error;
mod function;

pub use error::{Error, Reply, reply_from_registers, reply_to_registers};
pub use function::Function;

use crate::interrupt::Line;

/// The extension's number: "TPZ", in the range that the SBI leaves to
/// experiments (SBI 2.0, chapter 15).
pub const EXTENSION: u64 = 0x0854_505a;

/// A version of the interface. Drivers for `major` work with every `minor`
/// that is at least their own; what came later is announced by [`Features`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Version {
    /// Changes when something is no longer as it was.
    pub major: u16,
    /// Changes when something is added.
    pub minor: u16,
}

impl Version {
    /// The version that this crate describes.
    pub const CURRENT: Self = Self { major: 1, minor: 0 };

    /// As the value of a call: major in bits 31 to 16, minor below.
    pub const fn to_value(self) -> u64 {
        (self.major as u64) << 16 | self.minor as u64
    }

    /// The opposite; `None` if any other bit is set.
    pub const fn from_value(value: u64) -> Option<Self> {
        if value >> 32 != 0 {
            return None;
        }
        let [low, high] = [value & 0xffff, value >> 16];
        #[expect(clippy::cast_possible_truncation, reason = "at most 16 bits each")]
        Some(Self { major: high as u16, minor: low as u16 })
    }

    /// Whether an interface of this version serves a driver made for `driver`.
    pub const fn serves(self, driver: Self) -> bool {
        self.major == driver.major && self.minor >= driver.minor
    }
}

bitflags::bitflags! {
    /// What the interface has beyond version 1.0. A function that came later
    /// may be called when its bit is set; bits that are not known have no
    /// meaning for the one who does not know them.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Features: u64 {
        /// [`Function::Yield`] gives the hart to somebody else.
        const YIELD = 1 << 0;
        /// [`Function::Counter`] and [`Function::CounterName`] tell what the
        /// VMM has counted for this guest.
        const COUNTERS = 1 << 1;
        /// [`Function::CpuPageSetUp`] gives the vCPU a [page](crate::cpu) in which
        /// its registers are. Where they are in the real hart, this is not there.
        const CPU_PAGE = 1 << 2;
    }
}

/// How many bytes of the configuration one call moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Width {
    /// One byte.
    Byte = 1,
    /// Two bytes.
    Half = 2,
    /// Four bytes.
    Word = 4,
    /// Eight bytes.
    Double = 8,
}

impl Width {
    /// Every width.
    pub const ALL: [Self; 4] = [Self::Byte, Self::Half, Self::Word, Self::Double];

    fn from_register(register: u64) -> Result<Self, Error> {
        let width = Self::ALL.into_iter().find(|width| *width as u64 == register);
        width.ok_or(Error::InvalidParameter)
    }
}

/// The state of a queue, the value of [`Call::QueueState`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueueState {
    /// The largest size that the device takes.
    pub max_size: u16,
    /// Whether the queue is in use.
    pub ready: bool,
}

impl QueueState {
    /// Size in bits 15 to 0, readiness in bit 16.
    pub const fn to_value(self) -> u64 {
        self.max_size as u64 | (self.ready as u64) << 16
    }

    /// The opposite; higher bits are not looked at.
    #[expect(clippy::cast_possible_truncation, reason = "the size is in the low bits")]
    pub const fn from_value(value: u64) -> Self {
        Self { max_size: value as u16, ready: value >> 16 & 1 != 0 }
    }
}

/// A function and its arguments. Devices are numbered from 0, and so are the
/// queues of each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Call {
    /// Returns the [`Version`].
    Version,
    /// Returns the [`Features`].
    Features,
    /// Returns how many devices there are, at most
    /// [`MAX_DEVICES`](crate::device::MAX_DEVICES).
    DeviceCount,
    /// Returns the [`Description`](crate::device::Description) of a device.
    Describe {
        /// Its number.
        device: u64,
    },
    /// Returns the features that a device offers.
    DeviceFeatures {
        /// Its number.
        device: u64,
    },
    /// Takes features of those offered: once, after DRIVER and before
    /// FEATURES_OK.
    AcceptFeatures {
        /// The device.
        device: u64,
        /// The features.
        features: u64,
    },
    /// Returns the [`Status`](crate::device::Status) of a device.
    GetStatus {
        /// Its number.
        device: u64,
    },
    /// Sets the status; zero resets the device. When the call returns from a
    /// reset, the device touches the guest's memory no more.
    SetStatus {
        /// The device.
        device: u64,
        /// The new status.
        status: u64,
    },
    /// Returns the [`QueueState`]; `InvalidParameter` where there is no such
    /// queue.
    QueueState {
        /// The device.
        device: u64,
        /// The queue.
        queue: u64,
    },
    /// Takes a queue into use. The parts are guest-physical addresses of
    /// memory aligned to 16, 2 and 4 bytes.
    QueueSetUp {
        /// The device.
        device: u64,
        /// The queue.
        queue: u64,
        /// How many descriptors: a power of two, at most the device's maximum.
        size: u64,
        /// Address of the descriptor table.
        descriptors: u64,
        /// Address of the available ring.
        avail: u64,
        /// Address of the used ring.
        used: u64,
    },
    /// Takes a queue out of use.
    QueueStop {
        /// The device.
        device: u64,
        /// The queue.
        queue: u64,
    },
    /// Returns bytes of a device's configuration, zero-extended. What lies
    /// beyond its end reads as zero.
    ConfigRead {
        /// The device.
        device: u64,
        /// Offset in bytes; a multiple of the width.
        offset: u64,
        /// How many bytes.
        width: Width,
    },
    /// Writes bytes of a device's configuration; `Denied` where it is
    /// read-only.
    ConfigWrite {
        /// The device.
        device: u64,
        /// Offset in bytes; a multiple of the width.
        offset: u64,
        /// How many bytes.
        width: Width,
        /// What to write, in the low bytes.
        value: u64,
    },
    /// Returns a number that changes when the configuration does.
    ConfigGeneration {
        /// The device.
        device: u64,
    },
    /// Tells that a queue has new buffers.
    Notify {
        /// The device.
        device: u64,
        /// The queue.
        queue: u64,
    },
    /// Says where the interrupt line of this guest's devices is, and which
    /// interrupt of which hart it raises. Replaces the line before.
    InterruptSetUp {
        /// Guest-physical address of an [`InterruptLine`], or [`None`] for no
        /// interrupts.
        ///
        /// [`InterruptLine`]: crate::interrupt::InterruptLine
        line: Option<(u64, Line)>,
        /// The hart that is interrupted.
        hart: u64,
    },
    /// Ends an interrupt, where the line's flags ask for it.
    InterruptDone,
    /// Lets somebody else use the real hart; returns when it is this one's
    /// turn again. Needs [`Features::YIELD`].
    Yield,
    /// Returns one of the counters that the VMM keeps for this guest, such as
    /// its exits by cause; `InvalidParameter` beyond the last one. Needs
    /// [`Features::COUNTERS`].
    Counter {
        /// Its number, from 0.
        counter: u64,
    },
    /// Returns eight bytes of the name of a counter, the first one lowest, and
    /// zeroes behind its end. Needs [`Features::COUNTERS`].
    CounterName {
        /// Its number.
        counter: u64,
        /// Which eight bytes: 0 to [`COUNTER_NAME_PARTS`] - 1.
        part: u64,
    },
    /// Puts the registers of S-mode of this vCPU into a page of memory, at the
    /// end of its addresses. Replaces the page before. Needs
    /// [`Features::CPU_PAGE`].
    CpuPageSetUp {
        /// Guest-physical address of a [`CpuPage`](crate::cpu::CpuPage).
        address: u64,
    },
    /// Takes them out again, if they are in one.
    CpuPageEnd,
}

/// A counter's name has at most eight times as many bytes.
pub const COUNTER_NAME_PARTS: u64 = 4;

impl Call {
    /// The function.
    pub const fn function(&self) -> Function {
        match self {
            Self::Version => Function::Version,
            Self::Features => Function::Features,
            Self::DeviceCount => Function::DeviceCount,
            Self::Describe { .. } => Function::Describe,
            Self::DeviceFeatures { .. } => Function::DeviceFeatures,
            Self::AcceptFeatures { .. } => Function::AcceptFeatures,
            Self::GetStatus { .. } => Function::GetStatus,
            Self::SetStatus { .. } => Function::SetStatus,
            Self::QueueState { .. } => Function::QueueState,
            Self::QueueSetUp { .. } => Function::QueueSetUp,
            Self::QueueStop { .. } => Function::QueueStop,
            Self::ConfigRead { .. } => Function::ConfigRead,
            Self::ConfigWrite { .. } => Function::ConfigWrite,
            Self::ConfigGeneration { .. } => Function::ConfigGeneration,
            Self::Notify { .. } => Function::Notify,
            Self::InterruptSetUp { .. } => Function::InterruptSetUp,
            Self::InterruptDone => Function::InterruptDone,
            Self::Yield => Function::Yield,
            Self::Counter { .. } => Function::Counter,
            Self::CounterName { .. } => Function::CounterName,
            Self::CpuPageSetUp { .. } => Function::CpuPageSetUp,
            Self::CpuPageEnd => Function::CpuPageEnd,
        }
    }

    /// a0 to a5.
    pub const fn arguments(&self) -> [u64; 6] {
        match *self {
            Self::Version
            | Self::Features
            | Self::DeviceCount
            | Self::InterruptDone
            | Self::Yield
            | Self::CpuPageEnd => [0; 6],
            Self::Describe { device }
            | Self::DeviceFeatures { device }
            | Self::GetStatus { device }
            | Self::ConfigGeneration { device } => [device, 0, 0, 0, 0, 0],
            Self::AcceptFeatures { device, features } => [device, features, 0, 0, 0, 0],
            Self::SetStatus { device, status } => [device, status, 0, 0, 0, 0],
            Self::QueueState { device, queue }
            | Self::QueueStop { device, queue }
            | Self::Notify { device, queue } => [device, queue, 0, 0, 0, 0],
            Self::QueueSetUp { device, queue, size, descriptors, avail, used } => {
                [device, queue, size, descriptors, avail, used]
            }
            Self::ConfigRead { device, offset, width } => [device, offset, width as u64, 0, 0, 0],
            Self::ConfigWrite { device, offset, width, value } => {
                [device, offset, width as u64, value, 0, 0]
            }
            Self::InterruptSetUp { line: Some((address, line)), hart } => {
                [address, line as u64, hart, 0, 0, 0]
            }
            Self::InterruptSetUp { line: None, hart } => [0, 0, hart, 0, 0, 0],
            Self::Counter { counter } => [counter, 0, 0, 0, 0, 0],
            Self::CounterName { counter, part } => [counter, part, 0, 0, 0, 0],
            Self::CpuPageSetUp { address } => [address, 0, 0, 0, 0, 0],
        }
    }

    /// The call that a6 and a0 to a5 ask for. Arguments that a function does
    /// not have are not looked at.
    ///
    /// # Errors
    /// `NotSupported` for an unknown function, `InvalidParameter` for a width
    /// or an interrupt that does not exist. All other arguments are as wild
    /// as the guest made them.
    #[inline]
    pub fn decode(function: u64, [a0, a1, a2, a3, a4, a5]: [u64; 6]) -> Result<Self, Error> {
        let function = Function::from_number(function).ok_or(Error::NotSupported)?;
        let (device, queue) = (a0, a1);
        Ok(match function {
            Function::Notify => Self::Notify { device, queue },
            Function::Version => Self::Version,
            Function::Features => Self::Features,
            Function::DeviceCount => Self::DeviceCount,
            Function::Describe => Self::Describe { device },
            Function::DeviceFeatures => Self::DeviceFeatures { device },
            Function::AcceptFeatures => Self::AcceptFeatures { device, features: a1 },
            Function::GetStatus => Self::GetStatus { device },
            Function::SetStatus => Self::SetStatus { device, status: a1 },
            Function::QueueState => Self::QueueState { device, queue },
            Function::QueueSetUp => {
                Self::QueueSetUp { device, queue, size: a2, descriptors: a3, avail: a4, used: a5 }
            }
            Function::QueueStop => Self::QueueStop { device, queue },
            Function::ConfigRead => {
                Self::ConfigRead { device, offset: a1, width: Width::from_register(a2)? }
            }
            Function::ConfigWrite => {
                let width = Width::from_register(a2)?;
                Self::ConfigWrite { device, offset: a1, width, value: a3 }
            }
            Function::ConfigGeneration => Self::ConfigGeneration { device },
            Function::InterruptSetUp => {
                let line = if a1 == 0 { None } else { Some((a0, Line::from_code(a1)?)) };
                Self::InterruptSetUp { line, hart: a2 }
            }
            Function::InterruptDone => Self::InterruptDone,
            Function::Yield => Self::Yield,
            Function::Counter => Self::Counter { counter: a0 },
            Function::CounterName => Self::CounterName { counter: a0, part: a1 },
            Function::CpuPageSetUp => Self::CpuPageSetUp { address: a0 },
            Function::CpuPageEnd => Self::CpuPageEnd,
        })
    }
}

#[cfg(test)]
mod tests;
