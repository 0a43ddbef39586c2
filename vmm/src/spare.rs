//! Memory that guests gave back: it holds what guests have read from the real
//! disks, until its guest wants it again.
//!
//! What is kept here is never the only copy, so a page can be given back at
//! once, whoever's data it holds. The lock is a leaf.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use spin::mutex::SpinMutex;

use crate::addr::{Gpa, Hpa};
use crate::mem::{Frame, GuestRam};

/// Pages that are used, 256 MiB; further ones lie idle. The book of one needs
/// some hundred bytes of the VMM's heap.
const MOST: usize = 64 << 10;

/// What a page holds: this cluster of that disk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Key {
    /// The number of the disk, from [`Spare::new_disk`].
    pub disk: u32,
    /// The number of the page-sized piece.
    pub cluster: u64,
}

/// How the spare memory is used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    /// Pages.
    pub pages: usize,
    /// How many of them hold something.
    pub used: usize,
    /// How often a read found a page.
    pub hits: u64,
}

#[derive(Default)]
struct State {
    free: BTreeMap<Hpa, Frame>,
    cached: BTreeMap<Key, Frame>,
    /// Where each page of `cached` is.
    keys: BTreeMap<Hpa, Key>,
    /// The page whose place the next one takes, when none is free.
    hand: Option<Key>,
    hits: u64,
}

#[derive(Default)]
struct Shared {
    /// Pages, to be read without the lock.
    pages: AtomicUsize,
    disks: AtomicU32,
    state: SpinMutex<State>,
}

/// All the spare memory of the machine.
#[derive(Clone, Default)]
pub struct Spare(Arc<Shared>);

impl Spare {
    /// A number for a disk.
    pub fn new_disk(&self) -> u32 {
        self.0.disks.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.pages.load(Ordering::Relaxed) == 0
    }

    /// How it is used.
    pub fn summary(&self) -> Summary {
        let state = self.0.state.lock();
        let used = state.cached.len();
        Summary { pages: used + state.free.len(), used, hits: state.hits }
    }

    /// Takes the page at `page`, if its guest still does without it.
    pub fn take(&self, page: Gpa, ram: &GuestRam) {
        let mut state = self.0.state.lock();
        if let Some(frame) = ram.frame(page)
            && state.free.len() + state.cached.len() < MOST
            && !state.keys.contains_key(&frame.hpa())
        {
            state.free.insert(frame.hpa(), frame);
        }
        self.count(&state);
    }

    /// Gives a page back to its guest, empty; does nothing if the guest has it.
    pub fn give_back(&self, page: Gpa, ram: &GuestRam) {
        let mut state = self.0.state.lock();
        // Two vCPUs may touch it at once: the lock lets one be first.
        let Some(hpa) = ram.frame(page).map(|frame| frame.hpa()) else { return };
        if let Some(key) = state.keys.remove(&hpa) {
            state.cached.remove(&key);
        }
        state.free.remove(&hpa);
        ram.restore(page);
        self.count(&state);
    }

    fn count(&self, state: &State) {
        self.0.pages.store(state.free.len() + state.cached.len(), Ordering::Relaxed);
    }

    /// Keeps what `fill` writes, if there is room; it says whether it has
    /// written all.
    pub fn put(&self, key: Key, fill: impl FnOnce(&mut Frame) -> Option<()>) {
        let mut state = self.0.state.lock();
        let Some(mut frame) = state.frame_for(key) else { return };
        if fill(&mut frame).is_some() {
            state.keys.insert(frame.hpa(), key);
            state.cached.insert(key, frame);
        } else {
            state.free.insert(frame.hpa(), frame);
        }
    }

    /// Copies from what is kept; `false` if it is not here.
    pub fn get(&self, key: Key, offset: usize, bytes: &mut [u8]) -> bool {
        let mut state = self.0.state.lock();
        let found = state.cached.get(&key).and_then(|frame| frame.read(offset, bytes)).is_some();
        state.hits += u64::from(found);
        found
    }

    /// Forgets what was kept.
    pub fn forget(&self, key: Key) {
        let mut state = self.0.state.lock();
        if let Some(frame) = state.cached.remove(&key) {
            state.keys.remove(&frame.hpa());
            state.free.insert(frame.hpa(), frame);
        }
    }
}

