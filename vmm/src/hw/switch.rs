//! The world switch.
//!
//! The guest is a function call: `enter` loads the guest's registers, `mret`s
//! into U-mode, and comes back with the trap that ended the guest's turn.
//!
//! Nearly all traps of a deprivileged kernel are CSR accesses, `sret`,
//! `ecall` and page faults, and need few of its registers. What `plain` has
//! not done by itself comes here. For exceptions the trap entry saves only
//! what a function may destroy, and asks `machine::short` first; it goes back
//! to the guest at once when that has done all.
//!
//! Invariant **mscratch**: it holds the address of the vCPU's [`Context`]
//! while the guest runs, and zero while the VMM runs. A trap that finds zero
//! was caused by the VMM itself. `plain` swaps it with the guest's a0, and it
//! is zeroed here, before Rust is called.

use core::arch::{asm, global_asm};
use core::mem::offset_of;

use super::hart::RealHart;
use crate::addr::to_usize;
use crate::machine::{self, Seat, Short, Trap};
use crate::vcpu::plain::NOBODY;
use crate::vcpu::{Cause, Context, Kept};

global_asm!(
    ".pushsection .text.switch, \"ax\"",
    // Registers that a function may destroy, but a0, and t0 to t2, which
    // `plain` saves; and all the others.
    ".macro each_further op",
    ".irp n, 1,11,12,13,14,15,16,17,28,29,30,31",
    "\\op x\\n, {x}+8*\\n(a0)",
    ".endr",
    ".endm",
    ".macro each_saved op",
    ".irp n, 3,4,8,9,18,19,20,21,22,23,24,25,26,27",
    "\\op x\\n, {x}+8*\\n(a0)",
    ".endr",
    ".endm",
    // a0 = &mut Context. Destroys every register but sp, s0 and s1.
    ".global enter_guest",
    "enter_guest:",
    "sd sp, {kept}+0(a0)",
    "sd ra, {kept}+8(a0)",
    "sd s0, {kept}+16(a0)",
    "sd s1, {kept}+24(a0)",
    "each_saved ld",
    "3: ld t0, {pc}(a0)",
    "csrw mepc, t0",
    "csrw mscratch, a0",
    "each_further ld",
    "ld t0, {x}+8*5(a0)",
    "ld t1, {x}+8*6(a0)",
    "ld t2, {x}+8*7(a0)",
    "ld sp, {x}+8*2(a0)",
    "ld a0, {x}+8*10(a0)",
    "mret",
    // From `plain`: a0 = &mut Context, which has t0 to t2; the guest's a0 is
    // in mscratch. Returns a0 = mcause, a1 = mtval to enter's caller.
    ".global other_trap",
    "other_trap:",
    "each_further sd",
    "sd sp, {x}+8*2(a0)",
    "ld sp, {kept}+0(a0)",
    "csrrw t0, mscratch, zero",
    "sd t0, {x}+8*10(a0)",
    "csrr t0, mepc",
    "sd t0, {pc}(a0)",
    "csrr a1, mcause",
    // Interrupts, with bit 63 set, need the loop.
    "bltz a1, 8f",
    "csrr a2, mtval",
    "li t1, {illegal}",
    "bne a1, t1, 6f",
    // Does the instruction name temporaries only? Bit 14 says that there is
    // an immediate in the place of rs1.
    "li t1, {true_registers}",
    "srli t2, a2, 7",
    "srli t3, a2, 15",
    "srli t4, a2, 14",
    "srlw t2, t1, t2",
    "srlw t3, t1, t3",
    "or t3, t3, t4",
    "and t2, t2, t3",
    "andi t2, t2, 1",
    "beqz t2, 8f",
    "call {instruction}",
    // a0 = &mut Context, a1 = Short.
    "beqz a1, 3b",
    "j 7f",
    "6: call {exception}",
    "beqz a1, 3b",
    "7: mv t0, a1",
    "j 4f",
    "8: li t0, {unhandled}",
    "4: each_saved sd",
    "ld ra, {kept}+8(a0)",
    "ld s0, {kept}+16(a0)",
    "ld s1, {kept}+24(a0)",
    "csrr a1, mtval",
    "csrr a0, mcause",
    "li t1, {unhandled}",
    "beq t0, t1, 5f",
    "li a0, {handled}",
    "li a1, 0",
    "5: ret",
    // The VMM trapped: a fresh stack, since the old one may be the reason.
    ".global vmm_trapped",
    "vmm_trapped:",
    "la sp, __stacks_end",
    "csrr a0, mcause",
    "csrr a1, mepc",
    "csrr a2, mtval",
    "j {vmm_trap}",
    ".popsection",
    x = const offset_of!(Context, x),
    pc = const offset_of!(Context, pc),
    kept = const offset_of!(Context, kept),
    illegal = const Cause::Illegal as u64,
    unhandled = const Short::Unhandled as u64,
    handled = const Trap::HANDLED.cause.cast_signed(),
    true_registers = const TRUE_REGISTERS.cast_signed(),
    instruction = sym instruction,
    exception = sym exception,
    vmm_trap = sym vmm_trap,
);

