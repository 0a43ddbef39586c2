//! A spin lock that tells how much it was waited for. Where it is free, it
//! costs what a plain one does.

use core::hint::spin_loop;
use core::sync::atomic::{AtomicU64, Ordering};

use spin::mutex::SpinMutex;
use spin::mutex::spin::SpinMutexGuard;

/// How often a lock was not free, and how long until it was.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Waiting {
    /// Times that somebody had to wait.
    pub(super) waits: u64,
    /// Turns of the loop in which they did.
    pub(super) turns: u64,
    /// Times that somebody went another way instead.
    pub(super) misses: u64,
}

/// A value behind a spin lock.
pub(super) struct Lock<T> {
    inner: SpinMutex<T>,
    waits: AtomicU64,
    turns: AtomicU64,
    misses: AtomicU64,
}

impl<T> Lock<T> {
    pub(super) fn new(value: T) -> Self {
        let [waits, turns, misses] = [const { AtomicU64::new(0) }; 3];
        Self { inner: SpinMutex::new(value), waits, turns, misses }
    }

    /// Locks it, waiting until it is free.
    #[inline(always)]
    pub(super) fn lock(&self) -> SpinMutexGuard<'_, T> {
        match self.inner.try_lock_weak() {
            Some(guard) => guard,
            None => self.wait(),
        }
    }

    /// Locks it if it is free.
    #[inline(always)]
    pub(super) fn try_lock(&self) -> Option<SpinMutexGuard<'_, T>> {
        let guard = self.inner.try_lock();
        if guard.is_none() {
            self.misses.fetch_add(1, Ordering::Relaxed);
        }
        guard
    }

    #[cold]
    fn wait(&self) -> SpinMutexGuard<'_, T> {
        let mut turns = 0;
        let guard = loop {
            while self.inner.is_locked() {
                turns += 1;
                spin_loop();
            }
            if let Some(guard) = self.inner.try_lock_weak() {
                break guard;
            }
        };
        // The weak attempt may fail although the lock is free.
        self.waits.fetch_add(u64::from(turns != 0), Ordering::Relaxed);
        self.turns.fetch_add(turns, Ordering::Relaxed);
        guard
    }

    /// How much it was waited for so far.
    pub(super) fn waiting(&self) -> Waiting {
        Waiting {
            waits: self.waits.load(Ordering::Relaxed),
            turns: self.turns.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::thread;

    use super::*;

    #[test]
    fn a_free_lock_is_not_waited_for() {
        let lock = Lock::new(1);
        *lock.lock() += 1;
        assert_eq!((*lock.lock(), lock.waiting()), (2, Waiting::default()));
        let guard = lock.try_lock();
        assert!(guard.is_some() && lock.try_lock().is_none());
        assert_eq!(lock.waiting(), Waiting { misses: 1, ..Waiting::default() });
    }

    #[test]
    fn who_comes_second_waits_and_is_counted() {
        let (lock, waits) = (Lock::new(1), AtomicBool::new(false));
        thread::scope(|scope| {
            let guard = lock.lock();
            let second = scope.spawn(|| {
                waits.store(true, Ordering::Release);
                *lock.wait() += 1;
            });
            while !waits.load(Ordering::Acquire) {
                thread::yield_now();
            }
            drop(guard);
            second.join().unwrap();
        });
        assert_eq!(*lock.lock(), 2);
        // It may have found the lock free again already.
        let Waiting { waits, turns, .. } = lock.waiting();
        assert_eq!((waits, waits == 0), (u64::from(turns != 0), turns == 0));
    }
}
