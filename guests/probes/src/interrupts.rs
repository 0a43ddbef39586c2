//! Sets of interrupts: raising them, naming them, and which is to be taken.

use core::fmt;

use crate::csr::{self, MIP, MSI, MTI, SEI, SSI, STI};
use crate::dev::clint;

/// The interrupts that a probe can raise without a device, by falling
/// priority (privileged specification, "Machine Interrupt Registers").
const BY_PRIORITY: [(u64, &str); 5] =
    [(MSI, "MSI"), (MTI, "MTI"), (SEI, "SEI"), (SSI, "SSI"), (STI, "STI")];

/// A set of interrupts, bits as in `mip`; shown by name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Set(pub u64);

impl Set {
    /// Every set but the empty one.
    pub fn all() -> impl Iterator<Item = Self> {
        (1_u64..32).map(|choice| {
            let chosen = BY_PRIORITY.iter().enumerate().filter(move |(n, _)| choice >> n & 1 != 0);
            Self(chosen.map(|(_, (bit, _))| bit).sum())
        })
    }

    /// The one that a hart in S or U takes when all are enabled, and whether
    /// M takes it: those that are not `delegated` go first.
    #[must_use]
    pub fn first(self, delegated: u64) -> (u64, bool) {
        let machine = self.0 & !delegated != 0;
        let candidates = if machine { self.0 & !delegated } else { self.0 };
        let first = BY_PRIORITY.iter().find(|(bit, _)| candidates & bit != 0);
        (first.map_or(0, |(bit, _)| *bit), machine)
    }

    /// Makes exactly these interrupts pending.
    pub fn raise(self) {
        csr::write::<MIP>(self.0);
        clint::set_msip(0, u32::from(self.0 & MSI != 0));
        clint::set_mtimecmp(0, if self.0 & MTI != 0 { 0 } else { u64::MAX });
        while csr::read::<MIP>() & 0x2aa != self.0 {}
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (bit, name) in BY_PRIORITY {
            if self.0 & bit != 0 {
                write!(f, "{name} ")?;
            }
        }
        f.write_str("}")
    }
}
