//! Guests whose vS runs in real S-mode: where its registers are, and whose.

use super::*;
use crate::bundle::CpuMode::{self, Assisted, Classic};
use crate::machine::fake::machine_of;
use crate::machine::{Short, short_exception, short_instruction};
use crate::vcpu::{Mode, Supervisor};

/// `csrw satp, a1`
const CSRW_SATP: u64 = 0x1805_9073;
const SFENCE_VMA: u64 = 0x1200_0073;
/// `sret`, which traps by TSR only.
const SRET: u64 = 0x1020_0073;
const MRET: Trap = Trap { cause: 2, value: 0x3020_0073 };
const USER_FAULT: Trap = Trap { cause: LOAD_FAULT, value: 0x1234_5678 };
/// An Sv39 root in RAM that maps nothing.
const EMPTY_ROOT: u64 = 8 << 60 | (RAM_BASE.0 + 0x10_1000) >> 12;

/// A hart with one seat for each mode, all booted into vS.
fn booted(modes: &[CpuMode]) -> (FakeHart, Vec<Seat>) {
    let guests: Vec<_> = modes.iter().map(|mode| (1, *mode)).collect();
    let machine = machine_of(&guests, Boot::Supervisor, 1);
    let (mut hart, mut seats) = hart(machine, &Board::new(1), 0, |_| unreachable!());
    machine.start(&hart.host);
    hart.next(&seats);
    for (n, seat) in seats.iter_mut().enumerate() {
        turn(&mut hart, n, seat);
        seat.take_back(&mut hart.host);
    }
    (hart, seats)
}

/// Lets `seat` come into the guest, on the path that it has without a trace.
fn turn(hart: &mut FakeHart, n: usize, seat: &mut Seat) {
    seat.path = if seat.assisted { Path::Assisted } else { Path::Classic };
    prepare(hart, n, seat);
}

fn real(hart: &mut FakeHart) -> &mut Supervisor {
    hart.host.supervisor.as_mut().expect("vS is in the real hart")
}

#[test]
fn assisted_registers_belong_to_their_seat() {
    let (mut hart, mut seats) = booted(&[Assisted, Assisted, Classic]);
    let [first, second, classic] = &mut seats[..] else { panic!("three seats") };
    turn(&mut hart, 0, first);
    let left = Supervisor {
        mode: Mode::User,
        status: status::FS | status::SUM,
        sscratch: 0x5ec2e7,
        stvec: 0x8020_0000,
        sie: 0x222,
        sip: 2,
        ..*real(&mut hart)
    };
    *real(&mut hart) = left;
    hart.host.fp.f = [0x5ec2e7; 32];
    first.take_back(&mut hart.host);
    assert_eq!((first.cpu.mode, first.cpu.csr.sscratch), (Mode::User, 0x5ec2e7));
    turn(&mut hart, 1, second);
    // The second one has FS off, but can switch it on by itself.
    assert_eq!((real(&mut hart).sscratch, hart.host.fp.f), (0, [0; 32]));
    assert_eq!((real(&mut hart).sip, real(&mut hart).mode), (0, Mode::Supervisor));
    second.take_back(&mut hart.host);
    turn(&mut hart, 2, classic);
    assert_eq!(hart.host.supervisor, None);
    turn(&mut hart, 0, first);
    assert_eq!((*real(&mut hart), hart.host.fp.f), (left, [0x5ec2e7; 32]));
}

#[test]
fn an_assisted_guest_leaves_real_s_mode_for_vm() {
    let (mut hart, mut seats) = booted(&[Assisted]);
    let seat = &mut seats[0];
    turn(&mut hart, 0, seat);
    real(&mut hart).sscratch = 7;
    seat.take_back(&mut hart.host);
    seat.cpu.csr.medeleg = 0;
    assert_eq!(seat.cpu.mode, Mode::Supervisor);
    assert!(matches!(hart.handle(0, seat, BREAKPOINT), Did::Exception(_)));
    turn(&mut hart, 0, seat);
    assert_eq!((seat.cpu.mode, hart.host.supervisor), (Mode::Machine, None));
    assert_eq!(hart.handle(0, seat, MRET), Did::Mret);
    turn(&mut hart, 0, seat);
    assert_eq!((real(&mut hart).sscratch, real(&mut hart).mode), (7, Mode::Supervisor));
}

/// The guest has changed its mode and its registers since it was entered.
#[test]
fn an_assisted_page_fault_is_reflected_on_the_short_path() {
    let (mut hart, mut seats) = booted(&[Assisted]);
    let seat = &mut seats[0];
    (seat.cpu.csr.satp, seat.todo) = (EMPTY_ROOT, Effects::all() - Effects::TIMER);
    turn(&mut hart, 0, seat);
    (real(&mut hart).mode, real(&mut hart).stvec) = (Mode::User, 0x4000);
    real(&mut hart).status = status::SIE | status::SPP;
    seat.cpu.ctx.pc = 0x1000;
    assert_eq!(short_exception(&mut hart.host, seat, USER_FAULT), Short::Resume);
    let now = *real(&mut hart);
    assert_eq!(
        (now.mode, now.sepc, now.scause, now.stval),
        (Mode::Supervisor, 0x1000, 13, USER_FAULT.value)
    );
    assert_eq!((now.status, seat.cpu.ctx.pc), (status::SPIE, 0x4000));
    assert!(seat.todo.is_empty());
}

