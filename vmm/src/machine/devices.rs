//! The wiring of one guest's devices: who answers where, whose interrupt
//! goes to which pin, and what an access sets off.
//!
//! The chips in `dev` know nothing of each other. After each access the
//! lines that may have moved are carried from chip to PLIC and from PLIC to
//! vCPU, and the effect is performed.

use alloc::vec::Vec;

use trapeze_protocol::device::DeviceType;

use super::Host;
use super::balloon::Ledger;
use super::clock::WallClock;
use super::drive::Drive;
use super::fittings::Fittings;
use super::guest::{Guest, Power};
use super::hart::Hart;
use super::link::Attention;
use super::passed::Pci;
use super::seat::Seat;
use super::wire::Wire;
use crate::bundle::status;
use crate::bus::{self, AccessFault, Region, Width};
use crate::dev::clint;
use crate::dev::finisher::{self, Action};
use crate::dev::plic::Plic;
use crate::dev::uart16550::Uart;
use crate::mem::GuestRam;
use crate::pass::{Direct, Mapping};
use crate::pv::Pv;
use crate::vcpu::Interrupt;
use crate::virtio::chain::Segment;
use crate::virtio::console::Terminal;
use crate::virtio::mmio::{self, Mmio};

/// The last of the UART's registers whose reading moves its interrupt.
const UART_IIR: u64 = 2;

/// A guest's devices but the CLINT, whose registers are in the vCPUs' links.
pub(super) struct Devices {
    uart: Uart,
    plic: Plic,
    pub(super) wire: Wire,
    /// Empty; what consoles have shown is taken over with it.
    spare: Vec<u8>,
    slots: Slots,
    pub(super) pv: Pv,
    drive: Option<Drive>,
    pub(super) clock: Option<WallClock>,
    /// Those of the real machine whose registers the guest has.
    pub(super) direct: Vec<Direct>,
    balloon: Option<Ledger>,
    /// Its PCI bus.
    pub(super) pci: Option<Pci>,
}

/// Where a guest has a device that something real stands behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// The virtio-mmio slot of that number.
    Slot(u8),
    /// The paravirtual device of that number.
    Pv(usize),
    /// The ATA disk.
    Ata,
    /// The device of that number whose registers the guest has.
    Direct(usize),
}

/// The virtio-mmio slots, by number.
pub(super) type Slots = [Option<Mmio>; bus::VIRTIO_SLOTS as usize];

/// What an access to a device sets off outside of the devices.
enum Effect {
    Nothing,
    Output(u8),
    End(Action),
    /// An interrupt at the real PLIC is to be completed.
    Complete(u32),
    /// Windows of PCI functions have moved: here they are, and how often they
    /// have.
    Windows(u64, Vec<Mapping>),
}

impl Devices {
    pub(super) fn new(cpus: usize, wire: Wire, fittings: Fittings) -> Self {
        let Fittings { slots, pv, drive, clock, direct, pci, balloon, .. } = fittings;
        let (uart, plic) = (Uart::new(), Plic::new(2 * cpus));
        let balloon = balloon.map(|(ledger, _)| ledger);
        let spare = Vec::new();
        Self { uart, plic, wire, spare, slots, pv, drive, clock, direct, pci, balloon }
    }

    pub(super) fn reset(&mut self) {
        self.uart.reset();
        self.slots.iter_mut().flatten().for_each(Mmio::reset);
        self.pv.reset();
        self.drive.iter_mut().for_each(Drive::reset);
        self.clock.iter_mut().for_each(WallClock::reset);
        self.pci.iter_mut().for_each(Pci::reset);
        self.plic.reset();
        self.wire.clear();
    }

    /// Whether copy loops at the ATA disk's data port are carried on.
    pub(super) fn bursts(&self) -> bool {
        self.drive.as_ref().is_some_and(Drive::bursts)
    }

    /// Does something with the ATA disk that moves no interrupt line.
    pub(super) fn with_drive<R>(&mut self, work: impl FnOnce(&mut Drive) -> R) -> Option<R> {
        self.drive.as_mut().map(work)
    }

    /// Resets the device in a slot, one of the guest's own.
    pub(super) fn reset_slot(&mut self, slot: u8) {
        if let Some(Some(device)) = self.slots.get_mut(usize::from(slot)) {
            device.reset();
        }
    }

    /// Whether a disk works on something, perhaps on the guest's memory, or a
    /// device of the guest's own has not stopped.
    pub(super) fn busy(&self) -> bool {
        self.direct.iter().any(Direct::is_busy)
            || self.pv.busy()
            || self.slots.iter().flatten().any(|device| device.function().busy() != 0)
            || self.drive.as_ref().is_some_and(Drive::busy)
    }

    /// Shows the guest memory that disks may still read or write.
    pub(super) fn in_flight(&self, visit: &mut dyn FnMut(Segment)) {
        self.pv.in_flight(visit);
        self.slots.iter().flatten().for_each(|slot| slot.function().in_flight(visit));
    }

    /// Whether a device has more to do than it did at once.
    fn has_backlog(&self) -> bool {
        self.pv.has_backlog()
            || self.slots.iter().flatten().any(|device| device.function().has_backlog())
    }

