//! How calls end, as C has it.

use core::ffi::CStr;

use guest_drivers::Error;

use crate::abi::Status;

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        match error {
            Error::Full => Self::Full,
            Error::Io => Self::Io,
            Error::Unsupported => Self::Unsupported,
            Error::Address => Self::Address,
            Error::TooLong | Error::TooShort => Self::Length,
            Error::Broken => Self::Broken,
            Error::WrongDevice | Error::Features | Error::QueueSize => Self::Device,
            Error::Call(_) | Error::Version => Self::Vmm,
        }
    }
}

impl From<Result<(), Status>> for Status {
    fn from(result: Result<(), Status>) -> Self {
        result.err().unwrap_or(Self::Ok)
    }
}

impl Status {
    const ALL: [Self; 11] = [
        Self::Ok,
        Self::Full,
        Self::Io,
        Self::Unsupported,
        Self::Address,
        Self::Length,
        Self::Broken,
        Self::Device,
        Self::Vmm,
        Self::None,
        Self::Busy,
    ];

    /// What a number that came back from C stands for.
    pub(crate) fn text(code: i32) -> &'static CStr {
        let status = Self::ALL.into_iter().find(|status| *status as i32 == code);
        match status {
            Some(Self::Ok) => c"it worked",
            Some(Self::Full) => c"all slots are taken",
            Some(Self::Io) => c"the device failed",
            Some(Self::Unsupported) => c"the device does not know such requests",
            Some(Self::Address) => c"the memory cannot be reached by devices",
            Some(Self::Length) => c"too many bytes, or too few",
            Some(Self::Broken) => c"the device broke down and was stopped",
            Some(Self::Device) => c"the device is not one that the driver knows",
            Some(Self::Vmm) => c"the VMM refused",
            Some(Self::None) => c"there is none, or it is not open",
            Some(Self::Busy) => c"another call for it is under way",
            None => c"not a status",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_status_has_its_number_and_its_text() {
        let texts: BTreeSet<_> = Status::ALL.iter().map(|s| Status::text(*s as i32)).collect();
        let numbers: BTreeSet<_> = Status::ALL.iter().map(|s| *s as i32).collect();
        assert_eq!((texts.len(), numbers.len()), (Status::ALL.len(), Status::ALL.len()));
        assert!(numbers.iter().all(|number| *number <= 0), "what is not well is below zero");
        assert_eq!(Status::text(1), c"not a status");
    }
}