#[test]
fn satp_and_fences_of_an_assisted_guest_stay_on_the_short_path() {
    let (mut hart, mut seats) = booted(&[Assisted]);
    let seat = &mut seats[0];
    turn(&mut hart, 0, seat);
    seat.cpu.ctx.x[11] = EMPTY_ROOT;
    assert_eq!(short_instruction(&mut hart.host, seat, CSRW_SATP), Short::Settle);
    prepare(&mut hart, 0, seat);
    for root in [0, EMPTY_ROOT] {
        seat.cpu.ctx.x[11] = root;
        assert_eq!(short_instruction(&mut hart.host, seat, CSRW_SATP), Short::Resume);
        assert_eq!(seat.cpu.csr.satp, root);
    }
    let pc = seat.cpu.ctx.pc;
    assert_eq!(short_instruction(&mut hart.host, seat, SFENCE_VMA), Short::Resume);
    assert_eq!(seat.cpu.ctx.pc, pc + 4);
    // Not in vU, not with virtual TVM, and nothing else.
    assert_eq!(short_instruction(&mut hart.host, seat, SRET), Short::Unhandled);
    real(&mut hart).mode = Mode::User;
    assert_eq!(short_instruction(&mut hart.host, seat, SFENCE_VMA), Short::Unhandled);
    real(&mut hart).mode = Mode::Supervisor;
    seat.cpu.csr.mstatus |= status::TVM;
    for inst in [SFENCE_VMA, CSRW_SATP] {
        assert_eq!(short_instruction(&mut hart.host, seat, inst), Short::Unhandled);
    }
    assert_eq!((seat.cpu.ctx.pc, seat.cpu.csr.satp), (pc + 4, EMPTY_ROOT));
}

/// Without translation vS and vU have a root each; a guest that went from one
/// to the other finds out by a fault.
#[test]
fn an_assisted_guest_changes_roots_by_a_fault_without_translation() {
    let (mut hart, mut seats) = booted(&[Assisted]);
    let seat = &mut seats[0];
    turn(&mut hart, 0, seat);
    let root = seat.root;
    real(&mut hart).mode = Mode::User;
    let fetch = Trap { cause: 12, value: RAM_BASE.0 };
    assert_eq!(short_exception(&mut hart.host, seat, fetch), Short::Settle);
    prepare(&mut hart, 0, seat);
    assert_ne!(seat.root, root);
    assert_eq!(short_exception(&mut hart.host, seat, fetch), Short::Resume);
}

/// The real hart watches the timer of the vS that runs there, and the VMM
/// those of all others.
#[test]
fn the_timer_of_vs_is_the_real_one() {
    const DUE: u64 = 50_000;
    let (mut hart, mut seats) = booted(&[Assisted, Assisted]);
    let [first, second] = &mut seats[..] else { panic!("two seats") };
    turn(&mut hart, 0, first);
    assert_eq!((hart.host.supervisor_timer, hart.timer), (Some(u64::MAX), hart.others));
    hart.host.supervisor_timer = Some(DUE);
    first.take_back(&mut hart.host);
    assert_eq!(first.cpu.csr.timer_deadline(), Some(DUE));
    first.todo |= Effects::TIMER;
    turn(&mut hart, 0, first);
    assert_eq!((hart.host.supervisor_timer, hart.timer), (Some(DUE), hart.others));
    // Another one runs.
    first.take_back(&mut hart.host);
    first.waiting = true;
    turn(&mut hart, 1, second);
    assert_eq!(hart.host.supervisor_timer, Some(u64::MAX));
    second.take_back(&mut hart.host);
    assert_eq!(hart.next(&seats), Some(1));
    assert_eq!(hart.timer, DUE);
    // It is due.
    let first = &mut seats[0];
    first.waiting = false;
    turn(&mut hart, 0, first);
    hart.host.board.pass(DUE);
    first.take_back(&mut hart.host);
    assert_eq!(first.cpu.csr.lines(), Interrupt::SupervisorTimer.bit());
}

#[test]
fn a_timer_is_watched_in_vm_and_by_a_clock_of_its_own() {
    const DUE: u64 = 50_000;
    let (mut hart, mut seats) = booted(&[Assisted]);
    let seat = &mut seats[0];
    seat.cpu.csr.set_stimecmp(DUE, 0);
    seat.guest.clock_offset.store(1, Ordering::Relaxed);
    seat.todo |= Effects::TIMER;
    turn(&mut hart, 0, seat);
    assert_eq!((hart.host.supervisor_timer, hart.timer), (None, DUE - 1));
    seat.take_back(&mut hart.host);
    seat.guest.clock_offset.store(0, Ordering::Relaxed);
    seat.todo |= Effects::TIMER;
    turn(&mut hart, 0, seat);
    assert_eq!((hart.host.supervisor_timer, hart.timer), (Some(DUE), u64::MAX));
    seat.take_back(&mut hart.host);
    seat.cpu.csr.medeleg = 0;
    assert!(matches!(hart.handle(0, seat, BREAKPOINT), Did::Exception(_)));
    turn(&mut hart, 0, seat);
    assert_eq!((seat.cpu.mode, hart.timer), (Mode::Machine, DUE));
}
