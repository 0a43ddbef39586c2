//! What a call returns: a value, or one of the SBI's errors.

/// Why a call failed. The numbers are those of the SBI (SBI 2.0, table 1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i64)]
pub enum Error {
    /// It did not work.
    Failed = -1,
    /// There is no such function.
    NotSupported = -2,
    /// An argument is out of its range: no such device or queue, a size that
    /// cannot be, features that were not offered.
    InvalidParameter = -3,
    /// Not in this way: what is read-only cannot be written.
    Denied = -4,
    /// An address is not in the guest's memory, or not aligned.
    InvalidAddress = -5,
    /// Not now: the device's status, or the queue's, forbids it.
    InvalidState = -10,
}

impl Error {
    /// Every error.
    pub const ALL: [Self; 6] = [
        Self::Failed,
        Self::NotSupported,
        Self::InvalidParameter,
        Self::Denied,
        Self::InvalidAddress,
        Self::InvalidState,
    ];

    /// The error with this code; unknown ones are [`Error::Failed`].
    pub fn from_code(code: i64) -> Self {
        Self::ALL.into_iter().find(|error| *error as i64 == code).unwrap_or(Self::Failed)
    }
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Failed => "the call failed",
            Self::NotSupported => "no such function",
            Self::InvalidParameter => "an argument is out of its range",
            Self::Denied => "it is read-only",
            Self::InvalidAddress => "the address is not in memory, or not aligned",
            Self::InvalidState => "the device is not in the state for it",
        })
    }
}

impl core::error::Error for Error {}

/// What a call returns.
pub type Reply = Result<u64, Error>;

/// A reply as a0 and a1.
pub const fn reply_to_registers(reply: Reply) -> [u64; 2] {
    match reply {
        Ok(value) => [0, value],
        Err(error) => [(error as i64).cast_unsigned(), 0],
    }
}

/// The reply that a0 and a1 are.
pub fn reply_from_registers([a0, a1]: [u64; 2]) -> Reply {
    if a0 == 0 { Ok(a1) } else { Err(Error::from_code(a0.cast_signed())) }
}
