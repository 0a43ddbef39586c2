//! Guest RAM: one host range per guest, less the pages that it gave back.
//!
//! The guest's harts and real devices change this memory at any moment, so
//! no Rust reference to it exists: each access is a single atomic or a
//! volatile copy through a pointer, after a bounds check. This is one of the
//! two places where `unsafe` is allowed (the other is `hw`).
//!
//! Invariant **watched-writes**: each write of the VMM to a *watched* page
//! (one that backs live guest page tables) leaves a mark, so that the shadow
//! tables hear of it at the next fence (see `mmu::shadow`).
//!
//! Invariant **one-owner**: a page is the guest's, or *absent* and the VMM's,
//! which has it as a [`Frame`]. No access through `GuestRam` reaches an absent
//! page, and the shadow maps none; `machine::balloon` sees to it that what
//! began before has ended when the frame is made.
#![allow(unsafe_code)]

mod absent;
mod frame;
#[cfg(test)]
mod tests;
mod watch;

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::addr::{Gpa, Hpa, PAGE_SHIFT, to_usize};
use absent::Absent;
pub use frame::Frame;
pub use watch::FenceWork;
use watch::Watch;

/// An access that leaves guest RAM, or is not naturally aligned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfRange;

/// The RAM of one guest.
pub struct GuestRam {
    base: Gpa,
    host: NonNull<u8>,
    len: u64,
    watch: Watch,
    absent: Absent,
}

/// How words are loaded: the crate `ordering` tries all that this allows.
pub const LOAD: Ordering = Ordering::Acquire;
/// How they are stored.
pub const STORE: Ordering = Ordering::Release;
/// What [`full_fence`] is.
pub const FENCE: Ordering = Ordering::SeqCst;

/// Comes after all accesses before it, and before all behind it.
#[inline]
pub fn full_fence() {
    core::sync::atomic::fence(FENCE);
}

/// The page size, as a length of slices.
const PAGE: usize = 1 << PAGE_SHIFT;

// SAFETY: the memory is only accessed through atomics and volatile copies,
// which are sound from any hart.
unsafe impl Send for GuestRam {}
// SAFETY: as above.
unsafe impl Sync for GuestRam {}

impl GuestRam {
    /// RAM at guest-physical `base` backed by `len` bytes from `host`.
    ///
    /// # Safety
    /// The host range must be valid memory that is given up to this guest
    /// for as long as the value lives; `len`, `base` and `host` must be
    /// multiples of the page size.
    pub unsafe fn new(base: Gpa, host: NonNull<u8>, len: u64) -> Self {
        let pages = to_usize(len >> PAGE_SHIFT);
        Self { base, host, len, watch: Watch::new(pages), absent: Absent::new(pages) }
    }

    /// A buffer of the VMM's that is used as guest RAM is, because a device
    /// reads and writes it; it has the addresses from 0 on. What does not
    /// begin and end with a page is left out.
    pub fn buffer(bytes: &'static mut [u8]) -> Self {
        let skip = bytes.as_ptr().align_offset(PAGE);
        let bytes = bytes.get_mut(skip..).unwrap_or_default();
        let len = bytes.len() / PAGE * PAGE;
        let host = NonNull::from(bytes).cast();
        // SAFETY: the caller gives the memory up, for ever; begin and length
        // are multiples of the page size.
        unsafe { Self::new(Gpa(0), host, len as u64) }
    }

    /// RAM on the host's heap, for tests; never freed.
    #[cfg(not(target_os = "none"))]
    pub fn leaked(base: Gpa, len: u64) -> Self {
        let words = vec![0u128; to_usize(len + crate::addr::PAGE_SIZE) / 16].leak();
        let start = words.as_mut_ptr().cast::<u8>();
        let host = start.wrapping_add(start.align_offset(4096));
        // SAFETY: leaked, so valid for ever, and one page longer than used.
        unsafe { Self::new(base, NonNull::new(host).unwrap(), len) }
    }

