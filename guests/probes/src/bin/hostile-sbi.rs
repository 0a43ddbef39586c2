//! Hostile: calls that do not exist, and wild arguments to those that do.
#![no_std]
#![no_main]

use core::arch::naked_asm;

use probes::rng::Rng;
use probes::sbi::{self, BASE, DBCN, HSM, IPI, RFENCE, SRST, TIME};
use probes::{Context, Mode, Probe};

probes::probe!(main);

/// Arguments that are no address, no hart, no mask.
const WILD: &[u64] = &[
    0,
    1,
    7,
    0x1000,
    0x10_0000,
    0x1000_0000,
    0x1800_0000,
    0x8000_0000,
    0x8000_0001,
    0x9_0000_0000,
    0x7fff_ffff_ffff_ffff,
    1 << 63,
    u64::MAX - 4095,
    u64::MAX,
];

fn main(p: &mut Probe) {
    let mut rng = Rng::new(0x5b1);
    for extension in [BASE, TIME, IPI, RFENCE, DBCN, HSM] {
        for function in 0..12 {
            for _ in 0..100 {
                if !ends(extension, function) {
                    let _ = sbi::call(extension, function, args(&mut rng));
                }
            }
        }
        p.show(format_args!("extension {extension:#x}"), "survived");
    }
    for _ in 0..20_000 {
        let (extension, function) = (rng.draw() >> rng.below(64), rng.draw() >> rng.below(64));
        // Legacy shutdown, and what stops or resets, would end the probe.
        if extension > 8 && ![SRST, HSM].contains(&extension) {
            let _ = sbi::call(extension, function, args(&mut rng));
        }
    }
    p.show("unknown calls", "survived");
    legacy(p);
    resets(p, &mut rng);
    let _ = sbi::call3(TIME, 0, u64::MAX, 0, 0);
    p.holds("still here", sbi::has(BASE));
}

fn args(rng: &mut Rng) -> [u64; 6] {
    [0; 6].map(|_: u64| {
        let pick = usize::try_from(rng.below(2 * WILD.len() as u64)).unwrap_or(0);
        WILD.get(pick).copied().unwrap_or_else(|| rng.draw() >> rng.below(64))
    })
}

/// Functions that are meant to end or to park this hart: stop, suspend.
fn ends(extension: u64, function: u64) -> bool {
    extension == HSM && matches!(function, 1 | 3)
}

/// Makes a call, and ends by a breakpoint, which comes back to S-mode.
#[unsafe(naked)]
extern "C" fn ecall_then_break() {
    naked_asm!(".option push", ".option norvc", "ecall", "ebreak", ".option pop")
}

/// Legacy calls take the virtual address of a mask. Bad ones must not hurt; a
/// firmware may answer with a page or access fault in the caller.
fn legacy(p: &mut Probe) {
    for wild in WILD {
        for call in [3, 4, 5, 6, 7, 9, 10, 15] {
            let mut context = Context::new(&[*wild, *wild, *wild]);
            context.x[17] = call;
            let _ = context.run(Mode::S, ecall_then_break);
        }
    }
    p.show("legacy calls", "survived");
}

/// Reset types and reasons that are reserved.
fn resets(p: &mut Probe, rng: &mut Rng) {
    for _ in 0..500 {
        let kind = 3 + (rng.draw() >> 33) % 0xefff_fffc;
        let _ = sbi::call3(SRST, 0, kind, rng.draw(), 0);
    }
    p.show("resets", "survived");
}
