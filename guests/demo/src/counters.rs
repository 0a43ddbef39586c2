//! What the VMM has counted for us: exits, by their cause.

use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Reverse;

use guest_drivers::protocol::call::{COUNTER_NAME_PARTS, Call, Features, Version};
use guest_drivers::{Ecall, Hypercall};

/// A way to ask the VMM, which has counters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counters(Ecall);

/// All counters at one moment, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reading(Vec<(String, u64)>);

/// What is counted, but is no exit.
const NO_EXIT: &str = "interrupts injected";

impl Counters {
    /// Takes a VMM that was found; `None` if it has no counters.
    pub(crate) fn new(ecall: Ecall) -> Option<Self> {
        let counters = Self(ecall);
        let features = Features::from_bits_retain(counters.ask(Call::Features)?);
        features.contains(Features::COUNTERS).then_some(counters)
    }

    /// Version of the interface.
    pub(crate) fn version(self) -> Option<Version> {
        Version::from_value(self.ask(Call::Version)?)
    }

    /// All counters, with their names.
    pub(crate) fn read(self) -> Reading {
        let named = (0..).map_while(|counter| {
            let count = self.ask(Call::Counter { counter })?;
            Some((self.name(counter), count))
        });
        Reading(named.collect())
    }

    fn name(self, counter: u64) -> String {
        let parts = (0..COUNTER_NAME_PARTS)
            .map_while(|part| self.ask(Call::CounterName { counter, part }))
            .flat_map(u64::to_le_bytes);
        parts.take_while(|byte| *byte != 0).map(char::from).collect()
    }

    fn ask(self, call: Call) -> Option<u64> {
        // SAFETY: these calls name no memory.
        unsafe { self.0.call(call) }.ok()
    }
}

impl Reading {
    /// What was counted since `before`, the most frequent first.
    pub(crate) fn since(&self, before: &Self) -> Vec<(String, u64)> {
        let old =
            |name: &str| before.0.iter().find(|(other, _)| other == name).map_or(0, |old| old.1);
        let mut news: Vec<(String, u64)> = self
            .0
            .iter()
            .map(|(name, count)| (name.clone(), count.saturating_sub(old(name))))
            .filter(|(name, count)| *count > 0 && name != NO_EXIT)
            .collect();
        news.sort_by_key(|(_, count)| Reverse(*count));
        news
    }
}
