//! Floating-point arithmetic: recognised, so that a lazily switched unit can
//! be switched on, and named for the trace. Never emulated.

use core::fmt;

use super::{FReg, Reg};

const MADD: u32 = 0x43;
const MSUB: u32 = 0x47;
const NMSUB: u32 = 0x4b;
const NMADD: u32 = 0x4f;
const OP_FP: u32 = 0x53;

/// Whether the major opcode is one of floating-point arithmetic, so that the
/// instruction traps while `mstatus.FS` is Off.
pub(super) const fn is_arithmetic(bits: u32) -> bool {
    matches!(bits & 0x7f, MADD | MSUB | NMSUB | NMADD | OP_FP)
}

/// The registers that an instruction names, in the order it names them:
/// `f` and `x` stand for the two files.
#[derive(Clone, Copy)]
enum Shape {
    Fff,
    Ff,
    Xff,
    Xf,
    Fx,
}

/// Writes the instruction in assembly, or returns `Ok(false)` when it is
/// reserved. The rounding mode is shown where it is not the dynamic one.
pub(super) fn write(f: &mut fmt::Formatter<'_>, bits: u32) -> Result<bool, fmt::Error> {
    let Some(format) = ["s", "d"].get((bits >> 25 & 3) as usize) else { return Ok(false) };
    let (rd, rs1, rs2, rs3) = (bits >> 7, bits >> 15, bits >> 20, bits >> 27);
    if let Some(name) = fused(bits) {
        let (rd, rs1, rs2, rs3) = (FReg::new(rd), FReg::new(rs1), FReg::new(rs2), FReg::new(rs3));
        write!(f, "{name}.{format} {rd}, {rs1}, {rs2}, {rs3}")?;
        return rounding(f, bits).map(|()| true);
    }
    let Some((name, shape, rounds)) = operation(bits) else { return Ok(false) };
    name.write(f, bits, format)?;
    match shape {
        Shape::Fff => write!(f, " {}, {}, {}", FReg::new(rd), FReg::new(rs1), FReg::new(rs2)),
        Shape::Ff => write!(f, " {}, {}", FReg::new(rd), FReg::new(rs1)),
        Shape::Xff => write!(f, " {}, {}, {}", Reg::new(rd), FReg::new(rs1), FReg::new(rs2)),
        Shape::Xf => write!(f, " {}, {}", Reg::new(rd), FReg::new(rs1)),
        Shape::Fx => write!(f, " {}, {}", FReg::new(rd), Reg::new(rs1)),
    }?;
    if rounds {
        rounding(f, bits)?;
    }
    Ok(true)
}

const fn fused(bits: u32) -> Option<&'static str> {
    match bits & 0x7f {
        MADD => Some("fmadd"),
        MSUB => Some("fmsub"),
        NMSUB => Some("fnmsub"),
        NMADD => Some("fnmadd"),
        _ => None,
    }
}

fn rounding(f: &mut fmt::Formatter<'_>, bits: u32) -> fmt::Result {
    match bits >> 12 & 7 {
        0 => f.write_str(", rne"),
        1 => f.write_str(", rtz"),
        2 => f.write_str(", rdn"),
        3 => f.write_str(", rup"),
        4 => f.write_str(", rmm"),
        7 => Ok(()),
        _ => f.write_str(", invalid"),
    }
}

/// How a mnemonic is put together.
#[derive(Clone, Copy)]
enum Name {
    /// `fadd.s`
    Plain(&'static str),
    /// `fcvt.w.s`: to an integer, or to the other format
    To(&'static str),
    /// `fcvt.s.w`: from an integer, or from the other format
    From(&'static str),
    /// `fmv.x.w`: the integer format has the width of the float
    MoveToX,
    /// `fmv.w.x`
    MoveFromX,
}

impl Name {
    fn write(self, f: &mut fmt::Formatter<'_>, bits: u32, format: &str) -> fmt::Result {
        let word = if bits >> 25 & 3 == 0 { "w" } else { "d" };
        match self {
            Name::Plain(name) => write!(f, "{name}.{format}"),
            Name::To(target) => write!(f, "fcvt.{target}.{format}"),
            Name::From(source) => write!(f, "fcvt.{format}.{source}"),
            Name::MoveToX => write!(f, "fmv.x.{word}"),
            Name::MoveFromX => write!(f, "fmv.{word}.x"),
        }
    }
}

/// Mnemonic and operands of an OP-FP instruction, and whether it rounds.
fn operation(bits: u32) -> Option<(Name, Shape, bool)> {
    use Shape::{Ff, Fff, Fx, Xf, Xff};
    let integer = ["w", "wu", "l", "lu"].get((bits >> 20 & 31) as usize).copied();
    let minor = bits >> 12 & 7;
    let second = bits >> 20 & 31;
    Some(match (bits >> 27, minor, second) {
        (0b00000, ..) => (Name::Plain("fadd"), Fff, true),
        (0b00001, ..) => (Name::Plain("fsub"), Fff, true),
        (0b00010, ..) => (Name::Plain("fmul"), Fff, true),
        (0b00011, ..) => (Name::Plain("fdiv"), Fff, true),
        (0b01011, _, 0) => (Name::Plain("fsqrt"), Ff, true),
        (0b00100, 0, _) => (Name::Plain("fsgnj"), Fff, false),
        (0b00100, 1, _) => (Name::Plain("fsgnjn"), Fff, false),
        (0b00100, 2, _) => (Name::Plain("fsgnjx"), Fff, false),
        (0b00101, 0, _) => (Name::Plain("fmin"), Fff, false),
        (0b00101, 1, _) => (Name::Plain("fmax"), Fff, false),
        (0b01000, _, 0) if bits >> 25 & 1 == 1 => (Name::From("s"), Ff, false),
        (0b01000, _, 1) if bits >> 25 & 1 == 0 => (Name::From("d"), Ff, true),
        (0b10100, 0, _) => (Name::Plain("fle"), Xff, false),
        (0b10100, 1, _) => (Name::Plain("flt"), Xff, false),
        (0b10100, 2, _) => (Name::Plain("feq"), Xff, false),
        (0b11000, ..) => (Name::To(integer?), Xf, true),
        (0b11010, ..) => (Name::From(integer?), Fx, !(bits >> 25 & 1 == 1 && second < 2)),
        (0b11100, 0, 0) => (Name::MoveToX, Xf, false),
        (0b11100, 1, 0) => (Name::Plain("fclass"), Xf, false),
        (0b11110, 0, 0) => (Name::MoveFromX, Fx, false),
        _ => return None,
    })
}
