//! The drivers as C kernels link them: found by a trap, a disk with several
//! requests in flight, its interrupt, a console, counters.
#![no_std]
#![no_main]

use core::ffi::c_void;
use core::ptr;

use probes::Probe;
use probes::csr::{self, MIE, SEI};
use probes::paging::Frame;
use trapeze::abi::{self, Completion, Operation, Status};

probes::probe!(main);

/// Requests in flight at once, each of a sector.
const COUNT: u64 = 4;
const SECTOR: usize = 512;
/// Words of a sector.
const WORDS: usize = SECTOR / 8;
const OK: i32 = Status::Ok as i32;
const NONE: i32 = Status::None as i32;

fn main(p: &mut Probe) {
    p.holds("nothing before it is found", abi::trapeze_block_open(0, 1) == NONE);
    let mtvec = csr::read::<{ csr::MTVEC }>();
    // SAFETY: in M-mode, on one hart.
    p.holds("found", unsafe { abi::trapeze_detect_by_trap() } == OK);
    p.hex("mtvec", csr::read::<{ csr::MTVEC }>(), mtvec);
    p.holds("disk", abi::trapeze_block_open(0, 1) == OK);
    p.number("sectors", abi::trapeze_block_capacity(0), 2048);
    p.holds("no second one", abi::trapeze_block_open(1, 1) == NONE);
    p.holds("line", abi::trapeze_interrupt_connect(9, 0) == OK);
    disk(p);
    console(p);
    counters(p);
}

fn disk(p: &mut Probe) {
    let data = Frame::new();
    (0..512).for_each(|word| data.set(word, word as u64));
    let written = transfer(p, &data, Operation::Write);
    p.hex("written", written, (1 << COUNT) - 1);
    (0..512).for_each(|word| data.set(word, 99));
    let read = transfer(p, &data, Operation::Read);
    p.hex("read", read, (1 << COUNT) - 1);
    let words = WORDS * usize::try_from(COUNT).unwrap_or(0);
    p.holds("what was written", (0..words).all(|word| data.get(word) == word as u64));
    p.holds("and no more", data.get(words) == 99);
    // SAFETY: nobody else uses the page.
    let beyond = unsafe { abi::trapeze_block_read(0, 2048, address(&data, 0), SECTOR) };
    p.holds("beyond the end", beyond == Status::Io as i32);
}

fn address(data: &Frame, n: u64) -> *mut c_void {
    let start = usize::try_from(data.pa()).unwrap_or(0);
    ptr::with_exposed_provenance_mut(start + SECTOR * usize::try_from(n).unwrap_or(0))
}

/// A request for each sector, all told of together; gives the tags that came
/// back well, as bits.
fn transfer(p: &mut Probe, data: &Frame, operation: Operation) -> u64 {
    for n in 0..COUNT {
        let tag = ptr::without_provenance_mut(usize::try_from(n).unwrap_or(0));
        let (code, buffer) = (operation as i32, address(data, n));
        // SAFETY: nobody looks at the sector before it has come back.
        let given = unsafe { abi::trapeze_block_enqueue(0, code, 10 + n, buffer, SECTOR, tag) };
        p.holds(format_args!("request {n}"), given == OK);
    }
    p.holds("told", abi::trapeze_block_kick(0) == OK);
    // The interrupt ends a `wfi`, and is never taken.
    csr::set::<MIE>(SEI);
    let mut tags = 0;
    while tags != (1 << COUNT) - 1 {
        while abi::trapeze_interrupt_pending() == 0 {
            csr::wfi();
        }
        if abi::trapeze_interrupt_take() >> abi::trapeze_block_device(0) & 1 == 0 {
            continue;
        }
        let mut done = Completion { tag: ptr::null_mut(), status: NONE };
        // SAFETY: `done` is ours.
        while unsafe { abi::trapeze_block_complete(0, &raw mut done) } == 1 {
            tags |= u64::from(done.status == OK) << done.tag.addr();
        }
    }
    csr::clear::<MIE>(SEI);
    tags
}

fn console(p: &mut Probe) {
    p.holds("console", abi::trapeze_console_open() == OK);
    let text = *b"shown by the paravirtual console\n";
    // SAFETY: the text is ours, and on the stack.
    p.holds("shown", unsafe { abi::trapeze_console_write(text.as_ptr().cast(), text.len()) } == OK);
    p.holds("a byte", abi::trapeze_console_emergency(b'\n') == OK);
}

/// Looks for the counter of notifications by its name.
fn counters(p: &mut Probe) {
    let (mut name, mut count) = ([0u8; 33], 0);
    let is_notify = |name: &[u8; 33]| name.starts_with(b"PV notify\0");
    let found = (0..1000).find(|number| {
        // SAFETY: the name is ours, and as long as it may be.
        let asked = unsafe { abi::trapeze_counter_name(*number, name.as_mut_ptr().cast()) };
        asked == OK && is_notify(&name)
    });
    // SAFETY: the count is ours.
    let asked = unsafe { abi::trapeze_counter(found.unwrap_or(u64::MAX), &raw mut count) };
    // Two for the requests, and one for the read beyond the end; the console
    // has some.
    p.holds("notifications", asked == OK && (3..20).contains(&count));
    // SAFETY: likewise.
    let beyond = unsafe { abi::trapeze_counter(10_000, &raw mut count) };
    p.holds("no such counter", beyond == NONE);
}
