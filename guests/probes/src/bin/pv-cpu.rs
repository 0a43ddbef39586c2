//! The CPU page: each register by instruction and by store, traps into S,
//! interrupts that wait for SIE, address spaces that come with the mode, and
//! what is refused. Where registers are the real hart's own (assisted), the
//! page must be refused, and nothing else is said.
#![no_std]
#![no_main]

use probes::csr::{
    self, MCOUNTEREN, MEDELEG, MENVCFG, MIDELEG, MIE, PMPADDR0, PMPADDR1, PMPADDR2, PMPCFG0, SATP,
    SCAUSE, SCOUNTEREN, SEPC, SSCRATCH, SSI, SSTATUS, STCE, STI, STIMECMP, STVAL,
};
use probes::dev::pv::call;
use probes::paging::{self, Frame, KERNEL, MEGA, PAGE, RAM, Space, USER};
use probes::{Context, Mode, Probe, access, snippet};
use trapeze_protocol::call::{Call, Error, Features};
use trapeze_protocol::cpu::offset;

probes::probe!(main);

// The snippets say these as numbers.
const _: () = assert!(offset::SSTATUS == -2048 && offset::SEPC == -2016);
const _: () = assert!(offset::SCAUSE == -2008 && offset::STVAL == -2000);
const _: () = assert!(offset::PENDING == -1992 && offset::SCRATCH == -1024);

/// The end of the addresses.
const END: u64 = 0;
/// A user page in the spaces below.
const SHARED: u64 = 0x6000_0000;
/// Where nothing is.
const ABSENT: u64 = 0x7000_0000;

snippet! {
    /// Reads the eight words into a0 to a7.
    fn words {
        "ld a0, -2048(x0)", "ld a1, -2040(x0)", "ld a2, -2032(x0)", "ld a3, -2024(x0)",
        "ld a4, -2016(x0)", "ld a5, -2008(x0)", "ld a6, -2000(x0)", "ld a7, -1992(x0)",
    }
}
snippet! {
    /// The same by instructions, where there are any.
    fn registers {
        "csrr a0, sstatus", "csrr a1, sie", "csrr a2, stvec", "csrr a3, sscratch",
        "csrr a4, sepc", "csrr a5, scause", "csrr a6, stval", "csrr a7, sip", "and a7, a7, a1",
    }
}
snippet! {
    /// Stores a0 to a6 as the registers.
    fn store_all {
        "sd a0, -2048(x0)", "sd a1, -2040(x0)", "sd a2, -2032(x0)", "sd a3, -2024(x0)",
        "sd a4, -2016(x0)", "sd a5, -2008(x0)", "sd a6, -2000(x0)",
    }
}
snippet! {
    /// a0 system calls.
    fn system_calls { "1: ecall", "addi a0, a0, -1", "bnez a0, 1b", "ebreak" }
}
snippet! {
    /// The handler of these in S: counts them in a1, keeps the cause in a2.
    /// a5 is saved where no register is needed for it.
    fn on_system_call {
        "sd a5, -1024(x0)", "ld a5, -2016(x0)", "addi a5, a5, 4", "sd a5, -2016(x0)",
        "ld a2, -2008(x0)", "addi a1, a1, 1", "ld a5, -1024(x0)", "sret",
    }
}
snippet! {
    /// Loads from a1, a0 times, where nothing is.
    fn faults { "1: ld t0, 0(a1)", "addi a0, a0, -1", "bnez a0, 1b" }
}
snippet! {
    /// The handler of these: the sum of addresses goes to a2.
    fn on_fault {
        "ld a5, -2016(x0)", "addi a5, a5, 4", "sd a5, -2016(x0)",
        "ld a5, -2000(x0)", "add a2, a2, a5", "sret",
    }
}
snippet! {
    /// a0 times: an interrupt of the timer that is due at once waits until SIE
    /// is stored, and the word is looked at. The handler counts in a2.
    fn unmask {
        "1: sb x0, -2048(x0)",
        "csrw 0x14d, x0",
        "ld a3, -1992(x0)",
        "li t1, 2",
        "sb t1, -2048(x0)",
        "ld t0, -1992(x0)",
        "beqz t0, 2f",
        "csrr x0, sip",
        "2: addi a0, a0, -1",
        "bnez a0, 1b",
        "sb x0, -2048(x0)",
    }
}
snippet! {
    /// a0 times: a deadline, each time a bit further away, while SIE goes on
    /// and off by stores, until the handler has counted in a2. One interrupt
    /// that is lost, and it never ends.
    fn race {
        "li t1, 2",
        "1: rdtime t0",
        "add t0, t0, a1",
        "mv a3, a2",
        "csrw 0x14d, t0",
        "2: sb x0, -2048(x0)",
        "ld t0, -2048(x0)",
        "sb t1, -2048(x0)",
        "ld t0, -1992(x0)",
        "beqz t0, 3f",
        "csrr x0, sip",
        "3: beq a2, a3, 2b",
        "addi a1, a1, 37",
        "andi a1, a1, 1023",
        "addi a0, a0, -1",
        "bnez a0, 1b",
        "sb x0, -2048(x0)",
    }
}
snippet! {
    /// The handler of both: puts the deadline away.
    fn on_timer { "li t0, -1", "csrw 0x14d, t0", "addi a2, a2, 1", "sret" }
}
snippet! {
    /// The user's word at a0, in a window of SUM that is opened by a store and
    /// closed by an instruction; then once more.
    fn sum_window {
        "li t1, 1 << 18",
        "ld t0, -2048(x0)",
        "or t0, t0, t1",
        "sd t0, -2048(x0)",
        "ld a1, 0(a0)",
        "csrc sstatus, t1",
        "ld a2, 0(a0)",
    }
}
snippet! {
    /// Switches floating point on by a store, and uses it.
    fn float {
        "li t0, 1 << 13",
        "sd t0, -2048(x0)",
        "fmv.d.x f1, a0",
        "fmv.x.d a1, f1",
        "csrr a2, sstatus",
        "sd x0, -2048(x0)",
    }
}
snippet! {
    /// Reads `satp` in U-mode's kernel, for `crossing`.
    fn on_crossing {
        "ld a5, -2016(x0)", "addi a5, a5, 4", "sd a5, -2016(x0)",
        "csrr a2, satp", "ld a3, 0(a1)", "sret",
    }
}
snippet! {
    /// One call, and what is at a1 before and after it.
    fn crossing { "ld a4, 0(a1)", "ecall", "ld a6, 0(a1)", "ebreak" }
}

