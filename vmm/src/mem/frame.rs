//! Pages that a guest gave back, as the VMM uses them.

use core::ptr::NonNull;

use super::{GuestRam, PAGE, copy};
use crate::addr::{Gpa, Hpa};

impl GuestRam {
    /// The page at `gpa`, which is absent, as the VMM's.
    pub fn frame(&self, gpa: Gpa) -> Option<Frame> {
        let page = self.page_index(gpa).filter(|page| self.absent.has(*page))?;
        NonNull::new(self.host.as_ptr().wrapping_add(page * PAGE)).map(Frame)
    }
}

/// A page of memory that a guest gave back, for the VMM to use.
pub struct Frame(NonNull<u8>);

// SAFETY: the memory is only accessed by volatile copies, through a frame that
// one hart has at a time.
unsafe impl Send for Frame {}

impl Frame {
    /// Where it is.
    pub fn hpa(&self) -> Hpa {
        Hpa(self.0.as_ptr() as u64)
    }

    /// A pointer to `len` bytes at `offset`, if they are in it.
    fn at(&self, offset: usize, len: usize) -> Option<*mut u8> {
        let fits = len <= PAGE && offset <= PAGE - len;
        fits.then(|| self.0.as_ptr().wrapping_add(offset))
    }

    /// Copies bytes out of it; `None` if they are not all in it.
    pub fn read(&self, offset: usize, bytes: &mut [u8]) -> Option<()> {
        let src = self.at(offset, bytes.len())?;
        // SAFETY: within a page that is the VMM's (one-owner), and no Rust object.
        unsafe { copy(src, bytes.as_mut_ptr(), bytes.len()) };
        Some(())
    }

    /// Copies bytes into it likewise.
    pub fn write(&mut self, offset: usize, bytes: &[u8]) -> Option<()> {
        let dst = self.at(offset, bytes.len())?;
        // SAFETY: as in `read`.
        unsafe { copy(bytes.as_ptr(), dst, bytes.len()) };
        Some(())
    }

    pub(super) fn clear(&mut self) {
        (0..PAGE).step_by(64).for_each(|at| _ = self.write(at, &[0; 64]));
    }
}
