//! Where devices find this kernel's memory, and memory for drivers to keep.
//!
//! One of the places where `unsafe` is allowed: the kernel says how its
//! addresses translate, which nobody can check, and [`Once`] hands out the
//! one reference to a static.
#![allow(unsafe_code)]

use core::cell::UnsafeCell;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, Ordering};

/// How this kernel's pointers translate to guest-physical addresses.
///
/// # Safety
/// Devices read and write where this says. For memory that its owner gave
/// away, the addresses returned must be that memory's, and stay so until it is
/// given back.
pub unsafe trait Memory: Copy {
    /// The guest-physical address of `len` bytes at `start`; `None` if they
    /// have none, or are not contiguous there.
    fn physical(self, start: NonNull<u8>, len: usize) -> Option<u64>;
}

/// Memory that is mapped at a fixed distance from where it is.
#[derive(Clone, Copy, Debug)]
pub struct Linear {
    offset: usize,
}

impl Linear {
    /// Memory that is mapped where it is, as in xv6 or without paging.
    ///
    /// # Safety
    /// All memory that is given to drivers, statics included, must be mapped
    /// so.
    pub const unsafe fn identity() -> Self {
        Self { offset: 0 }
    }

    /// Memory that is mapped at `offset` above where it is.
    ///
    /// # Safety
    /// As for [`identity`](Self::identity).
    pub const unsafe fn above(offset: usize) -> Self {
        Self { offset }
    }
}

// SAFETY: who made the value promised that it is so.
unsafe impl Memory for Linear {
    fn physical(self, start: NonNull<u8>, _: usize) -> Option<u64> {
        // Exposed, because the device writes through the address.
        let start = start.as_ptr().expose_provenance();
        Some(start.wrapping_sub(self.offset) as u64)
    }
}

/// A static that is handed out once, to the driver that keeps it for ever.
///
/// ```
/// use guest_drivers::Once;
///
/// static STORAGE: Once<[u8; 64]> = Once::new([0; 64]);
/// let storage: &'static mut [u8; 64] = STORAGE.take().unwrap();
/// assert!(STORAGE.take().is_none());
/// # let _ = storage;
/// ```
pub struct Once<T> {
    taken: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: the one reference there is goes to one thread.
unsafe impl<T: Send> Sync for Once<T> {}

impl<T> Once<T> {
    /// Something to hand out.
    pub const fn new(value: T) -> Self {
        Self { taken: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    /// The value, for the first who asks.
    #[expect(clippy::mut_from_ref, reason = "only once")]
    pub fn take(&'static self) -> Option<&'static mut T> {
        if self.taken.swap(true, Ordering::AcqRel) {
            return None;
        }
        // SAFETY: only the first call comes here, and nothing else makes
        // references.
        Some(unsafe { &mut *self.value.get() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_memory_is_at_its_distance() {
        let byte = 0u8;
        let start = NonNull::from(&byte);
        let address = start.addr().get();
        // SAFETY: nothing is given to a device.
        let (low, high) = unsafe { (Linear::identity(), Linear::above(0x1000)) };
        assert_eq!(low.physical(start, 1), Some(address as u64));
        assert_eq!(high.physical(start, 1), Some(address as u64 - 0x1000));
    }

    #[test]
    fn a_static_is_handed_out_once() {
        static ONE: Once<u32> = Once::new(7);
        let one = ONE.take();
        assert_eq!(one.as_deref(), Some(&7));
        assert_eq!(ONE.take(), None);
    }
}
