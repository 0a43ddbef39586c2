//! The decoder against three others: `raki`, `riscv-decode` and the Sail model.
//!
//! None of them is right everywhere, and where we differ the reason is stated
//! with the chapter of the unprivileged manual that decides.

#![expect(clippy::cast_possible_truncation, reason = "bits are cut out on purpose")]

use raki::{AOpcode, BaseIOpcode, COpcode, Decode, Isa, OpcodeKind, ZicsrOpcode};
use riscv_decode::Instruction as Rd;
use softcore_rv64::raw::{self, ast, regidx, word_width};

use super::tests::words;
use super::*;
use crate::bus::Width;

fn integer(kind: MemKind) -> Option<(Option<usize>, Option<usize>)> {
    Some(match kind {
        MemKind::Load { rd, .. } | MemKind::Lr { rd, .. } => (Some(rd.index()), None),
        MemKind::Store { rs2 } => (None, Some(rs2.index())),
        MemKind::Sc { rd, rs2, .. } | MemKind::Amo { rd, rs2, .. } => {
            (Some(rd.index()), Some(rs2.index()))
        }
        _ => return None,
    })
}

#[test]
fn compressed_agree_with_raki() {
    for half in (0..=u16::MAX).filter(|half| half & 3 != 3) {
        let ours = decode(u32::from(half) | 0xabcd_0000);
        let Ok(theirs) = half.decode(Isa::Rv64) else { continue };
        let OpcodeKind::C(opcode) = &theirs.opc else { continue };
        let reserved = u32::from(half) >> 7 & 31 == 0;
        let width = match opcode {
            // c.lwsp and c.ldsp with rd = x0 are reserved ("Stack-Pointer-Based
            // Loads and Stores"); raki takes them.
            COpcode::LWSP | COpcode::LDSP if reserved => None,
            COpcode::LW | COpcode::LWSP | COpcode::SW | COpcode::SWSP => Some(Width::Word),
            COpcode::LD | COpcode::LDSP | COpcode::SD | COpcode::SDSP => Some(Width::Double),
            // c.add with rd = x0 is a hint, c.ebreak only with rs2 = x0 as
            // well ("RVC Instruction Set Listings"); raki looks at rd alone.
            COpcode::EBREAK if half == 0x9002 => {
                assert_eq!(ours, Inst::Ebreak);
                continue;
            }
            _ => None,
        };
        let Some(width) = width else {
            assert_eq!(ours, Inst::Other(half.into()), "{half:#06x} {theirs:?}");
            continue;
        };
        let Inst::Mem(op) = ours else { panic!("{half:#06x} {theirs:?} {ours:?}") };
        assert_eq!((op.width, op.length, Some(op.offset)), (width, 2, theirs.imm), "{half:#06x}");
        assert_eq!(integer(op.kind), Some((theirs.rd, theirs.rs2)), "{half:#06x}");
        // raki names no base for the sp forms
        assert_eq!(op.rs1.index(), theirs.rs1.unwrap_or(2), "{half:#06x}");
    }
}

#[test]
fn compressed_agree_with_riscv_decode() {
    for half in (0..=u16::MAX).filter(|half| half & 3 != 3).map(u32::from) {
        // It knows six compressed forms, and expands them: ours of the
        // expansion must be ours of the short form, but for the length.
        let expanded = match riscv_decode::decode(half) {
            Ok(Rd::Lw(i) | Rd::Ld(i)) => i.0,
            Ok(Rd::Sw(i) | Rd::Sd(i)) => i.0,
            _ => continue,
        };
        let long = mem_op(expanded).map(|op| MemOp { length: 2, ..op });
        assert_eq!(mem_op(half), long, "{half:#06x}");
    }
}

#[test]
fn compressed_floats_are_like_the_doubles() {
    // No oracle knows these. c.fld has the format and offset of c.ld, c.fsd of
    // c.sd, c.fldsp of c.ldsp, c.fsdsp of c.sdsp ("Load and Store
    // Instructions"), with funct3 less by two; x0 is reserved, f0 is not.
    for half in (0..=0xffffu32).filter(|half| half & 1 == 0 && half >> 13 & 3 == 3) {
        let float = mem_op(half - (2 << 13));
        let (kind, rs1, offset) = match mem_op(half) {
            Some(MemOp { kind, width: Width::Double, rs1, offset, .. }) => (kind, rs1, offset),
            None => {
                assert!(matches!(float, Some(op) if op.kind == MemKind::FpLoad { rd: FReg(0) }));
                continue;
            }
            op => panic!("{half:#x} {op:?}"),
        };
        let kind = match kind {
            MemKind::Load { rd, signed: true } => MemKind::FpLoad { rd: FReg(rd.0) },
            MemKind::Store { rs2 } => MemKind::FpStore { rs2: FReg(rs2.0) },
            kind => panic!("{half:#x} {kind:?}"),
        };
        let width = Width::Double;
        assert_eq!(float, Some(MemOp { kind, width, rs1, offset, length: 2 }), "{half:#x}");
    }
}

