//! Buffers that are given to devices.
//!
//! A buffer in flight belongs to the device: nobody may read, write or free
//! it. So a driver takes buffers by value, keeps only a pointer, and makes the
//! owned value again when the device has let go. One of the places where
//! `unsafe` is allowed.
#![allow(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU8, Ordering};

use trapeze_protocol::queue::DescriptorFlags;

use crate::block::Header;
use crate::error::Error;
use crate::memory::Memory;
use crate::rings::Descriptor;

/// An owned buffer, or several, that a device may write to.
///
/// Implemented for buffers that live for ever, for those of the heap (feature
/// `alloc`), for arrays of buffers, and for pairs of a buffer and whatever the
/// kernel wants back with it, such as who waits for the request.
///
/// # Safety
/// The memory of [`parts`](Self::parts) must be initialised and this value's
/// alone from [`give`](Self::give) to [`take_back`](Self::take_back), wherever
/// [`Given`](Self::Given) is moved, and also if `take_back` never comes.
pub unsafe trait Dma: Sized {
    /// What the driver keeps meanwhile: no reference to the memory.
    type Given;

    /// Gives the memory up.
    fn give(self) -> Self::Given;

    /// The memory, by contiguous parts.
    fn parts(given: &Self::Given) -> impl Iterator<Item = NonNull<[u8]>>;

    /// Becomes the owner again.
    ///
    /// # Safety
    /// The device must have let go.
    unsafe fn take_back(given: Self::Given) -> Self;
}

/// A buffer by its address, for kernels that have their own way to keep track
/// of who owns memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawBuffer(NonNull<[u8]>);

// SAFETY: whoever made it gave the memory away, to no thread in particular.
unsafe impl Send for RawBuffer {}
// SAFETY: a shared one tells where the memory is, no more.
unsafe impl Sync for RawBuffer {}

impl RawBuffer {
    /// `len` bytes at `start`.
    ///
    /// # Safety
    /// The memory must be valid and initialised, and nobody else may use it
    /// from when the buffer is given to a driver until it comes back. If it
    /// never comes back, that is for ever.
    pub const unsafe fn new(start: NonNull<u8>, len: usize) -> Self {
        Self(NonNull::slice_from_raw_parts(start, len))
    }

    /// The memory.
    pub const fn as_ptr(self) -> NonNull<[u8]> {
        self.0
    }
}

// SAFETY: whoever made it promised so.
unsafe impl Dma for RawBuffer {
    type Given = Self;

    fn give(self) -> Self {
        self
    }

    fn parts(given: &Self) -> impl Iterator<Item = NonNull<[u8]>> {
        core::iter::once(given.0)
    }

    unsafe fn take_back(given: Self) -> Self {
        given
    }
}

// SAFETY: a unique reference for ever; it is not made again before the
// device has let go.
unsafe impl Dma for &'static mut [u8] {
    type Given = RawBuffer;

    fn give(self) -> RawBuffer {
        RawBuffer(NonNull::from(self))
    }

    fn parts(given: &RawBuffer) -> impl Iterator<Item = NonNull<[u8]>> {
        RawBuffer::parts(given)
    }

    unsafe fn take_back(mut given: RawBuffer) -> Self {
        // SAFETY: made from such a reference by `give`, and no longer the
        // device's.
        unsafe { given.0.as_mut() }
    }
}

// SAFETY: as for slices.
unsafe impl<const LEN: usize> Dma for &'static mut [u8; LEN] {
    type Given = RawBuffer;

    fn give(self) -> RawBuffer {
        RawBuffer(NonNull::from(self.as_mut_slice()))
    }

    fn parts(given: &RawBuffer) -> impl Iterator<Item = NonNull<[u8]>> {
        RawBuffer::parts(given)
    }

    unsafe fn take_back(given: RawBuffer) -> Self {
        // SAFETY: made from such a reference by `give`, and no longer the
        // device's.
        unsafe { given.0.cast().as_mut() }
    }
}

// SAFETY: a box owns its memory; while it is taken apart nobody frees it.
#[cfg(feature = "alloc")]
unsafe impl Dma for alloc::boxed::Box<[u8]> {
    type Given = RawBuffer;

    fn give(self) -> RawBuffer {
        RawBuffer(NonNull::from(Self::leak(self)))
    }

    fn parts(given: &RawBuffer) -> impl Iterator<Item = NonNull<[u8]>> {
        RawBuffer::parts(given)
    }

    unsafe fn take_back(given: RawBuffer) -> Self {
        // SAFETY: leaked by `give`, and no longer the device's.
        unsafe { Self::from_raw(given.0.as_ptr()) }
    }
}

