//! Hostile: rubbish in the CPU page, a page that is a page table, a page of two
//! harts, pages that go away while they are in use, and pages without end.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU64, Ordering};

use probes::csr::{self, MEDELEG, MIDELEG, MIE, SATP, SSI, STI, STVEC};
use probes::dev::clint::{self, TICKS_PER_MS};
use probes::dev::pv::call;
use probes::paging::{self, Frame, KERNEL, PAGE, RAM, Space};
use probes::rng::Rng;
use probes::{Context, Mode, Probe, smp, snippet};
use trapeze_protocol::call::Call;

probes::probe!(main);

/// The page that both harts have.
static COMMON: Common = Common([const { AtomicU64::new(0) }; 512]);
/// The `satp` of a space for each hart.
static ROOTS: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

#[repr(align(4096))]
struct Common([AtomicU64; 512]);

/// The words of a page.
type Words = &'static [AtomicU64; 512];

snippet! {
    /// In S: a0 rounds of stores of a1 to a4 to all that the page is for, with
    /// exits of every kind in between; a5 is where there is nothing.
    fn rubbish {
        "1: sd a1, -2048(x0)",
        "sd a2, -2040(x0)",
        "sd a3, -2024(x0)",
        "csrr t0, sstatus",
        "sd a4, -2016(x0)",
        "sd a1, -2008(x0)",
        "sd a2, -1992(x0)",
        "csrw sscratch, a3",
        "sd a3, -1984(x0)",
        "sd a4, -1976(x0)",
        "sfence.vma",
        "sd a2, -2048(x0)",
        "addi a0, a0, -1",
        "bnez a0, 1b",
        "sd a2, -2032(x0)",
        "ld t0, 0(a5)",
    }
}
snippet! {
    /// In U: calls of S, whose handler is wherever the rubbish says.
    fn calls { "ecall", "ecall", "ebreak" }
}
snippet! {
    /// In S, with the page a root: entries of it are stored through the page,
    /// fenced, and used, a0 times; a1 is an entry, a2 an address that it maps.
    fn own_table {
        "1: sd a1, -1016(x0)",
        "sfence.vma",
        "ld t0, 0(a2)",
        "sd x0, -1016(x0)",
        "sfence.vma",
        "addi a0, a0, -1",
        "bnez a0, 1b",
    }
}
snippet! {
    /// In S: ends the use of the page, which is used on.
    fn end_in_use {
        "li a7, 0x854505a",
        "li a6, 21",
        "1: sd a0, -8(x0)",
        "ecall",
        "j 1b",
    }
}
snippet! {
    /// In S: a0 pages one after the other, by turns those at a1 and a2, each
    /// of them used.
    fn pages {
        "mv t3, a0",
        "mv t1, a1",
        "mv t2, a2",
        "li a7, 0x854505a",
        "1: li a6, 20",
        "mv a0, t1",
        "ecall",
        "sd t3, -8(x0)",
        "mv t0, t1",
        "mv t1, t2",
        "mv t2, t0",
        "addi t3, t3, -1",
        "bnez t3, 1b",
        "li a7, 0",
    }
}

fn main(p: &mut Probe) {
    let page = Frame::new();
    if call(Call::CpuPageSetUp { address: page.pa() }).is_err() {
        p.show("the page", "refused");
        return;
    }
    let mut rng = Rng::new(0x0bad_cafe);
    for root in &ROOTS {
        root.store(Space::new().satp(0), Ordering::Release);
    }
    storm(&mut rng, 0, page.words(), 2000);
    p.show("rubbish", "done");
    wild(&mut rng);
    p.show("wild addresses", "done");
    own_root(p, page);
    for _ in 0..100 {
        let _ = call(Call::CpuPageSetUp { address: page.pa() });
        let _ = Context::new(&[1]).run(Mode::S, end_in_use);
    }
    p.show("ended in use", "done");
    let other = Frame::new();
    let trap = Context::new(&[200_000, page.pa(), other.pa()]).run(Mode::S, pages);
    p.is("pages without end", trap.brief(), "ecall-from-S to M");
    smp::start(1, fight);
    fight(0);
    smp::join(1, 1);
    p.show("one page for two", "done");
    p.holds("well", call(Call::CpuPageSetUp { address: other.pa() }) == Ok(0));
    let _ = Context::new(&[7]).run(Mode::S, stored);
    p.hex("a store", other.get(511), 7);
}

