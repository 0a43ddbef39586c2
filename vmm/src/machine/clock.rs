//! The wiring of a guest's real-time clock: the chip, the real time, and its
//! alarm, which vCPU 0's hart watches.

use core::sync::atomic::Ordering;

use super::Host;
use super::devices::Devices;
use super::guest::Guest;
use super::hart::Hart;
use super::link::Attention;
use super::seat::Seat;
use crate::bus::{AccessFault, Width};
use crate::dev::rtc::Rtc;
use crate::vcpu::Effects;

/// Nanoseconds in a tick of the machine's `time`.
const TICK: u64 = 100;

/// A real-time clock.
pub(super) struct WallClock {
    rtc: Rtc,
    /// The real time when `time` was zero, in nanoseconds since 1970.
    epoch: u64,
    /// Whether the interrupt line was up.
    up: bool,
}

impl WallClock {
    pub(super) fn new(epoch: u64) -> Self {
        Self { rtc: Rtc::new(), epoch, up: false }
    }

    pub(super) fn reset(&mut self) {
        self.rtc.reset();
        self.up = false;
    }

    /// Whether the interrupt line went up since this was last asked.
    pub(super) fn interrupts(&mut self) -> bool {
        let before = core::mem::replace(&mut self.up, self.rtc.interrupt());
        self.up && !before
    }

    /// The real time at tick `now`.
    fn time(&self, now: u64) -> u64 {
        self.epoch.wrapping_add(now.wrapping_mul(TICK))
    }

    /// The tick at which the alarm will ring, `u64::MAX` being never. What is
    /// left until then is right even if the guest's clock wraps meanwhile.
    fn alarm(&self, now: u64) -> u64 {
        let left = self.rtc.deadline().map(|at| at.wrapping_sub(self.time(now)));
        left.map_or(u64::MAX, |left| now.saturating_add(left.div_ceil(TICK)))
    }
}

impl Guest {
    /// Performs `access` on the clock at the tick `now`, and carries its
    /// interrupt to the PLIC.
    fn with_clock<H: Host, R>(
        &self,
        host: &H,
        own: Option<usize>,
        access: impl FnOnce(&mut WallClock, u64) -> R,
    ) -> Option<R> {
        self.with_devices(host, own, |devices: &mut Devices| {
            let now = host.time();
            let clock = devices.clock.as_mut()?;
            let result = access(clock, now);
            self.alarm.store(clock.alarm(now), Ordering::Relaxed);
            devices.carry_clock();
            Some(result)
        })
    }

    /// The alarm is due, if it has not been moved meanwhile.
    #[cold]
    pub(super) fn ring<H: Host>(&self, host: &H) {
        self.with_clock(host, Some(0), |clock, now| clock.rtc.advance(clock.time(now)));
    }
}

impl<H: Host> Hart<H> {
    pub(super) fn read_clock(
        &mut self,
        seat: &mut Seat,
        offset: u64,
        width: Width,
    ) -> Result<u64, AccessFault> {
        self.access_clock(seat, |clock, now| clock.rtc.read(offset, width, clock.time(now)))
    }

    pub(super) fn write_clock(
        &mut self,
        seat: &mut Seat,
        offset: u64,
        width: Width,
        value: u64,
    ) -> Result<(), AccessFault> {
        self.access_clock(seat, |clock, now| clock.rtc.write(offset, width, value, clock.time(now)))
    }

    /// The same for a vCPU; vCPU 0 learns of an alarm that was moved.
    fn access_clock<R>(
        &mut self,
        seat: &mut Seat,
        access: impl FnOnce(&mut WallClock, u64) -> Result<R, AccessFault>,
    ) -> Result<R, AccessFault> {
        let guest = seat.guest;
        let before = guest.alarm.load(Ordering::Relaxed);
        let result = guest.with_clock(&self.host, Some(seat.index), access);
        if guest.alarm.load(Ordering::Relaxed) != before {
            match guest.links.first() {
                Some(link) if seat.index != 0 => link.notify(&self.host, Attention::CLOCK),
                _ => seat.todo |= Effects::TIMER,
            }
        }
        result.unwrap_or(Err(AccessFault))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALARM_LOW: u64 = 0x08;
    const ALARM_HIGH: u64 = 0x0c;
    const IRQ_ENABLED: u64 = 0x10;

    fn store(clock: &mut WallClock, offset: u64, value: u64, now: u64) {
        let time = clock.time(now);
        clock.rtc.write(offset, Width::Word, value, time).unwrap();
    }

    #[test]
    fn the_time_goes_on_with_the_machine_s() {
        let mut clock = WallClock::new(5_000_000_000);
        for (now, time) in [(0, 5_000_000_000), (1, 5_000_000_100)] {
            let at = clock.time(now);
            assert_eq!(clock.rtc.read(0, Width::Double, at), Ok(time));
        }
    }

    #[test]
    fn an_alarm_is_due_at_the_tick_that_is_not_too_early() {
        let mut clock = WallClock::new(1 << 40);
        assert_eq!(clock.alarm(10), u64::MAX);
        store(&mut clock, IRQ_ENABLED, 1, 10);
        store(&mut clock, ALARM_HIGH, 1 << 8, 10);
        store(&mut clock, ALARM_LOW, 12_345, 10);
        assert_eq!(clock.alarm(10), 124);
        clock.rtc.advance(clock.time(123));
        assert!(!clock.rtc.interrupt());
        clock.rtc.advance(clock.time(124));
        assert_eq!((clock.rtc.interrupt(), clock.alarm(124)), (true, u64::MAX));
    }

    /// Wherever a guest puts its clock and its alarm, none stays due: over
    /// that its hart would not come to rest.
    #[test]
    fn a_due_alarm_is_over_wherever_the_clock_stands() {
        for ahead in [0, 1, u64::MAX / 2, u64::MAX - 7, 1 << 63] {
            for alarm in [0, 9, u64::MAX, 1 << 63, ahead] {
                let mut clock = WallClock::new(1 << 60);
                let time = clock.time(50);
                clock.rtc.write(0, Width::Double, ahead, time).unwrap();
                store(&mut clock, IRQ_ENABLED, 1, 50);
                store(&mut clock, ALARM_HIGH, alarm >> 32, 50);
                store(&mut clock, ALARM_LOW, alarm & 0xffff_ffff, 50);
                let due = clock.alarm(50);
                assert!(due > 50, "{ahead:#x} {alarm:#x}");
                clock.rtc.advance(clock.time(due));
                assert!(due == u64::MAX || clock.alarm(due) > due, "{ahead:#x} {alarm:#x}");
            }
        }
    }
}
