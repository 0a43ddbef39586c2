//! The first instructions, and what a trap does.
//!
//! A machine without firmware starts the kernel in M-mode on every hart; the
//! VMM can also start it in S-mode, on its SBI. In M-mode we give all that
//! S-mode can have to S-mode and go there, so that the rest of the kernel
//! knows one mode only. Afterwards M-mode is never entered again.

use core::arch::naked_asm;

use crate::kernel::Start;
use crate::{hart, power, serve};

/// `mstatus`: MPP = S, and FS = initial, because the compiler may use
/// floating-point registers.
const MSTATUS: u64 = 1 << 11 | 1 << 13;
/// `sstatus`: FS = initial.
const SSTATUS: u64 = 1 << 13;
/// `menvcfg.STCE`: S-mode has a timer of its own, `stimecmp`.
const STCE_BIT: u64 = 63;
/// R, W and X, for all addresses up to `pmpaddr0`.
const PMP_ALL: u64 = 0x0f;

/// Where every hart begins: `a0` is its number, `a1` the device tree.
///
/// No register says which mode this is. But S-mode may not read `mhartid`:
/// there, that is a trap, to `stvec`.
#[unsafe(naked)]
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.start")]
extern "C" fn _start() -> ! {
    naked_asm!(
        "la t0, 1f",
        "csrw stvec, t0",
        "csrr t1, mhartid",
        "j {machine}",
        ".balign 4",
        "1: li s0, 0",
        "j {supervisor}",
        machine = sym machine,
        supervisor = sym supervisor,
    )
}

/// M-mode: one hart goes on, to S-mode with everything that it needs.
#[unsafe(naked)]
extern "C" fn machine() -> ! {
    naked_asm!(
        "bnez t1, 3f",
        "la t0, {lost}",
        "csrw mtvec, t0",
        "csrw mie, zero",
        // All traps but ecalls are S-mode's own, and so are its interrupts.
        "li t0, 0xb1ff",
        "csrw medeleg, t0",
        "li t0, 0x222",
        "csrw mideleg, t0",
        // Without an entry of the PMP, S-mode has no memory.
        "li t0, -1",
        "csrw pmpaddr0, t0",
        "li t0, {pmp}",
        "csrw pmpcfg0, t0",
        "li t0, 7",
        "csrw mcounteren, t0",
        "li t0, 1",
        "slli t0, t0, {stce}",
        "csrs 0x30a, t0", // menvcfg, which older assemblers do not know
        "li t0, {mstatus}",
        "csrw mstatus, t0",
        "la t0, {supervisor}",
        "csrw mepc, t0",
        "li s0, 1",
        "mret",
        // Other harts have nothing to do.
        "3: wfi",
        "j 3b",
        lost = sym lost,
        pmp = const PMP_ALL,
        stce = const STCE_BIT,
        mstatus = const MSTATUS,
        supervisor = sym supervisor,
    )
}

/// A trap to M-mode, which nothing that S-mode does should bring about.
#[unsafe(naked)]
extern "C" fn lost() -> ! {
    naked_asm!(
        ".balign 4",
        "la sp, __stack_end",
        "csrr a0, mcause",
        "j {machine_trap}",
        machine_trap = sym machine_trap,
    )
}

extern "C" fn machine_trap(cause: u64) -> ! {
    panic!("trap to M-mode, cause {cause:#x}")
}

/// S-mode, bare: a stack, cleared memory, a place for traps.
#[unsafe(naked)]
extern "C" fn supervisor() -> ! {
    naked_asm!(
        "la t0, {trap}",
        "csrw stvec, t0",
        "csrw sie, zero",
        "li t0, {sstatus}",
        "csrw sstatus, t0",
        "csrw satp, zero",
        "la sp, __stack_end",
        "la t0, __bss_start",
        "la t1, __bss_end",
        "4: bgeu t0, t1, 5f",
        "sd zero, 0(t0)",
        "addi t0, t0, 8",
        "j 4b",
        "5: mv a2, s0",
        "j {main}",
        trap = sym trap,
        sstatus = const SSTATUS,
        main = sym main,
    )
}

extern "C" fn main(hart: u64, tree: *const u8, from_m: u64) -> ! {
    serve::main(Start { hart, in_m: from_m != 0 }, tree)
}

/// Interrupts are never enabled, so every trap is a mistake of ours. It
/// begins on the stack that is there: the one who trapped does not go on.
#[unsafe(naked)]
extern "C" fn trap() -> ! {
    naked_asm!(".balign 4", "andi sp, sp, -16", "j {exception}", exception = sym exception)
}

extern "C" fn exception() -> ! {
    let (cause, place, value) = hart::exception();
    panic!("exception {cause} at {place:#x}, value {value:#x}")
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    crate::console::emergency(format_args!("\n{info}\n"));
    power::off(power::Reason::Failure(101))
}