#[test]
fn words_agree_with_raki() {
    for word in words(1_000_000) {
        let ours = decode(word);
        let Ok(theirs) = word.decode(Isa::Rv64) else { continue };
        let context = || format!("{word:#010x} {theirs:?} {ours:?}");
        match (&theirs.opc, ours) {
            (OpcodeKind::BaseI(opcode), Inst::Mem(op)) => {
                let (width, signed) =
                    base_access(opcode).unwrap_or_else(|| panic!("{}", context()));
                assert_eq!(op.width, width, "{}", context());
                if let MemKind::Load { signed: ours, .. } = op.kind {
                    assert_eq!(ours, signed, "{}", context());
                }
                assert_eq!(theirs.imm, Some(op.offset), "{}", context());
                assert_eq!(theirs.rs1, Some(op.rs1.index()), "{}", context());
                assert_eq!(integer(op.kind), Some((theirs.rd, theirs.rs2)), "{}", context());
            }
            (OpcodeKind::A(opcode), Inst::Mem(op)) => atomic_agrees(opcode, &theirs, op, context),
            // lr with rs2 other than 0 is reserved ("Zalrsc"); raki takes it.
            (OpcodeKind::A(AOpcode::LR_W | AOpcode::LR_D), Inst::Other(_)) => {
                assert_ne!(word >> 20 & 31, 0, "{}", context());
            }
            (OpcodeKind::Zicsr(opcode), Inst::Csr(op)) => csr_agrees(opcode, &theirs, op, context),
            // raki calls `csrrs rd, cycle/time/instret` by another name, even
            // where it is a write
            (OpcodeKind::Zicntr(_), Inst::Csr(op)) => {
                assert!(matches!(op.csr() & 0xf7f, 0xc00..=0xc02), "{}", context());
            }
            // raki looks at neither rs1 nor rd of ecall and ebreak, but only
            // zeros are defined ("RV32/64G Instruction Set Listings")
            (OpcodeKind::BaseI(BaseIOpcode::ECALL | BaseIOpcode::EBREAK), ours) => match ours {
                Inst::Ecall => assert_eq!(word, 0x73),
                Inst::Ebreak => assert_eq!(word, 0x0010_0073),
                _ => assert_eq!(ours, Inst::Other(word)),
            },
            (OpcodeKind::Zifencei(_), Inst::Fence(_)) => assert_eq!(word >> 12 & 7, 0),
            // and takes an rd in sfence.vma (volume II listings: zero)
            (OpcodeKind::Priv(_), Inst::Other(_)) => assert_ne!(word & 0xf80, 0, "{}", context()),
            (OpcodeKind::Priv(_), Inst::SfenceVma { address, asid }) => {
                let theirs = (theirs.rs1, theirs.rs2);
                assert_eq!(theirs, (Some(address.index()), Some(asid.index())));
            }
            (OpcodeKind::Priv(_), ours) => {
                let word = [(0x1020_0073, Inst::Sret), (0x3020_0073, Inst::Mret)]
                    .iter()
                    .chain(&[(0x1050_0073, Inst::Wfi)])
                    .find(|(known, _)| *known == word)
                    .map(|(_, inst)| *inst);
                assert_eq!(word, Some(ours), "{}", context());
            }
            (_, ours) => assert_eq!(ours, Inst::Other(word), "{}", context()),
        }
    }
}

fn base_access(opcode: &BaseIOpcode) -> Option<(Width, bool)> {
    Some(match opcode {
        BaseIOpcode::LB | BaseIOpcode::SB => (Width::Byte, true),
        BaseIOpcode::LH | BaseIOpcode::SH => (Width::Half, true),
        BaseIOpcode::LW | BaseIOpcode::SW => (Width::Word, true),
        BaseIOpcode::LD | BaseIOpcode::SD => (Width::Double, true),
        BaseIOpcode::LBU => (Width::Byte, false),
        BaseIOpcode::LHU => (Width::Half, false),
        BaseIOpcode::LWU => (Width::Word, false),
        _ => return None,
    })
}

