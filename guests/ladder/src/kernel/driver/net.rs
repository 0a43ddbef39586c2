//! Networks. Two kinds of requests: an echo (ICMP) of QEMU's gateway, which is
//! done when the answer has come; and a frame that nobody wants, which is done
//! when there was a buffer for it. Another guest can be the gateway instead.

mod card;
mod frame;

use guest_drivers::{Device, Interrupts, Linear, Net, NetStorage, Once};

use super::{DEPTH, Op, Target};
use crate::kernel::{clock, interrupt};
pub(crate) use card::Card;
use frame::{Asked, FRAME, Frames};

/// Buffers in either direction.
const SIZE: usize = 64;
const _: () = assert!(SIZE > DEPTH);

/// How long the gateway may take to say who it is, in ticks.
const PATIENCE: u64 = 100 * clock::PER_MS;

static STORAGE: Once<NetStorage<SIZE>> = Once::new(NetStorage::new());

/// A network interface with its driver.
pub(crate) trait Nic {
    /// Its address.
    fn mac(&self) -> [u8; 6];
    /// Gives the device a frame without telling it; `false` if there is no
    /// buffer.
    fn put(&mut self, frame: &[u8]) -> bool;
    /// Tells the device.
    fn kick(&mut self);
    /// Shows the next frame that came.
    fn next(&mut self, see: &mut dyn FnMut(&[u8])) -> bool;
}

impl Nic for Net {
    fn mac(&self) -> [u8; 6] {
        self.mac().unwrap_or_default()
    }

    fn put(&mut self, frame: &[u8]) -> bool {
        self.enqueue(frame.len(), |bytes| bytes.copy_from_slice(frame)).is_ok()
    }

    fn kick(&mut self) {
        Net::kick(self);
    }

    fn next(&mut self, see: &mut dyn FnMut(&[u8])) -> bool {
        self.receive(see).is_some()
    }
}

/// The paravirtual interface.
pub(crate) fn pv(device: Device<Linear>, polls: bool) -> Option<Net> {
    let mut net = Net::new(device, STORAGE.take()?).ok()?;
    if !polls {
        net.set_interrupts(Interrupts::After(1));
    }
    Some(net)
}

/// An interface, and what it was asked for.
pub(crate) struct Peer<N> {
    nic: N,
    frames: Frames,
    /// Bit n: the frame of slot n has gone.
    gone: u64,
}

impl<N: Nic> Peer<N> {
    /// One that `answers` instead of asking; else it finds the gateway, and
    /// lets it know us.
    pub(crate) fn new(nic: N, answers: bool) -> Self {
        let frames = Frames::new(nic.mac());
        let mut peer = Self { nic, frames, gone: 0 };
        let mut gateway = None;
        while gateway.is_none() && !answers {
            let question = peer.frames.question();
            peer.nic.put(&question);
            peer.nic.kick();
            // Another guest may still be about to boot.
            let late = clock::now() + PATIENCE;
            while gateway.is_none() && clock::now() < late {
                peer.nic.next(&mut |frame| gateway = frame::answerer(frame));
            }
        }
        peer.frames.gateway = gateway.unwrap_or_default();
        peer
    }
}

impl<N: Nic> Target for Peer<N> {
    fn ops(&self) -> &'static [(Op, &'static str)] {
        &[(Op::Read, "echo"), (Op::Write, "send")]
    }

    fn depth(&self) -> usize {
        DEPTH
    }

    fn submit(&mut self, slot: usize, op: Op, _: u64, bytes: usize) {
        let len = bytes.clamp(frame::SHORTEST, FRAME);
        let frame = match op {
            Op::Read => self.frames.echo(slot, len),
            Op::Write => self.frames.unwanted(len),
        };
        while !self.nic.put(frame) {
            self.nic.kick();
            core::hint::spin_loop();
        }
        if op == Op::Write {
            self.gone |= 1 << slot;
        }
    }

    fn kick(&mut self) {
        self.nic.kick();
    }

    fn poll(&mut self) -> Option<usize> {
        if self.gone != 0 {
            let slot = self.gone.trailing_zeros();
            self.gone &= self.gone - 1;
            return usize::try_from(slot).ok();
        }
        let mut answered = None;
        while answered.is_none() && self.nic.next(&mut |frame| answered = frame::answered(frame)) {}
        answered
    }

    fn serve(&mut self) {
        let mac = self.nic.mac();
        let mut copy = [0; FRAME];
        loop {
            let (mut len, mut asked) = (0, Asked::Nothing);
            let came = self.nic.next(&mut |frame| {
                len = frame.len().min(FRAME);
                copy[..len].copy_from_slice(&frame[..len]);
                asked = frame::answer(&mut copy[..len], mac);
            });
            match asked {
                Asked::Answered => _ = self.nic.put(&copy[..len]),
                Asked::Nothing if came => {}
                Asked::Nothing => {
                    self.nic.kick();
                    interrupt::wait();
                }
                Asked::Goodbye => return,
            }
        }
    }

    fn close(&mut self) {
        // When an echo is answered, there is room for the last frame. One may
        // be lost among what was sent before.
        let mut answered = false;
        while !answered {
            self.submit(0, Op::Read, 0, frame::SHORTEST);
            self.nic.kick();
            let late = clock::now() + PATIENCE;
            while !answered && clock::now() < late {
                self.nic.next(&mut |frame| answered |= frame::answered(frame).is_some());
            }
        }
        self.nic.put(self.frames.goodbye());
        self.nic.kick();
    }
}
