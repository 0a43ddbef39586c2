//! Guests with a CPU page: as those without one, but for their exits.

use proptest::prelude::*;
use trapeze_protocol::cpu;

use super::*;
use crate::addr::Gpa;
use crate::machine::{Short, short_exception, short_instruction};
use crate::vcpu::Mode;

/// `csrr x0, sip`, with which a kernel asks for what waits.
const LOOK: Trap = Trap { cause: 2, value: 0x1440_2073 };
const SRET: Trap = Trap { cause: 2, value: 0x1020_0073 };
const ECALL: Trap = Trap { cause: 8, value: 0 };
const KICK: Trap = Trap { cause: 1 << 63 | 3, value: 0 };
const PAGE: Gpa = Gpa(RAM_BASE.0 + 0x10_0000);
/// The registers of the page, by number, in its order.
const NAMES: [u64; 7] = [0x100, 0x104, 0x105, 0x140, 0x141, 0x142, 0x143];
/// An Sv39 root in RAM that maps nothing.
const EMPTY_ROOT: u64 = 8 << 60 | (RAM_BASE.0 + 0x10_1000) >> 12;

/// What happens to a guest.
#[derive(Clone, Debug)]
enum Event {
    /// The kernel writes a register of the page.
    Write(usize, u64),
    Sret,
    SystemCall,
    /// A load from where nothing is mapped.
    Fault(u64),
    /// An external interrupt goes up or down.
    Line(bool),
    /// Something that the loop sees to.
    Breakpoint,
}

fn event() -> impl Strategy<Value = Event> {
    let word = prop_oneof![any::<u64>(), (0..64u32).prop_map(|n| 1 << n), Just(0x222), Just(0)];
    prop_oneof![
        6 => (0..NAMES.len(), word).prop_map(|(n, value)| Event::Write(n, value)),
        2 => Just(Event::Sret),
        2 => Just(Event::SystemCall),
        1 => (0..cpu::TAIL.wrapping_neg()).prop_map(Event::Fault),
        2 => any::<bool>().prop_map(Event::Line),
        1 => Just(Event::Breakpoint),
    ]
}

/// A hart with a guest in vS, which has a page, or not.
fn booted(paged: bool) -> (FakeHart, Seat) {
    let machine = machine(&[1], Boot::Supervisor, 1);
    let (mut hart, mut seats) = hart(machine, &Board::new(1), 0, |_| unreachable!());
    machine.start(&hart.host);
    hart.next(&seats);
    let mut seat = seats.remove(0);
    seat.path = Path::Classic;
    prepare(&mut hart, 0, &mut seat);
    (seat.cpu.csr.satp, seat.todo) = (EMPTY_ROOT, Effects::TRANSLATION);
    if paged {
        assert_eq!(seat.set_up_page(&mut hart.host, PAGE.0), Ok(0));
        seat.path = Path::Paged;
    }
    prepare(&mut hart, 0, &mut seat);
    (hart, seat)
}

/// The guest traps, and comes as far as its next entry.
fn exit(hart: &mut FakeHart, seat: &mut Seat, trap: Trap) {
    let short = match trap.cause {
        2 => short_instruction(&mut hart.host, seat, trap.value),
        cause if cause >> 63 != 0 => Short::Unhandled,
        _ => short_exception(&mut hart.host, seat, trap),
    };
    if short == Short::Unhandled {
        seat.take_back(&mut hart.host);
        hart.handle_counted(0, seat, trap);
    }
    settled(hart, seat);
}

fn settled(hart: &mut FakeHart, seat: &mut Seat) {
    for _ in 0..10 {
        let ready = seat.claim_entry::<true>();
        seat.left_guest::<true>();
        if ready {
            return;
        }
        assert!(hart.settle(0, seat), "it goes on");
    }
    panic!("settled for ever");
}

fn word(n: u64) -> Gpa {
    PAGE.wrapping_add(cpu::REGISTERS + 8 * n)
}

