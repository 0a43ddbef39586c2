//! The way of a page from a guest to the VMM's spare memory, and back.
//!
//! ```text
//!  the driver lists pages  Ledger::take         asked for
//!  a vCPU's next look      Seat::withdraw       absent: no access reaches them,
//!                                               the shadow is emptied
//!  the other vCPUs' look   Seat::pass_by        what each had begun has ended
//!  the last of them        Guest::withdrawn     spare; the driver has its list back
//! ```
//!
//! Back it goes at once, when the driver takes pages out of the balloon, when
//! the guest touches one all the same, or when it starts again. Pages that a
//! disk reads or writes at that moment stay where they are.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use spin::mutex::SpinMutex;

use super::Host;
use super::devices::Devices;
use super::guest::Guest;
use super::link::Attention;
use super::seat::Seat;
use crate::addr::{Gpa, PAGE_SIZE};
use crate::mem::GuestRam;
use crate::spare::Spare;
use crate::virtio::balloon::Keeper;

#[derive(Default)]
struct Book {
    wanted: u32,
    actual: u32,
    /// What the driver gives, in the order of addresses.
    asked: Vec<Gpa>,
    /// What is absent, but not spare yet.
    leaving: Vec<Gpa>,
}

struct Shared {
    spare: Spare,
    book: SpinMutex<Book>,
    /// `Book::asked` is not empty.
    asks: AtomicBool,
    /// vCPUs that have yet to pass by, while pages leave.
    passing: AtomicUsize,
}

/// What the balloon and its guest know of each other. The lock is a leaf.
#[derive(Clone)]
pub(super) struct Ledger(Arc<Shared>);

impl Ledger {
    /// That of a guest which is asked for `bytes`.
    pub(super) fn new(spare: Spare, bytes: u64) -> Self {
        let book = SpinMutex::new(Book { wanted: pages(bytes), ..Book::default() });
        let (asks, passing) = (AtomicBool::new(false), AtomicUsize::new(0));
        Self(Arc::new(Shared { spare, book, asks, passing }))
    }

    /// Asks the guest for this many bytes; takes effect when the device is
    /// polled.
    pub(super) fn want(&self, bytes: u64) {
        self.0.book.lock().wanted = pages(bytes);
    }

    /// Bytes that the guest is asked for.
    pub(super) fn wanted(&self) -> u64 {
        u64::from(self.0.book.lock().wanted) * PAGE_SIZE
    }

    /// Whether pages wait to be withdrawn.
    #[inline]
    pub(super) fn asks(&self) -> bool {
        self.0.asks.load(Ordering::Relaxed)
    }

    /// As at power-on.
    fn reset(&self) {
        let mut book = self.0.book.lock();
        book.actual = 0;
        book.asked.clear();
        book.leaving.clear();
        self.0.asks.store(false, Ordering::Relaxed);
        self.0.passing.store(0, Ordering::Relaxed);
    }
}

fn pages(bytes: u64) -> u32 {
    u32::try_from(bytes / PAGE_SIZE).unwrap_or(u32::MAX)
}

impl Keeper for Ledger {
    fn wanted(&self) -> u32 {
        self.0.book.lock().wanted
    }

    fn note(&mut self, actual: u32) {
        self.0.book.lock().actual = actual;
    }

    fn take(&mut self, pages: &[Gpa]) {
        let mut book = self.0.book.lock();
        book.asked.extend(pages);
        book.asked.sort_unstable();
        self.0.asks.store(!book.asked.is_empty(), Ordering::Relaxed);
    }

    fn has_taken(&self) -> bool {
        let book = self.0.book.lock();
        book.asked.is_empty() && book.leaving.is_empty()
    }

    fn give(&mut self, page: Gpa, ram: &GuestRam) {
        self.0.spare.give_back(page, ram);
    }

    fn forget(&mut self) {
        self.0.book.lock().asked.clear();
        self.0.asks.store(false, Ordering::Relaxed);
    }
}

