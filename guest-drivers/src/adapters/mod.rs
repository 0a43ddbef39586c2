//! The drivers as other crates want them, each behind a feature of its name.

#[cfg(feature = "embedded-io")]
mod embedded_io;
#[cfg(feature = "embedded-sdmmc")]
mod embedded_sdmmc;
#[cfg(feature = "log")]
mod log;
#[cfg(feature = "rand_core")]
mod rand_core;
#[cfg(feature = "smoltcp")]
mod smoltcp;
#[cfg(feature = "virtio-drivers")]
mod virtio_drivers;

#[cfg(feature = "embedded-sdmmc")]
pub use embedded_sdmmc::{SectorDevice, Sectors};
#[cfg(feature = "log")]
pub use log::LogWriter;
#[cfg(feature = "virtio-drivers")]
pub use virtio_drivers::HypercallTransport;
