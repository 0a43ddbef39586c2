//! Running code in another mode as if it were a function call:
//! `context.run(mode, snippet)` returns the [`Trap`] that ended it.
//!
//! The catcher is M-mode, or S-mode for probes above a firmware. The trap
//! vector has one 4-byte slot per interrupt, so it serves direct and vectored
//! mode alike. A trap delegated to S lands in a table of `ecall`s, which
//! bring it here with all registers untouched.
//!
//! Invariant **scratch-points**: `mscratch` (`sscratch`) holds the running
//! context while a snippet runs, and 0 while the probe itself runs; a trap
//! with 0 there is a bug of the probe and ends it.

use core::arch::naked_asm;
use core::mem::offset_of;

use crate::csr::{self, MCAUSE, MEPC, MSTATUS, MTVAL, SATP, SCAUSE, SEPC, SSTATUS, STVAL, STVEC};
use crate::paging::USER_WINDOW;
use crate::trap::{Outcome, Trap};
use crate::{boot, dev};

/// A privilege mode, as encoded in `mstatus.MPP`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// User.
    U = 0,
    /// Supervisor.
    S = 1,
    /// Machine.
    M = 3,
}

impl Mode {
    /// The mode's letter.
    #[must_use]
    pub fn letter(self) -> char {
        match self {
            Mode::U => 'U',
            Mode::S => 'S',
            Mode::M => 'M',
        }
    }
}

/// Code that is written for [`Context::run`], made by [`crate::snippet!`].
pub type Snippet = extern "C" fn();

/// Registers of a snippet, and of the probe while the snippet runs.
#[repr(C)]
#[derive(Clone, Default)]
pub struct Context {
    /// x0 to x31; x0 is ignored.
    pub x: [u64; 32],
    pc: u64,
    slot: u64,
    probe: [u64; 16],
    /// Start M-mode snippets with `mstatus.MIE` (`MPIE` in general) set.
    pub interrupts: bool,
    /// The snippet's own handler of traps delegated to S, instead of the stubs.
    pub stvec: Option<u64>,
}

/// a0, as an index of [`Context::x`].
pub const A0: usize = 10;
/// a1, as an index of [`Context::x`].
pub const A1: usize = 11;
/// a2, as an index of [`Context::x`].
pub const A2: usize = 12;
/// a3, as an index of [`Context::x`].
pub const A3: usize = 13;

impl Context {
    /// Registers 0, but for the arguments in a0, a1, …
    #[must_use]
    pub fn new(args: &[u64]) -> Self {
        let mut context = Self::default();
        for (x, arg) in context.x[A0..].iter_mut().zip(args) {
            *x = *arg;
        }
        context
    }

    /// Runs `snippet` in `mode` until a trap comes back to the catcher.
    pub fn run(&mut self, mode: Mode, snippet: Snippet) -> Trap {
        self.run_at(mode, snippet as *const () as u64)
    }

    /// Runs the code at a physical address, in `mode`. With paging on, U-mode
    /// sees it through [`USER_WINDOW`].
    pub fn run_at(&mut self, mode: Mode, address: u64) -> Trap {
        let window = mode == Mode::U && csr::read::<SATP>() != 0;
        self.run_virtual(mode, if window { address + USER_WINDOW } else { address })
    }

    /// Runs the code at an address of the snippet's own address space.
    pub fn run_virtual(&mut self, mode: Mode, address: u64) -> Trap {
        self.pc = address;
        let trap =
            if boot::in_s_mode() { self.enter_from_s(mode) } else { self.enter_from_m(mode) };
        trap.relative_to(address)
    }

    /// Runs on from where the last trap was taken.
    pub fn resume(&mut self, mode: Mode) -> Trap {
        let from = self.pc;
        self.run_virtual(mode, from)
    }

    /// Where the last trap was taken (`mepc`).
    #[must_use]
    pub fn pc(&self) -> u64 {
        self.pc
    }

    /// Runs `snippet` and takes its a0 as result, if it came to its end.
    pub fn call(&mut self, mode: Mode, snippet: Snippet) -> Outcome {
        let trap = self.run(mode, snippet);
        self.outcome(trap)
    }

    /// a0, or the trap if it was not the snippet's final `ecall`.
    #[must_use]
    pub fn outcome(&self, trap: Trap) -> Outcome {
        if trap.is_ecall() { Outcome::Value(self.x[A0]) } else { Outcome::Trap(trap) }
    }

    fn enter_from_m(&mut self, mode: Mode) -> Trap {
        let status = csr::read::<MSTATUS>() & !(csr::MPP | csr::MPIE);
        let enabled = if self.interrupts { csr::MPIE } else { 0 };
        if !boot::in_s_mode() {
            let stubs = csr::read::<STVEC>() & 1 | stubs_s as *const () as u64;
            csr::write::<STVEC>(self.stvec.unwrap_or(stubs));
        }
        csr::write::<MSTATUS>(status | (mode as u64) << csr::MPP_SHIFT | enabled);
        // SAFETY: `self` is a live context; the vector returns here with the
        // registers that the ABI preserves. What the snippet does to memory
        // is confined to frames and devices by those who write snippets.
        unsafe { enter_m(self) };
        self.caught_by_m()
    }

