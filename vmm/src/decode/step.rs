//! The instructions that copy loops are made of. The VMM never has to know
//! them; it does, where it carries a loop on instead of being called again
//! for each access (`machine::burst`).

use super::{MemKind, MemOp, Reg, compressed, mem_op};

/// One such instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// A load or store of an integer register.
    Mem(MemOp),
    /// `addi` or `addiw`.
    Add {
        /// Receives the sum.
        rd: Reg,
        /// Holds one part.
        rs1: Reg,
        /// The other one.
        immediate: i32,
        /// Whether the low 32 bits are added, and the sum sign-extended.
        word: bool,
    },
    /// A conditional branch.
    Branch {
        /// When it is taken.
        condition: Condition,
        /// What is compared,
        rs1: Reg,
        /// and with what.
        rs2: Reg,
        /// From the branch to its target, in bytes.
        offset: i32,
    },
}

impl Step {
    /// `nop`
    pub const NOTHING: Self =
        Self::Add { rd: Reg::ZERO, rs1: Reg::ZERO, immediate: 0, word: false };
}

/// How a branch compares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Condition {
    /// `beq`
    Equal,
    /// `bne`
    NotEqual,
    /// `blt`
    Less,
    /// `bge`
    NotLess,
    /// `bltu`
    Below,
    /// `bgeu`
    NotBelow,
}

impl Condition {
    /// Whether a branch with these operands is taken.
    #[inline]
    pub fn holds(self, a: u64, b: u64) -> bool {
        match self {
            Self::Equal => a == b,
            Self::NotEqual => a != b,
            Self::Less => a.cast_signed() < b.cast_signed(),
            Self::NotLess => a.cast_signed() >= b.cast_signed(),
            Self::Below => a < b,
            Self::NotBelow => a >= b,
        }
    }
}

/// The sum that [`Step::Add`] gives.
#[inline]
pub fn sum(a: u64, immediate: i32, word: bool) -> u64 {
    let sum = a.wrapping_add_signed(immediate.into());
    let [b0, b1, b2, b3, ..] = sum.to_le_bytes();
    if word { i64::from(i32::from_le_bytes([b0, b1, b2, b3])).cast_unsigned() } else { sum }
}

const ADDI: u32 = 0x13;
const ADDIW: u32 = 0x1b;
const BRANCH: u32 = 0x63;

/// The instruction in `bits`, if it is one of these. Of a compressed one,
/// only the low halfword counts.
pub fn step(bits: u32) -> Option<Step> {
    if let Some(op) = mem_op(bits) {
        let integer = matches!(op.kind, MemKind::Load { .. } | MemKind::Store { .. });
        return integer.then_some(Step::Mem(op));
    }
    if bits & 3 != 3 {
        return compressed::step(bits);
    }
    let (rd, rs1) = (Reg::new(bits >> 7), Reg::new(bits >> 15));
    match (bits & 0x7f, bits >> 12 & 7) {
        (opcode @ (ADDI | ADDIW), 0) => {
            let immediate = bits.cast_signed() >> 20;
            Some(Step::Add { rd, rs1, immediate, word: opcode == ADDIW })
        }
        (BRANCH, function) => {
            let (condition, rs2) = (condition(function)?, Reg::new(bits >> 20));
            Some(Step::Branch { condition, rs1, rs2, offset: branch_offset(bits) })
        }
        _ => None,
    }
}

fn condition(function: u32) -> Option<Condition> {
    Some(match function {
        0 => Condition::Equal,
        1 => Condition::NotEqual,
        4 => Condition::Less,
        5 => Condition::NotLess,
        6 => Condition::Below,
        7 => Condition::NotBelow,
        _ => return None,
    })
}