    /// Does the next part of it, with all that disks have completed.
    pub(super) fn serve_backlog(&mut self, ram: &GuestRam) {
        (0..bus::VIRTIO_SLOTS).for_each(|slot| self.poll(Place::Slot(slot), ram));
        self.pv.poll_backlog(ram);
    }

    /// Lets a device go on with what is under way.
    pub(super) fn poll(&mut self, place: Place, ram: &GuestRam) {
        match place {
            Place::Slot(slot) => {
                if let Some(Some(device)) = self.slots.get_mut(usize::from(slot)) {
                    device.complete(ram);
                    self.carry(slot);
                }
            }
            Place::Pv(number) => self.pv.poll(number, ram),
            Place::Ata => {
                self.drive.iter_mut().for_each(Drive::complete);
                self.carry_drive();
            }
            Place::Direct(number) => {
                let irq = self.direct.get_mut(number).map(Direct::interrupt);
                irq.into_iter().for_each(|irq| self.plic.raise(irq));
            }
        }
    }

    /// Carries the interrupt of the ATA disk to the PLIC.
    #[inline]
    fn carry_drive(&mut self) {
        if self.drive.as_mut().is_some_and(Drive::interrupts) {
            self.plic.raise(bus::ATA_IRQ);
        }
    }

    /// Carries the interrupt of the real-time clock to the PLIC.
    pub(super) fn carry_clock(&mut self) {
        if self.clock.as_mut().is_some_and(WallClock::interrupts) {
            self.plic.raise(bus::RTC_IRQ);
        }
    }

    /// Carries the interrupt of a slot to the PLIC.
    fn carry(&mut self, slot: u8) {
        let up = self.slots.get(usize::from(slot)).and_then(Option::as_ref);
        if up.is_some_and(Mmio::interrupt) {
            self.plic.raise(bus::virtio_irq(slot));
        }
    }

    pub(super) fn read(
        &mut self,
        region: Region,
        offset: u64,
        width: Width,
    ) -> Result<u64, AccessFault> {
        match region {
            Region::Uart => {
                let value = self.uart.read(offset, width)?;
                if offset <= UART_IIR {
                    self.feed_uart();
                }
                Ok(value)
            }
            Region::Plic => self.plic.read(offset, width),
            Region::Finisher => finisher::read(width),
            Region::Virtio(slot) => match self.slots.get(usize::from(slot)) {
                Some(Some(device)) => device.read(offset, width),
                _ => Ok(mmio::read_empty(offset, width)),
            },
            Region::Ata => {
                let value = self.drive.as_mut().ok_or(AccessFault)?.read(offset, width)?;
                self.carry_drive();
                Ok(value)
            }
            Region::PciConfig => self.pci.as_mut().ok_or(AccessFault)?.read(offset, width),
            // Nobody answers there: the guest's own windows do not come here.
            Region::PciMemory if self.pci.is_some() => Ok(width.mask()),
            _ => Err(AccessFault),
        }
    }

    fn write(
        &mut self,
        ram: &GuestRam,
        (region, offset): (Region, u64),
        width: Width,
        value: u64,
    ) -> Result<Effect, AccessFault> {
        match region {
            Region::Uart => {
                let sent = self.uart.write(offset, width, value)?;
                self.feed_uart();
                return Ok(sent.map_or(Effect::Nothing, Effect::Output));
            }
            Region::Plic => {
                if let Some(irq) = self.plic.write(offset, width, value)? {
                    let source = self.direct.iter_mut().find_map(|device| device.completed(irq));
                    return Ok(source.map_or(Effect::Nothing, Effect::Complete));
                }
            }
            Region::Virtio(slot) => {
                if let Some(Some(device)) = self.slots.get_mut(usize::from(slot)) {
                    device.write(offset, width, value, ram)?;
                    self.carry(slot);
                }
            }
            Region::Ata => {
                self.drive.as_mut().ok_or(AccessFault)?.write(offset, width, value)?;
                self.carry_drive();
            }
            Region::PciConfig => {
                let moved = self.pci.as_mut().ok_or(AccessFault)?.write(offset, width, value);
                return Ok(moved.map_or(Effect::Nothing, |(n, to)| Effect::Windows(n, to)));
            }
            Region::PciMemory if self.pci.is_some() => {}
            Region::Finisher => {
                let action = finisher::write(offset, width, value)?;
                return Ok(action.map_or(Effect::Nothing, Effect::End));
            }
            _ => return Err(AccessFault),
        }
        Ok(Effect::Nothing)
    }

    /// Moves typed bytes to where the guest can read them: to a virtio
    /// console, if one has a driver, else to the UART.
    fn feed(&mut self, ram: &GuestRam) {
        match self.console() {
            Some(place) => self.poll(place, ram),
            None => self.feed_uart(),
        }
    }

    /// The virtio console that the guest uses.
    fn console(&self) -> Option<Place> {
        let runs = |slot: &Option<Mmio>| {
            slot.as_ref().is_some_and(|slot| slot.function().runs(DeviceType::Console))
        };
        let slot = || (0..).zip(&self.slots).find(|(_, slot)| runs(slot));
        let pv = self.pv.running(DeviceType::Console).map(Place::Pv);
        pv.or_else(|| slot().map(|(number, _)| Place::Slot(number)))
    }

