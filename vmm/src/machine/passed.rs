//! Devices of the real machine that belong to guests, as a part of the
//! machine: who hears of their interrupts, and when they are stopped.

use super::devices::Place;
use super::guest::Guest;
use super::{Host, Machine};
use crate::pass::Direct;

impl Machine {
    /// The passed device that interrupts with `source` has something to say.
    pub(super) fn passed<H: Host>(&self, host: &H, source: u32) {
        if !self.guests.iter().any(|guest| guest.passed_interrupt(host, source)) {
            host.complete(source);
        }
    }
}

impl Guest {
    /// Tells the guest, if the device that interrupts with `source` is its
    /// own; whether the interrupt will be completed by the guest.
    fn passed_interrupt<H: Host>(&self, host: &H, source: u32) -> bool {
        let found = self.passed.iter().find(|(real, _)| *real == source);
        if let Some((_, place)) = found {
            self.with_devices(host, None, |devices| devices.poll(*place, &self.ram));
        }
        matches!(found, Some((_, Place::Direct(_))))
    }

    /// Stops the devices that are the guest's own.
    pub(super) fn stop_passed<H: Host>(&self, host: &H) {
        let mut devices = self.devices.lock();
        devices.direct.iter_mut().for_each(Direct::reset);
        for (_, place) in &self.passed {
            if let Place::Slot(slot) = place {
                devices.reset_slot(*slot);
            }
        }
        devices.direct.iter_mut().filter_map(Direct::release).for_each(|s| host.complete(s));
    }

    /// All devices as at power-on.
    pub(super) fn reset_devices<H: Host>(&self, host: &H) {
        self.stop_passed(host);
        self.devices.lock().reset();
    }
}
