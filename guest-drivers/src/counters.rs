//! What the VMM has counted for this guest: its exits, by cause.

use trapeze_protocol::call::{COUNTER_NAME_PARTS, Call, Features};

use crate::memory::Memory;
use crate::vmm::{Hypercall, Vmm};

/// Bytes of the longest name.
pub const COUNTER_NAME: usize = 32;
const _: () = assert!(COUNTER_NAME as u64 == 8 * COUNTER_NAME_PARTS);

impl<M: Memory, H: Hypercall> Vmm<M, H> {
    /// What counter `number` has counted, from 0 on; `None` beyond the last,
    /// or if the VMM has no counters.
    pub fn counter(self, number: u64) -> Option<u64> {
        let known = self.features().contains(Features::COUNTERS);
        if known { self.ask(Call::Counter { counter: number }).ok() } else { None }
    }

    /// The name of counter `number`, padded with zeroes.
    pub fn counter_name(self, number: u64) -> Option<[u8; COUNTER_NAME]> {
        if !self.features().contains(Features::COUNTERS) {
            return None;
        }
        let mut name = [0; COUNTER_NAME];
        for (bytes, part) in name.chunks_mut(8).zip(0..) {
            let part = self.ask(Call::CounterName { counter: number, part }).ok()?;
            bytes.copy_from_slice(&part.to_le_bytes());
        }
        Some(name)
    }
}