    /// Moves typed bytes to the UART, and its interrupt to the PLIC: after
    /// accesses that concern it, as on QEMU.
    fn feed_uart(&mut self) {
        if self.wire.has_typed() && self.console().is_none() {
            while self.uart.has_room()
                && let Some(byte) = self.wire.next()
            {
                self.uart.push(byte);
            }
        }
        if self.uart.interrupt() {
            self.plic.raise(bus::UART_IRQ);
        }
    }

    /// Takes typed bytes past all devices, for the SBI console.
    pub(super) fn take_input(&mut self, bytes: &mut [u8]) -> usize {
        self.wire.take(bytes)
    }
}

impl Guest {
    /// Performs `access` on the devices, for vCPU `own` or for none, and
    /// carries the interrupt lines that it moved to the vCPUs.
    #[inline]
    pub(super) fn with_devices<H: Host, R>(
        &self,
        host: &H,
        own: Option<usize>,
        access: impl FnOnce(&mut Devices) -> R,
    ) -> R {
        let mut devices = self.devices.lock();
        let result = access(&mut devices);
        let mut changed = devices.plic.changed();
        while changed != 0 {
            let context = changed.trailing_zeros() as usize;
            changed &= changed - 1;
            let machine = context.is_multiple_of(2);
            let line =
                if machine { Interrupt::MachineExternal } else { Interrupt::SupervisorExternal };
            let up = devices.plic.pending(context);
            self.set_lines(host, own, context / 2, (line.bit(), up));
        }
        if let Some(raise) = devices.pv.publish(&self.ram) {
            self.raise(host, own, raise);
        }
        self.pass_on_shown(host, &mut devices);
        if devices.has_backlog()
            && let Some(link) = self.links.get(own.unwrap_or(0))
        {
            link.notify(host, Attention::BACKLOG);
        }
        if devices.balloon.as_ref().is_some_and(Ledger::asks)
            && let Some(link) = self.links.get(own.unwrap_or(0))
        {
            link.notify(host, Attention::BALLOON);
        }
        result
    }

    /// Gives the terminal what consoles have shown.
    #[inline]
    fn pass_on_shown<H: Host>(&self, host: &H, devices: &mut Devices) {
        let Devices { wire, spare, .. } = devices;
        wire.swap_shown(spare);
        if !spare.is_empty() {
            self.console.output(host, self.number, spare);
            spare.clear();
        }
    }

    /// A byte was typed for this guest.
    pub(super) fn type_in<H: Host>(&self, host: &H, byte: u8) {
        self.with_devices(host, None, |devices| {
            devices.wire.type_in(byte);
            devices.feed(&self.ram);
        });
        // The SBI console has no interrupt: who waits for it looks again.
        self.links.iter().for_each(|link| link.notify(host, Attention::LINES));
    }
}

impl<H: Host> Hart<H> {
    /// Reads a device register.
    pub(super) fn read_device(
        &mut self,
        seat: &mut Seat,
        (region, offset): (Region, u64),
        width: Width,
    ) -> Result<u64, AccessFault> {
        match region {
            Region::Clint => Ok(self.read_clint(seat, clint::decode(offset, width)?)),
            Region::Rtc => self.read_clock(seat, offset, width),
            _ => {
                let read = |devices: &mut Devices| devices.read(region, offset, width);
                seat.guest.with_devices(&self.host, Some(seat.index), read)
            }
        }
    }

    /// Writes a device register.
    pub(super) fn write_device(
        &mut self,
        seat: &mut Seat,
        (region, offset): (Region, u64),
        width: Width,
        value: u64,
    ) -> Result<(), AccessFault> {
        match region {
            Region::Clint => {
                self.write_clint(seat, clint::decode(offset, width)?, value);
                return Ok(());
            }
            Region::Rtc => return self.write_clock(seat, offset, width, value),
            _ => {}
        }
        let (guest, at) = (seat.guest, (region, offset));
        let write = |devices: &mut Devices| devices.write(&guest.ram, at, width, value);
        let effect = guest.with_devices(&self.host, Some(seat.index), write)?;
        self.machine.deliver(&self.host, seat.link);
        match effect {
            Effect::Nothing => {}
            Effect::Output(byte) => {
                self.machine.console.output(&self.host, seat.guest.number, &[byte]);
            }
            Effect::End(action) => self.end(seat, action),
            Effect::Complete(source) => self.host.complete(source),
            Effect::Windows(number, windows) => {
                seat.rebuild(&mut self.host, |shadow| shadow.show(number, windows));
            }
        }
        Ok(())
    }

    fn end(&self, seat: &Seat, action: Action) {
        let (power, status) = match action {
            Action::Pass => (Power::Off, 0),
            Action::Fail(code) => (Power::Off, status::of_guest_failure(code.into())),
            Action::Reset => (Power::Reset, 0),
        };
        seat.guest.end(&self.host, power, status.into());
    }
}
