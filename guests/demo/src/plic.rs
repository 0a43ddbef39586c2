//! The PLIC, for devices that have registers. With paravirtual devices alone
//! it is not touched.

use alloc::vec::Vec;

use crate::mmio::Registers;

const ENABLE: usize = 0x2000;
const ENABLE_STRIDE: usize = 0x80;
const CONTEXT: usize = 0x20_0000;
const CONTEXT_STRIDE: usize = 0x1000;
const CLAIM: usize = 4;

/// The PLIC's context of our hart in S-mode.
#[derive(Debug)]
pub(crate) struct Plic {
    registers: Registers,
    context: usize,
    enabled: bool,
    /// Interrupts that were claimed, and not completed yet.
    claimed: Vec<u32>,
}

impl Plic {
    /// Contexts are M and S of each hart, in turns.
    pub(crate) fn new(registers: Registers, hart: usize) -> Self {
        Self { registers, context: 2 * hart + 1, enabled: false, claimed: Vec::new() }
    }

    /// Lets `source` interrupt.
    pub(crate) fn enable(&mut self, source: u32) {
        let place = source as usize;
        let enable = ENABLE + ENABLE_STRIDE * self.context + 4 * (place / 32);
        self.registers.write(4 * place, 1);
        self.registers.write(enable, self.registers.read(enable) | 1 << (source % 32));
        self.registers.write(CONTEXT + CONTEXT_STRIDE * self.context, 0);
        self.enabled = true;
    }

    /// Completes `source`: its driver has found nothing more to do.
    pub(crate) fn served(&mut self, source: u32) {
        if let Some(place) = self.claimed.iter().position(|claimed| *claimed == source) {
            self.claimed.swap_remove(place);
            self.registers.write(CONTEXT + CONTEXT_STRIDE * self.context + CLAIM, source);
        }
    }

    /// Completes what was claimed the last time: all drivers have looked at
    /// their devices since, so that a device that still interrupts has news.
    pub(crate) fn complete(&mut self) {
        let claim = CONTEXT + CONTEXT_STRIDE * self.context + CLAIM;
        for source in self.claimed.drain(..) {
            self.registers.write(claim, source);
        }
    }

    /// Whether `source` was claimed, and not completed yet.
    pub(crate) fn has(&self, source: u32) -> bool {
        self.claimed.contains(&source)
    }

    /// Claims all that is pending, so that it does not end the next wait.
    pub(crate) fn claim(&mut self) {
        let claim = CONTEXT + CONTEXT_STRIDE * self.context + CLAIM;
        while self.enabled {
            match self.registers.read(claim) {
                0 => break,
                source => self.claimed.push(source),
            }
        }
    }
}
