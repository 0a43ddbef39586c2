//! The interrupt line that all devices share: one word that says which of
//! them have news.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use trapeze_protocol::call::Call;
use trapeze_protocol::interrupt::{Flags, Line};

use crate::error::Error;
use crate::memory::Memory;
use crate::vmm::{Hypercall, Vmm};

/// The line, for a static.
///
/// ```no_run
/// use guest_drivers::{InterruptLine, Line, Linear, Vmm};
///
/// static LINE: InterruptLine = InterruptLine::new();
///
/// fn start(vmm: Vmm<Linear>) {
///     LINE.connect(vmm, Line::SupervisorExternal, 0).expect("the line is in memory");
/// }
///
/// fn supervisor_external_interrupt(vmm: Vmm<Linear>) {
///     let news = LINE.take(vmm);
///     for device in news.devices() {
///         // Look at what the driver of this device has completed.
/// #       let _ = device;
///     }
///     if news.is_empty() {
///         // It was the PLIC's, if this kernel uses it.
///     }
/// }
/// ```
#[repr(C, align(64))]
#[derive(Debug)]
pub struct InterruptLine {
    pending: AtomicU64,
    changed: AtomicU64,
    flags: AtomicU32,
    reserved: [AtomicU32; 11],
}

/// What an interrupt was for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct News {
    pending: u64,
    changed: u64,
}

impl Default for InterruptLine {
    fn default() -> Self {
        Self::new()
    }
}

impl InterruptLine {
    /// A line that is not connected.
    pub const fn new() -> Self {
        Self {
            pending: AtomicU64::new(0),
            changed: AtomicU64::new(0),
            flags: AtomicU32::new(0),
            reserved: [const { AtomicU32::new(0) }; 11],
        }
    }

    /// Makes this the line of all devices. It interrupts `hart` by `line`,
    /// together with the PLIC but without its doing. Look once at all that
    /// drivers may have completed before.
    ///
    /// # Errors
    /// If the VMM does not take it.
    pub fn connect<M: Memory, H: Hypercall>(
        &'static self,
        vmm: Vmm<M, H>,
        line: Line,
        hart: u64,
    ) -> Result<(), Error> {
        vmm.set_line(Some((self, line)), hart)
    }

    /// Ends interrupts of all devices.
    ///
    /// # Errors
    /// If the VMM refuses.
    pub fn disconnect<M: Memory, H: Hypercall>(vmm: Vmm<M, H>) -> Result<(), Error> {
        vmm.set_line(None, 0)
    }

    /// Whether the handler has to [take](Self::take) news, or to end an
    /// interrupt that the VMM does not end by itself. It is only a look at
    /// memory, which costs no exit.
    pub fn is_pending(&self) -> bool {
        let done = self.flags.load(Ordering::Relaxed) & Flags::DONE.bits() != 0;
        done || self.pending.load(Ordering::Relaxed) != 0
    }

    /// Takes the news: for the handler of the interrupt, before it looks at
    /// what drivers have completed. Nothing that comes later is lost: it
    /// interrupts again.
    pub fn take<M: Memory, H: Hypercall>(&self, vmm: Vmm<M, H>) -> News {
        // Acquire: used rings are looked at after this. Release: what we did
        // before the swap is seen by who sets the bits again.
        let pending = self.pending.swap(0, Ordering::AcqRel);
        if self.flags.load(Ordering::Relaxed) & Flags::DONE.bits() != 0 {
            // There is no line if it fails, so nothing to end.
            let _ = vmm.ask(Call::InterruptDone);
        }
        let quiet = self.changed.load(Ordering::Relaxed) == 0;
        let changed = if quiet { 0 } else { self.changed.swap(0, Ordering::AcqRel) };
        News { pending, changed }
    }
}

impl News {
    /// Whether there is none: the interrupt was somebody else's, or spurious.
    pub fn is_empty(self) -> bool {
        self.pending | self.changed == 0
    }

    /// Whether device `number` has completed something.
    pub fn has(self, number: u64) -> bool {
        bit(self.pending, number)
    }

    /// Whether status or configuration of device `number` changed.
    pub fn has_changed(self, number: u64) -> bool {
        bit(self.changed, number)
    }

    /// The numbers of all devices that have completed something.
    pub fn devices(self) -> impl Iterator<Item = u64> {
        (0..64).filter(move |number| self.has(*number))
    }
}

fn bit(word: u64, number: u64) -> bool {
    number < 64 && word >> number & 1 != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::offset_of;
    use trapeze_protocol::interrupt;

    #[test]
    fn the_line_is_laid_out_as_the_protocol_says() {
        assert_eq!(offset_of!(InterruptLine, pending) as u64, interrupt::PENDING);
        assert_eq!(offset_of!(InterruptLine, changed) as u64, interrupt::CHANGED);
        assert_eq!(offset_of!(InterruptLine, flags) as u64, interrupt::FLAGS);
        assert_eq!(size_of::<InterruptLine>() as u64, interrupt::SIZE);
        assert_eq!(align_of::<InterruptLine>() as u64, interrupt::SIZE);
        assert_eq!(InterruptLine::default().reserved.len(), 11);
    }

    #[test]
    fn news_are_by_device() {
        let news = News { pending: 1 << 63 | 5, changed: 2 };
        assert!(news.devices().eq([0, 2, 63]));
        assert!(news.has_changed(1) && !news.has_changed(0) && !news.has(64));
        assert!(!news.is_empty() && News::default().is_empty());
    }
}
