//! Each exception with delegation off and on: cause, `tval`, `epc`.
#![no_std]
#![no_main]

use probes::access::{self, Code};
use probes::csr::{self, MEDELEG};
use probes::paging::{self, Frame, R, Space, USER, V};
use probes::{Context, Mode, Probe, insn};

probes::probe!(main);

/// No device and no RAM is here.
const NOTHING: u64 = 0x1800_0000;
/// Virtual addresses of the test.
const READ_ONLY: u64 = 0x4000_0000;
const ABSENT: u64 = 0x4000_1000;
const OUTSIDE: u64 = 0x4000_2000;

/// All exceptions that can be delegated, but for the two `ecall`s.
const DELEGABLE: u64 = 0xb0ff;

fn main(p: &mut Probe) {
    for delegated in [0, DELEGABLE] {
        csr::write::<MEDELEG>(delegated);
        for mode in [Mode::U, Mode::S, Mode::M] {
            paging::bare();
            instructions(p, mode);
            access_faults(p, mode, NOTHING);
        }
        let space = Space::new();
        for mode in [Mode::U, Mode::S] {
            let user = if mode == Mode::U { paging::U } else { 0 };
            let flags = V | R | paging::A | user;
            space.map(READ_ONLY, Frame::new().pa(), flags, 0);
            space.map(OUTSIDE, NOTHING, USER & !paging::U | user, 0);
            space.switch();
            page_faults(p, mode);
            access_faults(p, mode, OUTSIDE);
        }
        paging::bare();
    }
    csr::write::<MEDELEG>(0);
}

fn instructions(p: &mut Probe, mode: Mode) {
    for (name, word) in [("unimp", insn::UNIMP), ("zero", 0), ("ones", u32::MAX)] {
        Code::at(0).word(insn::NOP).word(word).end();
        let trap = Context::new(&[]).run_at(mode, Code::page());
        // What tval holds for 0 and all ones differs in length.
        let check = format_args!("{name} in {}", mode.letter());
        p.show(format_args!("{check}, at +{:#x}", trap.pc), trap.brief());
    }
    let trap = access::execute(mode, &mut Context::new(&[]), insn::UNIMP);
    p.show(format_args!("unimp in {}: full", mode.letter()), trap.full());
}

/// An AMO is the matter of the probe `spec`.
fn access_faults(p: &mut Probe, mode: Mode, address: u64) {
    let (name, at) = (mode.letter(), address + 0x10);
    p.show(format_args!("{name} loads {at:#x}"), access::load(mode, at));
    p.show(format_args!("{name} stores {at:#x}"), access::store(mode, at, 1));
    p.show(format_args!("{name} fetches {at:#x}"), access::fetch(mode, at));
}

fn page_faults(p: &mut Probe, mode: Mode) {
    let name = mode.letter();
    p.show(format_args!("{name} loads read-only"), access::load(mode, READ_ONLY + 8));
    p.show(format_args!("{name} stores read-only"), access::store(mode, READ_ONLY + 8, 1));
    let add = access::try_access(mode, access::amoadd_w, READ_ONLY + 8, 1);
    p.show(format_args!("{name} adds to read-only"), add);
    p.show(format_args!("{name} fetches read-only"), access::fetch(mode, READ_ONLY + 8));
    p.show(format_args!("{name} loads absent"), access::load(mode, ABSENT + 0xff8));
    p.show(format_args!("{name} stores absent"), access::store(mode, ABSENT + 0xff8, 1));
    p.show(format_args!("{name} fetches absent"), access::fetch(mode, ABSENT + 0xffc));
}