fn atomic_agrees(
    opcode: &AOpcode,
    theirs: &raki::Instruction,
    op: MemOp,
    context: impl Fn() -> String,
) {
    let name = format!("{opcode:?}").to_lowercase().replace('_', ".");
    assert!(format!("{}", Inst::Mem(op)).starts_with(&name), "{}", context());
    let (MemKind::Lr { order, .. } | MemKind::Sc { order, .. } | MemKind::Amo { order, .. }) =
        op.kind
    else {
        panic!("{}", context())
    };
    assert_eq!(theirs.imm, Some(i32::from(order.acquire()) * 2 + i32::from(order.release())));
    assert_eq!(theirs.rs1, Some(op.rs1.index()), "{}", context());
    assert_eq!(integer(op.kind), Some((theirs.rd, theirs.rs2)), "{}", context());
}

fn csr_agrees(
    opcode: &ZicsrOpcode,
    theirs: &raki::Instruction,
    op: CsrOp,
    context: impl Fn() -> String,
) {
    let action = match opcode {
        ZicsrOpcode::CSRRW | ZicsrOpcode::CSRRWI => CsrAction::Write,
        ZicsrOpcode::CSRRS | ZicsrOpcode::CSRRSI => CsrAction::Set,
        ZicsrOpcode::CSRRC | ZicsrOpcode::CSRRCI => CsrAction::Clear,
    };
    assert_eq!(op.action(), action, "{}", context());
    assert_eq!(theirs.rd, Some(op.rd().index()), "{}", context());
    assert_eq!(theirs.rs2, Some(op.csr().into()), "{}", context());
    let source = match op.source() {
        CsrSource::Reg(reg) => (Some(reg.index()), None),
        CsrSource::Immediate(bits) => (None, Some(i32::from(bits))),
    };
    assert_eq!((theirs.rs1, theirs.imm), source, "{}", context());
}

#[test]
fn words_agree_with_riscv_decode() {
    for word in words(1_000_000) {
        let ours = decode(word);
        let Ok(theirs) = riscv_decode::decode(word) else { continue };
        let context = || format!("{word:#010x} {theirs:?} {ours:?}");
        match (theirs, ours) {
            // It keeps the word and takes fields as we do, so what there is to
            // compare is the class; operands are compared with the other two.
            (
                Rd::Lb(_)
                | Rd::Lh(_)
                | Rd::Lw(_)
                | Rd::Ld(_)
                | Rd::Lbu(_)
                | Rd::Lhu(_)
                | Rd::Lwu(_),
                Inst::Mem(MemOp { kind: MemKind::Load { .. }, .. }),
            )
            | (
                Rd::Sb(_) | Rd::Sh(_) | Rd::Sw(_) | Rd::Sd(_),
                Inst::Mem(MemOp { kind: MemKind::Store { .. }, .. }),
            )
            | (Rd::Flw(_), Inst::Mem(MemOp { kind: MemKind::FpLoad { .. }, .. }))
            | (Rd::Fsw(_), Inst::Mem(MemOp { kind: MemKind::FpStore { .. }, .. }))
            | (Rd::Ecall, Inst::Ecall)
            | (Rd::Ebreak, Inst::Ebreak)
            | (Rd::Sret, Inst::Sret)
            | (Rd::Mret, Inst::Mret)
            | (Rd::Wfi, Inst::Wfi)
            | (Rd::FenceI, Inst::FenceI)
            | (Rd::Fence(_), Inst::Fence(_))
            | (Rd::SfenceVma(_), Inst::SfenceVma { .. })
            | (Rd::Csrrw(_) | Rd::Csrrs(_) | Rd::Csrrc(_), Inst::Csr(_))
            | (Rd::Csrrwi(_) | Rd::Csrrsi(_) | Rd::Csrrci(_), Inst::Csr(_)) => {}
            // lr with rs2 other than 0 is reserved ("Zalrsc"); it takes it.
            (Rd::LrW(_) | Rd::LrD(_), Inst::Other(_)) => assert_ne!(word >> 20 & 31, 0),
            (_, Inst::Mem(op)) => {
                let name = format!("{}", Inst::Mem(op)).replace('.', "");
                let theirs = format!("{theirs:?}").to_lowercase();
                let theirs = theirs.split('(').next().unwrap();
                assert!(name.starts_with(theirs), "{}", context());
            }
            (_, Inst::Float(_)) => assert!(format!("{theirs:?}").starts_with('F')),
            // `uret` belonged to the N extension, which was withdrawn.
            (Rd::Uret, ours) => assert_eq!(ours, Inst::Other(word)),
            (_, ours) => assert_eq!(ours, Inst::Other(word), "{}", context()),
        }
    }
}

