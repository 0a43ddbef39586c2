//! One hart, or two, with guests that do the worst.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use trapeze_protocol::call::{EXTENSION, Function};

use super::*;
use crate::bundle::Boot;
use crate::bus::{RAM_BASE, UART};
use crate::machine::Trap;
use crate::machine::fake::{Board, FakeHost, LOAD_FAULT, STORE_FAULT, WFI, machine};
use crate::vcpu::{Context, Interrupt};

/// `csrr zero, mscratch`
const NOTHING: Trap = Trap { cause: 2, value: 0x3400_2073 };
const BREAKPOINT: Trap = Trap { cause: 3, value: 0 };

mod assisted;
mod balloon;
mod cpu_page;
mod passed;

type FakeHart = Hart<FakeHost>;

/// A hart of `machine` with its seats.
fn hart(
    machine: &'static Machine,
    board: &Board,
    number: usize,
    script: impl FnMut(&mut Context) -> Trap + Send + 'static,
) -> (FakeHart, Vec<Seat>) {
    let host = FakeHost::new(number, board, script);
    let seats = machine.seats(number);
    (Hart::new(machine, host, seats.len()), seats)
}

/// Lets `seat` come as far as its next entry to the guest.
fn prepare(hart: &mut FakeHart, n: usize, seat: &mut Seat) {
    hart.arrive(n, seat);
    while !seat.claim_entry::<true>() {
        seat.left_guest::<true>();
        assert!(hart.settle(n, seat));
    }
    seat.left_guest::<true>();
}

/// An `fld` that takes the place of the load that trapped must not reach the
/// registers of the other guest, which are in the hart.
#[test]
fn registers_of_another_guest_are_out_of_reach() {
    let machine = machine(&[1, 1], Boot::Machine, 1);
    let (mut hart, mut seats) = hart(machine, &Board::new(1), 0, |_| unreachable!());
    machine.start(&hart.host);
    hart.next(&seats);
    let [victim, attacker] = &mut seats[..] else { panic!("two seats") };
    prepare(&mut hart, 0, victim);
    prepare(&mut hart, 1, attacker);
    victim.cpu.csr.mstatus |= status::FS;
    hart.adopt_fp(0, victim);
    hart.host.fp.f = [0x5ec2e7; 32];
    // fld f0, 0(a0); fsd f0, 0(a0)
    for inst in [0x0005_3007, 0x0005_3027] {
        attacker.guest.ram.store_u32(RAM_BASE, inst).unwrap();
        attacker.cpu.ctx.pc = RAM_BASE.0;
        attacker.cpu.ctx.x[10] = UART.base.0;
        let trap = Trap { cause: LOAD_FAULT, value: UART.base.0 };
        assert_eq!(hart.handle(1, attacker, trap), Did::Retry);
        assert_eq!((attacker.cpu.ctx.pc, hart.fp[1].f), (RAM_BASE.0, [0; 32]));
    }
    assert!(hart.with_fp(1, attacker, |_| ()).is_none());
    assert_eq!(hart.host.fp.f, [0x5ec2e7; 32]);
}

/// Ticks that the first of two guests on a hart runs, and entries of the
/// second one, which sets its timer to `again` of the time whenever it runs,
/// and waits.
fn shared_hart(
    rounds: u64,
    setup: impl FnOnce(&Machine),
    again: impl Fn(u64) -> u64 + Send + 'static,
) -> (u64, u64) {
    const STEP: u64 = 10;
    let (machine, board) = (machine(&[1, 1], Boot::Machine, 1), Board::new(1));
    let (ran, entries) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let attacker = Arc::new(AtomicUsize::new(0));
    let script = {
        let (board, ran, entries, attacker) =
            (board.clone(), ran.clone(), entries.clone(), attacker.clone());
        move |context: &mut Context| {
            board.pass(STEP);
            if core::ptr::from_mut(context).addr() == attacker.load(Ordering::Relaxed) {
                if entries.fetch_add(1, Ordering::Relaxed) % 2 == 1 {
                    return WFI;
                }
                let link = &machine.guests[1].links[0];
                link.mtimecmp.store(again(board.now()), Ordering::Relaxed);
                link.remind(Attention::LINES);
                return BREAKPOINT;
            }
            ran.fetch_add(STEP, Ordering::Relaxed);
            NOTHING
        }
    };
    let (mut hart, mut seats) = hart(machine, &board, 0, script);
    attacker.store(core::ptr::from_ref(&seats[1].cpu.ctx).addr(), Ordering::Relaxed);
    machine.start(&hart.host);
    for seat in &mut seats {
        seat.link.take_attention();
        seat.start();
    }
    seats[1].cpu.csr.mie = Interrupt::MachineTimer.bit();
    setup(machine);
    (0..rounds).for_each(|_| hart.round(&mut seats));
    (ran.load(Ordering::Relaxed), entries.load(Ordering::Relaxed))
}

