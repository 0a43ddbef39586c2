//! What each decoded form means, and how it reads.
#![expect(clippy::cast_possible_truncation, reason = "bits are cut out on purpose")]

use super::*;
use crate::addr::Access;
use crate::bus::Width;

/// SplitMix64: small, seeded, so that a failure repeats.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Words that are half of them uniform, half of an opcode we decode, and of
/// those some with most operand fields zero, as the rare encodings have.
pub(super) fn words(count: usize) -> impl Iterator<Item = u32> {
    const OPCODES: [u32; 8] = [0x03, 0x07, 0x0f, 0x23, 0x27, 0x2f, 0x73, 0x73];
    let mut state = 1;
    (0..count).map(move |n| {
        let word = random(&mut state) as u32;
        let opcode = OPCODES[n / 4 % OPCODES.len()];
        match n % 4 {
            0 | 1 => word | 3,
            2 => word & !0x7f | opcode,
            _ => word & (random(&mut state) & random(&mut state)) as u32 & !0x7f | opcode,
        }
    })
}

#[test]
fn fast_doors_agree_with_decode() {
    for word in words(1_000_000).chain(0..=0xffff) {
        let inst = decode(word);
        assert_eq!(mem_op(word).map(Inst::Mem), Some(inst).filter(|i| matches!(i, Inst::Mem(_))));
        assert_eq!(csr_op(word).map(Inst::Csr), Some(inst).filter(|i| matches!(i, Inst::Csr(_))));
        assert_eq!(length((word & 0xffff) as u16), if word & 3 == 3 { 4 } else { 2 });
        // Every word has a text, whatever it is.
        assert!(!format!("{inst}").is_empty());
    }
}

#[test]
fn loads_extend_as_they_say() {
    let raw = 0x8877_6655_4433_f281;
    for (bits, expected) in [
        (0x0000_0503, 0xffff_ffff_ffff_ff81), // lb
        (0x0000_4503, 0x81),                  // lbu
        (0x0000_1503, 0xffff_ffff_ffff_f281), // lh
        (0x0000_5503, 0xf281),                // lhu
        (0x0000_2503, 0x4433_f281),           // lw
        (0x0000_6503, 0x4433_f281),           // lwu
        (0x0000_3503, raw),                   // ld
        (0x0000_2507, 0xffff_ffff_4433_f281), // flw: NaN-boxed
        (0x0000_3507, raw),                   // fld
        (0x00b5_252f, 0x4433_f281),           // amoadd.w
    ] {
        assert_eq!(mem_op(bits).unwrap().extend(raw), expected, "{bits:#x}");
    }
    assert_eq!(mem_op(0x1000_252f).unwrap().extend(0x8000_0000), 0xffff_ffff_8000_0000); // lr.w
}

#[test]
fn addresses_wrap_and_accesses_have_a_kind() {
    let op = mem_op(0xfe05_3c23).unwrap(); // sd zero, -8(a0)
    assert_eq!(op.address(4), 4u64.wrapping_sub(8));
    assert_eq!(op.access(), Access::Store);
    for (bits, access) in [
        (0x0000_2507, Access::Load),  // flw
        (0x1000_252f, Access::Load),  // lr.w
        (0x1800_252f, Access::Store), // sc.w
        (0x0000_252f, Access::Store), // amoadd.w
    ] {
        assert_eq!(mem_op(bits).unwrap().access(), access, "{bits:#x}");
    }
}

#[test]
fn amo_operations_follow_their_names() {
    use AmoOp::*;
    let mut state = 7;
    for _ in 0..20_000 {
        let (a, b) = (random(&mut state), random(&mut state));
        let (a32, b32) = (a as i32, b as i32);
        let word = |op: AmoOp| op.apply(Width::Word, a, b) as u32;
        let double = |op: AmoOp| op.apply(Width::Double, a, b);
        assert_eq!((word(Swap), double(Swap)), (b as u32, b));
        assert_eq!((word(Add), double(Add)), (a32.wrapping_add(b32) as u32, a.wrapping_add(b)));
        assert_eq!((word(Xor), double(Xor)), ((a ^ b) as u32, a ^ b));
        assert_eq!((word(And), double(And)), ((a & b) as u32, a & b));
        assert_eq!((word(Or), double(Or)), ((a | b) as u32, a | b));
        assert_eq!(word(Min), a32.min(b32) as u32);
        assert_eq!(word(Max), a32.max(b32) as u32);
        assert_eq!(word(MinU), (a as u32).min(b as u32));
        assert_eq!(word(MaxU), (a as u32).max(b as u32));
        assert_eq!(double(Min), (a as i64).min(b as i64) as u64);
        assert_eq!(double(Max), (a as i64).max(b as i64) as u64);
        assert_eq!((double(MinU), double(MaxU)), (a.min(b), a.max(b)));
        for op in [Swap, Add, Xor, And, Or, Min, Max, MinU, MaxU] {
            assert_eq!(op.apply(Width::Word, a, b) >> 32, 0, "{op}");
        }
    }
}

