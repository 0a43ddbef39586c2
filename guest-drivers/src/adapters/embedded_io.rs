//! The console as a stream of bytes, for `embedded-io`.

use embedded_io::{ErrorKind, ErrorType, Read, ReadReady, Write};

use crate::console::Console;
use crate::error::Error;
use crate::memory::Memory;
use crate::vmm::Hypercall;

impl embedded_io::Error for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Full | Self::TooLong => ErrorKind::OutOfMemory,
            Self::Unsupported => ErrorKind::Unsupported,
            Self::Broken => ErrorKind::BrokenPipe,
            _ => ErrorKind::Other,
        }
    }
}

impl<M: Memory, H: Hypercall> ErrorType for Console<M, H> {
    type Error = Error;
}

impl<M: Memory, H: Hypercall> Write for Console<M, H> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        Self::write(self, bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

impl<M: Memory, H: Hypercall> Read for Console<M, H> {
    /// Waits for the first byte, and lets others use the hart meanwhile.
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Error> {
        while !bytes.is_empty() {
            match Self::read(self, bytes) {
                0 if self.is_broken() => return Err(Error::Broken),
                0 => self.device().vmm().relax(),
                count => return Ok(count),
            }
        }
        Ok(0)
    }
}

impl<M: Memory, H: Hypercall> ReadReady for Console<M, H> {
    fn read_ready(&mut self) -> Result<bool, Error> {
        let ready = self.has_input();
        if !ready && self.is_broken() { Err(Error::Broken) } else { Ok(ready) }
    }
}
