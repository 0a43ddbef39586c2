//! Random bytes from the VMM.

use trapeze_protocol::device::entropy::QUEUE;
use trapeze_protocol::device::{DeviceType, RingFeatures};

use crate::channel::{Channel, ChannelStorage, Lent};
use crate::ecall::Ecall;
use crate::error::Error;
use crate::memory::{Linear, Memory};
use crate::plain;
use crate::vmm::{Device, Hypercall};

/// What an [`Entropy`] keeps for ever: put it in a static.
pub struct EntropyStorage(ChannelStorage<&'static mut [u8], 1>);

impl EntropyStorage {
    /// Storage of a driver that has not begun.
    pub const fn new() -> Self {
        Self(ChannelStorage::new())
    }
}

impl Default for EntropyStorage {
    fn default() -> Self {
        Self::new()
    }
}

/// The driver of a source of random bytes.
///
/// ```no_run
/// use guest_drivers::{DeviceType, Entropy, EntropyStorage, Linear, Once, Vmm};
///
/// static STORAGE: Once<EntropyStorage> = Once::new(EntropyStorage::new());
///
/// fn seed(vmm: Vmm<Linear>) -> Option<[u8; 32]> {
///     let mut source = Entropy::new(vmm.find(DeviceType::Entropy)?, STORAGE.take()?).ok()?;
///     let mut seed = [0; 32];
///     source.fill(&mut seed).ok()?;
///     Some(seed)
/// }
/// ```
pub struct Entropy<M: Memory = Linear, H: Hypercall = Ecall> {
    device: Device<M, H>,
    channel: Channel<&'static mut [u8], M, H>,
}

impl<M: Memory, H: Hypercall> Entropy<M, H> {
    /// Takes a source into service.
    ///
    /// # Errors
    /// If it is none, or cannot be taken into service. The storage is lost.
    pub fn new(device: Device<M, H>, storage: &'static mut EntropyStorage) -> Result<Self, Error> {
        if device.kind() != Some(DeviceType::Entropy) {
            return Err(Error::WrongDevice);
        }
        let agreed = device.begin(RingFeatures::EVENT_IDX.bits())?;
        let event_idx = agreed & RingFeatures::EVENT_IDX.bits() != 0;
        let channel = Channel::new(device, QUEUE, event_idx, &mut storage.0)?;
        device.finish()?;
        Ok(Self { device, channel })
    }

    /// Fills `bytes`, and waits until it is done.
    ///
    /// # Errors
    /// If the source fails, or has nothing.
    pub fn fill(&mut self, mut bytes: &mut [u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            let rings = self.channel.rings();
            let describe =
                |slot, data: crate::channel::Segments<'_>| plain::to_fill(rings, slot, data);
            let written = self.channel.transfer(Lent::Write(bytes), describe)?.len;
            let rest = usize::try_from(written).ok().and_then(|len| bytes.get_mut(len..));
            bytes = rest.filter(|_| written != 0).ok_or(Error::Io)?;
        }
        Ok(())
    }
}

impl<M: Memory, H: Hypercall> Drop for Entropy<M, H> {
    /// Stops the device.
    fn drop(&mut self) {
        self.device.reset();
    }
}
