//! The six CSR instructions and their x0 and zero-immediate forms.
#![no_std]
#![no_main]

use probes::access::try_word;
use probes::csr::{self, MSCRATCH, SSCRATCH};
use probes::{Mode, Probe, insn};

probes::probe!(main);

/// A form: mnemonic, instruction, and what it leaves of the value before
/// (0xf0f0), with 0xff00 in its source register.
type Form = (&'static str, fn(u16) -> u32, u64);

const OLD: u64 = 0xf0f0;
const SOURCE: u64 = 0xff00;

const FORMS: &[Form] = &[
    ("csrrw", |n| insn::csrrw(10, n, 11), 0xff00),
    ("csrrs", |n| insn::csrrs(10, n, 11), 0xfff0),
    ("csrrc", |n| insn::csrrc(10, n, 11), 0x00f0),
    ("csrrwi", |n| insn::csrrwi(10, n, 21), 21),
    ("csrrsi", |n| insn::csrrsi(10, n, 21), 0xf0f5),
    ("csrrci", |n| insn::csrrci(10, n, 21), 0xf0e0),
    ("csrrw from x0", |n| insn::csrrw(10, n, 0), 0),
    ("csrrs from x0", |n| insn::csrrs(10, n, 0), OLD),
    ("csrrc from x0", |n| insn::csrrc(10, n, 0), OLD),
    ("csrrwi 0", |n| insn::csrrwi(10, n, 0), 0),
    ("csrrsi 0", |n| insn::csrrsi(10, n, 0), OLD),
    ("csrrci 0", |n| insn::csrrci(10, n, 0), OLD),
];

fn main(p: &mut Probe) {
    for (name, form, left) in FORMS {
        csr::write::<SSCRATCH>(OLD);
        let read = try_word(Mode::S, form(SSCRATCH), &[0, SOURCE]);
        p.is(format_args!("{name} reads sscratch in S"), read, "0xf0f0");
        p.hex(format_args!("{name} leaves in sscratch"), csr::read::<SSCRATCH>(), *left);
    }
    to_x0(p);
    same_register(p);
    mscratch(p);
}

/// With rd = x0 nothing is read, but the write happens.
fn to_x0(p: &mut Probe) {
    csr::write::<SSCRATCH>(OLD);
    let a0 = try_word(Mode::S, insn::csrrw(0, SSCRATCH, 11), &[7, SOURCE]);
    p.is("csrrw to x0 leaves a0", a0, "0x7");
    p.hex("csrrw to x0 writes", csr::read::<SSCRATCH>(), SOURCE);
    let a0 = try_word(Mode::S, insn::csrrsi(0, SSCRATCH, 1), &[7]);
    p.is("csrrsi to x0 leaves a0", a0, "0x7");
    p.hex("csrrsi to x0 writes", csr::read::<SSCRATCH>(), SOURCE | 1);
}

/// rd = rs1: the old register value is written, the old CSR value read.
fn same_register(p: &mut Probe) {
    csr::write::<SSCRATCH>(OLD);
    let a0 = try_word(Mode::S, insn::csrrw(10, SSCRATCH, 10), &[SOURCE]);
    p.is("csrrw a0, sscratch, a0 swaps: a0", a0, "0xf0f0");
    p.hex("csrrw a0, sscratch, a0 swaps: sscratch", csr::read::<SSCRATCH>(), SOURCE);
}

/// The same in M-mode, where the context switch itself uses `mscratch`: the
/// probe's own code reads it, outside a snippet.
fn mscratch(p: &mut Probe) {
    csr::write::<MSCRATCH>(OLD);
    p.hex("csrrs reads mscratch in M", csr::set::<MSCRATCH>(SOURCE), OLD);
    p.hex("csrrc reads mscratch in M", csr::clear::<MSCRATCH>(0xf), OLD | SOURCE);
    p.hex("csrr reads mscratch in M", csr::read::<MSCRATCH>(), OLD | SOURCE);
    p.hex("mscratch keeps 64 bits", csr::keep::<MSCRATCH>(u64::MAX), u64::MAX);
    csr::write::<MSCRATCH>(0);
}
