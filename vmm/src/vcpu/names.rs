//! Which CSRs exist: one table from number to a dense identity and a name.
//!
//! The identity serves three ends: it says whether a CSR is there at all, it
//! is what emulation dispatches on, and it indexes counters per CSR.

use core::fmt;

/// Declares `CsrId` and its tables from lines of `numbers => Variant "name"`.
/// A line with several numbers is a bank; `name` is then what they share.
macro_rules! csrs {
    ($($(#[$doc:meta])* $numbers:expr => $id:ident $name:literal),+ $(,)?) => {
        /// A CSR, or a bank of like CSRs, as a small dense number.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
        #[repr(u8)]
        pub enum CsrId {
            /// There is no such CSR: every access is an illegal instruction.
            Unknown,
            $(#[doc = $name] $(#[$doc])* $id,)+
        }

        impl CsrId {
            /// All identities, by rising index.
            pub const ALL: [Self; COUNT] = [Self::Unknown, $(Self::$id,)+];

            /// The CSR's name, or what the names of its bank begin with.
            pub const fn name(self) -> &'static str {
                match self {
                    Self::Unknown => "unknown",
                    $(Self::$id => $name,)+
                }
            }
        }

        /// How many identities there are: the size of a table indexed by one.
        pub const COUNT: usize = 1 + [$($name,)+].len();

        /// Identity of each of the 4096 numbers: 4 KiB buy a single load on
        /// the path of every trapped CSR access.
        pub static INDEX: [CsrId; 4096] = {
            let mut index = [CsrId::Unknown; 4096];
            $(fill(&mut index, $numbers, CsrId::$id);)+
            index
        };
    };
}

/// A run of CSR numbers: first, last, step.
type Run = (usize, usize, usize);

const fn one(number: usize) -> Run {
    (number, number, 1)
}

const fn fill(index: &mut [CsrId; 4096], (first, last, step): Run, id: CsrId) {
    let mut number = first;
    while number <= last {
        index[number] = id;
        number += step;
    }
}

csrs! {
    one(0x001) => Fflags "fflags",
    one(0x002) => Frm "frm",
    one(0x003) => Fcsr "fcsr",
    one(0x100) => Sstatus "sstatus",
    one(0x104) => Sie "sie",
    one(0x105) => Stvec "stvec",
    one(0x106) => Scounteren "scounteren",
    one(0x10a) => Senvcfg "senvcfg",
    one(0x140) => Sscratch "sscratch",
    one(0x141) => Sepc "sepc",
    one(0x142) => Scause "scause",
    one(0x143) => Stval "stval",
    one(0x144) => Sip "sip",
    one(0x14d) => Stimecmp "stimecmp",
    one(0x180) => Satp "satp",
    one(0x300) => Mstatus "mstatus",
    one(0x301) => Misa "misa",
    one(0x302) => Medeleg "medeleg",
    one(0x303) => Mideleg "mideleg",
    one(0x304) => Mie "mie",
    one(0x305) => Mtvec "mtvec",
    one(0x306) => Mcounteren "mcounteren",
    one(0x30a) => Menvcfg "menvcfg",
    one(0x320) => Mcountinhibit "mcountinhibit",
    (0x323, 0x33f, 1) => Mhpmevent "mhpmevent",
    one(0x340) => Mscratch "mscratch",
    one(0x341) => Mepc "mepc",
    one(0x342) => Mcause "mcause",
    one(0x343) => Mtval "mtval",
    one(0x344) => Mip "mip",
    (0x3a0, 0x3ae, 2) => Pmpcfg "pmpcfg",
    (0x3b0, 0x3ef, 1) => Pmpaddr "pmpaddr",
    one(0xb00) => Mcycle "mcycle",
    one(0xb02) => Minstret "minstret",
    (0xb03, 0xb1f, 1) => Mhpmcounter "mhpmcounter",
    one(0xc00) => Cycle "cycle",
    one(0xc01) => Time "time",
    one(0xc02) => Instret "instret",
    (0xc03, 0xc1f, 1) => Hpmcounter "hpmcounter",
    one(0xf11) => Mvendorid "mvendorid",
    one(0xf12) => Marchid "marchid",
    one(0xf13) => Mimpid "mimpid",
    one(0xf14) => Mhartid "mhartid",
    one(0xf15) => Mconfigptr "mconfigptr",
}

impl CsrId {
    /// Identity of the CSR with this number; the upper four bits are ignored,
    /// as a CSR number has twelve.
    #[inline]
    pub const fn of(number: u16) -> Self {
        INDEX[(number & 0xfff) as usize]
    }

    /// Index into tables of `COUNT` entries.
    #[inline]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Index within the bank, which this must be the identity of: 3 of
    /// `pmpaddr3`, the number of which is 0x3b3.
    #[inline]
    pub(super) fn index_of(self, number: u16) -> usize {
        usize::from(number.saturating_sub(self.bank_base().unwrap_or(number)))
    }

    /// Number of the first CSR of a bank: what its indices count from.
    const fn bank_base(self) -> Option<u16> {
        match self {
            Self::Mhpmevent => Some(0x320),
            Self::Pmpcfg => Some(0x3a0),
            Self::Pmpaddr => Some(0x3b0),
            Self::Mhpmcounter => Some(0xb00),
            Self::Hpmcounter => Some(0xc00),
            _ => None,
        }
    }
}

/// A CSR number that displays as the CSR's name: `sepc`, `pmpaddr3`, `0x7c0`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CsrName(pub u16);

impl fmt::Display for CsrName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = CsrId::of(self.0);
        match id.bank_base() {
            _ if id == CsrId::Unknown => write!(f, "{:#x}", self.0),
            Some(_) => write!(f, "{}{}", id.name(), id.index_of(self.0)),
            None => f.write_str(id.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_dense() {
        for (index, id) in CsrId::ALL.into_iter().enumerate() {
            assert_eq!(id.index(), index);
        }
    }

    #[test]
    fn numbers_display_as_names() {
        let name = |number| CsrName(number).to_string();
        assert_eq!(name(0x141), "sepc");
        assert_eq!(name(0x3b3), "pmpaddr3");
        assert_eq!(name(0x3a2), "pmpcfg2");
        assert_eq!(name(0xc1f), "hpmcounter31");
        assert_eq!(name(0x323), "mhpmevent3");
        assert_eq!(name(0x7c0), "0x7c0");
    }

    #[test]
    fn odd_pmpcfg_and_debug_registers_do_not_exist() {
        for number in [0x3a1, 0x3af, 0x3f0, 0x7a0, 0x7b0, 0x015, 0x310, 0xb01, 0xc80, 0x600] {
            assert_eq!(CsrId::of(number), CsrId::Unknown, "{number:#x}");
        }
    }

    #[test]
    fn every_identity_has_a_number() {
        for id in CsrId::ALL {
            assert!((0..4096).any(|number| CsrId::of(number) == id), "{}", id.name());
        }
    }
}
