//! What the VMM has counted for us: exits by cause.

use guest_drivers::{Linear, Vmm};
use probes::dev::uart;

/// The counters of the VMM, if there is one.
pub(crate) struct Counters(Option<Vmm<Linear>>);

/// More than there are.
const MOST: usize = 256;

/// The counters at one moment.
pub(crate) struct Snapshot([u64; MOST]);

impl Counters {
    pub(crate) fn new(vmm: Option<Vmm<Linear>>) -> Self {
        Self(vmm)
    }

    /// All counters, in order of their numbers.
    #[inline(never)]
    pub(crate) fn read(&self) -> Snapshot {
        let mut all = [0; MOST];
        for (cell, counter) in all.iter_mut().zip(0..) {
            let Some(value) = self.0.and_then(|vmm| vmm.counter(counter)) else { break };
            *cell = value;
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
            let name = self.0.and_then(|vmm| vmm.counter_name(counter)).unwrap_or_default();
            let name = core::str::from_utf8(&name).unwrap_or("").trim_end_matches('\0');
            uart::print(format_args!("ladder: exits {count} {name}\n"));
        }
    }
}
