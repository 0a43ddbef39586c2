//! Instructions in assembly, for the trace.
//!
//! The notation is that of the assembler manual and of `objdump`: ABI names,
//! the usual pseudo-instructions, and compressed forms written as what they
//! stand for.

use core::fmt::{self, Display, Formatter};

use super::{AmoOp, CsrAction, CsrOp, CsrSource, FReg, Fence, Inst, MemKind, MemOp, Order, Reg};
use super::{float, length};
use crate::bus::Width;
use crate::vcpu::CsrName;

impl Display for Inst {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match *self {
            Inst::Mem(op) => mem(f, op),
            Inst::Csr(op) => csr(f, op),
            Inst::Ecall => f.write_str("ecall"),
            Inst::Ebreak => f.write_str("ebreak"),
            Inst::Sret => f.write_str("sret"),
            Inst::Mret => f.write_str("mret"),
            Inst::Wfi => f.write_str("wfi"),
            Inst::SfenceVma { address: Reg::ZERO, asid: Reg::ZERO } => f.write_str("sfence.vma"),
            Inst::SfenceVma { address, asid } => write!(f, "sfence.vma {address}, {asid}"),
            Inst::Fence(operands) => fence(f, operands),
            Inst::FenceI => f.write_str("fence.i"),
            Inst::Float(bits) => match float::write(f, bits)? {
                true => Ok(()),
                false => word(f, bits),
            },
            Inst::Other(0) => f.write_str("unimp"),
            Inst::Other(bits) => word(f, bits),
        }
    }
}

fn word(f: &mut Formatter<'_>, bits: u32) -> fmt::Result {
    match length((bits & 0xffff) as u16) {
        2 => write!(f, ".half {bits:#06x}"),
        _ => write!(f, ".word {bits:#010x}"),
    }
}

fn mem(f: &mut Formatter<'_>, op: MemOp) -> fmt::Result {
    let (offset, base) = (op.offset, op.rs1);
    let width = match op.width {
        Width::Byte => "b",
        Width::Half => "h",
        Width::Word => "w",
        Width::Double => "d",
    };
    match op.kind {
        MemKind::Load { rd, signed } => {
            let unsigned = if signed { "" } else { "u" };
            write!(f, "l{width}{unsigned} {rd}, {offset}({base})")
        }
        MemKind::Store { rs2 } => write!(f, "s{width} {rs2}, {offset}({base})"),
        MemKind::FpLoad { rd } => write!(f, "fl{width} {rd}, {offset}({base})"),
        MemKind::FpStore { rs2 } => write!(f, "fs{width} {rs2}, {offset}({base})"),
        MemKind::Lr { rd, order } => write!(f, "lr.{width}{order} {rd}, ({base})"),
        MemKind::Sc { rd, rs2, order } => write!(f, "sc.{width}{order} {rd}, {rs2}, ({base})"),
        MemKind::Amo { op, rd, rs2, order } => {
            write!(f, "amo{op}.{width}{order} {rd}, {rs2}, ({base})")
        }
    }
}

fn csr(f: &mut Formatter<'_>, op: CsrOp) -> fmt::Result {
    let letter = match op.action() {
        CsrAction::Write => 'w',
        CsrAction::Set => 's',
        CsrAction::Clear => 'c',
    };
    let csr = CsrName(op.csr());
    match (op.rd(), op.source()) {
        // csrrw x0, cycle, x0 writes a read-only CSR: the canonical illegal word
        (Reg::ZERO, CsrSource::Reg(Reg::ZERO)) if op.writes() && op.csr() == 0xc00 => {
            f.write_str("unimp")
        }
        (rd, CsrSource::Reg(Reg::ZERO)) if op.action() == CsrAction::Set => {
            write!(f, "csrr {rd}, {csr}")
        }
        (Reg::ZERO, CsrSource::Reg(rs1)) => write!(f, "csr{letter} {csr}, {rs1}"),
        (Reg::ZERO, CsrSource::Immediate(bits)) => write!(f, "csr{letter}i {csr}, {bits}"),
        (rd, CsrSource::Reg(rs1)) => write!(f, "csrr{letter} {rd}, {csr}, {rs1}"),
        (rd, CsrSource::Immediate(bits)) => write!(f, "csrr{letter}i {rd}, {csr}, {bits}"),
    }
}

fn fence(f: &mut Formatter<'_>, operands: Fence) -> fmt::Result {
    match operands {
        Fence { mode: 8, before: 3, after: 3 } => f.write_str("fence.tso"),
        Fence { mode: 0, before: 1, after: 0 } => f.write_str("pause"),
        Fence { before: 15, after: 15, .. } => f.write_str("fence"),
        Fence { before, after, .. } => write!(f, "fence {}, {}", Set(before), Set(after)),
    }
}

/// One side of a fence: `i` device input, `o` device output, `r`, `w` memory.
struct Set(u8);

impl Display for Set {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0");
        }
        for (letter, bit) in [("i", 8), ("o", 4), ("r", 2), ("w", 1)] {
            if self.0 & bit != 0 {
                f.write_str(letter)?;
            }
        }
        Ok(())
    }
}

impl Display for AmoOp {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AmoOp::Swap => "swap",
            AmoOp::Add => "add",
            AmoOp::Xor => "xor",
            AmoOp::And => "and",
            AmoOp::Or => "or",
            AmoOp::Min => "min",
            AmoOp::Max => "max",
            AmoOp::MinU => "minu",
            AmoOp::MaxU => "maxu",
        })
    }
}

impl Display for Order {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.acquire(), self.release()) {
            (false, false) => "",
            (true, false) => ".aq",
            (false, true) => ".rl",
            (true, true) => ".aqrl",
        })
    }
}

/// Names of the calling convention, by register number.
const X: [&str; 32] = [
    "zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", "a0", "a1", "a2", "a3", "a4",
    "a5", "a6", "a7", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4",
    "t5", "t6",
];
/// The same for floating point.
const F: [&str; 32] = [
    "ft0", "ft1", "ft2", "ft3", "ft4", "ft5", "ft6", "ft7", "fs0", "fs1", "fa0", "fa1", "fa2",
    "fa3", "fa4", "fa5", "fa6", "fa7", "fs2", "fs3", "fs4", "fs5", "fs6", "fs7", "fs8", "fs9",
    "fs10", "fs11", "ft8", "ft9", "ft10", "ft11",
];

impl Display for Reg {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(X[self.index()])
    }
}

impl Display for FReg {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(F[self.index()])
    }
}