    /// The memory at `host` once more, with the addresses that it has for the
    /// host: as a device sees it, for tests.
    #[cfg(test)]
    pub(crate) fn alias(host: Hpa, len: u64) -> Self {
        let start = core::ptr::with_exposed_provenance_mut(to_usize(host.0));
        // SAFETY: tests pass memory that is leaked, and accessed in this way.
        unsafe { Self::new(Gpa(host.0), NonNull::new(start).unwrap(), len) }
    }

    /// First guest-physical address.
    pub fn base(&self) -> Gpa {
        self.base
    }

    /// Size in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is no memory at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The host-physical address of `len` bytes at `gpa`, if all are RAM.
    #[inline]
    pub fn hpa(&self, gpa: Gpa, len: u64) -> Option<Hpa> {
        let offset = self.offset(gpa, len)?;
        Some(Hpa(self.host.as_ptr() as u64 + offset))
    }

    /// The guest-physical address that `hpa`, which must be RAM, has.
    #[inline]
    pub fn gpa(&self, hpa: Hpa) -> Gpa {
        self.base.wrapping_add(hpa.0.wrapping_sub(self.host.as_ptr() as u64))
    }

    #[inline]
    fn offset(&self, gpa: Gpa, len: u64) -> Option<u64> {
        let offset = gpa.0.wrapping_sub(self.base.0);
        let inside = len <= self.len && offset <= self.len - len;
        (inside && (self.absent.count() == 0 || self.all_there(offset, len))).then_some(offset)
    }

    /// Whether no page of a range in RAM is absent.
    #[cold]
    fn all_there(&self, offset: u64, len: u64) -> bool {
        let Some(last) = len.checked_sub(1) else { return true };
        let [first, last] = [offset, offset + last].map(|at| to_usize(at >> PAGE_SHIFT));
        !self.absent.any_of(first, last)
    }

    /// A pointer to an aligned `T` at `gpa`.
    #[inline]
    fn cell<T>(&self, gpa: Gpa) -> Result<*mut T, OutOfRange> {
        let size = size_of::<T>() as u64;
        let offset = self.offset(gpa, size).ok_or(OutOfRange)?;
        if !gpa.is_aligned(size) {
            return Err(OutOfRange);
        }
        Ok(self.host.as_ptr().wrapping_add(to_usize(offset)).cast())
    }

    /// Copies `bytes.len()` bytes out of guest RAM.
    pub fn read_bytes(&self, gpa: Gpa, bytes: &mut [u8]) -> Result<(), OutOfRange> {
        let offset = self.offset(gpa, bytes.len() as u64).ok_or(OutOfRange)?;
        let src = self.host.as_ptr().wrapping_add(to_usize(offset));
        // SAFETY: the range is inside guest RAM, which never overlaps a Rust
        // object; a racing guest can only change which bytes are seen.
        unsafe { copy(src, bytes.as_mut_ptr(), bytes.len()) };
        Ok(())
    }

    /// Copies `bytes` into guest RAM.
    pub fn write_bytes(&self, gpa: Gpa, bytes: &[u8]) -> Result<(), OutOfRange> {
        let offset = self.offset(gpa, bytes.len() as u64).ok_or(OutOfRange)?;
        let dst = self.host.as_ptr().wrapping_add(to_usize(offset));
        // SAFETY: as in `read_bytes`.
        unsafe { copy(bytes.as_ptr(), dst, bytes.len()) };
        self.note_device_write(gpa, bytes.len() as u64);
        Ok(())
    }

