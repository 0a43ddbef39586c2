//! The real-time clock: it tells a plausible time that goes on, the guest can
//! set it, and its alarm interrupts.
#![no_std]
#![no_main]

use probes::access::{self, try_access};
use probes::csr::{self, MEI, MIP};
use probes::dev::rtc::{
    self, ALARM_STATUS, CLEAR_ALARM, CLEAR_INTERRUPT, IRQ, IRQ_ENABLED, NS_PER_MS, RTC,
};
use probes::dev::{clint, plic};
use probes::report::Hex;
use probes::{Mode, Outcome, Probe};

probes::probe!(main);

const M: u64 = plic::context_m(0);
/// 2020-01-01 and 2200-01-01, in nanoseconds since 1970.
const EARLIEST: u64 = 1_577_836_800_000_000_000;
const LATEST: u64 = 7_258_118_400_000_000_000;

fn main(p: &mut Probe) {
    time(p);
    alarm(p);
    setting(p);
    widths(p);
}

fn time(p: &mut Probe) {
    let first = rtc::now();
    p.holds("the year is plausible", (EARLIEST..LATEST).contains(&first));
    clint::delay_ms(20);
    let later = rtc::now();
    p.holds("20 ms later it is later", later >= first + 10 * NS_PER_MS);
    let mut last = later;
    let backwards = (0..1000).filter(|_| {
        let now = rtc::now();
        core::mem::replace(&mut last, now) > now
    });
    p.number("times that it goes back", backwards.count() as u64, 0);
}

fn alarm(p: &mut Probe) {
    plic::set_priority(IRQ, 1);
    plic::set_enabled(M, 1 << IRQ);
    RTC.write(IRQ_ENABLED, 1_u32);
    p.number("status before", RTC.read::<u32>(ALARM_STATUS).into(), 0);
    let before = rtc::now();
    rtc::set_alarm(before + 300 * NS_PER_MS);
    p.number("status of an alarm", RTC.read::<u32>(ALARM_STATUS).into(), 1);
    while csr::read::<MIP>() & MEI == 0 {}
    p.holds("it rings when it is time", rtc::now() >= before + 300 * NS_PER_MS);
    p.number("status when it rings", RTC.read::<u32>(ALARM_STATUS).into(), 0);
    taken(p, "alarm");
    // One that is past rings at once; one that is cleared does not.
    rtc::set_alarm(rtc::now() - NS_PER_MS);
    taken(p, "alarm in the past");
    rtc::set_alarm(rtc::now() + 20 * NS_PER_MS);
    RTC.write(CLEAR_ALARM, 1_u32);
    clint::delay_ms(40);
    p.hex("MEIP after a cleared alarm", csr::read::<MIP>() & MEI, 0);
}

/// The interrupt is there and is claimed; then it is gone.
fn taken(p: &mut Probe, what: &str) {
    p.hex(format_args!("{what}: MEIP"), csr::read::<MIP>() & MEI, MEI);
    let claim = plic::claim(M);
    p.number(format_args!("{what}: source"), claim.into(), IRQ.into());
    RTC.write(CLEAR_INTERRUPT, 1_u32);
    plic::complete(M, claim);
    p.hex(format_args!("{what}: MEIP afterwards"), csr::read::<MIP>() & MEI, 0);
}

fn setting(p: &mut Probe) {
    rtc::set(0x1234_0000_0000);
    let now = rtc::now();
    p.hex("high half after setting the time", now >> 32, 0x1234);
    p.holds("low half is small", now & 0xffff_ffff < 1000 * NS_PER_MS);
    RTC.write(IRQ_ENABLED, 0_u32);
    p.show("IRQ_ENABLED", Hex(RTC.read::<u32>(IRQ_ENABLED).into()));
}

/// Which accesses are answered at all.
fn widths(p: &mut Probe) {
    for offset in [0x0, 0x18, 0x20, 0x24, 0x28, 0xff8] {
        for access in access::LOADS.iter().filter(|access| offset % access.width() == 0) {
            let outcome = try_access(Mode::M, access.code, RTC.address(offset), 0);
            let done = matches!(outcome, Outcome::Value(_));
            let outcome = if done { "answered" } else { "fault" };
            p.show(format_args!("{} at {offset:#x}", access.name), outcome);
        }
    }
}
