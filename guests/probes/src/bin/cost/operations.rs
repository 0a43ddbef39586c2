//! The operations that `cost` measures, and the trap handlers of those that
//! trap into the guest.

use core::arch::naked_asm;

use trapeze_protocol::call::{EXTENSION, Function};

/// Defines the loop of an operation: a0 iterations, parameters in a1 to a5;
/// gives the instructions in a0. It ends by `ebreak`, so that `ecall` may be
/// delegated.
macro_rules! operation {
    ($(#[$doc:meta])* fn $name:ident { $($line:expr),* $(,)? }) => {
        $(#[$doc])*
        #[unsafe(naked)]
        pub(crate) extern "C" fn $name() {
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
pub(crate) extern "C" fn ask_for_page() {
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
pub(crate) extern "C" fn null_hypercall() {
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

/// The same in M-mode with `mtimecmp` (a1). The vector is the probe's own: the
/// loop borrows it, and puts back what a5 says.
#[unsafe(naked)]
pub(crate) extern "C" fn timer_m() {
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

/// Defines a trap handler.
macro_rules! handler {
    ($(#[$doc:meta])* fn $name:ident { $($line:expr),* $(,)? }) => {
        $(#[$doc])*
        #[unsafe(naked)]
        pub(crate) extern "C" fn $name() {
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
