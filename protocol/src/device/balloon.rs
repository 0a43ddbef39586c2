//! Memory balloons (Virtio 1.2, section 5.5): a driver gives pages back, and
//! takes them again. The VMM has none behind hypercalls yet.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The queue of lists of pages that the driver puts into the balloon.
pub const INFLATE: u16 = 0;
/// The queue of those that it takes out.
pub const DEFLATE: u16 = 1;
/// Bytes of a page, whose number is its address divided by this.
pub const PAGE: u64 = 4096;

bitflags::bitflags! {
    /// Features (5.5.3).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Features: u64 {
        /// The driver asks before it uses a page of the balloon.
        const MUST_TELL_HOST = 1 << 0;
    }
}

/// The configuration (5.5.4).
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Config {
    /// Pages that the balloon should have.
    pub num_pages: u32,
    /// Pages that it has; written by the driver.
    pub actual: u32,
}

/// Offset of [`Config::actual`] in bytes.
pub const ACTUAL: u64 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_that_of_the_specification() {
        assert_eq!(size_of::<Config>(), 8);
        assert_eq!(core::mem::offset_of!(Config, actual) as u64, ACTUAL);
    }
}