#[test]
fn csr_instructions_say_whether_they_write() {
    for (bits, writes) in [
        (0x1410_2573, false), // csrrs a0, sepc, zero
        (0x1415_1073, true),  // csrrw zero, sepc, a0
        (0x1415_2073, true),  // csrrs zero, sepc, a0
        (0x1410_6073, false), // csrrsi zero, sepc, 0
        (0x1410_5073, true),  // csrrwi zero, sepc, 0
        (0x1411_7573, true),  // csrrci a0, sepc, 2
    ] {
        assert_eq!(csr_op(bits).unwrap().writes(), writes, "{bits:#x}");
    }
}

#[test]
fn float_use_is_seen() {
    for bits in [0x02a5_8553, 0x0005_3507, 0x2108, 0x0030_2573, 0x0010_1073] {
        assert!(uses_float(decode(bits)), "{bits:#x}"); // fadd.d fld c.fld frcsr fsflags
    }
    for bits in [0x0005_3503, 0x1410_2573, 0x33, 0x6108, 0x0040_2573] {
        assert!(!uses_float(decode(bits)), "{bits:#x}");
    }
}

#[test]
fn texts_are_assembly() {
    for (bits, text) in [
        (0x1410_2573, "csrr a0, sepc"),
        (0x1415_1073, "csrw sepc, a0"),
        (0x1415_12f3, "csrrw t0, sepc, a0"),
        (0x1001_7073, "csrci sstatus, 2"),
        (0x1001_6073, "csrsi sstatus, 2"),
        (0x1002_b073, "csrc sstatus, t0"),
        (0x1001_75f3, "csrrci a1, sstatus, 2"),
        (0xc010_2573, "csrr a0, time"),
        (0x7c05_2573, "csrrs a0, 0x7c0, a0"),
        (0x3b30_2573, "csrr a0, pmpaddr3"),
        (0xc000_1073, "unimp"),
        (0x0000_0000, "unimp"),
        (0x1020_0073, "sret"),
        (0x1050_0073, "wfi"),
        (0x1200_0073, "sfence.vma"),
        (0x1205_0073, "sfence.vma a0, zero"),
        (0x12b5_0073, "sfence.vma a0, a1"),
        (0x0057_4783, "lbu a5, 5(a4)"),
        (0xfe05_3c23, "sd zero, -8(a0)"),
        (0x0000_4188, "lw a0, 0(a1)"),
        (0x0000_e486, "sd ra, 72(sp)"),
        (0x0000_2108, "fld fa0, 0(a0)"),
        (0x1605_25af, "lr.w.aqrl a1, (a0)"),
        (0x18b5_362f, "sc.d a2, a1, (a0)"),
        (0x0cb5_25af, "amoswap.w.aq a1, a1, (a0)"),
        (0xe2b5_35af, "amomaxu.d.rl a1, a1, (a0)"),
        (0x0ff0_000f, "fence"),
        (0x0330_000f, "fence rw, rw"),
        (0x8330_000f, "fence.tso"),
        (0x0100_000f, "pause"),
        (0x0820_000f, "fence i, r"),
        (0x0000_100f, "fence.i"),
        (0x0000_9002, "ebreak"),
        (0x02b5_7553, "fadd.d fa0, fa0, fa1"),
        (0xd205_0553, "fcvt.d.w fa0, a0"),
        (0xc205_1553, "fcvt.w.d a0, fa0, rtz"),
        (0xf200_0053, "fmv.d.x ft0, zero"),
        (0x6a05_7543, "fmadd.d fa0, fa0, ft0, fa3"),
        (0x0400_0053, ".word 0x04000053"),
        (0x0000_8082, ".half 0x8082"),
        (0x0040_0513, ".word 0x00400513"),
    ] {
        assert_eq!(format!("{}", decode(bits)), text, "{bits:#010x}");
    }
}