fn main(p: &mut Probe) {
    let page = Frame::new();
    let features = Features::from_bits_retain(call(Call::Features).unwrap_or(0));
    let set_up = call(Call::CpuPageSetUp { address: page.pa() });
    p.holds("as announced", set_up.is_ok() == features.contains(Features::CPU_PAGE));
    if set_up.is_err() {
        p.holds("refused", set_up == Err(Error::NotSupported));
        return;
    }
    csr::write::<MCOUNTEREN>(7);
    csr::write::<SCOUNTEREN>(7);
    refused(p, page);
    let space = Space::new();
    space.map(SHARED, page.pa(), USER, 0);
    for (name, root) in [("bare", 0), ("Sv39", space.satp(0))] {
        p.show("translation", name);
        csr::write::<SATP>(root);
        csr::sfence_vma();
        same_registers(p);
        handled_in_s(p);
        interrupts(p);
        float_registers(p);
    }
    sum(p, page);
    reach(p);
    paging::bare();
    crossings(p, page);
    ends(p, page);
}

fn refused(p: &mut Probe, page: Frame) {
    let invalid = [page.pa() + 8, RAM - PAGE, 0x1000_0000, RAM + (128 << 20), 0, !0xfff, u64::MAX];
    for address in invalid {
        let reply = call(Call::CpuPageSetUp { address });
        p.holds(format_args!("{address:#x}"), reply == Err(Error::InvalidAddress));
    }
    // A page that PMP keeps from S: not to be had through the VMM.
    let (first, second) = (page.pa() >> 2, (page.pa() + PAGE) >> 2);
    csr::write::<PMPADDR2>(u64::MAX >> 10);
    csr::write::<PMPADDR0>(first);
    csr::write::<PMPADDR1>(second);
    csr::write::<PMPCFG0>(0x1f_08_0f);
    let reply = call(Call::CpuPageSetUp { address: page.pa() });
    p.holds("protected", reply == Err(Error::InvalidAddress));
    // And the one that was had before is gone.
    p.is(
        "taken away",
        access::load(Mode::S, END.wrapping_sub(8)).brief(),
        "load-access-fault to M",
    );
    csr::write::<PMPCFG0>(0);
    csr::write::<PMPADDR0>(u64::MAX >> 10);
    csr::write::<PMPCFG0>(0x1f);
    p.holds("again", call(Call::CpuPageSetUp { address: page.pa() }) == Ok(0));
}

