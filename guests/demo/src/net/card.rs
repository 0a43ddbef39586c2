//! The network interface, of either kind, as the stack wants it.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use core::fmt::Display;

use guest_drivers::{DeviceType, Interrupts, Linear, NetStorage, Once};
use smoltcp::phy::{Device, DeviceCapabilities, RxToken, TxToken};
use smoltcp::time::Instant;

use super::mmio;
use crate::Vmm;
use crate::tree::Machine;

/// Frames that can wait, in each direction.
const FRAMES: usize = 64;

type Pv = guest_drivers::Net<Linear>;

static STORAGE: Once<NetStorage<FRAMES>> = Once::new(NetStorage::new());

pub(super) enum Card {
    Pv(Box<Pv>),
    Mmio(Box<mmio::Card>),
}

impl Card {
    /// The first interface of the machine.
    pub(super) fn find(machine: &Machine, vmm: Option<Vmm>) -> Option<Self> {
        if let Some(device) = vmm.and_then(|vmm| vmm.find(DeviceType::Net)) {
            let mut card = Pv::new(device, STORAGE.take()?).ok()?;
            card.set_interrupts(Interrupts::After(1));
            return Some(Self::Pv(Box::new(card)));
        }
        machine.virtio.iter().find_map(mmio::Card::new).map(|card| Self::Mmio(Box::new(card)))
    }

    pub(super) fn mac(&self) -> Option<[u8; 6]> {
        match self {
            Self::Pv(card) => card.mac(),
            Self::Mmio(card) => Some(card.mac()),
        }
    }

    /// How it is reached, and by which address.
    pub(super) fn describe(&self, address: impl Display) -> String {
        match self {
            Self::Pv(card) => format!("paravirtual, device {}, {address}", card.device().number()),
            Self::Mmio(card) => format!("{card}, {address}"),
        }
    }
}

/// A frame that came.
pub(super) enum Received<'a> {
    Pv(<Pv as Device>::RxToken<'a>),
    Mmio(mmio::Frame),
}

/// Room for a frame to send.
pub(super) enum Room<'a> {
    Pv(<Pv as Device>::TxToken<'a>),
    Mmio(&'a mut mmio::Card),
}

impl Device for Card {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Room<'a>;

    fn receive(&mut self, now: Instant) -> Option<(Received<'_>, Room<'_>)> {
        match self {
            Self::Pv(card) => {
                let (frame, room) = Device::receive(&mut **card, now)?;
                Some((Received::Pv(frame), Room::Pv(room)))
            }
            Self::Mmio(card) => {
                let frame = card.receive()?;
                Some((Received::Mmio(frame), Room::Mmio(card)))
            }
        }
    }

    fn transmit(&mut self, now: Instant) -> Option<Room<'_>> {
        match self {
            Self::Pv(card) => card.transmit(now).map(Room::Pv),
            Self::Mmio(card) => card.has_room().then_some(Room::Mmio(card)),
        }
    }

    fn capabilities(&self) -> DeviceCapabilities {
        match self {
            Self::Pv(card) => card.capabilities(),
            Self::Mmio(_) => mmio::capabilities(),
        }
    }
}

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, see: F) -> R {
        match self {
            Self::Pv(token) => token.consume(see),
            Self::Mmio(frame) => see(&frame),
        }
    }
}

impl TxToken for Room<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, fill: F) -> R {
        match self {
            Self::Pv(token) => token.consume(len, fill),
            Self::Mmio(card) => card.send(len, fill),
        }
    }
}