snippet! {
    /// Stores a0 as the last word.
    fn stored { "sd a0, -8(x0)" }
}

fn fight(hart: u64) {
    let address = COMMON.0.as_ptr() as u64;
    let _ = call(Call::CpuPageSetUp { address });
    storm(&mut Rng::new(hart + 99), hart, &COMMON.0, 1000);
}

/// Rubbish in everything, with interrupts and delegation as chance will have it.
fn storm(rng: &mut Rng, hart: u64, page: Words, rounds: u64) {
    let root = ROOTS[usize::from(hart == 1)].load(Ordering::Acquire);
    for _ in 0..rounds {
        let word = |rng: &mut Rng| match rng.below(4) {
            0 => rng.draw(),
            1 => root,
            2 => 1 << rng.below(64),
            _ => RAM + rng.below(1 << 28),
        };
        for place in &page[256..] {
            if rng.below(32) == 0 {
                place.store(word(rng), Ordering::Relaxed);
            }
        }
        csr::write::<SATP>(if rng.below(2) == 0 { root } else { 0 });
        csr::write::<MIDELEG>(rng.draw() & (SSI | STI));
        csr::write::<MIE>(rng.draw() & (SSI | STI));
        csr::write::<MEDELEG>(0);
        let [a, b, c, d] = [word(rng), word(rng), word(rng), word(rng)];
        let mut context = Context::new(&[1 + rng.below(20), a, b, c, d, rng.draw()]);
        let _ = context.run(Mode::S, rubbish);
        // The handler of S is not what it was, but its traps come to M.
        csr::write::<MEDELEG>(if rng.below(4) == 0 { 1 << 8 } else { 0 });
        let mut context = Context::new(&[]);
        context.stvec = Some(word(rng));
        clint::set_mtimecmp(hart, clint::mtime() + TICKS_PER_MS);
        csr::write::<MIE>(csr::MTI);
        let _ = context.run(Mode::U, calls);
        csr::write::<MIE>(0);
    }
    csr::write::<MEDELEG>(0);
    csr::write::<MIDELEG>(0);
    csr::write::<STVEC>(0);
    page.iter().for_each(|word| word.store(0, Ordering::Relaxed));
    paging::bare();
}

/// Pages that are none.
fn wild(rng: &mut Rng) {
    for _ in 0..10_000 {
        let address = rng.draw() >> rng.below(64);
        let address = if address.is_multiple_of(2) { address & !(PAGE - 1) } else { address };
        let outside = address.wrapping_sub(RAM) >= 128 << 20;
        if outside {
            let _ = call(Call::CpuPageSetUp { address });
        }
    }
}

/// The page is the root of the tables that are in force.
fn own_root(p: &mut Probe, page: Frame) {
    let space = Space::new();
    let frame = Frame::new();
    space.map(0x4000_0000, frame.pa(), KERNEL, 0);
    space.switch();
    let _ = call(Call::CpuPageSetUp { address: space.root.pa() });
    // Entry 385 maps this address to RAM, by a leaf.
    let leaf = paging::pte(RAM, KERNEL);
    let at = paging::canonical(385 << 30);
    let trap = Context::new(&[200, leaf, at + 8 * PAGE]).run(Mode::S, own_table);
    p.is("page and root", trap.brief(), "ecall-from-S to M");
    paging::bare();
    let _ = call(Call::CpuPageSetUp { address: page.pa() });
}