    fn caught_by_m(&self) -> Trap {
        let cause = csr::read::<MCAUSE>();
        let stub = self.pc.wrapping_sub(stubs_s as *const () as u64);
        if cause == 9 && stub < 64 {
            return caught_by_s(stub / 4);
        }
        Trap {
            to: Mode::M,
            cause,
            tval: csr::read::<MTVAL>(),
            pc: csr::read::<MEPC>(),
            slot: self.slot,
            status: csr::read::<MSTATUS>(),
        }
    }

    fn enter_from_s(&mut self, mode: Mode) -> Trap {
        let status = csr::read::<SSTATUS>() & !(csr::SPP | csr::SPIE);
        let enabled = if self.interrupts { csr::SPIE } else { 0 };
        let spp = if mode == Mode::U { 0 } else { csr::SPP };
        csr::write::<SSTATUS>(status | spp | enabled);
        // SAFETY: as in `enter_from_m`.
        unsafe { enter_s(self) };
        caught_by_s(self.slot)
    }
}

/// What S-mode's trap CSRs say.
fn caught_by_s(slot: u64) -> Trap {
    Trap {
        to: Mode::S,
        cause: csr::read::<SCAUSE>(),
        tval: csr::read::<STVAL>(),
        pc: csr::read::<SEPC>(),
        slot,
        status: csr::read::<SSTATUS>(),
    }
}

/// Where traps delegated to S land: sixteen `ecall`s, back to M.
#[unsafe(naked)]
pub extern "C" fn stubs_s() {
    naked_asm!(
        ".option push",
        ".option norvc",
        ".balign 256",
        ".rept 16",
        "ecall",
        ".endr",
        ".option pop"
    )
}

/// The probe trapped outside a snippet: says so and gives up.
extern "C" fn lost(cause: u64, pc: u64, tval: u64) -> ! {
    dev::uart::print(format_args!("lost: trap {cause:#x} at {pc:#x}, tval {tval:#x}\n"));
    dev::finisher::fail(102)
}

/// The world switch of one catching mode: `$enter` saves the probe and starts
/// the snippet, `$vector` saves the snippet and returns from `$enter`.
macro_rules! world_switch {
    ($enter:ident, $vector:ident, $mode:literal) => {
        /// Starts the context; returns when it traps to this mode.
        #[unsafe(naked)]
        unsafe extern "C" fn $enter(context: &mut Context) {
            naked_asm!(
                "sd ra, {probe}(a0)",
                "sd sp, {probe}+8(a0)",
                "sd gp, {probe}+16(a0)",
                "sd tp, {probe}+24(a0)",
                ".irp r,0,1,2,3,4,5,6,7,8,9,10,11",
                "sd s\\r, {probe}+32+8*\\r(a0)",
                ".endr",
                concat!("csrw ", $mode, "scratch, a0"),
                "ld t0, {pc}(a0)",
                concat!("csrw ", $mode, "epc, t0"),
                ".irp r,1,2,3,4,5,6,7,8,9,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
                "ld x\\r, 8*\\r(a0)",
                ".endr",
                "ld a0, 80(a0)",
                concat!($mode, "ret"),
                probe = const offset_of!(Context, probe),
                pc = const offset_of!(Context, pc),
            )
        }

        /// The trap vector: sixteen slots, direct or vectored.
        #[unsafe(naked)]
        pub extern "C" fn $vector() {
            naked_asm!(
                ".option push",
                ".option norvc",
                ".balign 256",
                ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
                "j 1\\n\\()1f",
                ".endr",
                ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
                "1\\n\\()1:",
                concat!("csrrw a0, ", $mode, "scratch, a0"),
                "beqz a0, 9999f",
                "sd t0, 40(a0)",
                "li t0, \\n",
                "j 8888f",
                ".endr",
                "8888: sd t0, {slot}(a0)",
                ".irp r,1,2,3,4,6,7,8,9,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
                "sd x\\r, 8*\\r(a0)",
                ".endr",
                concat!("csrr t0, ", $mode, "scratch"),
                "sd t0, 80(a0)",
                concat!("csrr t0, ", $mode, "epc"),
                "sd t0, {pc}(a0)",
                concat!("csrw ", $mode, "scratch, zero"),
                "ld ra, {probe}(a0)",
                "ld sp, {probe}+8(a0)",
                "ld gp, {probe}+16(a0)",
                "ld tp, {probe}+24(a0)",
                ".irp r,0,1,2,3,4,5,6,7,8,9,10,11",
                "ld s\\r, {probe}+32+8*\\r(a0)",
                ".endr",
                "ret",
                concat!("9999: csrr a0, ", $mode, "cause"),
                concat!("csrr a1, ", $mode, "epc"),
                concat!("csrr a2, ", $mode, "tval"),
                concat!("csrw ", $mode, "scratch, zero"),
                "j {lost}",
                ".option pop",
                probe = const offset_of!(Context, probe),
                pc = const offset_of!(Context, pc),
                slot = const offset_of!(Context, slot),
                lost = sym lost,
            )
        }
    };
}

world_switch!(enter_m, vector_m, "m");
world_switch!(enter_s, vector_s, "s");

const _: () = assert!(offset_of!(Context, x) == 0);