#[test]
fn a_clock_that_is_set_back_does_not_keep_the_hart() {
    let back = |machine: &Machine| {
        machine.guests[1].clock_offset.store(0u64.wrapping_sub(1000), Ordering::Relaxed);
        machine.guests[1].links[0].mtimecmp.store(50_000, Ordering::Relaxed);
    };
    let (ran, entries) = shared_hart(3, back, |now| now + 100_000);
    assert!(ran >= 49_000 && entries >= 1, "{ran} ticks, {entries} entries");
}

#[test]
fn timers_that_follow_each_other_leave_the_neighbour_its_turn() {
    let (ran, entries) = shared_hart(200, |_| (), |now| now + 25);
    let (most, least) = (ran / SHORTEST * 3 + 3, ran / SHORTEST);
    assert!(entries <= most && entries >= least, "{ran} ticks, {entries} entries");
}

/// As if a vCPU on another hart interrupted the waiting one all the time.
#[test]
fn a_flood_of_interrupts_leaves_the_neighbour_its_turn() {
    let (machine, board) = (machine(&[1, 1], Boot::Machine, 1), Board::new(1));
    let (other, ran) = (FakeHost::new(0, &board, |_| WFI), Arc::new(AtomicU64::new(0)));
    let mut kicks = 0u64;
    let script = {
        let (board, ran) = (board.clone(), ran.clone());
        move |context: &mut Context| {
            board.pass(10);
            if context.x[5] == 1 {
                return WFI;
            }
            ran.fetch_add(10, Ordering::Relaxed);
            machine.guests[1].links[0].notify(&other, Attention::LINES);
            kicks += u64::from(board.is_kicked(0));
            assert!(kicks <= ran.load(Ordering::Relaxed) / SHORTEST + 1);
            NOTHING
        }
    };
    let (mut hart, mut seats) = hart(machine, &board, 0, script);
    machine.start(&hart.host);
    for seat in &mut seats {
        seat.link.take_attention();
        seat.start();
    }
    seats[1].cpu.ctx.x[5] = 1;
    (0..100).for_each(|_| hart.round(&mut seats));
    assert!(ran.load(Ordering::Relaxed) >= 40 * SHORTEST);
}

/// A vCPU that has left for the reset cannot be called back by one that does
/// not know of it yet.
#[test]
fn nobody_starts_again_before_the_reset() {
    let (machine, board) = (machine(&[2], Boot::Machine, 2), Board::new(2));
    let (mut one, mut ones) = hart(machine, &board, 0, |_| unreachable!());
    let (mut two, mut twos) = hart(machine, &board, 1, |_| unreachable!());
    machine.start(&one.host);
    let guest = &machine.guests[0];
    let (first, second) = (&mut ones[0], &mut twos[0]);
    assert!(one.attend(first) && two.attend(second));
    guest.end(&one.host, Power::Reset, 0);
    assert!(!one.attend(first));
    assert!(guest.start(&two.host, first.link, [0x1234, 0]));
    assert!(!one.attend(first));
    assert!(!two.attend(second));
    assert_eq!(guest.power(), Power::On);
    assert!(one.attend(first) && two.attend(second));
    assert_eq!((first.cpu.ctx.pc, second.cpu.ctx.pc), (RAM_BASE.0, RAM_BASE.0));
}

/// Stores a word to a register of the guest's disk, as the guest does.
fn poke(hart: &mut FakeHart, seat: &mut Seat, register: u64, value: u64) {
    let gpa = crate::bus::virtio_slot(0).base.0 + register;
    // sw a1, 0(a0)
    seat.guest.ram.store_u32(RAM_BASE, 0x00b5_2023).unwrap();
    let cpu = &mut seat.cpu.ctx;
    (cpu.pc, cpu.x[10], cpu.x[11]) = (RAM_BASE.0, gpa, value);
    let did = hart.handle(0, seat, Trap { cause: STORE_FAULT, value: gpa });
    assert!(matches!(did, Did::Device(_)), "{did:?}");
}

