//! Loads, stores and atomics: the instructions that reach devices.
//!
//! [`mem_op`] is on the path of every emulated device register, so it decodes
//! straight from the bits into one small value, without going through
//! [`Inst`](super::Inst).

use super::{FReg, Reg, compressed};
use crate::addr::Access;
use crate::bus::Width;

/// An instruction that accesses memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemOp {
    /// What moves where.
    pub kind: MemKind,
    /// How many bytes move.
    pub width: Width,
    /// Holds the base address.
    pub rs1: Reg,
    /// Length of the instruction in bytes, 2 or 4.
    pub length: u8,
    /// Added to the base, in bytes; 0 for LR, SC and AMO.
    pub offset: i32,
}

/// The direction and the data of a [`MemOp`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MemKind {
    /// Integer load.
    Load {
        /// Receives the value.
        rd: Reg,
        /// Whether it is sign-extended to 64 bits.
        signed: bool,
    },
    /// Integer store.
    Store {
        /// Holds the value, in its low bits.
        rs2: Reg,
    },
    /// Floating-point load.
    FpLoad {
        /// Receives the value.
        rd: FReg,
    },
    /// Floating-point store.
    FpStore {
        /// Holds the value, in its low bits.
        rs2: FReg,
    },
    /// Load-reserved.
    Lr {
        /// Receives the value, sign-extended.
        rd: Reg,
        /// Acquire and release bits.
        order: Order,
    },
    /// Store-conditional.
    Sc {
        /// Receives 0 for success, 1 for failure.
        rd: Reg,
        /// Holds the value.
        rs2: Reg,
        /// Acquire and release bits.
        order: Order,
    },
    /// Atomic read-modify-write.
    Amo {
        /// How the new value comes about.
        op: AmoOp,
        /// Receives the old value, sign-extended.
        rd: Reg,
        /// Holds the operand.
        rs2: Reg,
        /// Acquire and release bits.
        order: Order,
    },
}

/// The `aq` and `rl` bits of an atomic. The VMM performs each emulated atomic
/// with full ordering; they are kept for the trace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct Order(u8);

impl Order {
    /// `.aq`: no later access moves before.
    pub const fn acquire(self) -> bool {
        self.0 & 2 != 0
    }

    /// `.rl`: no earlier access moves after.
    pub const fn release(self) -> bool {
        self.0 & 1 != 0
    }
}

/// The operation of an AMO (volume I, "Atomic Memory Operations").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AmoOp {
    /// The operand itself.
    Swap,
    /// Sum.
    Add,
    /// Exclusive or.
    Xor,
    /// And.
    And,
    /// Inclusive or.
    Or,
    /// Signed minimum.
    Min,
    /// Signed maximum.
    Max,
    /// Unsigned minimum.
    MinU,
    /// Unsigned maximum.
    MaxU,
}

impl AmoOp {
    /// What the AMO stores, given what it found and its operand, both in the
    /// low bits; the result is in the low bits, the others are zero.
    pub fn apply(self, width: Width, old: u64, operand: u64) -> u64 {
        let signed = |value| sign_extend(width, value) as i64;
        let keep_old = match self {
            AmoOp::Swap => return operand & width.mask(),
            AmoOp::Add => return old.wrapping_add(operand) & width.mask(),
            AmoOp::Xor => return (old ^ operand) & width.mask(),
            AmoOp::And => return old & operand & width.mask(),
            AmoOp::Or => return (old | operand) & width.mask(),
            AmoOp::Min => signed(old) <= signed(operand),
            AmoOp::Max => signed(old) >= signed(operand),
            AmoOp::MinU => old & width.mask() <= operand & width.mask(),
            AmoOp::MaxU => old & width.mask() >= operand & width.mask(),
        };
        (if keep_old { old } else { operand }) & width.mask()
    }
}

impl MemOp {
    /// The virtual address accessed when the base register holds `base`.
    #[inline]
    pub const fn address(self, base: u64) -> u64 {
        base.wrapping_add_signed(self.offset as i64)
    }

