//! Instructions that can trap: what the VMM emulates, or names in a trace.
//!
//! A guest kernel in U-mode traps on each privileged instruction and on each
//! access to a device, and here is what it wanted. Instructions that always
//! run on the real hart (arithmetic, branches) are [`Inst::Other`]: the VMM
//! never has to know them, but for the few of copy loops ([`step`]).
//!
//! Encodings are those of the RISC-V Instruction Set Manual: volume I,
//! "RV32/64G Instruction Set Listings" and "RVC Instruction Set Listings", and
//! volume II, "RISC-V Privileged Instruction Set Listings".
//!
//! Three doors: [`decode`] for any trapped word, and for the hot paths
//! [`csr_op`] (trapped `csrr`) and [`mem_op`] (device access), which `decode`
//! itself uses, so that they cannot disagree.

mod compressed;
mod float;
mod mem;
mod step;
mod text;

#[cfg(test)]
mod oracles;
#[cfg(test)]
mod tests;

pub use mem::{AmoOp, MemKind, MemOp, Order, mem_op};
pub use step::{Condition, Step, step, sum};

macro_rules! register {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
        #[repr(transparent)]
        pub struct $name(u8);

        impl $name {
            /// The register that the low five bits of `field` name.
            #[inline]
            pub const fn new(field: u32) -> Self {
                Self((field & 31) as u8)
            }

            /// Its number, below 32. The mask is there for the compiler: it
            /// removes the bounds check of an array of 32 registers.
            #[inline]
            pub const fn index(self) -> usize {
                (self.0 & 31) as usize
            }
        }
    };
}

register! {
    /// An integer register, x0 to x31.
    Reg
}
register! {
    /// A floating-point register, f0 to f31.
    FReg
}

impl Reg {
    /// x0, always zero.
    pub const ZERO: Self = Self(0);
    /// x2, the base of the stack-relative compressed forms.
    pub const SP: Self = Self(2);
}

/// A decoded instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Inst {
    /// Load, store, LR, SC or AMO, compressed or not.
    Mem(MemOp),
    /// One of the six CSR instructions.
    Csr(CsrOp),
    /// `ecall`
    Ecall,
    /// `ebreak` or `c.ebreak`; [`length`] tells them apart.
    Ebreak,
    /// `sret`
    Sret,
    /// `mret`
    Mret,
    /// `wfi`
    Wfi,
    /// `sfence.vma`: x0 as register means all addresses, all address spaces.
    SfenceVma {
        /// Holds the virtual address.
        address: Reg,
        /// Holds the address-space number.
        asid: Reg,
    },
    /// `fence`, all orderings and hints of it (`pause`, `fence.tso`).
    Fence(Fence),
    /// `fence.i`
    FenceI,
    /// An F or D instruction that touches no memory (the word), also a
    /// reserved one. It traps while `mstatus.FS` is Off; if it still traps
    /// with FS on, it is illegal.
    Float(u32),
    /// Anything else (the word): for the hart to run, or defined by no
    /// extension we present. When such a word traps as illegal, it is.
    Other(u32),
}

/// The operands of a `fence`, as encoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fence {
    /// Mode: 0 normal, 8 with both sets `rw` is `fence.tso`.
    pub mode: u8,
    /// What must come before, bits 3 to 0: i, o, r, w.
    pub before: u8,
    /// What must wait, in the same bits.
    pub after: u8,
}

/// A CSR instruction. The fields are taken from the word when asked for,
/// which costs nothing for those that a path does not need.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CsrOp(u32);

/// What a CSR instruction does with its source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CsrAction {
    /// `csrrw[i]`: the CSR becomes the source.
    Write,
    /// `csrrs[i]`: the bits of the source are set.
    Set,
    /// `csrrc[i]`: the bits of the source are cleared.
    Clear,
}

/// Where a CSR instruction takes its source from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CsrSource {
    /// A register.
    Reg(Reg),
    /// The immediate, 0 to 31.
    Immediate(u8),
}

impl CsrOp {
    /// Number of the CSR, below 4096.
    #[inline]
    pub const fn csr(self) -> u16 {
        (self.0 >> 20) as u16
    }

