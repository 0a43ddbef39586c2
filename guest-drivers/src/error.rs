//! What can go wrong between a driver and its device.

use trapeze_protocol::call;

/// Why a request, or a driver, did not work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// The VMM refused a hypercall.
    Call(call::Error),
    /// The VMM speaks another version of the interface.
    Version,
    /// The device is of another type than the driver's.
    WrongDevice,
    /// The device lacks a feature that the driver cannot do without.
    Features,
    /// The device takes only queues that are shorter than the storage.
    QueueSize,
    /// All slots are taken: complete something first.
    Full,
    /// Memory that is not known to [`Memory::physical`](crate::Memory::physical),
    /// or not contiguous there.
    Address,
    /// More buffers, or more bytes, than a request may have.
    TooLong,
    /// No bytes at all, or fewer than a request must have.
    TooShort,
    /// The device said that the request failed.
    Io,
    /// The device does not know this kind of request.
    Unsupported,
    /// The device broke the rules of its queue, or found that the driver did,
    /// and was stopped. Requests that were in flight end with this error, and
    /// new ones are refused until the driver is restarted.
    Broken,
}

impl From<call::Error> for Error {
    fn from(error: call::Error) -> Self {
        Self::Call(error)
    }
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Call(error) => return error.fmt(f),
            Self::Version => "the VMM speaks another version of the interface",
            Self::WrongDevice => "the device is of another type",
            Self::Features => "the device lacks a feature that is needed",
            Self::QueueSize => "the device takes only shorter queues",
            Self::Full => "all slots are taken",
            Self::Address => "the memory cannot be reached by devices",
            Self::TooLong => "too many buffers, or too many bytes",
            Self::TooShort => "too few bytes",
            Self::Io => "the device failed",
            Self::Unsupported => "the device does not know such requests",
            Self::Broken => "the device broke down and was stopped",
        })
    }
}

impl core::error::Error for Error {}