/// The kernel writes a register: by `csrw`, or by a store and what
/// `docs/protocol.md` asks for after it.
fn write(hart: &mut FakeHart, seat: &mut Seat, n: usize, value: u64) {
    if seat.page.is_none() {
        seat.cpu.ctx.x[11] = value;
        let csrw = Trap { cause: 2, value: NAMES[n] << 20 | 0x5_9073 };
        return exit(hart, seat, csrw);
    }
    let ram = &seat.guest.ram;
    ram.store_u64(word(n as u64), value).unwrap();
    let waits = value & status::SIE != 0 && ram.load_u64(word(7)) != Ok(0);
    if n == 1 || n == 0 && waits {
        return exit(hart, seat, LOOK);
    }
    seat.cpu.ctx.pc = seat.cpu.ctx.pc.wrapping_add(4);
}

fn happen(hart: &mut FakeHart, seat: &mut Seat, event: &Event) {
    let mode = seat.cpu.mode;
    match *event {
        Event::Write(n, value) if mode == Mode::Supervisor => write(hart, seat, n, value),
        Event::Write(..) => {}
        Event::SystemCall if mode == Mode::User => exit(hart, seat, ECALL),
        Event::Sret | Event::SystemCall => exit(hart, seat, SRET),
        Event::Fault(gva) => exit(hart, seat, Trap { cause: LOAD_FAULT, value: gva }),
        Event::Breakpoint => exit(hart, seat, BREAKPOINT),
        Event::Line(up) => {
            seat.guest.set_lines(&hart.host, None, 0, (Interrupt::SupervisorExternal.bit(), up));
            exit(hart, seat, KICK);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever happens, both kernels are in the same mode at the same place
    /// with the same registers, and have taken the same interrupts.
    #[test]
    fn a_kernel_with_a_page_does_as_one_without(
        events in prop::collection::vec(event(), 1..40),
    ) {
        let (mut hart, mut plain) = booted(false);
        let (mut other, mut paged) = booted(true);
        for event in &events {
            happen(&mut hart, &mut plain, event);
            happen(&mut other, &mut paged, event);
            paged.take_back(&mut other.host);
            prop_assert_eq!(&plain.cpu.csr, &paged.cpu.csr, "{:?}", event);
            prop_assert_eq!(plain.cpu.mode, paged.cpu.mode);
            prop_assert_eq!(plain.cpu.ctx.pc, paged.cpu.ctx.pc, "{:?}", event);
            settled(&mut other, &mut paged);
            prop_assert_eq!(plain.space.view, paged.space.view);
        }
    }
}

/// An interrupt that comes between the store of SIE and the look at the word
/// is taken at once; one that came before it is in the word.
#[test]
fn no_interrupt_falls_between_the_store_and_the_look() {
    let (mut hart, mut seat) = booted(true);
    seat.cpu.csr.mie = 0x200;
    let (guest, bit) = (seat.guest, Interrupt::SupervisorExternal.bit());
    let set_sie = || guest.ram.store_u64(word(0), status::SIE).unwrap();
    let line = |hart: &mut FakeHart, seat: &mut Seat, up| {
        guest.set_lines(&hart.host, None, 0, (bit, up));
        exit(hart, seat, KICK);
    };
    for before in [true, false] {
        let at = seat.cpu.ctx.pc;
        let behind = if before { at + 4 } else { at };
        if before {
            line(&mut hart, &mut seat, true);
            assert_eq!(guest.ram.load_u64(word(7)), Ok(bit));
            set_sie();
            exit(&mut hart, &mut seat, LOOK);
        } else {
            set_sie();
            line(&mut hart, &mut seat, true);
        }
        assert_eq!(guest.ram.load_u64(word(5)), Ok(1 << 63 | 9));
        assert_eq!(guest.ram.load_u64(word(4)), Ok(behind));
        line(&mut hart, &mut seat, false);
        seat.guest.ram.store_u64(word(0), status::SPP).unwrap();
        exit(&mut hart, &mut seat, SRET);
        assert_eq!((seat.cpu.ctx.pc, guest.ram.load_u64(word(7))), (behind, Ok(0)));
    }
}

/// Memory that the guest gives back is no page any more; its registers stay.
#[test]
fn a_page_that_is_gone_leaves_the_registers() {
    let (mut hart, mut seat) = booted(true);
    seat.guest.ram.store_u64(word(3), 7).unwrap();
    exit(&mut hart, &mut seat, LOOK);
    assert!(seat.guest.ram.withdraw(PAGE));
    exit(&mut hart, &mut seat, LOOK);
    assert!(seat.page.is_none());
    assert_eq!((seat.cpu.csr.sscratch, seat.cpu.mode), (7, Mode::Supervisor));
}
