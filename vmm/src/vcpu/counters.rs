//! Counters: `cycle`, `time`, `instret`, who may read them, and which of them
//! the real hart may serve without a trap.
//!
//! Privileged architecture 1.12, sections 3.1.10 to 3.1.12 and 4.1.5, and
//! the Zicntr chapter. There are no further performance counters: the
//! `hpmcounter` registers are there and read zero.

use super::Mode;

/// CY, TM and IR of the counter-enable registers.
pub(super) const COUNTERS: u32 = 7;
/// Cycle.
pub(super) const CY: u32 = 1;
/// Time.
pub(super) const TM: u32 = 1 << 1;
/// Instructions retired.
pub(super) const IR: u32 = 1 << 2;

/// A counter the guest can set and stop, kept relative to the real one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counter {
    /// What to add to the real counter, modulo 2^64; or, stopped, the value.
    offset: u64,
    stopped: bool,
}

impl Counter {
    /// The guest's value when the real counter stands at `real`.
    #[inline]
    pub const fn read(self, real: u64) -> u64 {
        if self.stopped { self.offset } else { self.offset.wrapping_add(real) }
    }

    /// Makes the guest's value `value` now.
    pub const fn write(&mut self, value: u64, real: u64) {
        self.offset = if self.stopped { value } else { value.wrapping_sub(real) };
    }

    /// Stops or starts the counter; its value now stays.
    pub const fn stop(&mut self, stopped: bool, real: u64) {
        let value = self.read(real);
        self.stopped = stopped;
        self.write(value, real);
    }

    /// Whether the guest's value is the real one.
    const fn is_real(self) -> bool {
        !self.stopped && self.offset == 0
    }
}

/// Counters and their permissions.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// `mcycle`
    pub cycle: Counter,
    /// `minstret`
    pub instret: Counter,
    machine: u32,
    supervisor: u32,
    inhibit: u32,
    /// By mode: counters it may read and whose real value is the right one.
    native: [u8; 4],
}

impl Counters {
    /// As at reset: nothing stopped, and vS and vU may read no counter.
    pub fn new() -> Self {
        let mut counters = Self::default();
        counters.update();
        counters
    }

    /// `mcounteren`
    #[inline]
    pub const fn machine_enable(&self) -> u32 {
        self.machine
    }

    /// `scounteren`
    #[inline]
    pub const fn supervisor_enable(&self) -> u32 {
        self.supervisor
    }

    /// `mcountinhibit`
    #[inline]
    pub const fn inhibit(&self) -> u32 {
        self.inhibit
    }

    /// Writes `mcounteren`.
    pub fn set_machine_enable(&mut self, value: u64) {
        self.machine = legal(value);
        self.update();
    }

    /// Writes `scounteren`.
    pub fn set_supervisor_enable(&mut self, value: u64) {
        self.supervisor = legal(value);
        self.update();
    }

    /// Takes over what a real `scounteren` holds. It may have bits for counters
    /// that we lack, and is to keep them; `mcounteren` has none of them.
    pub fn adopt_supervisor_enable(&mut self, value: u64) {
        self.supervisor = u32::try_from(value).unwrap_or(u32::MAX);
        self.update();
    }

    /// Writes `mcountinhibit`, the real counters standing as given.
    pub fn set_inhibit(&mut self, value: u64, cycle: u64, instret: u64) {
        self.inhibit = legal(value) & !TM;
        self.cycle.stop(self.inhibit & CY != 0, cycle);
        self.instret.stop(self.inhibit & IR != 0, instret);
        self.update();
    }

    /// Writes `mcycle`.
    pub fn set_cycle(&mut self, value: u64, real: u64) {
        self.cycle.write(value, real);
        self.update();
    }

    /// Writes `minstret`.
    pub fn set_instret(&mut self, value: u64, real: u64) {
        self.instret.write(value, real);
        self.update();
    }

    /// The counters that `mode` may read, bits as in `mcounteren`.
    #[inline]
    pub const fn readable(&self, mode: Mode) -> u32 {
        match mode {
            Mode::Machine => u32::MAX,
            Mode::Supervisor => self.machine,
            Mode::User => self.machine & self.supervisor,
        }
    }

    /// The counters that the real hart can serve to `mode` without a trap,
    /// bits as in `mcounteren`.
    #[inline]
    pub const fn native(&self, mode: Mode) -> u32 {
        self.native[mode as usize & 3] as u32
    }

    fn update(&mut self) {
        let cycle = if self.cycle.is_real() { CY } else { 0 };
        let instret = if self.instret.is_real() { IR } else { 0 };
        for mode in [Mode::User, Mode::Supervisor, Mode::Machine] {
            let bits = self.readable(mode) & (cycle | TM | instret);
            self.native[mode as usize & 3] = bits.to_le_bytes()[0];
        }
    }
}

/// What an enable or inhibit register keeps of a written value.
#[expect(clippy::cast_possible_truncation, reason = "the mask leaves three bits")]
const fn legal(value: u64) -> u32 {
    value as u32 & COUNTERS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_counter_counts_on_from_there() {
        let mut counter = Counter::default();
        assert_eq!(counter.read(100), 100);
        counter.write(7, 100);
        assert_eq!((counter.read(100), counter.read(103)), (7, 10));
        counter.write(u64::MAX, 100);
        assert_eq!(counter.read(101), 0);
    }

    #[test]
    fn a_stopped_counter_stands_still_but_can_be_written() {
        let mut counter = Counter::default();
        counter.stop(true, 50);
        assert_eq!((counter.read(50), counter.read(90)), (50, 50));
        counter.write(3, 91);
        assert_eq!(counter.read(95), 3);
        counter.stop(false, 100);
        assert_eq!(counter.read(110), 13);
    }

    #[test]
    fn user_mode_needs_both_permissions() {
        let mut counters = Counters::new();
        counters.set_machine_enable(u64::MAX);
        assert_eq!((counters.machine_enable(), counters.readable(Mode::User)), (COUNTERS, 0));
        counters.set_supervisor_enable(TM.into());
        assert_eq!(counters.readable(Mode::Supervisor), COUNTERS);
        assert_eq!(counters.readable(Mode::User), TM);
    }

    #[test]
    fn only_real_values_are_native() {
        let mut counters = Counters::new();
        counters.set_machine_enable(7);
        assert_eq!(counters.native(Mode::Machine), COUNTERS);
        assert_eq!(counters.native(Mode::Supervisor), COUNTERS);
        assert_eq!(counters.native(Mode::User), 0);
        counters.set_cycle(1, 100);
        assert_eq!(counters.native(Mode::Supervisor), TM | IR);
        counters.set_inhibit(7, 100, 100);
        assert_eq!((counters.inhibit(), counters.native(Mode::Supervisor)), (CY | IR, TM));
        counters.set_inhibit(0, 100, 100);
        assert_eq!(counters.native(Mode::Supervisor), TM | IR);
    }
}