impl State {
    /// A page for `key`: the one that it has, a free one, or else that of the
    /// next in the order of disks and clusters.
    fn frame_for(&mut self, key: Key) -> Option<Frame> {
        let mut frame = self.cached.remove(&key);
        if frame.is_none() {
            frame = self.free.pop_first().map(|(_, frame)| frame);
        }
        let frame = match frame {
            Some(frame) => frame,
            None => {
                let hand = self.hand.unwrap_or(key);
                let next = self.cached.range(hand..).next().or_else(|| self.cached.iter().next());
                let victim = *next?.0;
                self.hand = Some(Key { cluster: victim.cluster.wrapping_add(1), ..victim });
                self.cached.remove(&victim)?
            }
        };
        self.keys.remove(&frame.hpa());
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Gpa = Gpa(0x8000_0000);
    const PAGE: u64 = 0x1000;

    fn page(n: u64) -> Gpa {
        BASE.wrapping_add(n * PAGE)
    }

    fn key(cluster: u64) -> Key {
        Key { disk: 1, cluster }
    }

    /// A guest that gave back the first `pages` of its 8 pages.
    fn spare(pages: u64) -> (Spare, GuestRam) {
        let (spare, ram) = (Spare::default(), GuestRam::leaked(BASE, 8 * PAGE));
        for n in 0..pages {
            assert!(ram.withdraw(page(n)));
            spare.take(page(n), &ram);
        }
        (spare, ram)
    }

    fn put(spare: &Spare, cluster: u64) {
        let byte = cluster.to_le_bytes()[0];
        spare.put(key(cluster), |frame| frame.write(0, &[byte; 16]));
    }

    fn has(spare: &Spare, cluster: u64) -> bool {
        let mut bytes = [0; 2];
        let found = spare.get(key(cluster), 8, &mut bytes);
        assert!(!found || bytes == [cluster.to_le_bytes()[0]; 2], "another's data");
        found
    }

    #[test]
    fn what_was_put_is_found_until_the_guest_wants_its_page() {
        let (spare, ram) = spare(2);
        put(&spare, 5);
        put(&spare, 6);
        assert!(has(&spare, 5) && has(&spare, 6) && !has(&spare, 7));
        assert_eq!(spare.summary(), Summary { pages: 2, used: 2, hits: 2 });
        for n in 0..8 {
            spare.give_back(page(n), &ram);
            assert!((0..512).all(|at| ram.load_u64(page(n).wrapping_add(8 * at)) == Ok(0)));
        }
        assert!(spare.is_empty() && !has(&spare, 5) && !has(&spare, 6));
        assert_eq!(ram.absent(), 0);
    }

    #[test]
    fn only_absent_pages_are_taken_and_only_once() {
        let (spare, ram) = spare(1);
        put(&spare, 3);
        spare.take(page(0), &ram);
        spare.take(page(1), &ram);
        assert_eq!(spare.summary(), Summary { pages: 1, used: 1, hits: 0 });
        assert!(has(&spare, 3));
    }

    #[test]
    fn when_all_are_used_they_have_turns() {
        let (spare, _ram) = spare(3);
        (0..30).for_each(|cluster| put(&spare, cluster));
        assert_eq!((0..30).filter(|cluster| has(&spare, *cluster)).count(), 3);
        assert!(has(&spare, 29), "what came last is there");
        assert_eq!(spare.summary().pages, 3);
        // The same once more takes no second page.
        put(&spare, 29);
        assert_eq!((0..30).filter(|cluster| has(&spare, *cluster)).count(), 3);
    }

    #[test]
    fn what_is_forgotten_or_was_not_written_is_not_there() {
        let (spare, _ram) = spare(1);
        put(&spare, 1);
        spare.forget(key(1));
        spare.forget(key(2));
        assert!(!has(&spare, 1));
        spare.put(key(1), |_| None);
        assert!(!has(&spare, 1));
        put(&spare, 4);
        assert!(has(&spare, 4));
        assert_eq!(spare.summary().pages, 1);
    }

    #[test]
    fn without_memory_nothing_is_kept() {
        let (spare, _ram) = spare(0);
        put(&spare, 1);
        assert!(!has(&spare, 1) && spare.is_empty());
    }
}
