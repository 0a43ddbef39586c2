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

use core::arch::naked_asm;

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
use trapeze_protocol::call::{EXTENSION, Function};

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

/// Defines the loop of an operation: a0 iterations, parameters in a1 to a5;
/// gives the instructions in a0. It ends by `ebreak`, so that `ecall` may be
/// delegated.
macro_rules! operation {
    ($(#[$doc:meta])* fn $name:ident { $($line:expr),* $(,)? }) => {
        $(#[$doc])*
        #[unsafe(naked)]
        extern "C" fn $name() {
            naked_asm!(
                ".option push", ".option arch, +a, +d", ".option norvc", ".balign 4",
                "rdinstret a6",
                "1:",
                $($line,)*
                "addi a0, a0, -1",
                "bnez a0, 1b",
                "rdinstret a7",
                "sub a0, a7, a6",
                "ebreak",
                ".option pop",
            )
        }
    };
}

operation! {
    /// Reads a CSR of S-mode.
    fn csrr { "csrr a5, sscratch" }
}
operation! {
    /// Opens and closes interrupts.
    fn sie_pair { "csrsi sstatus, 2", "csrci sstatus, 2" }
}
operation! {
    /// Sets a deadline in the past and takes the interrupt; t6 -1, a2 is set
    /// by the handler.
    fn timer_s { "li a2, 0", "csrw 0x14d, zero", "2: beqz a2, 2b" }
}
operation! {
    /// Touches the next page; a1 address, a2 stride.
    fn first_touch { "ld t0, 0(a1)", "add a1, a1, a2" }
}
operation! {
    /// Fences all and touches the working set; a1 address, a2 stride, a3 pages.
    fn fence_touch {
        "sfence.vma",
        "mv t1, a1",
        "mv t2, a3",
        "2: ld t0, 0(t1)",
        "add t1, t1, a2",
        "addi t2, t2, -1",
        "bnez t2, 2b",
    }
}
operation! {
    /// Switches to the root a1, and next time to a2.
    fn switch { "csrw satp, a1", "sfence.vma", "mv t0, a1", "mv a1, a2", "mv a2, t0" }
}
operation! {
    /// The same and touches the working set; a3 address, a4 stride, a5 pages.
    fn switch_touch {
        "csrw satp, a1",
        "sfence.vma",
        "mv t0, a1",
        "mv a1, a2",
        "mv a2, t0",
        "mv t1, a3",
        "mv t2, a5",
        "2: ld t0, 0(t1)",
        "add t1, t1, a4",
        "addi t2, t2, -1",
        "bnez t2, 2b",
    }
}
operation! {
    /// Loads from a page that is not there; a1 address.
    fn fault { "ld t0, 0(a1)" }
}
operation! {
    /// A system call.
    fn syscall { "ecall" }
}
operation! {
    /// Reads a user page in a window of SUM; a1 address, a2 bit.
    fn sum_window { "csrs sstatus, a2", "ld t0, 0(a1)", "csrc sstatus, a2" }
}
operation! {
    /// Reads a byte register; a1 address.
    fn load_byte { "lbu t0, 0(a1)" }
}
operation! {
    /// Reads a word register; a1 address.
    fn load_word { "lw t0, 0(a1)" }
}

operation! {
    /// Masks and unmasks interrupts in the CPU page; a1 is SIE.
    fn sie_pair_page {
        "sb x0, -2048(x0)",
        "sb a1, -2048(x0)",
        "ld t0, -1992(x0)",
        "beqz t0, 2f",
        "csrr x0, sip",
        "2:",
    }
}
/// Asks for the CPU page at a1; the answer is in a3. On a bare machine, the
/// `ecall` is the end.
#[unsafe(naked)]
extern "C" fn ask_for_page() {
    naked_asm!(
        ".option push",
        ".option norvc",
        "mv a0, a1",
        "li a7, {extension}",
        "li a6, {set_up}",
        "ecall",
        "mv a3, a0",
        "ebreak",
        ".option pop",
        extension = const EXTENSION,
        set_up = const Function::CpuPageSetUp as u64,
    )
}

/// A hypercall that asks for nothing but the version of the interface. On a bare
/// machine it ends in the probe's own handler, and has no figure.
#[unsafe(naked)]
extern "C" fn null_hypercall() {
    naked_asm!(
        ".option push",
        ".option norvc",
        "mv t0, a0",
        "li t1, {extension}",
        "rdinstret a6",
        "mv t2, a6",
        "mv a7, t1",
        "li a6, {version}",
        "1: ecall",
        "addi t0, t0, -1",
        "bnez t0, 1b",
        "rdinstret a7",
        "sub a0, a7, t2",
        "ebreak",
        ".option pop",
        extension = const EXTENSION,
        version = const Function::Version as u64,
    )
}

/// Defines a trap handler.
macro_rules! handler {
    ($(#[$doc:meta])* fn $name:ident { $($line:expr),* $(,)? }) => {
        $(#[$doc])*
        #[unsafe(naked)]
        extern "C" fn $name() {
            naked_asm!(
                ".option push", ".option norvc", ".balign 4",
                $($line,)*
                ".option pop",
            )
        }
    };
}

handler! {
    /// M-mode: puts the deadline away.
    fn on_m_timer { "sd t6, 0(a1)", "li a2, 1", "mret" }
}
handler! {
    /// S-mode: puts the deadline away.
    fn on_timer_s { "csrw 0x14d, t6", "li a2, 1", "sret" }
}
handler! {
    /// S-mode: goes on behind the instruction.
    fn on_fault { "csrr a5, sepc", "addi a5, a5, 4", "csrw sepc, a5", "sret" }
}
handler! {
    /// S-mode: what a Unix-like kernel does for an empty system call. All
    /// registers are saved and restored; nine CSR accesses.
    fn on_syscall {
        "csrrw sp, sscratch, sp",
        ".irp r,1,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
        "sd x\\r, 8*\\r(sp)",
        ".endr",
        "csrr t0, sscratch",
        "csrr t1, sepc",
        "csrr t2, sstatus",
        "csrr t3, scause",
        "csrr t4, stval",
        "sd t0, 16(sp)",
        "sd t1, 256(sp)",
        "sd t2, 264(sp)",
        "addi t1, t1, 4",
        "csrw sepc, t1",
        "csrw sstatus, t2",
        ".irp r,1,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
        "ld x\\r, 8*\\r(sp)",
        ".endr",
        "csrrw sp, sscratch, sp",
        "sret",
    }
}

handler! {
    /// The same with the registers in the CPU page.
    fn on_syscall_page {
        "sd sp, -1024(x0)",
        "ld sp, -2024(x0)",
        ".irp r,1,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
        "sd x\\r, 8*\\r(sp)",
        ".endr",
        "ld t0, -1024(x0)",
        "ld t1, -2016(x0)",
        "ld t2, -2048(x0)",
        "ld t3, -2008(x0)",
        "ld t4, -2000(x0)",
        "sd t0, 16(sp)",
        "sd t1, 256(sp)",
        "sd t2, 264(sp)",
        "addi t1, t1, 4",
        "sd t1, -2016(x0)",
        "sd t2, -2048(x0)",
        ".irp r,1,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
        "ld x\\r, 8*\\r(sp)",
        ".endr",
        "ld sp, 16(sp)",
        "sret",
    }
}

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
    b.measure(&Cost::new("null-hypercall", null_hypercall, &[]));
    b.measure(&Cost::new("csrr", csrr, &[]));
    b.measure(&Cost::new("sie-pair", sie_pair, &[]));
    timers(b);
    touches(b);
    let set = [WARM, PAGE, SET];
    b.measure(&Cost { rounds: 50, ..Cost::new("fence-touch-64", fence_touch, &set) });
    let roots = [space[1].satp(0), space[0].satp(0)];
    b.measure(&Cost::new("switch", switch, &roots));
    let both = [roots[0], roots[1], WARM, PAGE, SET];
    b.measure(&Cost { rounds: 50, ..Cost::new("switch-touch-64", switch_touch, &both) });
    traps(b);
    b.measure(&Cost::new("sum-window", sum_window, &[SHARED, csr::SUM]));
    b.measure(&Cost::new("uart-lsr", load_byte, &[UART.address(LSR)]));
    let claim = PLIC.address(THRESHOLD + 0x1000 * context_s(0) + 4);
    b.measure(&Cost::new("plic-claim", load_word, &[claim]));
    with_page(b);
    paging::bare();
}

/// What the CPU page makes cheaper; without one, as ever.
fn with_page(b: &mut Bench<'_>) {
    let (page, frame) = (Frame::new(), Frame::new());
    let mut context = Context::new(&[1, page.pa()]);
    let paged = context.run(Mode::S, ask_for_page).cause == 3 && context.x[A3] == 0;
    let (pair, handler): (Snippet, Snippet) =
        if paged { (sie_pair_page, on_syscall_page) } else { (sie_pair, on_syscall) };
    b.measure(&Cost::new("sie-pair-page", pair, &[csr::SIE_BIT]));
    csr::write::<MEDELEG>(1 << 8);
    csr::write::<SSCRATCH>(frame.pa());
    let cost = Cost::new("syscall-page", syscall, &[]);
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
    let cost = Cost::new("timer-m", timer_m, &[CLINT.address(MTIMECMP), 0, 0, 0, vector]);
    b.measure(&Cost { mode: Mode::M, ..cost });
    csr::write::<MIE>(0);

    csr::set::<MENVCFG>(STCE);
    csr::write::<STIMECMP>(u64::MAX);
    csr::write::<MIDELEG>(STI);
    csr::write::<MIE>(STI);
    csr::write::<MSTATUS>(csr::SIE_BIT);
    let cost = Cost::new("timer-s", timer_s, &[]);
    b.measure(&Cost { stvec: Some(on_timer_s), ..cost });
    csr::write::<MSTATUS>(0);
    csr::write::<MIE>(0);
}

/// The same in M-mode with `mtimecmp` (a1). The vector is the probe's own: the
/// loop borrows it, and puts back what a5 says.
#[unsafe(naked)]
extern "C" fn timer_m() {
    naked_asm!(
        ".option push",
        ".option norvc",
        "la t0, {handler}",
        "csrw mtvec, t0",
        "rdinstret a6",
        "1: li a2, 0",
        "sd zero, 0(a1)",
        "2: beqz a2, 2b",
        "addi a0, a0, -1",
        "bnez a0, 1b",
        "rdinstret a7",
        "sub a0, a7, a6",
        "csrw mtvec, a5",
        "ebreak",
        ".option pop",
        handler = sym on_m_timer,
    )
}

/// Pages that are touched once: those that warm up, then N, then 2N others.
fn touches(b: &mut Bench<'_>) {
    let cost = Cost::new("first-touch", first_touch, &[]);
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
    let cost = Cost::new("page-fault", fault, &[ABSENT]);
    b.measure(&Cost { stvec: Some(on_fault), ..cost });
    let frame = Frame::new();
    csr::write::<SSCRATCH>(frame.pa());
    let cost = Cost::new("syscall", syscall, &[]);
    b.measure(&Cost { mode: Mode::U, stvec: Some(on_syscall), ..cost });
    csr::write::<MEDELEG>(0);
}