fn sail_width(width: word_width) -> Width {
    match width {
        word_width::BYTE => Width::Byte,
        word_width::HALF => Width::Half,
        word_width::WORD => Width::Word,
        word_width::DOUBLE => Width::Double,
    }
}

fn sail_reg(reg: regidx) -> Reg {
    let regidx::Regidx(number) = reg;
    Reg::new(number.bits() as u32)
}

fn sail_offset(immediate: u64) -> i32 {
    (immediate as i32) << 20 >> 20
}

/// What the Sail model makes of a word, in our terms. `None`: it has
/// extensions that we do not present, or no opinion.
fn sail(decoded: ast) -> Option<Inst> {
    let mem = |kind, width, rs1, offset| {
        let rs1 = sail_reg(rs1);
        Inst::Mem(MemOp { kind, width: sail_width(width), rs1, length: 4, offset })
    };
    Some(match decoded {
        ast::LOAD((imm, rs1, rd, unsigned, width, _, _)) => {
            let kind = MemKind::Load { rd: sail_reg(rd), signed: !unsigned };
            mem(kind, width, rs1, sail_offset(imm.bits()))
        }
        ast::STORE((imm, rs2, rs1, width, _, _)) => {
            let kind = MemKind::Store { rs2: sail_reg(rs2) };
            mem(kind, width, rs1, sail_offset(imm.bits()))
        }
        ast::LOAD_FP((imm, rs1, raw::fregidx::Fregidx(rd), width)) => {
            let kind = MemKind::FpLoad { rd: FReg::new(rd.bits() as u32) };
            mem(kind, width, rs1, sail_offset(imm.bits()))
        }
        ast::STORE_FP((imm, raw::fregidx::Fregidx(rs2), rs1, width)) => {
            let kind = MemKind::FpStore { rs2: FReg::new(rs2.bits() as u32) };
            mem(kind, width, rs1, sail_offset(imm.bits()))
        }
        ast::ECALL(()) => Inst::Ecall,
        ast::EBREAK(()) => Inst::Ebreak,
        ast::SRET(()) => Inst::Sret,
        ast::MRET(()) => Inst::Mret,
        ast::WFI(()) => Inst::Wfi,
        ast::FENCEI(()) | ast::FENCEI_RESERVED(_) => Inst::FenceI,
        ast::SFENCE_VMA((address, asid)) => {
            Inst::SfenceVma { address: sail_reg(address), asid: sail_reg(asid) }
        }
        _ => return None,
    })
}

#[test]
fn words_agree_with_the_sail_model() {
    let mut config = softcore_rv64::config::U74;
    config.extensions.Zifencei.supported = true;
    let mut core = softcore_rv64::new_core(config);
    core.reset();
    core.set_csr(0x300, 1 << 13); // mstatus.FS: without it, all floats are illegal
    for word in words(300_000) {
        let ours = decode(word);
        let decoded = core.decode_instr(word);
        let context = || format!("{word:#010x} {decoded:?} {ours:?}");
        if let Some(theirs) = sail(decoded) {
            assert_eq!(ours, theirs, "{}", context());
            continue;
        }
        match decoded {
            ast::FENCE(_) | ast::FENCE_TSO(_) | ast::FENCE_RESERVED(_) => {
                assert!(matches!(ours, Inst::Fence(_)), "{}", context());
            }
            ast::CSRReg(_) | ast::CSRImm(_) => {
                assert!(matches!(ours, Inst::Csr(_)), "{}", context());
            }
            ast::LOADRES(_) | ast::STORECON(_) | ast::AMO(_) => {
                assert!(matches!(ours, Inst::Mem(_)), "{}", context());
            }
            // What the hart runs by itself, and what is illegal: to us they are
            // alike, and we do not tell good float forms from reserved ones.
            _ => assert!(matches!(ours, Inst::Other(_) | Inst::Float(_)), "{}", context()),
        }
    }
}