    /// The four bytes at `gpa`, which must be even: an instruction, or a
    /// compressed one and what follows it.
    #[inline]
    pub fn load_instruction(&self, gpa: Gpa) -> Result<u32, OutOfRange> {
        let offset = self.offset(gpa, 4).ok_or(OutOfRange)?;
        if !gpa.is_aligned(2) {
            return Err(OutOfRange);
        }
        let halves = self.host.as_ptr().wrapping_add(to_usize(offset)).cast::<u16>();
        // SAFETY: aligned, inside guest RAM, shared as atomics.
        let (low, high) =
            unsafe { (AtomicU16::from_ptr(halves), AtomicU16::from_ptr(halves.wrapping_add(1))) };
        let [low, high] = [low, high].map(|half| half.load(Ordering::Relaxed));
        Ok(u32::from(high) << 16 | u32::from(low))
    }

    /// Loads the eight doublewords of the aligned 64 bytes around `gpa`, each
    /// by itself.
    #[inline]
    pub(crate) fn load_line(&self, gpa: Gpa) -> Result<[u64; 8], OutOfRange> {
        let offset = self.offset(gpa.align_down(64), 64).ok_or(OutOfRange)?;
        let line = self.host.as_ptr().wrapping_add(to_usize(offset)).cast::<u64>();
        // SAFETY: aligned, since pages are, inside guest RAM, shared as atomics.
        let load = |n| unsafe { AtomicU64::from_ptr(line.wrapping_add(n)) }.load(Ordering::Relaxed);
        Ok([0, 1, 2, 3, 4, 5, 6, 7].map(load))
    }

    /// Stores those of the eight doublewords of the aligned 64 bytes around
    /// `gpa` that are not what `there` says, which is what they are afterwards.
    #[inline]
    pub(crate) fn update_line(
        &self,
        gpa: Gpa,
        there: &mut [u64; 8],
        now: &[u64; 8],
    ) -> Result<(), OutOfRange> {
        let gpa = gpa.align_down(64);
        let offset = self.offset(gpa, 64).ok_or(OutOfRange)?;
        let line = self.host.as_ptr().wrapping_add(to_usize(offset)).cast::<u64>();
        for ((n, there), now) in there.iter_mut().enumerate().zip(now) {
            if *there != *now {
                *there = *now;
                // SAFETY: as in `load_line`.
                unsafe { AtomicU64::from_ptr(line.wrapping_add(n)) }.store(*now, Ordering::Relaxed);
            }
        }
        self.note_write(gpa);
        Ok(())
    }

    /// Reads a plain value, copied out once: by doublewords if it can be, as
    /// descriptors and the like can.
    #[inline]
    pub fn read<T: FromBytes + IntoBytes>(&self, gpa: Gpa) -> Result<T, OutOfRange> {
        let mut value = T::new_zeroed();
        let bytes = value.as_mut_bytes();
        match self.words::<T>(gpa)? {
            Some(words) => {
                for (n, part) in bytes.chunks_exact_mut(8).enumerate() {
                    // SAFETY: aligned and inside guest RAM, says `words`.
                    let word = unsafe { words.add(n).read_volatile() };
                    part.copy_from_slice(&word.to_ne_bytes());
                }
            }
            None => self.read_bytes(gpa, bytes)?,
        }
        Ok(value)
    }

    /// Writes a plain value.
    #[inline]
    pub fn write<T: IntoBytes + Immutable>(&self, gpa: Gpa, value: &T) -> Result<(), OutOfRange> {
        let Some(words) = self.words::<T>(gpa)? else {
            return self.write_bytes(gpa, value.as_bytes());
        };
        for (n, part) in value.as_bytes().as_chunks().0.iter().enumerate() {
            // SAFETY: aligned and inside guest RAM, says `words`.
            unsafe { words.add(n).write_volatile(u64::from_ne_bytes(*part)) };
        }
        self.note_device_write(gpa, size_of::<T>() as u64);
        Ok(())
    }

