//! Hostile: a million random instruction words, run in U-mode. Exceptions go to
//! a handler in S-mode that steps on; what leaves the page, or loops, comes back
//! here by a fetch fault or the timer.
#![no_std]
#![no_main]

use core::arch::naked_asm;

use probes::csr::{self, FS, MEDELEG, MIE, MSTATUS, MTI, SSCRATCH};
use probes::dev::clint::{self, TICKS_PER_MS};
use probes::paging::{self, A, D, Frame, R, Space, U, V, X};
use probes::rng::Rng;
use probes::{Context, Mode, Probe, Trap};

probes::probe!(main);

const ROUNDS: u64 = 1000;
const CODE: u64 = 0x4000_0000;
const DATA: u64 = 0x4000_1000;

/// S-mode: goes on 4 bytes further; sscratch points to room for two words.
#[unsafe(naked)]
extern "C" fn step_on() {
    naked_asm!(
        ".option push",
        ".option norvc",
        ".balign 4",
        "csrrw t0, sscratch, t0",
        "sd t1, 0(t0)",
        "csrr t1, sepc",
        "andi t1, t1, -4",
        "addi t1, t1, 4",
        "csrw sepc, t1",
        "ld t1, 0(t0)",
        "csrrw t0, sscratch, t0",
        "sret",
        ".option pop",
    )
}

fn main(p: &mut Probe) {
    let (code, data, room) = (Frame::new(), Frame::new(), Frame::new());
    let space = Space::empty();
    space.map(paging::RAM, paging::RAM, paging::KERNEL, 2);
    space.map(CODE, code.pa(), V | R | X | U | A, 0);
    space.map(DATA, data.pa(), V | R | paging::W | U | A | D, 0);
    space.switch();
    // All but fetch faults go to S: 0, 2 to 8, 13, 15.
    csr::write::<MEDELEG>(0xa1fd);
    csr::write::<MIE>(MTI);
    let mut rng = Rng::new(0x0dd_ba11);
    let mut back = 0_u64;
    for round in 0..ROUNDS {
        fill(&mut rng, code);
        csr::write::<MSTATUS>(if round & 1 == 0 { 0 } else { FS });
        back += run_page(&mut rng, room);
    }
    clint::set_mtimecmp(0, u64::MAX);
    csr::write::<MIE>(0);
    csr::write::<MEDELEG>(0);
    csr::write::<MSTATUS>(0);
    paging::bare();
    p.number("words", ROUNDS * 1024, 1_024_000);
    p.holds("came back", back >= ROUNDS);
}

/// A third of the words are of the SYSTEM opcode.
fn fill(rng: &mut Rng, code: Frame) {
    for index in 0..512 {
        let mut value = rng.draw();
        match rng.below(6) {
            0 => value = value & !0x7f | 0x73,
            1 => value = value & !(0x7f << 32) | 0x73 << 32,
            2 => value |= 0x3_0000_0003,
            _ => (),
        }
        code.set(index, value);
    }
    csr::fence_i();
}

/// Runs the page from its start, and from later on when it came back early.
fn run_page(rng: &mut Rng, room: Frame) -> u64 {
    let mut back = 0;
    let mut at = 0;
    while at < 1024 {
        let trap = run_from(rng, CODE + 4 * at, room);
        back += 1;
        // A fetch fault right behind the page is the regular end.
        if trap.cause == 12 && trap.pc.wrapping_add(4 * at) == 4096 {
            break;
        }
        at += 1 + rng.below(256);
    }
    back
}

fn run_from(rng: &mut Rng, at: u64, room: Frame) -> Trap {
    clint::set_mtimecmp(0, clint::mtime() + TICKS_PER_MS);
    csr::write::<SSCRATCH>(room.pa());
    let mut context = Context::new(&[]);
    for x in &mut context.x {
        *x = DATA + rng.below(4096);
    }
    context.stvec = Some(step_on as *const () as u64);
    context.run_virtual(Mode::U, at)
}
