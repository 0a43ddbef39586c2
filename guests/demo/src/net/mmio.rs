//! A virtio network card with registers, by the crate `virtio-drivers`.

use alloc::vec::Vec;
use core::fmt;

use smoltcp::phy::{DeviceCapabilities, Medium};
use virtio_drivers::device::net::VirtIONet;
use virtio_drivers::transport::DeviceType;
use virtio_drivers::transport::mmio::MmioTransport;

use crate::tree::Found;
use crate::{dma, events};

/// Frames that can wait, in each direction.
const FRAMES: usize = 64;
/// Ethernet's longest frame.
const FRAME: usize = 1514;
/// Room for a frame with what virtio writes before it; the crate rounds it
/// down to whole words.
const BUFFER: usize = 2048;

/// A copy of a frame that came.
pub(super) type Frame = Vec<u8>;

pub(super) struct Card {
    net: VirtIONet<dma::Identity, MmioTransport<'static>, FRAMES>,
    slot: Found,
}

/// What the stack may count on.
pub(super) fn capabilities() -> DeviceCapabilities {
    let mut capabilities = DeviceCapabilities::default();
    capabilities.medium = Medium::Ethernet;
    capabilities.max_transmission_unit = FRAME;
    capabilities
}

impl Card {
    /// The card in `slot`.
    pub(super) fn new(slot: &Found) -> Option<Self> {
        let transport = dma::transport(slot, DeviceType::Network)?;
        let net = VirtIONet::new(transport, BUFFER).ok()?;
        events::enable(slot.irq);
        Some(Self { net, slot: *slot })
    }

    pub(super) fn mac(&self) -> [u8; 6] {
        self.net.mac_address()
    }

    /// The next frame.
    pub(super) fn receive(&mut self) -> Option<Frame> {
        if !self.net.can_recv() {
            // Nothing yet: the interrupt of what was there before is over.
            // What comes after this brings another.
            self.net.ack_interrupt();
        }
        let buffer = self.net.receive().ok()?;
        let frame = buffer.packet().to_vec();
        // Without it there is one buffer less.
        let _ = self.net.recycle_rx_buffer(buffer);
        Some(frame)
    }

    pub(super) fn has_room(&self) -> bool {
        self.net.can_send()
    }

    /// Sends a frame of `len` bytes, and waits until the card has it.
    pub(super) fn send<R>(&mut self, len: usize, fill: impl FnOnce(&mut [u8]) -> R) -> R {
        let mut buffer = self.net.new_tx_buffer(len);
        let result = fill(buffer.packet_mut());
        // Frames can be lost.
        let _ = self.net.send(buffer);
        result
    }
}

impl fmt::Display for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "virtio-mmio at {:#x}, interrupt {}", self.slot.base, self.slot.irq)
    }
}