    /// As what the access is checked. An AMO needs to load as well, but
    /// faults as a store (volume II, "Machine Cause Register"); so does an SC.
    #[inline]
    pub const fn access(self) -> Access {
        match self.kind {
            MemKind::Load { .. } | MemKind::FpLoad { .. } | MemKind::Lr { .. } => Access::Load,
            _ => Access::Store,
        }
    }

    /// The 64 bits that the destination register receives when memory holds
    /// `raw` (its higher bits are ignored): zero- or sign-extended as the
    /// instruction says, a single in an f register NaN-boxed.
    #[inline]
    pub const fn extend(self, raw: u64) -> u64 {
        match self.kind {
            MemKind::Load { signed: false, .. } => raw & self.width.mask(),
            MemKind::FpLoad { .. } => raw | !self.width.mask(),
            _ => sign_extend(self.width, raw),
        }
    }
}

#[inline]
const fn sign_extend(width: Width, value: u64) -> u64 {
    let unused = 64 - 8 * width as u32;
    ((value << unused) as i64 >> unused) as u64
}

const LOAD: u32 = 0x03;
const LOAD_FP: u32 = 0x07;
const STORE: u32 = 0x23;
const STORE_FP: u32 = 0x27;
const AMO: u32 = 0x2f;

/// The memory access in `bits`, if it is one. Of a compressed instruction,
/// only the low halfword counts.
#[inline]
pub fn mem_op(bits: u32) -> Option<MemOp> {
    if bits & 3 != 3 {
        return compressed::mem_op(bits);
    }
    let rd = bits >> 7;
    let rs2 = bits >> 20;
    let size = bits >> 12 & 7;
    let (kind, offset) = match bits & 0x7f {
        LOAD if size != 7 => {
            (MemKind::Load { rd: Reg::new(rd), signed: size < 4 }, bits as i32 >> 20)
        }
        STORE if size < 4 => (MemKind::Store { rs2: Reg::new(rs2) }, store_offset(bits)),
        AMO if size == 2 || size == 3 => (atomic(bits)?, 0),
        LOAD_FP if size == 2 || size == 3 => {
            (MemKind::FpLoad { rd: FReg::new(rd) }, bits as i32 >> 20)
        }
        STORE_FP if size == 2 || size == 3 => {
            (MemKind::FpStore { rs2: FReg::new(rs2) }, store_offset(bits))
        }
        _ => return None,
    };
    Some(MemOp { kind, width: width(size), rs1: Reg::new(bits >> 15), length: 4, offset })
}

/// log2 of the width is in the low two bits of funct3.
#[inline]
const fn width(size: u32) -> Width {
    match size & 3 {
        0 => Width::Byte,
        1 => Width::Half,
        2 => Width::Word,
        _ => Width::Double,
    }
}

#[inline]
const fn store_offset(bits: u32) -> i32 {
    (bits as i32 >> 25 << 5) | (bits >> 7 & 31) as i32
}

fn atomic(bits: u32) -> Option<MemKind> {
    let rd = Reg::new(bits >> 7);
    let rs2 = Reg::new(bits >> 20);
    let order = Order((bits >> 25 & 3) as u8);
    let op = match bits >> 27 {
        0b00010 if rs2 == Reg::ZERO => return Some(MemKind::Lr { rd, order }),
        0b00011 => return Some(MemKind::Sc { rd, rs2, order }),
        0b00001 => AmoOp::Swap,
        0b00000 => AmoOp::Add,
        0b00100 => AmoOp::Xor,
        0b01100 => AmoOp::And,
        0b01000 => AmoOp::Or,
        0b10000 => AmoOp::Min,
        0b10100 => AmoOp::Max,
        0b11000 => AmoOp::MinU,
        0b11100 => AmoOp::MaxU,
        _ => return None,
    };
    Some(MemKind::Amo { op, rd, rs2, order })
}
