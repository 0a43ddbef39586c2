//! Goldfish real-time clock: wall-clock time in nanoseconds, and an alarm.
//!
//! ```text
//!  0x00 TIME_LOW      read: bits 31 to 0, and latches the rest for TIME_HIGH
//!  0x04 TIME_HIGH
//!  0x08 ALARM_LOW     write: arms the alarm, at ALARM_HIGH : value
//!  0x0c ALARM_HIGH
//!  0x10 IRQ_ENABLED   bit 0
//!  0x14 CLEAR_ALARM   write: disarms it
//!  0x18 ALARM_STATUS  read: 1 while the alarm is armed
//!  0x1c CLEAR_INTERRUPT
//! ```
//!
//! From the Android emulator's `GOLDFISH-VIRTUAL-HARDWARE.TXT` and
//! QEMU's `hw/rtc/goldfish_rtc.c`: the guest may also set the time, which
//! moves its clock against the machine's.
//!
//! The clock is the caller's: each access says what time it is, and
//! [`Rtc::deadline`] at which time [`Rtc::advance`] is wanted.

use crate::bus::{AccessFault, Width};
use crate::dev::clint::Half;

const TIME_LOW: u64 = 0x00;
const TIME_HIGH: u64 = 0x04;
const ALARM_LOW: u64 = 0x08;
const ALARM_HIGH: u64 = 0x0c;
const IRQ_ENABLED: u64 = 0x10;
const CLEAR_ALARM: u64 = 0x14;
const ALARM_STATUS: u64 = 0x18;
const CLEAR_INTERRUPT: u64 = 0x1c;
const END: u64 = 0x24;

/// The clock of one guest. Times are in nanoseconds since 1970.
#[derive(Clone, Default, Debug)]
pub struct Rtc {
    /// Guest's time minus machine's time, modulo 2^64.
    ahead: u64,
    /// Bits 63 to 32 of the time as TIME_LOW was last read.
    latched: u64,
    alarm: u64,
    armed: bool,
    rang: bool,
    enabled: bool,
}

impl Rtc {
    /// A clock that shows the machine's time, without an alarm.
    pub fn new() -> Self {
        Self::default()
    }

    /// Back to [`Rtc::new`].
    pub fn reset(&mut self) {
        *self = Self::new();
    }

    /// Loads the register at `offset`, the machine's time being `now_ns`.
    /// A load of 8 bytes is two of 4, low one first.
    ///
    /// # Errors
    /// [`AccessFault`] for other widths, an access that is not aligned, and
    /// past the last register.
    pub fn read(&mut self, offset: u64, width: Width, now_ns: u64) -> Result<u64, AccessFault> {
        check(offset, width)?;
        let low = self.read_word(offset, now_ns);
        if width == Width::Word {
            return Ok(low);
        }
        Ok(low | self.read_word(offset + 4, now_ns) << 32)
    }

    /// Stores to the register at `offset`; otherwise like [`Rtc::read`].
    ///
    /// # Errors
    /// As of [`Rtc::read`].
    pub fn write(
        &mut self,
        offset: u64,
        width: Width,
        value: u64,
        now_ns: u64,
    ) -> Result<(), AccessFault> {
        check(offset, width)?;
        self.write_word(offset, value & 0xffff_ffff, now_ns);
        if width == Width::Double {
            self.write_word(offset + 4, value >> 32, now_ns);
        }
        Ok(())
    }

    fn read_word(&mut self, offset: u64, now_ns: u64) -> u64 {
        self.advance(now_ns);
        match offset {
            TIME_LOW => {
                let time = self.time(now_ns);
                self.latched = time >> 32;
                Half::Low.read(time)
            }
            TIME_HIGH => self.latched,
            ALARM_LOW => Half::Low.read(self.alarm),
            ALARM_HIGH => Half::High.read(self.alarm),
            IRQ_ENABLED => self.enabled.into(),
            ALARM_STATUS => self.armed.into(),
            _ => 0,
        }
    }

    fn write_word(&mut self, offset: u64, value: u64, now_ns: u64) {
        match offset {
            TIME_LOW => self.set_time(Half::Low, value, now_ns),
            TIME_HIGH => self.set_time(Half::High, value, now_ns),
            ALARM_LOW => {
                self.alarm = Half::Low.merge(self.alarm, value);
                self.armed = true;
            }
            ALARM_HIGH => self.alarm = Half::High.merge(self.alarm, value),
            IRQ_ENABLED => self.enabled = value & 1 != 0,
            CLEAR_ALARM => self.armed = false,
            CLEAR_INTERRUPT => self.rang = false,
            _ => {}
        }
        self.advance(now_ns);
    }

    fn time(&self, now_ns: u64) -> u64 {
        now_ns.wrapping_add(self.ahead)
    }

    fn set_time(&mut self, half: Half, value: u64, now_ns: u64) {
        self.ahead = half.merge(self.time(now_ns), value).wrapping_sub(now_ns);
    }

