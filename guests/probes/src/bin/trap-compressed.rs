//! Compressed instructions that trap: program counter, `tval`, and what comes
//! after them.
#![no_std]
#![no_main]

use probes::access::Code;
use probes::context::{A0, A1};
use probes::csr::{self, FS, MSTATUS};
use probes::dev::clint::{CLINT, MSIP, MTIMECMP};
use probes::report::Hex;
use probes::{Context, Mode, Probe};

probes::probe!(main);

/// `c.li a1, 21`: proof that the instruction behind was reached.
const C_LI_A1: u16 = 0x45d5;

/// Encodings that are reserved or defined to be illegal.
const ILLEGAL: &[(&str, u16)] = &[
    ("zero", 0x0000),
    ("c.addi4spn a0, sp, 0", 0x0008),
    ("c.lwsp x0", 0x4002),
    ("c.ldsp x0", 0x6002),
    ("c.jr x0", 0x8002),
    ("c.lui a0, 0", 0x6501),
    ("c.addiw x0", 0x2001),
    ("reserved arithmetic", 0x9c61),
];

/// Loads of a device register into a0: address in a2 and sp.
const LOADS: &[(&str, u16)] = &[
    ("c.lw a0, 0(a2)", 0x4208),
    ("c.ld a0, 0(a2)", 0x6208),
    ("c.lwsp a0, 0(sp)", 0x4502),
    ("c.ldsp a0, 0(sp)", 0x6502),
];

/// Stores of a3 into a device register.
const STORES: &[(&str, u16)] = &[
    ("c.sw a3, 0(a2)", 0xc214),
    ("c.sd a3, 0(a2)", 0xe214),
    ("c.swsp a3, 0(sp)", 0xc036),
    ("c.sdsp a3, 0(sp)", 0xe036),
];

fn main(p: &mut Probe) {
    for mode in [Mode::U, Mode::S, Mode::M] {
        illegal(p, mode);
        breakpoint(p, mode);
        devices(p, mode);
        faults(p, mode);
    }
    floats(p);
}

/// Runs `parcel` behind a `c.nop`, with an address in a2 and sp.
fn run(mode: Mode, parcel: u16, address: u64, operand: u64) -> (Context, probes::Trap) {
    Code::at(0).half(1).half(parcel).half(C_LI_A1).half(1).end();
    let mut context = Context::new(&[0, 0, address, operand]);
    context.x[2] = address;
    let trap = context.run_at(mode, Code::page());
    (context, trap)
}

fn illegal(p: &mut Probe, mode: Mode) {
    for (name, parcel) in ILLEGAL {
        let (_, trap) = run(mode, *parcel, 0, 0);
        let want = format_args!("illegal-instruction to M, tval {parcel:#x}, pc +0x2");
        p.is(format_args!("{name} in {}", mode.letter()), trap.full(), want);
    }
}

fn breakpoint(p: &mut Probe, mode: Mode) {
    let (context, trap) = run(mode, 0x9002, 0, 0);
    p.is(format_args!("c.ebreak in {}", mode.letter()), trap.brief(), "breakpoint to M");
    p.hex("pc", trap.pc, 2);
    p.hex("a1", context.x[A1], 0);
}

/// `mtimecmp` takes 4 and 8 bytes; the next instruction runs.
fn devices(p: &mut Probe, mode: Mode) {
    let compare = CLINT.address(MTIMECMP);
    for (name, parcel) in STORES {
        CLINT.write(MTIMECMP, u64::MAX);
        let (context, trap) = run(mode, *parcel, compare, 0x7fff_0123_7654_3210);
        let check = format_args!("{name} in {}", mode.letter());
        p.show(check, format_args!("{}, a1 {}", trap.full(), context.x[A1]));
        p.show("register", Hex(CLINT.read(MTIMECMP)));
    }
    CLINT.write(MTIMECMP, 0x7fff_0123_8765_4321_u64);
    for (name, parcel) in LOADS {
        let (context, trap) = run(mode, *parcel, compare, 0);
        let check = format_args!("{name} in {}", mode.letter());
        p.show(check, format_args!("{}, a1 {}", trap.full(), context.x[A1]));
        p.show("a0", Hex(context.x[A0]));
    }
    CLINT.write(MTIMECMP, u64::MAX);
    let (_, trap) = run(mode, 0xc214, CLINT.address(MSIP), 0);
    p.show(format_args!("c.sw msip in {}", mode.letter()), trap.full());
}

/// Accesses to nothing.
fn faults(p: &mut Probe, mode: Mode) {
    for (name, parcel) in LOADS.iter().chain(STORES) {
        let (_, trap) = run(mode, *parcel, 0x1800_0040, 0);
        p.show(format_args!("{name} of nothing in {}", mode.letter()), trap.full());
    }
}

/// `c.fld` and `c.fsd` of a device register, in fa0.
fn floats(p: &mut Probe) {
    csr::write::<MSTATUS>(FS);
    CLINT.write(MTIMECMP, 0x7ff0_1111_2222_3333_u64);
    let compare = CLINT.address(MTIMECMP);
    let (_, trap) = run(Mode::S, 0x2208, compare, 0);
    p.show("c.fld fa0, 0(a2)", trap.full());
    CLINT.write(MTIMECMP, u64::MAX);
    let (_, trap) = run(Mode::S, 0xa208, compare, 0);
    p.show("c.fsd fa0, 0(a2)", trap.full());
    p.show("register", Hex(CLINT.read(MTIMECMP)));
    CLINT.write(MTIMECMP, u64::MAX);
    csr::write::<MSTATUS>(0);
}