impl Book {
    /// Strikes out the pages that a disk has to do with.
    fn strike_out(&mut self, busy: (Gpa, u64)) {
        let first = busy.0.align_down(PAGE_SIZE);
        let end = busy.0.wrapping_add(busy.1);
        let from = self.asked.partition_point(|page| *page < first);
        let to = self.asked.partition_point(|page| *page < end);
        if from < to {
            self.asked.drain(from..to);
        }
    }
}

impl Devices {
    /// Makes absent what the driver gives, and tells whether that was
    /// anything; `None` while other pages are leaving.
    fn withdraw(&self, ledger: &Ledger, ram: &GuestRam) -> Option<bool> {
        let mut book = ledger.0.book.lock();
        if !book.leaving.is_empty() {
            return None;
        }
        self.in_flight(&mut |segment| book.strike_out((segment.gpa, segment.len)));
        let asked = core::mem::take(&mut book.asked);
        ledger.0.asks.store(false, Ordering::Relaxed);
        book.leaving = asked.into_iter().filter(|page| ram.withdraw(*page)).collect();
        Some(!book.leaving.is_empty())
    }
}

impl Seat {
    /// Takes what the driver gives away from the guest. The others are asked
    /// to pass by: none of them is in the middle of something then that began
    /// before.
    pub(super) fn withdraw<H: Host>(&mut self, host: &mut H) {
        let guest = self.guest;
        let Some((ledger, _)) = &guest.balloon else { return };
        // The lock is given back before the device is polled, which takes it.
        let leaving = guest.devices.lock().withdraw(ledger, &guest.ram);
        match leaving {
            Some(true) => {}
            Some(false) => return guest.withdrawn(host),
            // Who passes by last looks again.
            None => return,
        }
        self.zap(host);
        let others = guest.links.len() - 1;
        if others == 0 {
            return guest.withdrawn(host);
        }
        ledger.0.passing.store(others, Ordering::Release);
        let links = guest.links.iter().enumerate().filter(|(n, _)| *n != self.index);
        links.for_each(|(_, link)| link.notify(host, Attention::PASS_BY));
    }

    /// This vCPU is not in the middle of anything.
    pub(super) fn pass_by<H: Host>(&self, host: &H) {
        let Some((ledger, _)) = &self.guest.balloon else { return };
        let left = |n: usize| n.checked_sub(1);
        let before = ledger.0.passing.fetch_update(Ordering::AcqRel, Ordering::Acquire, left);
        if before == Ok(1) {
            self.guest.withdrawn(host);
        }
    }
}

impl Guest {
    /// Nobody in the guest knows the pages that left: they are spare.
    fn withdrawn<H: Host>(&self, host: &H) {
        let Some((ledger, place)) = &self.balloon else { return };
        let left = core::mem::take(&mut ledger.0.book.lock().leaving);
        left.iter().for_each(|page| ledger.0.spare.take(*page, &self.ram));
        self.poll_device(host, *place);
    }

    /// The guest touched a page that it had given back: it has it again.
    pub(super) fn give_back(&self, page: Gpa) {
        if let Some((ledger, _)) = &self.balloon {
            ledger.0.spare.give_back(page, &self.ram);
        }
    }

    /// The guest starts again, with all of its memory.
    pub(super) fn empty_balloon(&self) {
        if let Some((ledger, _)) = &self.balloon {
            self.ram.absent_pages().for_each(|page| ledger.0.spare.give_back(page, &self.ram));
            ledger.reset();
        }
    }

    /// Asks the guest for `bytes` of its memory; `false` if it has no balloon.
    pub(super) fn ask_for<H: Host>(&self, host: &H, bytes: u64) -> bool {
        let Some((ledger, place)) = &self.balloon else { return false };
        ledger.want(bytes);
        self.poll_device(host, *place);
        true
    }
}
