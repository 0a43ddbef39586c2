//! Instructions per operation, guest loop included, as `instret` tells them.
//!
//! Under `-icount shift=0` QEMU counts all instructions of the machine, so the
//! figure of a guest includes what the VMM executes for it. Each operation
//! runs N and 2N times; the difference over N is exact, since what is paid
//! once cancels.
//!
//! The command line `op=NAME` measures one operation only, and `rounds=N`
//! says how often it runs: 8 times to warm up, then N, then 2N.
#![no_std]
#![no_main]

mod operations;

use probes::bootargs;
use probes::context::{A0, A3, Snippet};
use probes::csr::{
    self, MCOUNTEREN, MEDELEG, MENVCFG, MIDELEG, MIE, MSTATUS, MTI, MTVEC, SCOUNTEREN, SSCRATCH,
    STCE, STI, STIMECMP,
};
use probes::dev::clint::{self, CLINT, MTIMECMP};
use probes::dev::plic::{PLIC, THRESHOLD, context_s};
use probes::dev::uart::{LSR, UART};
use probes::paging::{self, Frame, KERNEL, PAGE, Space, USER};
use probes::{Context, Mode, Probe};

use operations as op;

probes::probe!(main);

/// Virtual addresses: 64 warm pages, fresh pages, a user page, nothing.
const WARM: u64 = 0x4000_0000;
const FRESH: u64 = 0x5000_0000;
const SHARED: u64 = 0x6000_0000;
const ABSENT: u64 = 0x7000_0000;
/// Pages that the working set has.
const SET: u64 = 64;
/// Pages that are there to be touched once.
const FRESH_PAGES: u64 = 1024;

fn address(code: Snippet) -> u64 {
    code as *const () as u64
}

/// What is to be measured, and where it is told.
struct Bench<'a> {
    probe: &'a mut Probe,
    only: Option<&'static str>,
    rounds: Option<u64>,
}

impl<'a> Bench<'a> {
    fn new(probe: &'a mut Probe) -> Self {
        let line = bootargs::bootargs(probe.dtb);
        let rounds = bootargs::value(line, "rounds").and_then(|text| text.parse().ok());
        Self { probe, only: bootargs::value(line, "op"), rounds }
    }

    fn wants(&self, name: &str) -> bool {
        self.only.is_none_or(|only| only == name)
    }

    /// Measures, after a warm-up that is not counted.
    fn measure(&mut self, cost: &Cost) {
        if self.wants(cost.name) {
            let rounds = self.rounds.unwrap_or(cost.rounds);
            let _ = cost.run(WARM_UP, &cost.args);
            let once = cost.run(rounds, &cost.args);
            let twice = cost.run(2 * rounds, &cost.args);
            self.report(cost.name, once, twice, rounds);
        }
    }

    fn report(&mut self, name: &str, once: u64, twice: u64, rounds: u64) {
        let tenths = twice.wrapping_sub(once).wrapping_mul(10) / rounds.max(1);
        self.probe.show(name, format_args!("{}.{}", tenths / 10, tenths % 10));
    }
}

/// Rounds that warm up.
const WARM_UP: u64 = 8;

/// One operation to measure.
struct Cost {
    name: &'static str,
    mode: Mode,
    code: Snippet,
    args: [u64; 5],
    stvec: Option<Snippet>,
    rounds: u64,
}

impl Cost {
    fn new(name: &'static str, code: Snippet, args: &[u64]) -> Self {
        let mut five = [0; 5];
        five[..args.len()].copy_from_slice(args);
        Self { name, mode: Mode::S, code, args: five, stvec: None, rounds: 1000 }
    }

    /// Instructions that `rounds` take.
    fn run(&self, rounds: u64, args: &[u64; 5]) -> u64 {
        let [a, b, c, d, e] = *args;
        let mut context = Context::new(&[rounds, a, b, c, d, e]);
        context.x[31] = u64::MAX;
        context.interrupts = true;
        context.stvec = self.stvec.map(address);
        let trap = context.run(self.mode, self.code);
        if trap.cause == 3 { context.x[A0] } else { 0 }
    }
}