/// Has the disk read a sector.
fn begin_to_read(hart: &mut FakeHart, seat: &mut Seat) {
    let (table, avail, used) = (RAM_BASE.0 + 0x1000, RAM_BASE.0 + 0x2000, RAM_BASE.0 + 0x3000);
    let (header, data) = (RAM_BASE.0 + 0x4000, RAM_BASE.0 + 0x5000);
    let ram = &seat.guest.ram;
    // Header, data and status; the flags are NEXT and WRITE, then the next.
    for (n, (at, len, flags)) in
        [(header, 16, 1u64), (data, 512, 3), (data + 512, 1, 2)].into_iter().enumerate()
    {
        let place = crate::addr::Gpa(table + 16 * n as u64);
        ram.store_u64(place, at).unwrap();
        let rest = len | flags << 32 | (n as u64 + 1) << 48;
        ram.store_u64(place.wrapping_add(8), rest).unwrap();
    }
    ram.store_u32(crate::addr::Gpa(avail), 1 << 16).unwrap();
    let addresses = [(0x80, table), (0x90, avail), (0xa0, used)];
    let setup = [(0x70, 3), (0x24, 1), (0x20, 1), (0x70, 0xb), (0x38, 8)];
    for (register, value) in setup.into_iter().chain(addresses).chain([(0x44, 1), (0x70, 0xf)]) {
        poke(hart, seat, register, value);
    }
    poke(hart, seat, 0x50, 0);
}

/// The only vCPU of the only hart leaves while its disk is at work: somebody
/// must hear that it is done.
#[test]
fn a_reset_waits_for_the_disk_without_deafness() {
    let (machine, board) = (machine(&[1], Boot::Machine, 1), Board::new(1));
    let (mut hart, mut seats) = hart(machine, &board, 0, |_| unreachable!());
    machine.start(&hart.host);
    let guest = &machine.guests[0];
    hart.next(&seats);
    prepare(&mut hart, 0, &mut seats[0]);
    begin_to_read(&mut hart, &mut seats[0]);
    assert!(guest.devices.lock().busy());
    guest.end(&hart.host, Power::Reset, 0);
    for _ in 0..5 {
        assert!(!hart.attend(&mut seats[0]));
        assert_eq!(guest.power(), Power::Reset);
    }
    hart.host.externals.push(External::Disk(0));
    assert!(!hart.attend(&mut seats[0]));
    assert_eq!(guest.power(), Power::On);
    assert!(hart.attend(&mut seats[0]));
}

/// A vCPU may enter the guest between the look at all and the start of an
/// epoch: nobody has flushed in an epoch that is yet to come.
#[test]
fn no_flush_is_ahead_of_its_epoch() {
    let (machine, board) = (machine(&[2], Boot::Machine, 1), Board::new(1));
    let (mut hart, mut seats) = hart(machine, &board, 0, |_| unreachable!());
    machine.start(&hart.host);
    hart.next(&seats);
    let [this, other] = &mut seats[..] else { panic!("two seats") };
    prepare(&mut hart, 1, other);
    let epoch = this.guest.epoch.fetch_add(3, Ordering::Relaxed);
    assert_eq!(this.peers().settled, epoch + 3);
    other.link.in_guest.store(true, Ordering::Relaxed);
    assert_eq!(this.peers().settled, epoch);
}

