//! `mtval` holds the instruction after each illegal-instruction trap: whatever
//! ran before it in the same block, whichever trap came before.
//!
//! The VMM relies on it. QEMU 7.2 breaks it in one case: on a hart with the H
//! extension, `hlv`, `hlvx` and `hsv` from U-mode leave the value of an earlier
//! trap (run this with `-cpu rv64` instead of `-cpu rv64,h=false` to see it).
#![no_std]
#![no_main]

use probes::access::{Code, execute, load};
use probes::csr::{self, FRM, FS, MCOUNTEREN, MSTATUS, SATP, TSR, TVM, TW};
use probes::paging::{self, Frame, Space, USER_WINDOW};
use probes::report::Hex;
use probes::{Context, Mode, Probe, insn};

probes::probe!(main);

/// Words that are illegal in U or S, at least under some of the conditions.
const WORDS: &[u32] = &[
    // CSRs of M and S, counters, read-only and missing ones
    0x3000_2573,
    0x1000_2573,
    0xc000_2573,
    0xc010_2573,
    0xb000_2573,
    0x14d0_2573,
    0x14d5_1073,
    0x1805_1073,
    0x3005_1073,
    0xc000_1073,
    0x7c00_2573,
    0x0030_2573,
    0x0030_1573,
    0x7b20_0073,
    // sret, mret, wfi, sfence.vma, uret, hfence, sinval.vma, sfence.w.inval
    insn::SRET,
    insn::MRET,
    insn::WFI,
    insn::SFENCE_VMA,
    0x12b5_0073,
    0x0020_0073,
    0x2200_0073,
    0x6200_0073,
    0x1600_0073,
    0x1800_0073,
    0x1810_0073,
    0x7020_0073,
    // all zeroes, all ones, longer encodings
    0,
    u32::MAX,
    0x0000_001f,
    0x0000_003f,
    // floating point: dynamic and reserved rounding, loads, stores, moves
    0x02b5_7553,
    0x02b5_5553,
    0x00b5_7553,
    0x0005_b507,
    0x00a5_b427,
    0x0405_f553,
    0x0600_f053,
    // vector, custom, reserved opcodes
    0x0205_7007,
    0x0d05_72d7,
    0x0000_000b,
    0x0000_002b,
    0x0000_005b,
    0x0000_006b,
    0x0000_007b,
    // hypervisor loads and stores: hlv.b, hlvx.hu, hlv.d, hsv.b, hsv.d
    0x6000_4573,
    0x6430_4573,
    0x6c00_4573,
    0x62a5_4073,
    0x6ea5_4073,
    // cbo.zero, cbo.clean, wrs, reserved funct3 and AMO
    0x0045_200f,
    0x0015_200f,
    0x00d0_0073,
    0x0000_4033,
    0x0000_205f,
    0xf805_a52f,
    // compressed: zero, reserved encodings, c.fld, c.fldsp, c.fsd
    0x0008,
    0x4002,
    0x6002,
    0x8002,
    0x6501,
    0x2001,
    0x9c61,
    0x2208,
    0x2502,
    0xa208,
];

/// What runs before, in the same block: a2 points to memory.
const BEFORE: &[(&str, u32)] = &[
    ("nop", insn::NOP),
    ("c.nop; c.nop", 0x0001_0001),
    ("ld", 0x0006_3583),
    ("sd", 0x00b6_3023),
    ("amo", 0x00b6_302f),
    ("lr", 0x1006_35af),
    ("fadd", 0x02b5_7553),
    ("rdtime", 0xc010_2573),
    ("fence.i", 0x0000_100f),
    ("jump", 0x0040_006f),
    ("branch", 0x0000_0263),
    ("div", 0x02b5_4533),
];

/// Traps that come before.
const TRAPS: &[fn(Mode)] = &[
    |_| {},
    |mode| {
        let _ = load(mode, 0x1800_0000);
    },
    |mode| {
        let _ = execute(mode, &mut Context::new(&[]), 0xf110_2573);
    },
    |mode| {
        let _ = execute(mode, &mut Context::new(&[]), insn::EBREAK);
    },
];

/// What was seen.
#[derive(Default)]
struct Count {
    illegal: u64,
    wrong: u64,
}

fn main(p: &mut Probe) {
    let memory = Frame::new();
    csr::write::<MCOUNTEREN>(2);
    for paged in [false, true] {
        if paged {
            Space::new().switch();
        }
        for mode in [Mode::U, Mode::S] {
            for fs in [0, FS] {
                round(p, mode, fs, memory);
            }
        }
    }
    paging::bare();
    csr::write::<MSTATUS>(0);
}

/// All words in all surroundings, under one mode and FS.
fn round(p: &mut Probe, mode: Mode, fs: u64, memory: Frame) {
    let mut count = Count::default();
    for trap in TRAPS {
        for before in BEFORE {
            for word in WORDS {
                csr::write::<MSTATUS>(FS);
                csr::write::<FRM>(5);
                csr::write::<MSTATUS>(fs | TVM | TSR | TW);
                trap(mode);
                one(p, mode, before, *word, memory, &mut count);
            }
        }
    }
    let name = mode.letter();
    let paged = csr::read::<SATP>() != 0;
    p.show(format_args!("illegal in {name}, FS {fs:#x}, paged {paged}"), count.illegal);
    p.number("wrong", count.wrong, 0);
}

fn one(
    p: &mut Probe,
    mode: Mode,
    before: &(&str, u32),
    word: u32,
    memory: Frame,
    count: &mut Count,
) {
    Code::at(0).word(before.1).word(word).end();
    let window = if mode == Mode::U && csr::read::<SATP>() != 0 { USER_WINDOW } else { 0 };
    let mut context = Context::new(&[0, 1, memory.pa() + window]);
    let trap = context.run_at(mode, Code::page());
    if trap.cause != 2 || trap.pc != 4 {
        return;
    }
    count.illegal += 1;
    let want = if word & 3 == 3 { word } else { word & 0xffff };
    if trap.tval != u64::from(want) {
        count.wrong += 1;
        if count.wrong <= 3 {
            p.show(
                format_args!("{} after {}: {want:#010x}", mode.letter(), before.0),
                Hex(trap.tval),
            );
        }
    }
}
