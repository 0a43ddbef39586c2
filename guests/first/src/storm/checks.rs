//! The checks.

use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicUsize, Ordering};

use first::sys::{
    CLOCK_GETTIME, CLONE, GETPID, KILL, MMAP, MPROTECT, MUNMAP, PIPE2, READ, RT_SIGACTION,
    SCHED_YIELD, WAIT4, WRITE, call, exit, print,
};

const PAGE: usize = 4096;
/// Pages of a map, and how often each check is done.
const PAGES: usize = 16;
const ROUNDS: usize = 200;
const PROCESSES: usize = 4;

const SIGUSR1: usize = 10;
const SIGSEGV: usize = 11;
const SIGCHLD: usize = 17;
const SA_SIGINFO: usize = 4;
const NONE: usize = 0;
const READ_ONLY: usize = 1;
const READ_WRITE: usize = 3;
/// `MAP_PRIVATE | MAP_ANONYMOUS`
const PRIVATE: usize = 0x22;

global_asm!(".global _start", "_start:", "call {main}", main = sym main);

/// What is wrong.
type Verdict = Result<(), &'static str>;

extern "C" fn main() -> ! {
    let all: [fn() -> Verdict; 6] = [processes, maps, protections, pipes, signals, turns];
    match all.iter().try_for_each(|check| check()) {
        Ok(()) => {
            print("storm: passed\n");
            exit(0)
        }
        Err(what) => {
            print("storm: FAILED: ");
            print(what);
            print("\n");
            exit(1)
        }
    }
}

fn ensure(holds: bool, what: &'static str) -> Verdict {
    if holds { Ok(()) } else { Err(what) }
}

/// Fresh memory of some pages.
struct Map {
    at: usize,
}

impl Map {
    fn new() -> Result<Self, &'static str> {
        let at = call(MMAP, [0, PAGES * PAGE, READ_WRITE, PRIVATE, usize::MAX]);
        let at = usize::try_from(at).map_err(|_| "no memory")?;
        Ok(Self { at })
    }

    fn word(page: usize, at: usize) -> *mut usize {
        core::ptr::with_exposed_provenance_mut(at + page * PAGE + 8 * (page % 512))
    }

    fn get(&self, page: usize) -> usize {
        // SAFETY: a word of the map; where it is protected, the handler helps.
        unsafe { Self::word(page, self.at).read_volatile() }
    }

    fn set(&self, page: usize, value: usize) {
        // SAFETY: as above.
        unsafe { Self::word(page, self.at).write_volatile(value) };
    }

    fn fill(&self, salt: usize) {
        (0..PAGES).for_each(|page| self.set(page, salt ^ page));
    }

    fn holds(&self, salt: usize) -> bool {
        (0..PAGES).all(|page| self.get(page) == salt ^ page)
    }

    fn protect(&self, page: usize, rights: usize) -> Verdict {
        let done = call(MPROTECT, [self.at + page * PAGE, PAGE, rights]);
        ensure(done == 0, "mprotect")
    }

    fn unmap(&self, page: usize, pages: usize) -> Verdict {
        ensure(call(MUNMAP, [self.at + page * PAGE, pages * PAGE]) == 0, "munmap")
    }
}

/// Runs `child` in a process of its own, which ends with what it says.
fn fork(child: impl FnOnce() -> usize) -> Result<(), &'static str> {
    match call(CLONE, [SIGCHLD]) {
        0 => exit(child()),
        id if id > 0 => Ok(()),
        _ => Err("fork"),
    }
}

/// Waits for a child, which must end with `status`.
fn wait(status: usize) -> Verdict {
    let mut word = 0u32;
    let id = call(WAIT4, [usize::MAX, (&raw mut word).expose_provenance()]);
    ensure(id > 0 && word as usize == status << 8, "a process ended otherwise")
}

/// A process writes to the pages that it shares with its parent.
fn processes() -> Verdict {
    let map = Map::new()?;
    for round in 0..ROUNDS {
        map.fill(round);
        fork(|| {
            let inherited = map.holds(round);
            map.fill(!round);
            if inherited && map.holds(!round) { round % 100 } else { 101 }
        })?;
        map.set(round % PAGES, round ^ (round % PAGES));
        wait(round % 100)?;
        ensure(map.holds(round), "a child wrote to its parent's memory")?;
    }
    map.unmap(0, PAGES)
}

fn maps() -> Verdict {
    for round in 0..ROUNDS {
        let map = Map::new()?;
        ensure((0..PAGES).all(|page| map.get(page) == 0), "new memory is not empty")?;
        map.fill(round);
        (0..PAGES).step_by(2).try_for_each(|page| map.unmap(page, 1))?;
        let kept = (1..PAGES).step_by(2).all(|page| map.get(page) == round ^ page);
        ensure(kept, "memory beside an unmapped page changed")?;
        map.unmap(0, PAGES)?;
    }
    Ok(())
}

/// How often a handler ran.
static CALLS: AtomicUsize = AtomicUsize::new(0);

