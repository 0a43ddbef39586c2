//! The world switch.
//!
//! The guest is a function call: `enter` loads the guest's registers, `mret`s
//! into U-mode, and comes back with the trap that ended the guest's turn.
//!
//! Invariant **mscratch**: it holds the address of the vCPU's [`Context`]
//! while the guest runs, and zero while the VMM runs. A trap that finds zero
//! was caused by the VMM itself.

use core::arch::{asm, global_asm};
use core::mem::offset_of;

use crate::machine::Trap;
use crate::vcpu::Context;

global_asm!(
    ".pushsection .text.switch, \"ax\"",
    // a0 = &mut Context. Destroys every register but sp, s0 and s1.
    ".global enter_guest",
    "enter_guest:",
    "sd sp, {host}+0(a0)",
    "sd ra, {host}+8(a0)",
    "sd s0, {host}+16(a0)",
    "sd s1, {host}+24(a0)",
    "ld t0, {pc}(a0)",
    "csrw mepc, t0",
    "csrw mscratch, a0",
    ".irp n, 1,2,3,4,5,6,7,8,9,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
    "ld x\\n, {x}+8*\\n(a0)",
    ".endr",
    "ld a0, {x}+8*10(a0)",
    "mret",
    // mtvec points here. Returns a0 = mcause, a1 = mtval to enter's caller.
    ".balign 4",
    ".global guest_trap",
    "guest_trap:",
    "csrrw a0, mscratch, a0",
    "beqz a0, vmm_trap",
    ".irp n, 1,2,3,4,5,6,7,8,9,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
    "sd x\\n, {x}+8*\\n(a0)",
    ".endr",
    "csrrw t0, mscratch, zero",
    "sd t0, {x}+8*10(a0)",
    "csrr t0, mepc",
    "sd t0, {pc}(a0)",
    "ld sp, {host}+0(a0)",
    "ld ra, {host}+8(a0)",
    "ld s0, {host}+16(a0)",
    "ld s1, {host}+24(a0)",
    "csrr a1, mtval",
    "csrr a0, mcause",
    "ret",
    // The VMM trapped: a fresh stack, since the old one may be the reason.
    "vmm_trap:",
    "la sp, __stacks_end",
    "csrr a0, mcause",
    "csrr a1, mepc",
    "csrr a2, mtval",
    "j {vmm_trap}",
    ".popsection",
    x = const offset_of!(Context, x),
    pc = const offset_of!(Context, pc),
    host = const offset_of!(Context, host),
    vmm_trap = sym vmm_trap,
);

unsafe extern "C" {
    fn enter_guest();
    fn guest_trap();
}

/// The address for `mtvec`.
pub(super) fn trap_vector() -> u64 {
    guest_trap as *const () as u64
}

/// Runs the guest until it traps.
#[inline(always)]
pub(super) fn enter(context: &mut Context) -> Trap {
    let (cause, value);
    // SAFETY: `enter_guest` keeps sp, s0 and s1 and declares the rest as
    // destroyed; gp and tp, which it destroys too, are unused by the VMM. The
    // guest runs in U-mode on shadow tables that map its own memory only.
    unsafe {
        asm!(
            "call {enter}",
            enter = sym enter_guest,
            inlateout("a0") core::ptr::from_mut(context) => cause,
            lateout("a1") value,
            lateout("s2") _, lateout("s3") _, lateout("s4") _, lateout("s5") _,
            lateout("s6") _, lateout("s7") _, lateout("s8") _, lateout("s9") _,
            lateout("s10") _, lateout("s11") _,
            clobber_abi("C"),
        );
    }
    Trap { cause, value }
}

extern "C" fn vmm_trap(cause: u64, pc: u64, value: u64) -> ! {
    panic!("the VMM trapped: mcause {cause:#x}, mepc {pc:#x}, mtval {value:#x}");
}
