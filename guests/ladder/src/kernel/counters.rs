//! What the VMM has counted for us: exits by cause.

use guest_drivers::{Ecall, Linear, Vmm};
use probes::dev::uart;
use trapeze_protocol::call::{COUNTER_NAME_PARTS, Call};

use crate::kernel::driver::call;

/// The counters of the VMM, if there is one.
pub(crate) struct Counters {
    there: bool,
}

/// More than there are.
const MOST: usize = 256;

/// Bytes of a counter's name.
const NAME: usize = 32;
const _: () = assert!(NAME as u64 == 8 * COUNTER_NAME_PARTS);

/// The counters at one moment.
pub(crate) struct Snapshot([u64; MOST]);

impl Counters {
    pub(crate) fn new(vmm: Option<Vmm<Linear, Ecall>>) -> Self {
        Self { there: vmm.is_some() }
    }

    /// All counters, in order of their numbers.
    #[inline(never)]
    pub(crate) fn read(&self) -> Snapshot {
        let mut all = [0; MOST];
        if self.there {
            for (cell, counter) in all.iter_mut().zip(0..) {
                let Ok(value) = call(Call::Counter { counter }) else { break };
                *cell = value;
            }
        }
        Snapshot(all)
    }

    /// Prints what `after` has more than `before`, less what two readings
    /// without anything between them differ by.
    pub(crate) fn print(&self, before: &Snapshot, after: &Snapshot) {
        let (first, second) = (self.read(), self.read());
        for (n, counter) in (0..MOST).zip(0..) {
            let more = after.0[n].wrapping_sub(before.0[n]);
            let own = second.0[n].wrapping_sub(first.0[n]);
            let count = more.saturating_sub(own);
            if count == 0 {
                continue;
            }
            let mut name = [0; NAME];
            for (bytes, part) in name.chunks_exact_mut(8).zip(0..) {
                let value = call(Call::CounterName { counter, part }).unwrap_or(0);
                bytes.copy_from_slice(&value.to_le_bytes());
            }
            let name = core::str::from_utf8(&name).unwrap_or("").trim_end_matches('\0');
            uart::print(format_args!("ladder: exits {count} {name}\n"));
        }
    }
}
