//! Writes of the VMM, and of devices, to pages that back guest page tables:
//! the marks of **watched-writes**.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::GuestRam;
use crate::addr::{Gpa, to_usize};

/// Pages in a word of bits.
const WORD: usize = u64::BITS as usize;

/// What the guest's next fence has to look at: a halfword, so that the trap
/// entry sees at once that there is nothing.
#[derive(Debug)]
#[repr(C, align(2))]
pub struct FenceWork {
    /// Pages that the VMM wrote to.
    marked: AtomicBool,
    /// Tables that the guest wrote to; may be set when there are none.
    changed: AtomicBool,
}

impl FenceWork {
    /// With `any`, as of guests whose fences the trap entry leaves to others.
    pub const fn new(any: bool) -> Self {
        Self { marked: AtomicBool::new(any), changed: AtomicBool::new(any) }
    }

    /// Whether there is any, as the trap entry looks at it.
    #[cfg(test)]
    pub(crate) fn any(&self) -> bool {
        [&self.marked, &self.changed].iter().any(|flag| flag.load(Ordering::Relaxed))
    }
}

/// What is watched, and what was written, by page from the start of RAM.
pub(super) struct Watch {
    watched: Bits,
    /// The VMM wrote to the page while it was watched.
    marked: Bits,
    work: FenceWork,
}

impl Watch {
    /// Nothing of `pages` pages is watched.
    pub(super) fn new(pages: usize) -> Self {
        let work = FenceWork::new(false);
        Self { watched: Bits::new(pages), marked: Bits::new(pages), work }
    }
}

/// A bit for each page.
struct Bits(Box<[AtomicU64]>);

impl Bits {
    fn new(pages: usize) -> Self {
        Self((0..pages.div_ceil(WORD)).map(|_| AtomicU64::new(0)).collect())
    }

    #[inline]
    fn has(&self, page: usize) -> bool {
        let word = self.0.get(page / WORD).map_or(0, |word| word.load(Ordering::Relaxed));
        word >> (page % WORD) & 1 != 0
    }

    fn set(&self, page: usize, on: bool) {
        let bit = 1 << (page % WORD);
        match self.0.get(page / WORD) {
            Some(word) if on => word.fetch_or(bit, Ordering::Relaxed),
            Some(word) => word.fetch_and(!bit, Ordering::Relaxed),
            None => 0,
        };
    }
}

impl GuestRam {
    #[inline]
    fn place(&self, page: u64) -> usize {
        to_usize(page.wrapping_sub(self.base.page()))
    }

    /// Records a write of the VMM to a page, after the write (watched-writes).
    #[inline]
    pub(super) fn note_write(&self, gpa: Gpa) {
        let place = self.place(gpa.page());
        if self.watch.watched.has(place) {
            self.watch.marked.set(place, true);
            self.watch.work.marked.store(true, Ordering::Release);
        }
    }

    /// Records that a device writes `len` bytes at `gpa` (watched-writes);
    /// call it when the data has arrived.
    pub fn note_device_write(&self, gpa: Gpa, len: u64) {
        let Some(last) = len.checked_sub(1).and_then(|l| gpa.checked_add(l)) else { return };
        for page in gpa.page()..=last.page() {
            self.note_write(Gpa::from_page(page));
        }
    }

    /// Starts to watch page number `page` of guest-physical space.
    pub(crate) fn watch(&self, page: u64) {
        self.watch.watched.set(self.place(page), true);
    }

    /// Ends watching, and forgets a mark.
    pub(crate) fn unwatch(&self, page: u64) {
        let place = self.place(page);
        self.watch.watched.set(place, false);
        self.watch.marked.set(place, false);
    }

    /// Whether the VMM wrote to a watched page.
    #[inline]
    pub(crate) fn any_marked(&self) -> bool {
        self.watch.work.marked.load(Ordering::Relaxed)
    }

    /// The same, and says no until the next such write.
    pub(crate) fn take_marked(&self) -> bool {
        self.watch.work.marked.swap(false, Ordering::AcqRel)
    }

    /// Notes whether any table may have been written since the last fence.
    #[inline]
    pub(crate) fn note_changed(&self, any: bool) {
        self.watch.work.changed.store(any, Ordering::Relaxed);
    }

    /// What the next fence has to look at.
    pub fn fence_work(&self) -> &FenceWork {
        &self.watch.work
    }

    /// The page numbers that were marked; marks are cleared. A guest can have
    /// this done at each of its exits: it looks at a word for 64 pages.
    pub(crate) fn drain_marks(&self, mut each: impl FnMut(u64)) {
        let first = self.base.page();
        for (number, word) in self.watch.marked.0.iter().enumerate() {
            if word.load(Ordering::Relaxed) == 0 {
                continue;
            }
            let mut marks = word.swap(0, Ordering::Relaxed);
            while marks != 0 {
                each(first + (number * WORD) as u64 + u64::from(marks.trailing_zeros()));
                marks &= marks - 1;
            }
        }
    }
}
