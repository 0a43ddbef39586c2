//! Instructions that lie across a page boundary. A second page outside RAM is
//! the matter of `spec-sv39`.
#![no_std]
#![no_main]

use probes::access::Code;
use probes::context::{A0, A1};
use probes::csr;
use probes::paging::{self, Frame, KERNEL, Leaf, PAGE, R, Space, USER, X};
use probes::{Context, Mode, Probe, Trap, insn};

probes::probe!(main);

/// Two virtual pages; the instruction starts 2 bytes before the second.
const FIRST: u64 = 0x4000_0000;
const START: u64 = FIRST + PAGE - 2;
/// `li a0, 0x7ff`
const LI: u32 = 0x7ff0_0513;
/// `ld a1, 0(a1)`
const LD: u32 = 0x0005_b583;
/// `c.li a0, 5`
const C_LI: u16 = 0x4515;

/// The two pages as one mode sees them. The first is the page of made-up
/// code, the second a frame.
struct Pages {
    mode: Mode,
    first: Leaf,
    second: Leaf,
    next: Frame,
}

fn main(p: &mut Probe) {
    let next = Frame::new();
    for mode in [Mode::S, Mode::U] {
        let flags = if mode == Mode::U { USER } else { KERNEL };
        let space = Space::new();
        let first = space.map(FIRST, Code::page(), flags, 0);
        let second = space.map(FIRST + PAGE, next.pa(), flags, 0);
        let pages = Pages { mode, first, second, next };
        space.switch();
        pages.both(p);
        pages.faults(p);
        pages.compressed(p);
        paging::bare();
    }
}

impl Pages {
    /// Puts the first half of `word` at the end of the first page, and the
    /// rest with the final `ecall` at the start of the second.
    fn place(&self, word: u32) {
        let [a, b, c, d] = word.to_le_bytes();
        let _ = Code::at(2047).half(u16::from_le_bytes([a, b]));
        let rest = u64::from(u16::from_le_bytes([c, d]));
        self.next.set(0, u64::from(insn::ECALL) << 16 | rest);
        csr::fence_i();
    }

    fn run(&self, args: &[u64]) -> (Context, Trap) {
        let mut context = Context::new(args);
        let trap = context.run_virtual(self.mode, START);
        (context, trap)
    }

    fn both(&self, p: &mut Probe) {
        let name = self.mode.letter();
        self.place(LI);
        let (context, trap) = self.run(&[]);
        p.show(format_args!("{name} runs across"), trap.full());
        p.hex("a0", context.x[A0], 0x7ff);
        self.place(insn::UNIMP);
        p.show(format_args!("{name} illegal across"), self.run(&[]).1.full());
        self.place(insn::csrrs(10, csr::MSCRATCH, 0));
        p.show(format_args!("{name} reads mscratch across"), self.run(&[]).1.full());
        self.place(LD);
        p.show(format_args!("{name} loads absent across"), self.run(&[0, 0x7000_0000]).1.full());
        let (context, trap) = self.run(&[0, START - 6]);
        p.show(format_args!("{name} loads its own first half"), trap.full());
        p.hex("a1", context.x[A1] >> 48, u64::from(LD & 0xffff));
    }

    /// The fault's address is that of the half that is missing.
    fn faults(&self, p: &mut Probe) {
        let good = self.second.get();
        self.place(LI);
        for (what, pte) in [
            ("absent", 0),
            ("without X", good & !X),
            ("of the other mode", good ^ paging::U),
            ("execute-only", good & !(R | paging::W)),
        ] {
            self.second.replace(pte);
            let check = format_args!("{}, second page {what}", self.mode.letter());
            p.show(check, self.run(&[]).1.full());
        }
        self.second.replace(good);
        let first = self.first.get();
        self.first.replace(0);
        let check = format_args!("{}, first page absent", self.mode.letter());
        p.show(check, self.run(&[]).1.full());
        self.first.replace(first);
    }

    /// A compressed instruction at the end needs only its own page.
    fn compressed(&self, p: &mut Probe) {
        let good = self.second.get();
        self.second.replace(0);
        let _ = Code::at(2047).half(C_LI);
        csr::fence_i();
        let (context, trap) = self.run(&[]);
        p.show(format_args!("{} compressed at the end", self.mode.letter()), trap.full());
        p.hex("a0", context.x[A0], 5);
        self.second.replace(good);
    }
}
