//! The bytes between a guest's devices and the terminal. What is typed waits
//! here until a device has room for it; what a virtio console shows waits
//! until the access to the devices ends, and so never for long.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use spin::mutex::SpinMutex;

use crate::virtio::console::{TURN, Terminal};

/// Typed bytes that wait until the guest takes them.
const TYPED: usize = 1024;
/// Bytes that one access shows: a turn of both consoles that a guest can have.
const SHOWN: usize = 2 * TURN;

struct Bytes {
    typed: VecDeque<u8>,
    shown: Vec<u8>,
}

/// One end of it; a guest's UART, consoles and SBI have one each. The lock is
/// a leaf.
#[derive(Clone)]
pub(super) struct Wire(Arc<SpinMutex<Bytes>>);

impl Wire {
    pub(super) fn new() -> Self {
        let (typed, shown) = (VecDeque::with_capacity(TYPED), Vec::with_capacity(SHOWN));
        Self(Arc::new(SpinMutex::new(Bytes { typed, shown })))
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        let mut bytes = self.0.lock();
        bytes.typed.clear();
        bytes.shown.clear();
    }

    /// A byte was typed. Those of a guest that takes none are lost.
    pub(super) fn type_in(&self, byte: u8) {
        let mut bytes = self.0.lock();
        if bytes.typed.len() < TYPED {
            bytes.typed.push_back(byte);
        }
    }

    /// Whether typed bytes wait.
    #[inline]
    pub(super) fn has_typed(&self) -> bool {
        !self.0.lock().typed.is_empty()
    }

    /// The next typed byte.
    pub(super) fn next(&self) -> Option<u8> {
        self.0.lock().typed.pop_front()
    }

    /// Puts what was shown into `into`, which is empty.
    #[inline]
    pub(super) fn swap_shown(&self, into: &mut Vec<u8>) {
        let mut bytes = self.0.lock();
        if !bytes.shown.is_empty() {
            core::mem::swap(&mut bytes.shown, into);
        }
    }
}

impl Terminal for Wire {
    fn show(&mut self, bytes: &[u8]) {
        self.0.lock().shown.extend_from_slice(bytes);
    }

    fn waiting(&self) -> usize {
        self.0.lock().typed.len()
    }

    fn take(&mut self, bytes: &mut [u8]) -> usize {
        let typed = &mut self.0.lock().typed;
        let count = bytes.len().min(typed.len());
        bytes.iter_mut().zip(typed.drain(..count)).for_each(|(to, byte)| *to = byte);
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_bytes_go_to_who_takes_them_first() {
        let wire = Wire::new();
        (0..2000u32).for_each(|n| wire.type_in(n.to_le_bytes()[0]));
        assert_eq!(wire.waiting(), TYPED, "a guest that does not read keeps no more");
        let mut two = [9; 2];
        assert_eq!(wire.clone().take(&mut two), 2);
        assert_eq!((two, wire.next()), ([0, 1], Some(2)));
        wire.clear();
        assert!(!wire.has_typed());
        assert_eq!(wire.clone().take(&mut two), 0);
    }

    #[test]
    fn what_is_shown_is_taken_once() {
        let wire = Wire::new();
        wire.clone().show(b"ab");
        let mut out = Vec::new();
        wire.swap_shown(&mut out);
        assert_eq!(out, b"ab");
        out.clear();
        wire.swap_shown(&mut out);
        assert!(out.is_empty());
    }
}