    /// Receives the old value.
    #[inline]
    pub const fn rd(self) -> Reg {
        Reg::new(self.0 >> 7)
    }

    /// Whether the source is written, set or cleared.
    #[inline]
    pub const fn action(self) -> CsrAction {
        match self.0 >> 12 & 3 {
            2 => CsrAction::Set,
            3 => CsrAction::Clear,
            _ => CsrAction::Write,
        }
    }

    /// Register or immediate.
    #[inline]
    pub const fn source(self) -> CsrSource {
        let field = self.0 >> 15 & 31;
        if self.0 >> 14 & 1 == 0 {
            CsrSource::Reg(Reg::new(field))
        } else {
            CsrSource::Immediate(field as u8)
        }
    }

    /// Whether the CSR is written at all: setting or clearing with x0 or
    /// immediate 0 has no write effects and works on read-only CSRs (Zicsr).
    #[inline]
    pub const fn writes(self) -> bool {
        self.0 >> 12 & 3 == 1 || self.0 >> 15 & 31 != 0
    }
}

/// Length in bytes of the instruction that starts with `first`.
///
/// RV64GC has 2 and 4 byte instructions only; the prefixes of longer ones are
/// illegal there and trap at once, so 4 is as good an answer as any.
#[inline]
pub const fn length(first: u16) -> u64 {
    if first & 3 == 3 { 4 } else { 2 }
}

const MISC_MEM: u32 = 0x0f;
const SYSTEM: u32 = 0x73;

/// Decodes the instruction in `bits`. Of a compressed one, only the low
/// halfword counts.
#[inline]
pub fn decode(bits: u32) -> Inst {
    match csr_op(bits) {
        Some(op) => Inst::Csr(op),
        None => match bits & 0x7f {
            SYSTEM => system(bits),
            _ => not_system(bits),
        },
    }
}

/// The CSR instruction in `bits`, if it is one.
#[inline]
pub const fn csr_op(bits: u32) -> Option<CsrOp> {
    if bits & 0x7f == SYSTEM && bits >> 12 & 3 != 0 { Some(CsrOp(bits)) } else { None }
}

fn system(bits: u32) -> Inst {
    match bits {
        0x0000_0073 => Inst::Ecall,
        0x0010_0073 => Inst::Ebreak,
        0x1020_0073 => Inst::Sret,
        0x3020_0073 => Inst::Mret,
        0x1050_0073 => Inst::Wfi,
        _ if bits & 0xfe00_7fff == 0x1200_0073 => {
            Inst::SfenceVma { address: Reg::new(bits >> 15), asid: Reg::new(bits >> 20) }
        }
        _ => Inst::Other(bits),
    }
}

fn not_system(bits: u32) -> Inst {
    if let Some(op) = mem_op(bits) {
        return Inst::Mem(op);
    }
    if bits & 3 != 3 {
        let half = bits & 0xffff;
        return if half == compressed::EBREAK { Inst::Ebreak } else { Inst::Other(half) };
    }
    match (bits & 0x7f, bits >> 12 & 7) {
        (MISC_MEM, 0) => Inst::Fence(fence(bits)),
        (MISC_MEM, 1) => Inst::FenceI,
        _ if float::is_arithmetic(bits) => Inst::Float(bits),
        _ => Inst::Other(bits),
    }
}

/// Implementations shall ignore rd and rs1, and treat reserved modes as a plain
/// fence (volume I, "Memory Ordering Instructions"), so none is refused.
fn fence(bits: u32) -> Fence {
    let nibble = |shift: u32| (bits >> shift & 15) as u8;
    Fence { mode: nibble(28), before: nibble(24), after: nibble(20) }
}

/// Whether the instruction needs the floating-point unit, so that it traps
/// while the real `mstatus.FS` is Off. Accesses to `fflags`, `frm` and `fcsr`
/// count, as they do there.
pub fn uses_float(inst: Inst) -> bool {
    match inst {
        Inst::Float(_) => true,
        Inst::Mem(op) => matches!(op.kind, MemKind::FpLoad { .. } | MemKind::FpStore { .. }),
        Inst::Csr(op) => matches!(op.csr(), 1..=3),
        _ => false,
    }
}
