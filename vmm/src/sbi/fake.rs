//! A machine for the tests: it notes what is asked of it.

use super::{Firmware, HartSet, HartState, Identity, RemoteFence, Start};
use crate::addr::{Gpa, Gva};
use crate::mem::GuestRam;

pub(super) const BASE: u64 = 0x8000_0000;
pub(super) const SIZE: u64 = 0x2000;

/// Something the calls made happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Did {
    Timer(usize, u64),
    Ipi(HartSet),
    ClearIpi(usize),
    Fence(HartSet, RemoteFence),
    Start(usize, Start),
}

pub(super) struct Fake {
    pub(super) ram: GuestRam,
    pub(super) states: Vec<HartState>,
    pub(super) did: Vec<Did>,
    /// What the console showed, and how much more it takes.
    pub(super) shown: Vec<u8>,
    pub(super) room: usize,
    /// What was typed and not read yet.
    pub(super) typed: Vec<u8>,
    /// Whether an IPI is pending, on any hart.
    pub(super) pending: bool,
    /// A race: a start finds the hart started by another.
    pub(super) late: bool,
}

impl Fake {
    /// Hart 0 runs, the others are stopped.
    pub(super) fn new(harts: usize) -> Self {
        let mut states = vec![HartState::Stopped; harts];
        states[0] = HartState::Started;
        Self {
            ram: GuestRam::leaked(Gpa(BASE), SIZE),
            states,
            did: vec![],
            shown: vec![],
            room: usize::MAX,
            typed: vec![],
            pending: false,
            late: false,
        }
    }
}

impl Firmware for Fake {
    fn harts(&self) -> usize {
        self.states.len()
    }

    fn hart_state(&self, hart: usize) -> HartState {
        self.states[hart]
    }

    fn identity(&self) -> Identity {
        Identity { vendor: 11, architecture: 12, implementation: 13 }
    }

    fn ram(&self) -> &GuestRam {
        &self.ram
    }

    fn set_timer(&mut self, hart: usize, deadline: u64) {
        self.did.push(Did::Timer(hart, deadline));
    }

    fn send_ipi(&mut self, to: HartSet) {
        self.did.push(Did::Ipi(to));
    }

    fn clear_ipi(&mut self, hart: usize) -> bool {
        self.did.push(Did::ClearIpi(hart));
        core::mem::take(&mut self.pending)
    }

    fn fence(&mut self, on: HartSet, fence: RemoteFence) {
        self.did.push(Did::Fence(on, fence));
    }

    fn start(&mut self, hart: usize, at: Start) -> bool {
        self.did.push(Did::Start(hart, at));
        self.states[hart] = HartState::StartPending;
        !self.late
    }

    fn console_write(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.room);
        self.shown.extend(&bytes[..count]);
        self.room -= count;
        count
    }

    fn console_read(&mut self, bytes: &mut [u8]) -> usize {
        let count = bytes.len().min(self.typed.len());
        for (to, from) in bytes.iter_mut().zip(self.typed.drain(..count)) {
            *to = from;
        }
        count
    }

    /// Virtual addresses are physical ones with the top bit set.
    fn read_virtual(&mut self, _: usize, address: Gva) -> Option<u64> {
        self.ram.read(Gpa(address.0.checked_sub(1 << 63)?)).ok()
    }
}