/// Two real threads: one empties the shadow all the time, the other one runs
/// in the guest, on a root that must be of the shadow as it is.
#[test]
fn nobody_runs_on_a_void_root() {
    let (machine, board) = (machine(&[2], Boot::Machine, 2), Board::new(2));
    let guest = &machine.guests[0];
    let (stop, found) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let entries = Arc::new(AtomicU64::new(0));
    let script = {
        let (board, stop, found, mut at) = (board.clone(), stop.clone(), found.clone(), 0u64);
        let entries = entries.clone();
        move |_: &mut Context| {
            entries.fetch_add(1, Ordering::Relaxed);
            for _ in 0..20 {
                let now = guest.generation.load(Ordering::SeqCst);
                assert_eq!(now, found.load(Ordering::Relaxed), "a void root is in force");
                if board.is_kicked(1) {
                    break;
                }
            }
            at = (at + 0x1000) % (1 << 20);
            match stop.load(Ordering::Relaxed) {
                true => WFI,
                false => Trap { cause: LOAD_FAULT, value: RAM_BASE.0 + at },
            }
        }
    };
    let (mut runner, mut seats) = hart(machine, &board, 1, script);
    runner.host.on_root = {
        let found = found.clone();
        Box::new(move || found.store(guest.generation.load(Ordering::SeqCst), Ordering::Relaxed))
    };
    let (mut zapper, mut zappers) = hart(machine, &board, 0, |_| unreachable!());
    machine.start(&zapper.host);
    zapper.next(&zappers);
    let running = std::thread::spawn({
        let stop = stop.clone();
        move || {
            while !stop.load(Ordering::Relaxed) {
                runner.round(&mut seats);
            }
        }
    });
    while entries.load(Ordering::Relaxed) < 5_000 && !running.is_finished() {
        zapper.host.clear_kick();
        zappers[0].zap(&mut zapper.host);
        prepare(&mut zapper, 0, &mut zappers[0]);
    }
    stop.store(true, Ordering::Relaxed);
    running.join().unwrap();
}

/// A paused guest does not run, but ends when it is told to, and after a
/// reset runs again.
#[test]
fn a_paused_guest_waits_until_it_may_go_on() {
    let (machine, board) = (machine(&[1, 1], Boot::Machine, 1), Board::new(1));
    let ran = Arc::new([const { AtomicU64::new(0) }; 2]);
    let places = Arc::new(AtomicUsize::new(0));
    let script = {
        let (board, ran, places) = (board.clone(), ran.clone(), places.clone());
        move |context: &mut Context| {
            board.pass(10);
            // The `ecall` that gives the hart to the other guest.
            [context.x[16], context.x[17]] = [Function::Yield as u64, EXTENSION];
            let first = core::ptr::from_mut(context).addr() == places.load(Ordering::Relaxed);
            ran[usize::from(!first)].fetch_add(1, Ordering::Relaxed);
            Trap { cause: 8, value: 0 }
        }
    };
    let (mut hart, mut seats) = hart(machine, &board, 0, script);
    places.store(core::ptr::from_ref(&seats[0].cpu.ctx).addr(), Ordering::Relaxed);
    machine.start(&hart.host);
    let mut rounds = || {
        ran.iter().for_each(|count| count.store(0, Ordering::Relaxed));
        (0..6).for_each(|_| hart.round(&mut seats));
        [0, 1].map(|n| ran[n].load(Ordering::Relaxed) != 0)
    };
    let other = FakeHost::new(0, &board, |_| WFI);
    assert_eq!(rounds(), [true, true]);
    let guest = &machine.guests[0];
    guest.pause(&other);
    assert_eq!(rounds(), [false, true]);
    guest.links[0].notify(&other, Attention::FENCE);
    assert_eq!(rounds(), [false, true], "what others ask of it is done, no more");
    assert!(!guest.links[0].wants_attention());
    guest.resume(&other);
    assert_eq!(rounds(), [true, true]);
    guest.pause(&other);
    guest.end(&other, Power::Reset, 0);
    assert_eq!(rounds(), [true, true]);
    assert!(!guest.is_paused());
}

#[test]
fn news_that_the_guest_has_taken_do_not_end_a_wait() {
    let machine = machine(&[1], Boot::Machine, 1);
    let (mut hart, mut seats) = hart(machine, &Board::new(1), 0, |_| unreachable!());
    machine.start(&hart.host);
    let [seat] = &mut seats[..] else { panic!("one seat") };
    prepare(&mut hart, 0, seat);
    let (word, line) = (RAM_BASE.wrapping_add(0x1000), Interrupt::MachineExternal.bit());
    seat.cpu.csr.mie = line;
    seat.guest.pv_pending.store(word.0, Ordering::Relaxed);
    for (news, waits) in [(1, false), (0, true)] {
        seat.guest.ram.store_u64(word, 1).unwrap();
        seat.link.pv_lines.store(line, Ordering::Relaxed);
        seat.refresh_lines(&hart.host);
        seat.guest.ram.store_u64(word, news).unwrap();
        assert_eq!(hart.handle(0, seat, WFI), Did::Wfi);
        assert_eq!(seat.waiting, waits, "with {news} in the word");
    }
}