fn handle(signal: usize, handler: extern "C" fn(usize, *const usize)) -> Verdict {
    // `struct sigaction` of the kernel: handler, flags, mask.
    let action = [handler as usize, SA_SIGINFO, 0];
    let done = call(RT_SIGACTION, [signal, action.as_ptr().expose_provenance(), 0, 8]);
    ensure(done == 0, "sigaction")
}

/// Opens the page that was missed; `si_addr` is the third word.
extern "C" fn open(_: usize, info: *const usize) {
    CALLS.fetch_add(1, Ordering::Relaxed);
    // SAFETY: the kernel passes a whole `siginfo_t`.
    let page = unsafe { info.add(2).read() } & !(PAGE - 1);
    if call(MPROTECT, [page, PAGE, READ_WRITE]) != 0 {
        exit(3);
    }
}

extern "C" fn count(_: usize, _: *const usize) {
    CALLS.fetch_add(1, Ordering::Relaxed);
}

fn protections() -> Verdict {
    handle(SIGSEGV, open)?;
    let map = Map::new()?;
    map.fill(0);
    for round in 0..ROUNDS {
        let page = round % PAGES;
        let before = CALLS.load(Ordering::Relaxed);
        map.protect(page, READ_ONLY)?;
        ensure(map.get(page) == map.get(page), "a read-only page changed")?;
        map.set(page, round);
        map.protect(page, NONE)?;
        ensure(map.get(page) == round, "a page lost what was written")?;
        let faults = CALLS.load(Ordering::Relaxed) - before;
        ensure(faults == 2, "a protected page was not protected once")?;
    }
    map.unmap(0, PAGES)
}

/// A child sends back what it is sent, with each byte turned over.
fn pipes() -> Verdict {
    let mut ends = [[0u32; 2]; 2];
    for pair in &mut ends {
        ensure(call(PIPE2, [pair.as_mut_ptr().expose_provenance()]) == 0, "pipe")?;
    }
    let [[there, to], [back, from]] = ends.map(|pair| pair.map(|end| end as usize));
    let transfer = |number, end, bytes: &mut [u8]| {
        let at = bytes.as_mut_ptr().expose_provenance();
        call(number, [end, at, bytes.len()]) == bytes.len().cast_signed()
    };
    fork(|| {
        let mut bytes = [0; 512];
        for _ in 0..ROUNDS {
            if !transfer(READ, there, &mut bytes) {
                return 1;
            }
            bytes.iter_mut().for_each(|byte| *byte = !*byte);
            transfer(WRITE, from, &mut bytes);
        }
        0
    })?;
    for round in 0..ROUNDS {
        let value = round.to_le_bytes()[0];
        let mut bytes = [value; 512];
        ensure(transfer(WRITE, to, &mut bytes), "write to a pipe")?;
        ensure(transfer(READ, back, &mut bytes), "read from a pipe")?;
        ensure(bytes.iter().all(|byte| *byte == !value), "a pipe changed its bytes")?;
    }
    wait(0)
}

fn signals() -> Verdict {
    handle(SIGUSR1, count)?;
    let before = CALLS.load(Ordering::Relaxed);
    let own = call(GETPID, []).cast_unsigned();
    let sent = (0..ROUNDS).all(|_| call(KILL, [own, SIGUSR1]) == 0);
    ensure(sent && CALLS.load(Ordering::Relaxed) - before == ROUNDS, "signals were lost")
}

/// Processes take turns: each has floating-point registers of its own, and for
/// none of them does time go back.
fn turns() -> Verdict {
    for process in 0..PROCESSES {
        fork(|| {
            let mut last = [0; 2];
            for round in 0..ROUNDS {
                let value = (process << 32 | round) as u64;
                if yield_with(value) != [value, !value, value << 8] {
                    return 1;
                }
                let mut now = [0usize; 2];
                call(CLOCK_GETTIME, [1, now.as_mut_ptr().expose_provenance()]);
                if now < last {
                    return 2;
                }
                last = now;
            }
            0
        })?;
    }
    (0..PROCESSES).try_for_each(|_| wait(0))
}

/// Gives the hart away with values in floating-point registers, of which one
/// is not kept by functions.
fn yield_with(value: u64) -> [u64; 3] {
    let mut bits = [value, !value, value << 8];
    let [a, b, c] = &mut bits;
    // SAFETY: the call touches no memory, and the kernel keeps all registers.
    unsafe {
        asm!(
            "fmv.d.x fs0, {a}", "fmv.d.x fs11, {b}", "fmv.d.x ft0, {c}",
            "ecall",
            "fmv.x.d {a}, fs0", "fmv.x.d {b}, fs11", "fmv.x.d {c}, ft0",
            a = inout(reg) *a, b = inout(reg) *b, c = inout(reg) *c,
            inlateout("a0") 0 => _, in("a7") SCHED_YIELD,
            out("fs0") _, out("fs11") _, out("ft0") _,
        );
    }
    bits
}
