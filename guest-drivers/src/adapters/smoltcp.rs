//! The network interface under `smoltcp`.

use smoltcp::phy::{self, DeviceCapabilities, Medium};
use smoltcp::time::Instant;

use crate::memory::Memory;
use crate::net::{FRAME, Net, Received, Receiver, Sender};
use crate::protocol::device::net::ETHERNET_HEADER;
use crate::vmm::Hypercall;

/// A frame that came.
pub struct RxToken<'a, M: Memory, H: Hypercall> {
    receiver: &'a mut Receiver<M, H>,
    received: Received,
}

/// Room for a frame to send.
pub struct TxToken<'a, M: Memory, H: Hypercall>(&'a mut Sender<M, H>);

impl<M: Memory, H: Hypercall> phy::Device for Net<M, H> {
    type RxToken<'a>
        = RxToken<'a, M, H>
    where
        Self: 'a;
    type TxToken<'a>
        = TxToken<'a, M, H>
    where
        Self: 'a;

    fn receive(&mut self, _: Instant) -> Option<(RxToken<'_, M, H>, TxToken<'_, M, H>)> {
        let (receiver, sender) = self.halves();
        // A frame that may have to be answered waits until it can be.
        if !sender.reclaim() {
            return None;
        }
        let received = receiver.next()?;
        Some((RxToken { receiver, received }, TxToken(sender)))
    }

    fn transmit(&mut self, _: Instant) -> Option<TxToken<'_, M, H>> {
        let (_, sender) = self.halves();
        if sender.reclaim() { Some(TxToken(sender)) } else { None }
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = ETHERNET_HEADER + usize::from(self.mtu());
        capabilities
    }
}

impl<M: Memory, H: Hypercall> phy::RxToken for RxToken<'_, M, H> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, see: F) -> R {
        let result = see(self.received.frame());
        self.receiver.done(self.received);
        result
    }
}

impl<M: Memory, H: Hypercall> phy::TxToken for TxToken<'_, M, H> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, fill: F) -> R {
        match self.0.send(len, fill) {
            Ok(result) => result,
            // The device was stopped meanwhile: lost, as frames can be.
            Err((_, fill)) => fill([0; FRAME].split_at_mut(len.min(FRAME)).0),
        }
    }
}
