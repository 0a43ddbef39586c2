//! What lets a guest's devices go on without the guest's doing: the real
//! devices behind them are ready, or they have had a pause.

use super::Host;
use super::devices::Place;
use super::guest::Guest;

impl Guest {
    /// Goes on with what a device could not do at once.
    pub(super) fn serve_backlog<H: Host>(&self, host: &H) {
        self.with_devices(host, None, |devices| devices.serve_backlog(&self.ram));
    }

    /// Frames have come, or may be sent on.
    pub(super) fn take_frames<H: Host>(&self, host: &H) {
        if let Some(place) = self.net {
            self.poll_device(host, place);
        }
    }

    /// Lets the device at `place` go on.
    pub(super) fn poll_device<H: Host>(&self, host: &H, place: Place) {
        self.with_devices(host, None, |devices| devices.poll(place, &self.ram));
    }

    /// The real disk `disk` has completed requests; perhaps ours.
    pub(super) fn disk_is_ready<H: Host>(&self, host: &H, disk: usize) {
        if let Some((_, place)) = self.disks.iter().find(|(real, _)| *real == disk) {
            self.poll_device(host, *place);
        }
    }
}
