//! Random bytes for guests, from the seed that the real machine gives.
//!
//! A kernel that is given no entropy makes some from the jitter of its clock,
//! which takes it longer than the rest of its boot. Seeds are blocks of the
//! ChaCha20 key stream (RFC 8439, section 2.3): nobody can tell one from
//! another, or the machine's from a guest's. The machine's seed is 256 bits
//! from the generator of QEMU's host; there is no other source, and none is
//! needed.

use core::sync::atomic::{AtomicU32, Ordering};

/// Bytes in a seed.
pub const SEED: usize = 64;

/// A source of seeds, each of which is given out once.
pub struct Seeds {
    key: [u8; 32],
    /// Number of the next seed.
    next: AtomicU32,
}

impl Seeds {
    /// A source that nobody can foresee who does not know `key`.
    pub fn new(key: [u8; 32]) -> Self {
        Self { key, next: AtomicU32::new(0) }
    }

    /// The next seed; `None` after 2^32 of them.
    pub fn take(&self) -> Option<[u8; SEED]> {
        let next = |number: u32| number.checked_add(1);
        let number = self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).ok()?;
        Some(block(&self.key, number, [0; 3]))
    }

    /// A generator for one device of one guest.
    pub fn random(&self) -> Option<Random> {
        self.take().and_then(|seed| seed.first_chunk().copied()).map(Random::new)
    }
}

/// A generator of random bytes, of one guest alone.
///
/// Each request begins with a new key, and the old one is gone: who learns
/// the key later does not learn what was given out before. (D. J. Bernstein,
/// "Fast-key-erasure random-number generators", 2017.)
pub struct Random {
    key: [u8; 32],
}

impl Random {
    /// A generator that nobody can foresee who does not know `key`.
    pub fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// Makes random bytes.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        let old = self.key;
        let first = block(&old, 0, [0; 3]);
        self.key.iter_mut().zip(first).for_each(|(to, byte)| *to = byte);
        for (part, number) in bytes.chunks_mut(SEED).zip(1..) {
            part.iter_mut().zip(block(&old, number, [0; 3])).for_each(|(to, byte)| *to = byte);
        }
    }
}

/// The ChaCha20 block function (RFC 8439, section 2.3).
fn block(key: &[u8; 32], counter: u32, nonce: [u32; 3]) -> [u8; SEED] {
    let mut start = [0; 16];
    start[..4].copy_from_slice(&[0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574]);
    for (word, bytes) in start[4..12].iter_mut().zip(key.as_chunks().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    start[12] = counter;
    start[13..].copy_from_slice(&nonce);
    let mut state = start;
    for _ in 0..10 {
        for column in 0..4 {
            quarter(&mut state, [0, 4, 8, 12].map(|row| row + column));
        }
        for diagonal in 0..4 {
            quarter(&mut state, [0, 1, 2, 3].map(|row| 4 * row + (diagonal + row) % 4));
        }
    }
    let mut bytes = [0; SEED];
    for ((to, word), first) in bytes.chunks_exact_mut(4).zip(state).zip(start) {
        to.copy_from_slice(&word.wrapping_add(first).to_le_bytes());
    }
    bytes
}

/// A quarter round on the words at these four indices (section 2.1).
fn quarter(state: &mut [u32; 16], [a, b, c, d]: [usize; 4]) {
    for (first, second) in [(16, 12), (8, 7)] {
        state[a] = state[a].wrapping_add(state[b]);
        state[d] = (state[d] ^ state[a]).rotate_left(first);
        state[c] = state[c].wrapping_add(state[d]);
        state[b] = (state[b] ^ state[c]).rotate_left(second);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_block_function_is_that_of_the_rfc() {
        // Section 2.3.2.
        let key = core::array::from_fn(|n| u8::try_from(n).unwrap());
        let bytes = block(&key, 1, [0x0900_0000, 0x4a00_0000, 0]);
        let begin = [0x10, 0xf1, 0xe7, 0xe4, 0xd1, 0x3b, 0x59, 0x15];
        let end = [0xb5, 0x12, 0x9c, 0xd1, 0xde, 0x16, 0x4e, 0xb9];
        assert_eq!(bytes[..8], begin);
        assert_eq!(bytes[48..56], end, "{bytes:x?}");
    }

    #[test]
    fn no_seed_is_given_twice() {
        let seeds = Seeds::new([7; 32]);
        assert_ne!(seeds.take(), seeds.take());
        seeds.next.store(u32::MAX, Ordering::Relaxed);
        assert_eq!(seeds.take(), None);
    }

    #[test]
    fn random_bytes_go_on_and_the_key_is_forgotten() {
        let mut random = Random::new([9; 32]);
        let mut all = [[0; 100]; 3];
        all.iter_mut().for_each(|bytes| random.fill(bytes));
        assert!(all[0] != all[1] && all[1] != all[2] && all[0] != all[2]);
        assert_ne!(random.key, [9; 32]);
        // No byte of the next key is given out with it.
        let next = block(&[9; 32], 0, [0; 3]);
        assert_ne!(all[0][..32], next[..32]);
        let mut again = [0; 100];
        Random::new([9; 32]).fill(&mut again);
        assert_eq!(again, all[0]);
    }
}
