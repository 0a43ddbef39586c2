//! Floating-point registers live on across traps, modes, interrupts and
//! address-space switches.
#![no_std]
#![no_main]

use probes::context::{A0, A1};
use probes::csr::{self, FCSR, FS, FS_CLEAN, MIE, MSTATUS, MTI};
use probes::dev::clint::{self, TICKS_PER_MS};
use probes::paging::{self, Frame, Space, USER};
use probes::{Context, Mode, Probe, snippet};

probes::probe!(main);

const VA: u64 = 0x4000_0000;

snippet! {
    /// f0..f31 = the doublewords at a0.
    fn fill {
        ".irp r,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
        "fld f\\r, 8*\\r(a0)",
        ".endr",
    }
}

snippet! {
    /// The doublewords at a0 = f0..f31.
    fn spill {
        ".irp r,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
        "fsd f\\r, 8*\\r(a0)",
        ".endr",
    }
}

snippet! {
    /// Computes a0/a1 + sqrt(a0), with flags.
    fn compute {
        "fcvt.d.l ft0, a0",
        "fcvt.d.l ft1, a1",
        "fdiv.d ft2, ft0, ft1",
        "fsqrt.d ft3, ft0",
        "fadd.d ft2, ft2, ft3",
        "fmv.x.d a0, ft2",
        "frflags a1",
    }
}

snippet! {
    /// Adds 1.0 to ft0 until an interrupt comes; counts in a1.
    fn count {
        "li t0, 1",
        "fcvt.d.l ft1, t0",
        "fmv.d.x ft0, zero",
        "li a1, 0",
        "1: fadd.d ft0, ft0, ft1",
        "addi a1, a1, 1",
        "j 1b",
    }
}

snippet! {
    /// a0 = ft0 as an integer.
    fn result { "fcvt.l.d a0, ft0" }
}

fn main(p: &mut Probe) {
    let (from, to) = (Frame::new(), Frame::new());
    for index in 0..32 {
        from.set(index, 0x4000_0000_0000_0000 + index as u64 * 0x0123_4567);
    }
    csr::write::<MSTATUS>(FS);
    registers(p, from, to);
    spaces(p, from, to);
    for mode in [Mode::U, Mode::S, Mode::M] {
        csr::write::<MSTATUS>(FS);
        csr::write::<FCSR>(0);
        let mut context = Context::new(&[10, 3]);
        let sum = context.call(mode, compute);
        p.show(
            format_args!("sum in {}", mode.letter()),
            format_args!("{sum}, flags {}", context.x[A1]),
        );
        interrupted(p, mode);
    }
}

fn same(from: Frame, to: Frame) -> bool {
    (0..32).all(|index| from.get(index) == to.get(index))
}

/// Filled in one mode, traps, switched off and on, read in another.
fn registers(p: &mut Probe, from: Frame, to: Frame) {
    for writer in [Mode::U, Mode::S, Mode::M] {
        for reader in [Mode::U, Mode::S, Mode::M] {
            csr::write::<MSTATUS>(FS);
            let _ = Context::new(&[from.pa()]).run(writer, fill);
            csr::write::<MSTATUS>(0);
            let _ = Context::new(&[0, 1]).run(reader, compute);
            csr::write::<MSTATUS>(FS_CLEAN);
            to.fill(0);
            let _ = Context::new(&[to.pa()]).run(reader, spill);
            let name = format_args!("{} to {}", writer.letter(), reader.letter());
            p.holds(name, same(from, to));
        }
    }
}

/// The memory operands need the page walk, first without A and D.
fn spaces(p: &mut Probe, from: Frame, to: Frame) {
    csr::write::<MSTATUS>(FS);
    let spaces = [Space::new(), Space::new()];
    spaces[0].map(VA, from.pa(), USER & !(paging::A | paging::D), 0);
    spaces[1].map(VA, to.pa(), USER & !(paging::A | paging::D), 0);
    to.fill(0);
    spaces[0].switch();
    let _ = Context::new(&[VA]).run(Mode::U, fill);
    spaces[1].switch();
    let _ = Context::new(&[VA]).run(Mode::U, spill);
    paging::bare();
    p.holds("from one space to another", same(from, to));
}

/// A timer interrupt in the middle of a sum: both counts agree.
fn interrupted(p: &mut Probe, mode: Mode) {
    csr::write::<MIE>(MTI);
    let mut context = Context::new(&[]);
    context.interrupts = true;
    clint::set_mtimecmp(0, clint::mtime() + 2 * TICKS_PER_MS);
    let mut trap = context.run(mode, count);
    for _ in 0..5 {
        clint::set_mtimecmp(0, clint::mtime() + TICKS_PER_MS);
        trap = context.resume(mode);
    }
    clint::set_mtimecmp(0, u64::MAX);
    csr::write::<MIE>(0);
    p.show(format_args!("interrupted in {}", mode.letter()), trap.brief());
    let counted = context.x[A1];
    let mut context = Context::new(&[]);
    let _ = context.run(mode, result);
    // The interrupt may fall between the two additions.
    p.holds("the counts agree", context.x[A0] - counted <= 1 && counted > 0);
}
