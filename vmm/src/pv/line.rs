//! The interrupt line that the devices of a guest share: 64 bytes of its own
//! memory (`protocol::interrupt`).
//!
//! The line is up while `pending` is not zero. The VMM raises the virtual
//! interrupt when the word becomes something else than zero, and looks at the
//! word before it interrupts the guest again, so that the guest ends an
//! interrupt by taking the word and needs no exit for it.

use trapeze_protocol::call::Error;
use trapeze_protocol::interrupt::{self, Flags, InterruptLine};

use crate::addr::Gpa;
use crate::mem::GuestRam;
use crate::vcpu::Interrupt;

/// The line of a guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Line {
    at: Gpa,
    raise: Raise,
}

/// An interrupt of one vCPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Raise {
    /// The vCPU.
    pub hart: usize,
    /// SEIP or MEIP.
    pub interrupt: Interrupt,
}

impl Line {
    /// The line that a guest with `harts` vCPUs asks for, its memory zeroed;
    /// `None` ends interrupts.
    pub(super) fn new(
        line: Option<(u64, interrupt::Line)>,
        hart: u64,
        harts: usize,
        ram: &GuestRam,
    ) -> Result<Option<Self>, Error> {
        let Some((address, code)) = line else { return Ok(None) };
        let hart = usize::try_from(hart).map_err(|_| Error::InvalidParameter)?;
        if hart >= harts {
            return Err(Error::InvalidParameter);
        }
        let at = Gpa(address);
        if !at.is_aligned(interrupt::SIZE) {
            return Err(Error::InvalidAddress);
        }
        ram.write(at, &InterruptLine::default()).map_err(|_| Error::InvalidAddress)?;
        let interrupt = match code {
            interrupt::Line::SupervisorExternal => Interrupt::SupervisorExternal,
            interrupt::Line::MachineExternal => Interrupt::MachineExternal,
        };
        Ok(Some(Self { at, raise: Raise { hart, interrupt } }))
    }

    /// Makes the guest say when it has taken the word, for where the VMM does
    /// not see it in time. Only vS runs without the VMM.
    pub fn ask_for_done(self, ram: &GuestRam) {
        if self.raise.interrupt == Interrupt::SupervisorExternal {
            // In RAM, since `new` zeroed it there.
            let _ = ram.store_u32(self.at.wrapping_add(interrupt::FLAGS), Flags::DONE.bits());
        }
    }

    /// Where `pending` is.
    pub fn pending(self) -> Gpa {
        self.at.wrapping_add(interrupt::PENDING)
    }

    /// Sets bits in both words; tells the interrupt, if the line was down.
    pub(super) fn publish(self, ram: &GuestRam, used: u64, changed: u64) -> Option<Raise> {
        if changed != 0 {
            ram.fetch_or_u64(self.at.wrapping_add(interrupt::CHANGED), changed).ok()?;
        }
        if used == 0 {
            return None;
        }
        let before = ram.fetch_or_u64(self.pending(), used).ok()?;
        (before == 0).then_some(self.raise)
    }
}
