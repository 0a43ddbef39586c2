//! Code in execute-only pages: whoever emulates an instruction must be able to
//! read it where the guest cannot.
#![no_std]
#![no_main]

use probes::access::Code;
use probes::context::{A0, A1};
use probes::csr::{self, SSCRATCH};
use probes::dev::clint::{CLINT, MTIMECMP};
use probes::paging::{self, A, Frame, GIGA, KERNEL, PAGE, Space, U, V, X};
use probes::{Context, Mode, Probe, insn};

probes::probe!(main);

const VA: u64 = 0x1_4000_0000;
/// `c.li a1, 21`
const C_LI_A1: u16 = 0x45d5;

fn main(p: &mut Probe) {
    let next = Frame::new();
    let space = Space::new();
    for (mode, at, user) in [(Mode::S, VA, 0), (Mode::U, VA + GIGA, U)] {
        space.map(at, Code::page(), V | X | A | user, 0);
        space.map(at + PAGE, next.pa(), V | X | A | user, 0);
        space.map(0, 0, KERNEL | user, 2);
        space.switch();
        csrs(p, mode, at);
        devices(p, mode, at);
        compressed(p, mode, at);
        across(p, mode, at, next);
        p.is("not readable", probes::access::load(mode, at).brief(), "load-page-fault to M");
    }
    paging::bare();
}

fn run(mode: Mode, at: u64, word: u32, args: &[u64]) -> (Context, probes::Trap) {
    Code::at(0).word(word).half(C_LI_A1).half(1).end();
    let mut context = Context::new(args);
    let trap = context.run_virtual(mode, at);
    (context, trap)
}

fn csrs(p: &mut Probe, mode: Mode, at: u64) {
    csr::write::<SSCRATCH>(0x77);
    for (name, word) in [
        ("csrr a0, sscratch", insn::csrrs(10, SSCRATCH, 0)),
        ("csrw sscratch, a0", insn::csrrw(0, SSCRATCH, 10)),
        ("csrr a0, mstatus", insn::csrrs(10, csr::MSTATUS, 0)),
        ("sfence.vma", insn::SFENCE_VMA),
        ("unimp", insn::UNIMP),
        ("mret", insn::MRET),
    ] {
        let (context, trap) = run(mode, at, word, &[5, 0]);
        let check = format_args!("{name} in {}", mode.letter());
        p.show(check, format_args!("{}, a0 {}, a1 {}", trap.full(), context.x[A0], context.x[A1]));
    }
}

fn devices(p: &mut Probe, mode: Mode, at: u64) {
    CLINT.write(MTIMECMP, 0x7fff_0123_8765_4321_u64);
    for (name, word) in [
        ("ld a0, 0(a2)", 0x0006_3503),
        ("lwu a0, 4(a2)", 0x0046_6503),
        ("sw zero, 0(a2)", 0x0006_2023),
        ("lb a0, 0(a2)", 0x0006_0503),
    ] {
        let (context, trap) = run(mode, at, word, &[0, 0, CLINT.address(MTIMECMP)]);
        let check = format_args!("{name} in {}", mode.letter());
        p.show(
            check,
            format_args!("{}, a0 {:#x}, a1 {}", trap.full(), context.x[A0], context.x[A1]),
        );
    }
    CLINT.write(MTIMECMP, u64::MAX);
}

/// `c.ld a0, 0(a2)` and a word whose upper half is another instruction.
fn compressed(p: &mut Probe, mode: Mode, at: u64) {
    let word = u32::from(C_LI_A1) << 16 | 0x6208;
    let (context, trap) = run(mode, at, word, &[0, 0, CLINT.address(MTIMECMP)]);
    let check = format_args!("c.ld a0, 0(a2) in {}", mode.letter());
    p.show(check, format_args!("{}, a0 {:#x}, a1 {}", trap.full(), context.x[A0], context.x[A1]));
}

/// An instruction over the boundary of two execute-only pages.
fn across(p: &mut Probe, mode: Mode, at: u64, next: Frame) {
    for (name, word) in
        [("csrr a0, sscratch", insn::csrrs(10, SSCRATCH, 0)), ("ld a0, 0(a2)", 0x0006_3503)]
    {
        csr::write::<SSCRATCH>(0x78);
        let [a, b, c, d] = word.to_le_bytes();
        let _ = Code::at(2047).half(u16::from_le_bytes([a, b]));
        next.set(0, u64::from(insn::ECALL) << 16 | u64::from(u16::from_le_bytes([c, d])));
        csr::fence_i();
        let mut context = Context::new(&[0, 0, CLINT.address(MTIMECMP)]);
        let trap = context.run_virtual(mode, at + PAGE - 2);
        let check = format_args!("{name} across in {}", mode.letter());
        p.show(check, format_args!("{}, a0 {:#x}", trap.full(), context.x[A0]));
    }
}
