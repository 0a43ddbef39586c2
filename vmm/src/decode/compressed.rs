//! The compressed loads and stores (volume I, "RVC Instruction Set
//! Listings"), `c.ebreak`, and what copy loops have beside them.
//!
//! In each offset the bits lie scattered; [`field`] moves one run of them.

use super::mem::{MemKind, MemOp};
use super::step::{Condition, Step};
use super::{FReg, Reg};
use crate::bus::Width;

/// `c.ebreak`, the only other compressed instruction that always traps.
pub(super) const EBREAK: u32 = 0x9002;

/// `width` bits of `bits` from position `from`, put at position `to`.
const fn field(bits: u32, from: u32, width: u32, to: u32) -> u32 {
    (bits >> from & ((1 << width) - 1)) << to
}

/// The compressed load or store in the low halfword of `bits`.
#[inline]
pub(super) fn mem_op(bits: u32) -> Option<MemOp> {
    match bits & 3 {
        0 => from_register(bits),
        2 => from_stack(bits),
        _ => None,
    }
}

/// Quadrant 0: base in one of x8 to x15.
#[inline]
fn from_register(bits: u32) -> Option<MemOp> {
    let double = field(bits, 10, 3, 3) | field(bits, 5, 2, 6);
    let word = field(bits, 10, 3, 3) | field(bits, 6, 1, 2) | field(bits, 5, 1, 6);
    let data = 8 + field(bits, 2, 3, 0);
    let (kind, width, offset) = match bits >> 13 & 7 {
        1 => (MemKind::FpLoad { rd: FReg::new(data) }, Width::Double, double),
        2 => (load(data), Width::Word, word),
        3 => (load(data), Width::Double, double),
        5 => (MemKind::FpStore { rs2: FReg::new(data) }, Width::Double, double),
        6 => (store(data), Width::Word, word),
        7 => (store(data), Width::Double, double),
        _ => return None,
    };
    let rs1 = Reg::new(8 + field(bits, 7, 3, 0));
    Some(MemOp { kind, width, rs1, length: 2, offset: offset as i32 })
}

/// Quadrant 2: base in sp. Integer loads into x0 are reserved.
#[inline]
fn from_stack(bits: u32) -> Option<MemOp> {
    let (load_rd, store_rs2) = (field(bits, 7, 5, 0), field(bits, 2, 5, 0));
    let load_double = field(bits, 12, 1, 5) | field(bits, 5, 2, 3) | field(bits, 2, 3, 6);
    let load_word = field(bits, 12, 1, 5) | field(bits, 4, 3, 2) | field(bits, 2, 2, 6);
    let store_double = field(bits, 10, 3, 3) | field(bits, 7, 3, 6);
    let store_word = field(bits, 9, 4, 2) | field(bits, 7, 2, 6);
    let (kind, width, offset) = match bits >> 13 & 7 {
        1 => (MemKind::FpLoad { rd: FReg::new(load_rd) }, Width::Double, load_double),
        2 if load_rd != 0 => (load(load_rd), Width::Word, load_word),
        3 if load_rd != 0 => (load(load_rd), Width::Double, load_double),
        5 => (MemKind::FpStore { rs2: FReg::new(store_rs2) }, Width::Double, store_double),
        6 => (store(store_rs2), Width::Word, store_word),
        7 => (store(store_rs2), Width::Double, store_double),
        _ => return None,
    };
    Some(MemOp { kind, width, rs1: Reg::SP, length: 2, offset: offset as i32 })
}

const fn load(rd: u32) -> MemKind {
    MemKind::Load { rd: Reg::new(rd), signed: true }
}

const fn store(rs2: u32) -> MemKind {
    MemKind::Store { rs2: Reg::new(rs2) }
}

/// `c.addi`, `c.addiw`, `c.mv` (an `addi` of nothing), `c.beqz` and `c.bnez`.
pub(super) fn step(bits: u32) -> Option<Step> {
    let rd = Reg::new(bits >> 7);
    let immediate = sign_extend(field(bits, 12, 1, 5) | field(bits, 2, 5, 0), 6);
    let offset = field(bits, 12, 1, 8)
        | field(bits, 10, 2, 3)
        | field(bits, 5, 2, 6)
        | field(bits, 3, 2, 1)
        | field(bits, 2, 1, 5);
    let branch = |condition| {
        let (rs1, offset) = (Reg::new(8 + field(bits, 7, 3, 0)), sign_extend(offset, 9));
        Some(Step::Branch { condition, rs1, rs2: Reg::ZERO, offset })
    };
    match (bits & 3, bits >> 13 & 7) {
        (1, word @ (0 | 1)) if rd != Reg::ZERO => {
            Some(Step::Add { rd, rs1: rd, immediate, word: word == 1 })
        }
        (2, 4) if rd != Reg::ZERO && bits >> 12 & 1 == 0 && field(bits, 2, 5, 0) != 0 => {
            let rs1 = Reg::new(field(bits, 2, 5, 0));
            Some(Step::Add { rd, rs1, immediate: 0, word: false })
        }
        (1, 6) => branch(Condition::Equal),
        (1, 7) => branch(Condition::NotEqual),
        _ => None,
    }
}

/// The low `width` bits of `value` as a signed number.
const fn sign_extend(value: u32, width: u32) -> i32 {
    let unused = 32 - width;
    (value << unused).cast_signed() >> unused
}