/// What is stored is what instructions read, and the other way round.
fn same_registers(p: &mut Probe) {
    csr::write::<MIDELEG>(SSI | STI);
    let values = [0x4_0000, 0x222, 0x8000_1001, 0x1111, 0x2223, 0x3333, 0x4444, 0];
    for (name, code, other) in [
        ("by store", store_all as extern "C" fn(), registers as extern "C" fn()),
        ("by store, in the page", store_all, words),
    ] {
        let trap = Context::new(&values).run(Mode::S, code);
        p.is(name, trap.brief(), "ecall-from-S to M");
        let mut context = Context::new(&[]);
        let _ = context.run(Mode::S, other);
        // The probe needs `stvec`, word 2, for itself.
        for (n, want) in [(1, 0x22), (3, 0x1111), (4, 0x2222), (5, 0x3333), (6, 0x4444)] {
            p.hex(format_args!("{name}, word {n}"), context.x[10 + n], want);
        }
        p.hex("status", context.x[10] & 0x4_0122, 0x4_0000);
    }
    let from_m = [csr::read::<SSCRATCH>(), csr::read::<SEPC>(), csr::read::<SCAUSE>()];
    p.is("from M", format_args!("{:x?}", from_m), "[1111, 2222, 3333]");
    csr::write::<SSCRATCH>(0x77);
    csr::write::<STVAL>(0x88);
    csr::clear::<SSTATUS>(csr::SUM);
    let mut context = Context::new(&[]);
    let _ = context.run(Mode::S, words);
    p.hex("sscratch in the page", context.x[13], 0x77);
    p.hex("stval in the page", context.x[16], 0x88);
    csr::write::<MIDELEG>(0);
    csr::write::<MIE>(0);
}

/// Traps that S handles, with nothing but loads and stores.
fn handled_in_s(p: &mut Probe) {
    csr::write::<MEDELEG>(1 << 8 | 1 << 13 | 1 << 5);
    let mut context = Context::new(&[100]);
    context.stvec = Some(on_system_call as *const () as u64);
    let trap = context.run(Mode::U, system_calls);
    p.is("system calls", trap.brief(), "breakpoint to M");
    p.number("handled", context.x[11], 100);
    p.number("cause", context.x[12], 8);
    let mut context = Context::new(&[100, ABSENT]);
    context.stvec = Some(on_fault as *const () as u64);
    let trap = context.run(Mode::S, faults);
    p.is("faults", trap.brief(), "ecall-from-S to M");
    p.hex("addresses", context.x[12], 100 * ABSENT);
    csr::write::<MEDELEG>(0);
}

fn interrupts(p: &mut Probe) {
    csr::set::<MENVCFG>(STCE);
    csr::write::<STIMECMP>(u64::MAX);
    csr::write::<MIDELEG>(STI);
    csr::write::<MIE>(STI);
    let mut context = Context::new(&[100]);
    context.stvec = Some(on_timer as *const () as u64);
    let trap = context.run(Mode::S, unmask);
    p.is("unmasked", trap.brief(), "ecall-from-S to M");
    p.number("taken", context.x[12], 100);
    p.hex("pending", context.x[13], STI);
    let mut context = Context::new(&[300, 10]);
    context.stvec = Some(on_timer as *const () as u64);
    let trap = context.run(Mode::S, race);
    p.is("race", trap.brief(), "ecall-from-S to M");
    p.number("none lost", context.x[12], 300);
    csr::write::<MIDELEG>(0);
    csr::write::<MIE>(0);
}

