//! Calls to the firmware (RISC-V Supervisor Binary Interface 2.0), for probes
//! that run above one, and the harts that it starts.

use core::arch::{asm, naked_asm};
use core::mem;

use crate::boot::MAX_HARTS;
use crate::context;
use crate::csr::{self, STVEC};

/// Extension: base.
pub const BASE: u64 = 0x10;
/// Extension: timer.
pub const TIME: u64 = 0x5449_4d45;
/// Extension: inter-processor interrupts.
pub const IPI: u64 = 0x0073_5049;
/// Extension: remote fences.
pub const RFENCE: u64 = 0x5246_4e43;
/// Extension: hart state management.
pub const HSM: u64 = 0x0048_534d;
/// Extension: system reset.
pub const SRST: u64 = 0x5352_5354;
/// Extension: debug console.
pub const DBCN: u64 = 0x4442_434e;

/// Not supported.
pub const NOT_SUPPORTED: i64 = -2;
/// Invalid parameter.
pub const INVALID_PARAM: i64 = -3;
/// Invalid address.
pub const INVALID_ADDRESS: i64 = -5;
/// Already available.
pub const ALREADY_AVAILABLE: i64 = -6;

/// What a call returns: error and value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Ret {
    /// 0, or a negative error code.
    pub error: i64,
    /// The value, if there is no error.
    pub value: u64,
}

impl core::fmt::Display for Ret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "error {}, value {:#x}", self.error, self.value)
    }
}

/// Calls function `function` of `extension` with up to six arguments.
pub fn call(extension: u64, function: u64, args: [u64; 6]) -> Ret {
    let (error, value);
    // SAFETY: the firmware keeps all other registers; what it does to memory
    // is confined to the addresses it is given, which are frames or invalid.
    unsafe {
        asm!(
            "ecall",
            inlateout("a0") args[0] => error,
            inlateout("a1") args[1] => value,
            in("a2") args[2],
            in("a3") args[3],
            in("a4") args[4],
            in("a5") args[5],
            in("a6") function,
            in("a7") extension,
        );
    }
    Ret { error, value }
}

/// Calls with arguments a0 to a2.
pub fn call3(extension: u64, function: u64, a0: u64, a1: u64, a2: u64) -> Ret {
    call(extension, function, [a0, a1, a2, 0, 0, 0])
}

/// Whether the firmware has an extension.
#[must_use]
pub fn has(extension: u64) -> bool {
    call3(BASE, 3, extension, 0, 0).value != 0
}

/// State of a hart: 0 started, 1 stopped, …
#[must_use]
pub fn hart_status(hart: u64) -> Ret {
    call3(HSM, 2, hart, 0, 0)
}

/// Starts `hart` with `run`; it stops itself when that returns.
pub fn start_hart(hart: u64, run: fn(u64)) -> Ret {
    call3(HSM, 0, hart, landing as *const () as u64, run as *const () as u64)
}

/// Where started harts land: `a0` hart, `a1` what [`start_hart`] passed.
#[unsafe(naked)]
extern "C" fn landing() -> ! {
    naked_asm!(
        "li t0, {harts}",
        "1: bgeu a0, t0, 1b",
        "la sp, __stacks + 0x10000",
        "slli t0, a0, 16",
        "add sp, sp, t0",
        "j {started}",
        harts = const MAX_HARTS,
        started = sym started,
    )
}

extern "C" fn started(hart: u64, run: usize) -> ! {
    csr::write::<STVEC>(context::vector_s as *const () as u64);
    // SAFETY: `start_hart` passed a `fn(u64)`.
    let run = unsafe { mem::transmute::<usize, fn(u64)>(run) };
    run(hart);
    loop {
        // Returns only if the firmware does not have the function.
        let _ = call3(HSM, 1, 0, 0, 0);
    }
}