/// The B format: bits 12, 10 to 5, 4 to 1, and 11 of the offset.
const fn branch_offset(bits: u32) -> i32 {
    let sign = bits.cast_signed() >> 31 << 12;
    let rest = (bits >> 25 & 0x3f) << 5 | (bits >> 8 & 0xf) << 1 | (bits >> 7 & 1) << 11;
    sign | rest.cast_signed()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use raki::{BaseIOpcode, COpcode, Decode, Isa, OpcodeKind};

    use super::*;

    #[test]
    fn sums_and_comparisons_are_the_architectures() {
        assert_eq!(sum(u64::MAX, 1, false), 0);
        assert_eq!(sum(0x1_7fff_ffff, 1, true), 0xffff_ffff_8000_0000);
        assert_eq!(sum(5, -1, true), 4);
        let minus = u64::MAX;
        assert!(Condition::Less.holds(minus, 0) && !Condition::Below.holds(minus, 0));
        assert!(Condition::NotBelow.holds(3, 3) && Condition::NotLess.holds(3, minus));
        assert!(Condition::Equal.holds(3, 3) && Condition::NotEqual.holds(3, 4));
    }

    fn condition_of(opcode: &OpcodeKind) -> Option<Condition> {
        Some(match opcode {
            OpcodeKind::BaseI(BaseIOpcode::BEQ) | OpcodeKind::C(COpcode::BEQZ) => Condition::Equal,
            OpcodeKind::BaseI(BaseIOpcode::BNE) | OpcodeKind::C(COpcode::BNEZ) => {
                Condition::NotEqual
            }
            OpcodeKind::BaseI(BaseIOpcode::BLT) => Condition::Less,
            OpcodeKind::BaseI(BaseIOpcode::BGE) => Condition::NotLess,
            OpcodeKind::BaseI(BaseIOpcode::BLTU) => Condition::Below,
            OpcodeKind::BaseI(BaseIOpcode::BGEU) => Condition::NotBelow,
            _ => return None,
        })
    }

    fn agrees(decoded: &raki::Instruction, ours: Option<Step>) -> bool {
        let register = |number: Option<usize>| number.unwrap_or(0);
        match (&decoded.opc, ours) {
            (
                OpcodeKind::BaseI(BaseIOpcode::ADDI | BaseIOpcode::ADDIW)
                | OpcodeKind::C(COpcode::ADDI | COpcode::ADDIW),
                Some(Step::Add { rd, rs1, immediate, word }),
            ) => {
                let is_word = matches!(
                    decoded.opc,
                    OpcodeKind::BaseI(BaseIOpcode::ADDIW) | OpcodeKind::C(COpcode::ADDIW)
                );
                let from = decoded.rs1.or(decoded.rd);
                word == is_word
                    && rd.index() == register(decoded.rd)
                    && rs1.index() == register(from)
                    && decoded.imm == Some(immediate)
            }
            (
                OpcodeKind::C(COpcode::MV),
                Some(Step::Add { rd, rs1, immediate: 0, word: false }),
            ) => rd.index() == register(decoded.rd) && rs1.index() == register(decoded.rs2),
            (opcode, Some(Step::Branch { condition, rs1, rs2, offset })) => {
                condition_of(opcode) == Some(condition)
                    && rs1.index() == register(decoded.rs1)
                    && rs2.index() == register(decoded.rs2)
                    && decoded.imm == Some(offset)
            }
            (opcode, None) => condition_of(opcode).is_none(),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn words_agree_with_raki(
            bits: u32,
            opcode in prop::sample::select(vec![ADDI, ADDIW, BRANCH]),
        ) {
            let bits = bits & !0x7f | opcode;
            let ours = step(bits);
            if let Ok(decoded) = bits.decode(Isa::Rv64) {
                let known = ours.is_some() || condition_of(&decoded.opc).is_some();
                prop_assert!(!known || agrees(&decoded, ours), "{decoded:?} {ours:?}");
            } else {
                prop_assert_eq!(ours, None);
            }
        }

        #[test]
        fn halfwords_agree_with_raki(half: u16, quadrant in 1..3u16) {
            let bits = half & !3 | quadrant;
            let ours = step(bits.into()).filter(|step| !matches!(step, Step::Mem(_)));
            if let (Ok(decoded), Some(_)) = (bits.decode(Isa::Rv64), ours) {
                prop_assert!(agrees(&decoded, ours), "{decoded:?} {ours:?}");
            }
        }
    }
}