/// Registers of `Context::x` that are true during the short path: those a
/// function may destroy, and x0.
const TRUE_REGISTERS: u32 = {
    let temporaries = [0, 1, 5, 6, 7, 10, 11, 12, 13, 14, 15, 16, 17, 28, 29, 30, 31];
    let (mut mask, mut n) = (0, 0);
    while n < temporaries.len() {
        mask |= 1 << temporaries[n];
        n += 1;
    }
    mask
};
const _: () = assert!(Short::Resume as u64 == 0);

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
pub(super) fn enter(hart: &mut RealHart, seat: &mut Seat) -> Trap {
    let (cause, value);
    let seat = core::ptr::from_mut(seat);
    // SAFETY: `seat` was a reference just now.
    let (plain, cpu) = unsafe { ((*seat).plain_mode(), core::ptr::from_mut((*seat).vcpu())) };
    // SAFETY: and so was this; the context is at its start.
    let kept = unsafe { &mut (*cpu).ctx.kept };
    kept.hart = core::ptr::from_mut(hart).expose_provenance() as u64;
    kept.plain = plain.map_or(NOBODY, |mode| mode as u8);
    if kept.seat != seat.expose_provenance() as u64 {
        // A virtual hart that has never run.
        // SAFETY: as above.
        unsafe { introduce(kept, seat) };
    }
    // SAFETY: `enter_guest` keeps sp, s0 and s1 and declares the rest as
    // destroyed; gp and tp, which it destroys too, are unused by the VMM. The
    // guest runs in U-mode on shadow tables that map its own memory only.
    unsafe {
        asm!(
            "call {enter}",
            enter = sym enter_guest,
            inlateout("a0") cpu => cause,
            lateout("a1") value,
            lateout("s2") _, lateout("s3") _, lateout("s4") _, lateout("s5") _,
            lateout("s6") _, lateout("s7") _, lateout("s8") _, lateout("s9") _,
            lateout("s10") _, lateout("s11") _,
            clobber_abi("C"),
        );
    }
    Trap { cause, value }
}

/// Keeps where all is that belongs to this seat.
///
/// # Safety
/// `seat` must be valid.
#[cold]
unsafe fn introduce(kept: &mut Kept, seat: *mut Seat) {
    // SAFETY: the caller's promise.
    let (stats, fence_work) = unsafe { ((*seat).stats(), (*seat).fence_work()) };
    kept.seat = seat.expose_provenance() as u64;
    kept.counters = stats.counters().expose_provenance() as u64;
    kept.fence_work = core::ptr::from_ref(fence_work).expose_provenance() as u64;
}

/// What `short` returns in a0 and a1.
#[repr(C)]
struct ShortReturn {
    context: *mut Context,
    short: u64,
}

/// The trap entry's call for illegal instructions.
extern "C" fn instruction(context: *mut Context, _: u64, value: u64) -> ShortReturn {
    // SAFETY: the trap entry passes the context that `enter` gave it.
    let (hart, seat) = unsafe { borrowed(context) };
    let short = machine::short_instruction(hart, seat, value);
    ShortReturn { context, short: short as u64 }
}

/// The trap entry's call for all other exceptions.
extern "C" fn exception(context: *mut Context, cause: u64, value: u64) -> ShortReturn {
    // SAFETY: as in `instruction`.
    let (hart, seat) = unsafe { borrowed(context) };
    let short = machine::short_exception(hart, seat, Trap { cause, value });
    ShortReturn { context, short: short as u64 }
}

/// The hart and seat that `enter` has borrowed for as long as the guest runs.
///
/// # Safety
/// `context` must be the one that `enter` passed to the guest that trapped,
/// and the references must be gone before the trap entry goes on.
#[inline(always)]
unsafe fn borrowed<'a>(context: *mut Context) -> (&'a mut RealHart, &'a mut Seat) {
    // SAFETY: the caller's promise; nobody else uses the two meanwhile.
    unsafe {
        let kept = &(*context).kept;
        let hart = core::ptr::with_exposed_provenance_mut::<RealHart>(to_usize(kept.hart));
        let seat = core::ptr::with_exposed_provenance_mut::<Seat>(to_usize(kept.seat));
        (&mut *hart, &mut *seat)
    }
}

extern "C" fn vmm_trap(cause: u64, pc: u64, value: u64) -> ! {
    panic!("the VMM trapped: mcause {cause:#x}, mepc {pc:#x}, mtval {value:#x}");
}