    /// The doublewords of a `T` at `gpa`, if it is made of whole and aligned
    /// ones.
    #[inline]
    fn words<T>(&self, gpa: Gpa) -> Result<Option<*mut u64>, OutOfRange> {
        let offset = self.offset(gpa, size_of::<T>() as u64).ok_or(OutOfRange)?;
        let words = self.host.as_ptr().wrapping_add(to_usize(offset)).cast();
        let whole = size_of::<T>().is_multiple_of(8) && gpa.is_aligned(8);
        Ok(whole.then_some(words))
    }

    /// Compares and exchanges an aligned doubleword; the value found is
    /// returned, as `Ok` when the exchange took place.
    pub fn compare_exchange_u64(
        &self,
        gpa: Gpa,
        old: u64,
        new: u64,
    ) -> Result<Result<u64, u64>, OutOfRange> {
        let cell = self.cell::<u64>(gpa)?;
        // SAFETY: aligned, inside guest RAM, shared with the guest as atomics.
        let atomic = unsafe { AtomicU64::from_ptr(cell) };
        Ok(atomic.compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire))
    }

    /// Sets bits of an aligned doubleword, after everything stored before;
    /// returns what it was.
    pub fn fetch_or_u64(&self, gpa: Gpa, bits: u64) -> Result<u64, OutOfRange> {
        let cell = self.cell::<u64>(gpa)?;
        // SAFETY: aligned, inside guest RAM, shared with the guest as atomics.
        let before = unsafe { AtomicU64::from_ptr(cell) }.fetch_or(bits, Ordering::SeqCst);
        self.note_write(gpa);
        Ok(before)
    }
}

/// Copies `len` bytes. The library's `memcpy` needs five instructions for eight
/// bytes on this architecture; blocks need half as many. They are volatile, or
/// the compiler makes a call of `memcpy` of the loop.
///
/// # Safety
/// As of [`core::ptr::copy_nonoverlapping`].
unsafe fn copy(src: *const u8, dst: *mut u8, len: usize) {
    const WORDS: usize = 8;
    const BLOCK: usize = WORDS * size_of::<u64>();
    let aligned = (src.addr() | dst.addr()).is_multiple_of(align_of::<u64>());
    let whole = if aligned { len / BLOCK * BLOCK } else { 0 };
    let mut at = 0;
    while at < whole {
        let (from, to) = (src.wrapping_add(at).cast::<u64>(), dst.wrapping_add(at).cast::<u64>());
        for word in 0..WORDS {
            // SAFETY: within the range, aligned on both sides.
            unsafe { to.add(word).write_volatile(from.add(word).read_volatile()) };
        }
        at += BLOCK;
    }
    let (src, dst) = (src.wrapping_add(whole), dst.wrapping_add(whole));
    // SAFETY: the caller's promise, for the rest.
    unsafe { core::ptr::copy_nonoverlapping(src, dst, len - whole) };
}

macro_rules! word {
    ($load:ident, $store:ident, $int:ty, $atomic:ty) => {
        impl GuestRam {
            /// Loads an aligned word with acquire ordering.
            #[inline]
            pub fn $load(&self, gpa: Gpa) -> Result<$int, OutOfRange> {
                let cell = self.cell::<$int>(gpa)?;
                // SAFETY: aligned, inside guest RAM, shared as atomics.
                Ok(unsafe { <$atomic>::from_ptr(cell) }.load(LOAD))
            }

            /// Stores an aligned word with release ordering.
            #[inline]
            pub fn $store(&self, gpa: Gpa, value: $int) -> Result<(), OutOfRange> {
                let cell = self.cell::<$int>(gpa)?;
                // SAFETY: aligned, inside guest RAM, shared as atomics.
                unsafe { <$atomic>::from_ptr(cell) }.store(value, STORE);
                self.note_write(gpa);
                Ok(())
            }
        }
    };
}
word!(load_u8, store_u8, u8, AtomicU8);
word!(load_u16, store_u16, u16, AtomicU16);
word!(load_u32, store_u32, u32, AtomicU32);
word!(load_u64, store_u64, u64, AtomicU64);
