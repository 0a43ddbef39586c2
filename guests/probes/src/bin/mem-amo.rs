//! Atomic memory operations: results of each, in memory and in rd.
#![no_std]
#![no_main]

use probes::access;
use probes::paging::{self, Frame, KERNEL, Space, USER};
use probes::report::Hex;
use probes::{Mode, Probe};

probes::probe!(main);

const VA: u64 = 0x4000_0000;
/// Memory before, operand.
const CASES: &[(u64, u64)] = &[
    (0x1111_2222_8333_4444, 0x0f0f_0f0f_7f0f_0f0f),
    (u64::MAX, 1),
    (1 << 63, u64::MAX),
    (0x7fff_ffff, 0xffff_ffff_8000_0000),
];

fn main(p: &mut Probe) {
    let frame = Frame::new();
    let space = Space::new();
    for (mode, flags) in [(Mode::S, KERNEL), (Mode::U, USER)] {
        // A and D are not set, so that the first AMO meets the walk.
        space.map(VA, frame.pa(), flags & !(paging::A | paging::D), 0);
        space.switch();
        for access in access::AMOS {
            for (before, operand) in CASES {
                frame.set(5, *before);
                let old = access::try_access(mode, access.code, VA + 40, *operand);
                let check = format_args!("{} in {}", access.name, mode.letter());
                p.show(check, format_args!("{old} {}", Hex(frame.get(5))));
            }
        }
        upper_word(p, mode, frame);
    }
    paging::bare();
}

/// A word operation in the upper half of a doubleword.
fn upper_word(p: &mut Probe, mode: Mode, frame: Frame) {
    frame.set(5, 0x8000_0001_0000_0002);
    let old = access::try_access(mode, access::amoadd_w, VA + 44, 3);
    p.is("old upper word, sign-extended", old, "0xffffffff80000001");
    p.hex("new doubleword", frame.get(5), 0x8000_0004_0000_0002);
}