fn main(p: &mut Probe) {
    let mut bench = Bench::new(p);
    let b = &mut bench;
    csr::write::<MCOUNTEREN>(7);
    csr::write::<SCOUNTEREN>(7);
    let space = spaces();
    space[0].switch();
    b.measure(&Cost::new("null-hypercall", op::null_hypercall, &[]));
    b.measure(&Cost::new("csrr", op::csrr, &[]));
    b.measure(&Cost::new("sie-pair", op::sie_pair, &[]));
    timers(b);
    touches(b);
    let set = [WARM, PAGE, SET];
    b.measure(&Cost { rounds: 50, ..Cost::new("fence-touch-64", op::fence_touch, &set) });
    let roots = [space[1].satp(0), space[0].satp(0)];
    b.measure(&Cost::new("switch", op::switch, &roots));
    let both = [roots[0], roots[1], WARM, PAGE, SET];
    b.measure(&Cost { rounds: 50, ..Cost::new("switch-touch-64", op::switch_touch, &both) });
    traps(b);
    b.measure(&Cost::new("sum-window", op::sum_window, &[SHARED, csr::SUM]));
    b.measure(&Cost::new("uart-lsr", op::load_byte, &[UART.address(LSR)]));
    let claim = PLIC.address(THRESHOLD + 0x1000 * context_s(0) + 4);
    b.measure(&Cost::new("plic-claim", op::load_word, &[claim]));
    with_page(b);
    paging::bare();
}

/// What the CPU page makes cheaper; without one, as ever.
fn with_page(b: &mut Bench<'_>) {
    let (page, frame) = (Frame::new(), Frame::new());
    let mut context = Context::new(&[1, page.pa()]);
    let paged = context.run(Mode::S, op::ask_for_page).cause == 3 && context.x[A3] == 0;
    let (pair, handler): (Snippet, Snippet) = if paged {
        (op::sie_pair_page, op::on_syscall_page)
    } else {
        (op::sie_pair, op::on_syscall)
    };
    b.measure(&Cost::new("sie-pair-page", pair, &[csr::SIE_BIT]));
    csr::write::<MEDELEG>(1 << 8);
    csr::write::<SSCRATCH>(frame.pa());
    let cost = Cost::new("syscall-page", op::syscall, &[]);
    b.measure(&Cost { mode: Mode::U, stvec: Some(handler), ..cost });
    csr::write::<MEDELEG>(0);
}

/// Two address spaces with the same addresses and other frames.
fn spaces() -> [Space; 2] {
    [0, 1].map(|_| {
        let space = Space::new();
        // The devices, as S-mode sees them.
        space.map(0, 0, KERNEL, 2);
        let frames = Frame::run(SET);
        for n in 0..SET {
            space.map(WARM + n * PAGE, frames.after(n).pa(), KERNEL, 0);
        }
        space.map(SHARED, frames.pa(), USER, 0);
        for n in 0..FRESH_PAGES {
            space.map(FRESH + n * PAGE, frames.after(n % SET).pa(), KERNEL, 0);
        }
        space
    })
}

/// The timer of the CLINT in M-mode, and that of Sstc in S-mode.
fn timers(b: &mut Bench<'_>) {
    clint::set_mtimecmp(0, u64::MAX);
    csr::write::<MIE>(MTI);
    let vector = csr::read::<MTVEC>();
    let cost = Cost::new("timer-m", op::timer_m, &[CLINT.address(MTIMECMP), 0, 0, 0, vector]);
    b.measure(&Cost { mode: Mode::M, ..cost });
    csr::write::<MIE>(0);

    csr::set::<MENVCFG>(STCE);
    csr::write::<STIMECMP>(u64::MAX);
    csr::write::<MIDELEG>(STI);
    csr::write::<MIE>(STI);
    csr::write::<MSTATUS>(csr::SIE_BIT);
    let cost = Cost::new("timer-s", op::timer_s, &[]);
    b.measure(&Cost { stvec: Some(op::on_timer_s), ..cost });
    csr::write::<MSTATUS>(0);
    csr::write::<MIE>(0);
}

/// Pages that are touched once: those that warm up, then N, then 2N others.
fn touches(b: &mut Bench<'_>) {
    let cost = Cost::new("first-touch", op::first_touch, &[]);
    if !b.wants(cost.name) {
        return;
    }
    let from = |page: u64| [FRESH + page * PAGE, PAGE, 0, 0, 0];
    let rounds = b.rounds.unwrap_or(256).min((FRESH_PAGES - WARM_UP) / 3);
    let _ = cost.run(WARM_UP, &from(0));
    let once = cost.run(rounds, &from(WARM_UP));
    let twice = cost.run(2 * rounds, &from(WARM_UP + rounds));
    b.report(cost.name, once, twice, rounds);
}

/// Traps that the guest's own kernel handles.
fn traps(b: &mut Bench<'_>) {
    csr::write::<MEDELEG>(1 << 8 | 1 << 13);
    let cost = Cost::new("page-fault", op::fault, &[ABSENT]);
    b.measure(&Cost { stvec: Some(op::on_fault), ..cost });
    let frame = Frame::new();
    csr::write::<SSCRATCH>(frame.pa());
    let cost = Cost::new("syscall", op::syscall, &[]);
    b.measure(&Cost { mode: Mode::U, stvec: Some(op::on_syscall), ..cost });
    csr::write::<MEDELEG>(0);
}