    /// Lets the alarm ring if it is armed and due.
    pub fn advance(&mut self, now_ns: u64) {
        if self.armed && self.alarm <= self.time(now_ns) {
            self.armed = false;
            self.rang = true;
        }
    }

    /// The machine's time at which the alarm rings, if it is armed and may
    /// interrupt.
    pub fn deadline(&self) -> Option<u64> {
        (self.armed && self.enabled).then(|| self.alarm.wrapping_sub(self.ahead))
    }

    /// The interrupt line.
    pub fn interrupt(&self) -> bool {
        self.rang && self.enabled
    }
}

/// QEMU's window is 0x24 bytes: the eight registers and an unused one.
fn check(offset: u64, width: Width) -> Result<(), AccessFault> {
    let bytes = width.bytes();
    let fits = offset.is_multiple_of(bytes) && offset <= END - bytes;
    if bytes >= 4 && fits { Ok(()) } else { Err(AccessFault) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 0x18ea_8c4a_ffff_ffff;

    fn load(rtc: &mut Rtc, offset: u64, now: u64) -> u64 {
        rtc.read(offset, Width::Word, now).unwrap()
    }

    fn store(rtc: &mut Rtc, offset: u64, value: u64, now: u64) {
        rtc.write(offset, Width::Word, value, now).unwrap();
    }

    #[test]
    fn the_high_half_is_of_the_moment_of_the_low_one() {
        let mut rtc = Rtc::new();
        assert_eq!(load(&mut rtc, TIME_LOW, NOW), 0xffff_ffff);
        assert_eq!(load(&mut rtc, TIME_HIGH, NOW + 1), 0x18ea_8c4a);
        assert_eq!(rtc.read(TIME_LOW, Width::Double, NOW), Ok(NOW));
    }

    #[test]
    fn the_guest_sets_its_time() {
        let mut rtc = Rtc::new();
        store(&mut rtc, TIME_HIGH, 1, NOW);
        store(&mut rtc, TIME_LOW, 2, NOW);
        assert_eq!(rtc.read(TIME_LOW, Width::Double, NOW + 5), Ok(0x1_0000_0007));
    }

    #[test]
    fn an_alarm_rings_once_and_is_cleared() {
        let mut rtc = Rtc::new();
        store(&mut rtc, IRQ_ENABLED, 1, NOW);
        store(&mut rtc, ALARM_HIGH, (NOW + 10) >> 32, NOW);
        assert_eq!(rtc.deadline(), None);
        store(&mut rtc, ALARM_LOW, (NOW + 10) & 0xffff_ffff, NOW);
        assert_eq!((rtc.deadline(), rtc.interrupt()), (Some(NOW + 10), false));
        assert_eq!(load(&mut rtc, ALARM_STATUS, NOW + 9), 1);
        rtc.advance(NOW + 10);
        assert_eq!((rtc.deadline(), rtc.interrupt()), (None, true));
        assert_eq!(load(&mut rtc, ALARM_STATUS, NOW + 10), 0);
        store(&mut rtc, CLEAR_INTERRUPT, 1, NOW + 11);
        assert!(!rtc.interrupt());
    }

    #[test]
    fn an_alarm_in_the_past_rings_at_once_if_enabled() {
        let mut rtc = Rtc::new();
        store(&mut rtc, ALARM_LOW, 5, NOW);
        assert!(!rtc.interrupt());
        store(&mut rtc, IRQ_ENABLED, 1, NOW);
        assert!(rtc.interrupt());
        rtc.reset();
        assert!(!rtc.interrupt());
    }

    #[test]
    fn an_alarm_is_by_the_guest_s_time_and_can_be_cleared() {
        let mut rtc = Rtc::new();
        rtc.write(TIME_LOW, Width::Double, 1000, NOW).unwrap();
        store(&mut rtc, IRQ_ENABLED, 1, NOW);
        store(&mut rtc, ALARM_LOW, 1500, NOW);
        assert_eq!(rtc.deadline(), Some(NOW + 500));
        store(&mut rtc, CLEAR_ALARM, 0, NOW);
        rtc.advance(NOW + 600);
        assert!(!rtc.interrupt());
        assert_eq!(load(&mut rtc, ALARM_LOW, NOW), 1500);
    }

    #[test]
    fn only_aligned_words_and_doubles_within_the_window() {
        let mut rtc = Rtc::new();
        for (offset, width) in [
            (0, Width::Byte),
            (0, Width::Half),
            (2, Width::Word),
            (4, Width::Double),
            (0x20, Width::Double),
            (0x24, Width::Word),
            (u64::MAX - 7, Width::Double),
        ] {
            assert_eq!(rtc.read(offset, width, NOW), Err(AccessFault));
            assert_eq!(rtc.write(offset, width, 0, NOW), Err(AccessFault));
        }
        assert_eq!(rtc.read(0x20, Width::Word, NOW), Ok(0));
    }
}
