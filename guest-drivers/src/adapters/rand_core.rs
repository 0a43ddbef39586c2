//! The source of random bytes as a generator, for `rand_core`.

use rand_core::{TryCryptoRng, TryRng};

use crate::entropy::Entropy;
use crate::error::Error;
use crate::memory::Memory;
use crate::vmm::Hypercall;

impl<M: Memory, H: Hypercall> TryRng for Entropy<M, H> {
    type Error = Error;

    fn try_next_u32(&mut self) -> Result<u32, Error> {
        let mut bytes = [0; 4];
        self.fill(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Error> {
        let mut bytes = [0; 8];
        self.fill(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        self.fill(bytes)
    }
}

/// The VMM's generator is one for secrets.
impl<M: Memory, H: Hypercall> TryCryptoRng for Entropy<M, H> {}
