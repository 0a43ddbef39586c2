//! Hostile: every kind of access at every register of every device, aligned or
//! not, and instruction fetches from devices.
//!
//! Stores write 0 or values that are harmless where they are valid; registers
//! that the probe needs are put right again.
#![no_std]
#![no_main]

use probes::access::{AMOS, FLOATS, LOADS, RESERVED, STORES, fetch, try_access};
use probes::csr::{self, FS, MSTATUS};
use probes::dev::clint::{self, CLINT};
use probes::dev::uart::{IER, IIR, LCR, MCR, UART};
use probes::paging::{self, KERNEL, Space};
use probes::{Mode, Probe};

probes::probe!(main);

/// Windows: name, base, bytes from there to try, step.
const WINDOWS: &[(&str, u64, u64, u64)] = &[
    ("finisher", 0x10_0000, 0x20, 1),
    ("rtc", 0x10_1000, 0x30, 1),
    ("clint msip", 0x200_0000, 0x30, 1),
    ("clint mtimecmp", 0x200_4000, 0x50, 1),
    ("clint mtime", 0x200_bff0, 0x20, 1),
    ("clint gaps", 0x200_0000, 0x1_0000, 0xffc),
    ("plic priority", 0xc00_0000, 0x40, 1),
    ("plic pending", 0xc00_1000, 0x20, 2),
    ("plic enable", 0xc00_2000, 0x120, 2),
    ("plic threshold", 0xc20_0000, 0x10, 1),
    ("plic context 1", 0xc20_1000, 0x10, 1),
    ("plic gaps", 0xc00_0000, 0x60_0000, 0x1_0ffc),
    ("uart", 0x1000_0000, 0x10, 1),
    ("uart gaps", 0x1000_0000, 0x1000, 0xfc),
    ("virtio 0", 0x1000_1000, 0x120, 1),
    ("virtio 7", 0x1000_8000, 0x120, 3),
    ("virtio end", 0x1000_8ff0, 0x10, 1),
    ("behind virtio", 0x1000_9000, 0x20, 1),
];

fn main(p: &mut Probe) {
    let space = Space::new();
    space.map(0, 0, KERNEL, 2);
    for (name, base, len, step) in WINDOWS {
        for (mode, paged) in [(Mode::M, false), (Mode::S, true)] {
            if paged {
                space.switch();
            }
            let (done, faults) = window(mode, *base, *len, *step);
            paging::bare();
            restore();
            let mode = mode.letter();
            p.holds(format_args!("{name} in {mode}: all answered"), done + faults > 0);
        }
    }
    fetches(p, space);
}

/// All accesses in a window; counts those that are done and those that fault.
fn window(mode: Mode, base: u64, len: u64, step: u64) -> (u64, u64) {
    csr::set::<MSTATUS>(FS);
    let (mut done, mut faults) = (0, 0);
    for address in (base..base + len).step_by(usize::try_from(step).unwrap_or(1)) {
        for access in [LOADS, STORES, AMOS, RESERVED, FLOATS].into_iter().flatten() {
            let outcome = try_access(mode, access.code, address, 0);
            match outcome.value() {
                Some(_) => done += 1,
                None => faults += 1,
            }
            quiet();
        }
    }
    csr::clear::<MSTATUS>(FS);
    (done, faults)
}

/// No interrupt may be left that the probe did not want.
fn quiet() {
    clint::set_mtimecmp(0, u64::MAX);
    CLINT.write(0, 0_u32);
}

/// The console must work again.
fn restore() {
    UART.write(LCR, 3_u8);
    UART.write(MCR, 0_u8);
    UART.write(IER, 0_u8);
    UART.write(IIR, 7_u8);
    // Let what the accesses sent go out, on a line of its own.
    probes::dev::uart::print(format_args!("\n"));
}

/// Fetches from each window, physical and through a mapping.
fn fetches(p: &mut Probe, space: Space) {
    for (name, base, _, _) in WINDOWS {
        for offset in [0, 2, 4, 0xffe] {
            let physical = fetch(Mode::M, base + offset);
            space.switch();
            let virtual_ = fetch(Mode::S, base + offset);
            paging::bare();
            p.holds(
                format_args!("{name}: fetch at +{offset:#x} traps"),
                physical.value().is_none() && virtual_.value().is_none(),
            );
        }
    }
}
