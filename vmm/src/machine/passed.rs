//! Devices of the real machine that belong to guests, as a part of the
//! machine: who hears of their interrupts, and when they are stopped.

use alloc::format;
use alloc::vec::Vec;

use super::devices::Place;
use super::guest::Guest;
use super::{Host, Machine};
use crate::addr::Hpa;
use crate::bus::{AccessFault, Width};
use crate::iommu::Fault;
use crate::pass::{Direct, Mapping, Registers};
use crate::pci::Bus;

impl Machine {
    /// The passed device that interrupts with `source` has something to say.
    pub(super) fn passed<H: Host>(&self, host: &H, source: u32) {
        if !self.guests.iter().any(|guest| guest.passed_interrupt(host, source)) {
            host.complete(source);
        }
    }

    /// A passed function tried to reach what its guest does not have.
    pub(super) fn blocked<H: Host>(&self, host: &H, fault: Fault, last: bool) {
        let owner = self.guests.iter().find_map(|guest| {
            let place = guest.functions.iter().find(|(real, _)| *real == fault.device)?;
            Some((guest.name.as_str(), place.1))
        });
        let Some((name, device)) = owner else { return };
        let access = if fault.write { "write to" } else { "read" };
        let more = if last { "; of more nothing is said" } else { "" };
        let Fault { address, cause, .. } = fault;
        self.console.message(
            host,
            &format!(
                "{name}: PCI device {device} tried to {access} {address:#x}: blocked by the IOMMU \
                 (cause {cause}){more}"
            ),
        );
    }
}

/// Where the real machine has the windows of all PCI functions. The shadow
/// tables say who reaches which.
pub(super) const PCI_WINDOWS: Registers = Registers { host: Hpa(0x4000_0000), size: 0x4000_0000 };

/// The PCI bus of a guest among its devices.
pub(super) struct Pci {
    bus: Bus,
    /// How often windows have moved.
    moves: u64,
}

impl Pci {
    pub(super) fn new(bus: Bus) -> Self {
        Self { bus, moves: 0 }
    }

    pub(super) fn reset(&mut self) {
        self.bus.reset();
        self.moves += 1;
    }

    pub(super) fn read(&mut self, offset: u64, width: Width) -> Result<u64, AccessFault> {
        Ok(self.bus.read(offset, width))
    }

    /// Stores to the configuration space; tells where the windows are then, if
    /// they have moved.
    pub(super) fn write(
        &mut self,
        offset: u64,
        width: Width,
        value: u64,
    ) -> Option<(u64, Vec<Mapping>)> {
        self.bus.write(offset, width, value).then(|| self.windows())
    }

    /// Where the windows are. The number grows with each answer, so that of two
    /// harts that pass answers on, the one with the older can't have its way.
    pub(super) fn windows(&mut self) -> (u64, Vec<Mapping>) {
        self.moves += 1;
        (self.moves, self.bus.mappings())
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
