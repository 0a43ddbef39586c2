//! `mstatus.MPRV`: M-mode loads and stores as MPP would.
#![no_std]
#![no_main]

use probes::access::Code;
use probes::context::Snippet;
use probes::csr::{self, MEDELEG, MPP, MPRV, MSTATUS, MXR, SATP, SUM};
use probes::paging::{self, A, D, Frame, R, Space, U, V, W, X};
use probes::{Context, Mode, Outcome, Probe, snippet};

probes::probe!(main);

const PAGE: u64 = 0x4000_0000;

snippet! {
    /// In M: loads from a0 with the `mstatus` bits of a1, then clears them.
    fn load {
        "csrs mstatus, a1",
        "ld a0, 0(a0)",
        "csrc mstatus, a1",
    }
}

snippet! {
    /// In M: stores a2 to a0 with the `mstatus` bits of a1, then clears them.
    fn store {
        "csrs mstatus, a1",
        "sd a2, 0(a0)",
        "csrc mstatus, a1",
        "mv a0, a2",
    }
}

/// Runs one of them; MPP is the mode of the access while it runs.
fn access(code: Snippet, mode: Mode, bits: u64, va: u64) -> Outcome {
    csr::clear::<MSTATUS>(MPP | MPRV | SUM | MXR);
    // `run` needs MPP for the way in; the mret then leaves it 0.
    let mstatus = MPRV | (mode as u64) << csr::MPP_SHIFT | bits;
    let outcome = Context::new(&[va, mstatus, 7]).call(Mode::M, code);
    csr::clear::<MSTATUS>(MPRV | SUM | MXR);
    outcome
}

fn main(p: &mut Probe) {
    let frame = Frame::new();
    let space = Space::new();
    let leaf = space.map(PAGE, frame.pa(), 0, 0);
    space.switch();
    for flags in [0, R, R | W, R | U, R | W | U, X, X | U] {
        for (mode, bits) in
            [(Mode::U, 0), (Mode::S, 0), (Mode::S, SUM), (Mode::S, MXR), (Mode::U, MXR)]
        {
            leaf.replace(paging::pte(frame.pa(), V | A | D | flags));
            frame.set(0, 5);
            let name = format_args!("flags {flags:#04x}, MPP {}, bits {bits:#x}", mode.letter());
            p.show(format_args!("{name}: load"), access(load, mode, bits, PAGE));
            p.show(format_args!("{name}: store"), access(store, mode, bits, PAGE));
        }
    }
    machine(p, frame);
    bare(p, frame);
    code(p);
    delegated(p, space);
}

/// MPP = M: physical, whatever satp says.
fn machine(p: &mut Probe, frame: Frame) {
    frame.set(0, 5);
    p.is("MPP M loads physical", access(load, Mode::M, 0, frame.pa()), "0x5");
    let trap = access(load, Mode::M, 0, 0x1800_0000);
    p.is("MPP M loads nothing", trap, "load-access-fault to M, tval 0x18000000");
}

/// MPP = S with satp = Bare.
fn bare(p: &mut Probe, frame: Frame) {
    let satp = csr::read::<SATP>();
    paging::bare();
    p.is("MPP S under Bare", access(load, Mode::S, 0, frame.pa()), "0x5");
    csr::write::<SATP>(satp);
    csr::sfence_vma();
}

/// Fetches are not affected: the snippet itself runs on with MPRV set and no
/// mapping of its code for U.
fn code(p: &mut Probe) {
    let mut context = Context::new(&[0, MPRV]);
    Code::at(0).word(0x3005_a073).word(probes::insn::NOP).word(0x3005_b073).end();
    let trap = context.run_at(Mode::M, Code::page());
    p.is("fetch with MPRV", trap.full(), "ecall-from-M to M, tval 0x0, pc +0xc");
}

/// The fault is M-mode's own: delegation does not apply.
fn delegated(p: &mut Probe, space: Space) {
    csr::write::<MEDELEG>(0xb0ff);
    space.leaf(PAGE, 0).replace(0);
    p.is(
        "load with delegation",
        access(load, Mode::U, 0, PAGE),
        "load-page-fault to M, tval 0x40000000",
    );
    p.is(
        "store with delegation",
        access(store, Mode::S, 0, PAGE),
        "store-page-fault to M, tval 0x40000000",
    );
    csr::write::<MEDELEG>(0);
}