fn float_registers(p: &mut Probe) {
    let mut context = Context::new(&[0x1234]);
    let trap = context.run(Mode::S, float);
    p.is("float", trap.brief(), "ecall-from-S to M");
    p.hex("its value", context.x[11], 0x1234);
    p.hex("dirty", context.x[12] & csr::FS, csr::FS);
}

fn sum(p: &mut Probe, page: Frame) {
    page.set(5, 0x55);
    let mut context = Context::new(&[SHARED + 40]);
    let trap = context.run(Mode::S, sum_window);
    p.is("SUM, then not", trap.brief(), "load-page-fault to M");
    p.hex("in the window", context.x[11], 0x55);
}

/// Where the page is, and where not.
fn reach(p: &mut Probe) {
    for (name, mode, at, want) in [
        ("first word", Mode::S, PAGE, "runs"),
        ("last word", Mode::S, 8, "runs"),
        ("below", Mode::S, PAGE + 8, "load-page-fault to M"),
        ("far below", Mode::S, 2 * MEGA, "load-page-fault to M"),
        ("from U", Mode::U, 8, "load-page-fault to M"),
    ] {
        p.is(name, access::load(mode, END.wrapping_sub(at)).runs(), want);
    }
    let fetched = access::fetch(Mode::S, END.wrapping_sub(64));
    p.is("execution", fetched.brief(), "instruction-page-fault to M");
}

/// The kernel has a space of its own, and U another: 0x6000_0000 differs.
fn crossings(p: &mut Probe, page: Frame) {
    let (kernel, user) = (Space::new(), Space::new());
    let frames = Frame::run(2);
    frames.set(0, 0xaaaa);
    frames.after(1).set(0, 0xbbbb);
    kernel.map(SHARED, frames.pa(), KERNEL, 0);
    user.map(SHARED, frames.after(1).pa(), USER, 0);
    let word = |at: i32| usize::try_from((4096 + at) / 8).unwrap_or(0);
    page.set(word(offset::KERNEL_SATP), kernel.satp(0));
    page.set(word(offset::USER_SATP), user.satp(0));
    csr::write::<MEDELEG>(1 << 8);
    user.switch();
    for round in 0..3 {
        let mut context = Context::new(&[0, SHARED]);
        context.stvec = Some(on_crossing as *const () as u64);
        let trap = context.run(Mode::U, crossing);
        p.is(format_args!("crossing {round}"), trap.brief(), "breakpoint to M");
        if round == 0 {
            p.hex("in U", context.x[14], 0xbbbb);
        }
        p.hex("in S", context.x[13], 0xaaaa + round);
        p.hex("in U again", context.x[16], 0xbbbb + round);
        p.holds("satp in S", context.x[12] == kernel.satp(0));
        p.holds("satp afterwards", csr::read::<SATP>() == user.satp(0));
        // A crossing is a fence, too: both spaces show other pages now.
        let next = Frame::run(2);
        next.set(0, 0xaaab + round);
        next.after(1).set(0, 0xbbbc + round);
        kernel.map(SHARED, next.pa(), KERNEL, 0);
        user.map(SHARED, next.after(1).pa(), USER, 0);
    }
    page.set(word(offset::KERNEL_SATP), 0);
    page.set(word(offset::USER_SATP), 0);
    csr::write::<MEDELEG>(0);
    paging::bare();
}

fn ends(p: &mut Probe, page: Frame) {
    csr::write::<SSCRATCH>(0x99);
    p.is("before", access::load(Mode::S, END.wrapping_sub(2024)), "0x99");
    let other = Frame::new();
    p.holds("another page", call(Call::CpuPageSetUp { address: other.pa() }) == Ok(0));
    p.is("there as well", access::load(Mode::S, END.wrapping_sub(2024)), "0x99");
    p.holds("the old one stays", page.get(256 + 3) == 0x99);
    p.holds("no page", call(Call::CpuPageEnd) == Ok(0) && call(Call::CpuPageEnd) == Ok(0));
    p.is("gone", access::load(Mode::S, END.wrapping_sub(8)).brief(), "load-access-fault to M");
    p.hex("sscratch stays", csr::read::<SSCRATCH>(), 0x99);
}
