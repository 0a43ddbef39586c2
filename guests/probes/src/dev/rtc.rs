//! The goldfish real-time clock.

use super::Window;

/// The clock's registers, all 32 bits wide.
pub const RTC: Window = Window::new(0x10_1000, 0x1000);
/// Offset of the low half of the time; reading it keeps the high half.
pub const TIME_LOW: u64 = 0x00;
/// Offset of the high half of the time.
pub const TIME_HIGH: u64 = 0x04;
/// Offset of the alarm's low half, which arms it.
pub const ALARM_LOW: u64 = 0x08;
/// Offset of the alarm's high half.
pub const ALARM_HIGH: u64 = 0x0c;
/// Offset of the interrupt enable.
pub const IRQ_ENABLED: u64 = 0x10;
/// Offset of the register that disarms the alarm.
pub const CLEAR_ALARM: u64 = 0x14;
/// Offset of the alarm's state.
pub const ALARM_STATUS: u64 = 0x18;
/// Offset of the register that takes the interrupt back.
pub const CLEAR_INTERRUPT: u64 = 0x1c;
/// PLIC source.
pub const IRQ: u32 = 11;
/// Nanoseconds in a millisecond.
pub const NS_PER_MS: u64 = 1_000_000;

/// The time in nanoseconds since 1970.
#[must_use]
pub fn now() -> u64 {
    let low: u32 = RTC.read(TIME_LOW);
    let high: u32 = RTC.read(TIME_HIGH);
    u64::from(high) << 32 | u64::from(low)
}

/// Arms the alarm.
pub fn set_alarm(at: u64) {
    RTC.write(ALARM_HIGH, half(at >> 32));
    RTC.write(ALARM_LOW, half(at));
}

/// Sets the time.
pub fn set(time: u64) {
    RTC.write(TIME_HIGH, half(time >> 32));
    RTC.write(TIME_LOW, half(time));
}

fn half(value: u64) -> u32 {
    u32::try_from(value & 0xffff_ffff).unwrap_or(0)
}