// SAFETY: each of them keeps the promise. What an array is mapped to is
// complete before anything is returned.
unsafe impl<D: Dma, const COUNT: usize> Dma for [D; COUNT] {
    type Given = [D::Given; COUNT];

    fn give(self) -> Self::Given {
        self.map(D::give)
    }

    fn parts(given: &Self::Given) -> impl Iterator<Item = NonNull<[u8]>> {
        given.iter().flat_map(D::parts)
    }

    unsafe fn take_back(given: Self::Given) -> Self {
        // SAFETY: the caller says so for all of them.
        given.map(|given| unsafe { D::take_back(given) })
    }
}

// SAFETY: the first keeps the promise, and the other is no memory of the
// device's.
unsafe impl<D: Dma, T> Dma for (D, T) {
    type Given = (D::Given, T);

    fn give(self) -> Self::Given {
        (self.0.give(), self.1)
    }

    fn parts(given: &Self::Given) -> impl Iterator<Item = NonNull<[u8]>> {
        D::parts(&given.0)
    }

    unsafe fn take_back((given, with): Self::Given) -> Self {
        // SAFETY: as the caller says.
        (unsafe { D::take_back(given) }, with)
    }
}

// SAFETY: what is there keeps the promise.
unsafe impl<D: Dma> Dma for Option<D> {
    type Given = Option<D::Given>;

    fn give(self) -> Self::Given {
        self.map(D::give)
    }

    fn parts(given: &Self::Given) -> impl Iterator<Item = NonNull<[u8]>> {
        given.iter().flat_map(D::parts)
    }

    unsafe fn take_back(given: Self::Given) -> Self {
        // SAFETY: as the caller says.
        given.map(|given| unsafe { D::take_back(given) })
    }
}

/// Memory as a device sees it, on the way into a descriptor. Whoever has one
/// may give the memory to the device.
#[derive(Debug)]
pub(crate) struct Segment {
    address: u64,
    len: u32,
}

impl Segment {
    /// # Safety
    /// The memory must be the device's, or unused, from when a descriptor has
    /// the segment to when the device lets go.
    pub(crate) unsafe fn new(part: NonNull<[u8]>, memory: impl Memory) -> Result<Self, Error> {
        let len = u32::try_from(part.len()).map_err(|_| Error::TooLong)?;
        let address = memory.physical(part.cast(), part.len()).ok_or(Error::Address)?;
        Ok(Self { address, len })
    }

    /// Memory that both sides may use at any time.
    pub(crate) fn shared<T: Shared + ?Sized>(
        cells: &'static T,
        memory: impl Memory,
    ) -> Result<Self, Error> {
        let part = NonNull::slice_from_raw_parts(NonNull::from(cells).cast(), size_of_val(cells));
        // SAFETY: atomics, for ever, which is what `Shared` means.
        unsafe { Self::new(part, memory) }
    }

    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// The first `len` bytes of it, or all.
    pub(crate) fn truncated(self, len: u32) -> Self {
        Self { len: self.len.min(len), ..self }
    }
}

impl Descriptor {
    /// Points to a buffer.
    pub(crate) fn point(&self, segment: Segment, flags: DescriptorFlags, next: u16) {
        self.address.store(segment.address, Ordering::Relaxed);
        self.set_rest(segment.len, flags, next);
    }
}

/// # Safety
/// Every byte must be part of an atomic.
pub(crate) unsafe trait Shared {}

// SAFETY: they are.
unsafe impl Shared for AtomicU8 {}
// SAFETY: made of atomics.
unsafe impl Shared for Descriptor {}
// SAFETY: likewise.
unsafe impl Shared for Header {}
// SAFETY: many of these.
unsafe impl<T: Shared> Shared for [T] {}

#[cfg(test)]
mod tests {
    use super::*;

    fn lens<D: Dma>(given: &D::Given) -> impl Iterator<Item = usize> {
        D::parts(given).map(|part| part.len())
    }

    #[test]
    fn buffers_come_back_as_they_were() {
        let buffers: [&'static mut [u8]; 2] = [&mut [], std::vec![7; 3].leak()];
        let given = (buffers, "mine").give();
        assert!(lens::<([&'static mut [u8]; 2], &str)>(&given).eq([0, 3]));
        // SAFETY: no device had them.
        let (buffers, mine) = unsafe { <([&'static mut [u8]; 2], &str)>::take_back(given) };
        assert_eq!((buffers[1][..].to_vec(), mine), (std::vec![7; 3], "mine"));
    }

    #[test]
    fn nothing_has_no_parts() {
        let given = None::<&'static mut [u8]>.give();
        assert_eq!(lens::<Option<&'static mut [u8]>>(&given).count(), 0);
    }
}
