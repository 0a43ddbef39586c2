//! Permissions: R, W, X, U for each mode, with SUM and MXR.
#![no_std]
#![no_main]

use probes::access::{self, fetch, load, store};
use probes::csr::{self, MSTATUS, MXR, SUM};
use probes::paging::{self, A, D, Frame, R, Space, U, V, W, X};
use probes::{Mode, Outcome, Probe, insn};

probes::probe!(main);

const PAGE: u64 = 0x4000_0000;

fn main(p: &mut Probe) {
    let frame = Frame::new();
    // `nop; ecall`, which is also the value that loads give.
    frame.set(0, u64::from(insn::ECALL) << 32 | u64::from(insn::NOP));
    let space = Space::new();
    let leaf = space.map(PAGE, frame.pa(), 0, 0);
    space.switch();
    for user in [0, U] {
        for rwx in (0..8).map(|n| n << 1) {
            leaf.replace(paging::pte(frame.pa(), V | rwx | user | A | D));
            for mode in [Mode::U, Mode::S] {
                for bits in [0, SUM, MXR, SUM | MXR] {
                    csr::write::<MSTATUS>(bits);
                    one(p, mode, rwx | user, bits);
                }
            }
        }
    }
    leaf.replace(paging::pte(frame.pa(), R | W | X | U | A | D));
    p.is("not valid: load", load(Mode::U, PAGE), "load-page-fault to M, tval 0x40000000");
}

/// One line: which accesses pass. W without R is reserved: all must fault.
/// The fence before each matters: QEMU 7.2 lets S-mode fetch from a user page
/// that a load with SUM has brought into its TLB.
fn one(p: &mut Probe, mode: Mode, flags: u64, bits: u64) {
    let letter = |bit, letter| if flags & bit != 0 { letter } else { '-' };
    let pass = |access: fn(Mode) -> Outcome, letter| {
        csr::sfence_vma();
        if access(mode).value().is_some() { letter } else { '-' }
    };
    let seen = [
        pass(|mode| load(mode, PAGE), 'r'),
        pass(|mode| store(mode, PAGE + 8, 1), 'w'),
        pass(|mode| access::try_access(mode, access::amoadd_w, PAGE + 16, 1), 'a'),
        pass(|mode| fetch(mode, PAGE), 'x'),
    ];
    let allowed = allowed(mode, flags, bits);
    let name = format_args!(
        "{}{}{}{} in {}{}{}",
        letter(R, 'R'),
        letter(W, 'W'),
        letter(X, 'X'),
        letter(U, 'U'),
        mode.letter(),
        if bits & SUM != 0 { " SUM" } else { "" },
        if bits & MXR != 0 { " MXR" } else { "" },
    );
    p.is(name, Letters(seen), Letters(allowed));
}

/// The rules of "Virtual Address Translation Process", steps 3 and 5.
fn allowed(mode: Mode, flags: u64, bits: u64) -> [char; 4] {
    let is = |bit| flags & bit != 0;
    let data = if mode == Mode::U { is(U) } else { !is(U) || bits & SUM != 0 };
    let code = (mode == Mode::U) == is(U);
    let valid = (is(R) || !is(W)) && flags & (R | W | X) != 0;
    let r = valid && data && (is(R) || is(X) && bits & MXR != 0);
    let w = valid && data && is(W);
    let x = valid && code && is(X);
    let letter = |yes, letter| if yes { letter } else { '-' };
    [letter(r, 'r'), letter(w, 'w'), letter(w, 'a'), letter(x, 'x')]
}

struct Letters([char; 4]);

impl core::fmt::Display for Letters {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.iter().try_for_each(|letter| write!(f, "{letter}"))
    }
}
