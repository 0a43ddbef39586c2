//! Single loads, stores and instructions as snippets, to be tried in any mode
//! at any address.

use core::sync::atomic::{AtomicU16, Ordering};

use crate::context::{Context, Mode, Snippet};
use crate::trap::{Outcome, Trap};
use crate::{csr, snippet};

/// A memory access with its mnemonic: address in a0, operand in a1, result in a0.
#[derive(Clone, Copy)]
pub struct Access {
    /// The mnemonic.
    pub name: &'static str,
    /// The instruction.
    pub code: Snippet,
}

impl Access {
    /// Bytes that it accesses, from the mnemonic's last letter that tells.
    #[must_use]
    pub fn width(&self) -> u64 {
        match self.name.trim_end_matches('u').as_bytes().last() {
            Some(b'b') => 1,
            Some(b'h') => 2,
            Some(b'w') => 4,
            _ => 8,
        }
    }
}

macro_rules! accesses {
    ($table:ident: $doc:literal; $($name:ident = $text:literal),* $(,)?) => {
        $(snippet! {
            #[doc = concat!("`", $text, "`")]
            pub fn $name { $text }
        })*
        #[doc = $doc]
        pub const $table: &[Access] = &[$(Access { name: stringify!($name), code: $name }),*];
    };
}

accesses! {
    LOADS: "Integer loads.";
    lb = "lb a0, 0(a0)", lbu = "lbu a0, 0(a0)", lh = "lh a0, 0(a0)", lhu = "lhu a0, 0(a0)",
    lw = "lw a0, 0(a0)", lwu = "lwu a0, 0(a0)", ld = "ld a0, 0(a0)",
}

accesses! {
    STORES: "Integer stores.";
    sb = "sb a1, 0(a0)", sh = "sh a1, 0(a0)", sw = "sw a1, 0(a0)", sd = "sd a1, 0(a0)",
}

accesses! {
    AMOS: "Atomic memory operations.";
    amoswap_w = "amoswap.w a0, a1, (a0)", amoadd_w = "amoadd.w a0, a1, (a0)",
    amoxor_w = "amoxor.w a0, a1, (a0)", amoand_w = "amoand.w a0, a1, (a0)",
    amoor_w = "amoor.w a0, a1, (a0)", amomin_w = "amomin.w a0, a1, (a0)",
    amomax_w = "amomax.w a0, a1, (a0)", amominu_w = "amominu.w a0, a1, (a0)",
    amomaxu_w = "amomaxu.w a0, a1, (a0)",
    amoswap_d = "amoswap.d a0, a1, (a0)", amoadd_d = "amoadd.d a0, a1, (a0)",
    amoxor_d = "amoxor.d a0, a1, (a0)", amoand_d = "amoand.d a0, a1, (a0)",
    amoor_d = "amoor.d a0, a1, (a0)", amomin_d = "amomin.d a0, a1, (a0)",
    amomax_d = "amomax.d a0, a1, (a0)", amominu_d = "amominu.d a0, a1, (a0)",
    amomaxu_d = "amomaxu.d a0, a1, (a0)",
}

accesses! {
    RESERVED: "Load-reserved and store-conditional.";
    lr_w = "lr.w a0, (a0)", lr_d = "lr.d a0, (a0)",
    sc_w = "sc.w a0, a1, (a0)", sc_d = "sc.d a0, a1, (a0)",
}

accesses! {
    FLOATS: "Floating-point loads and stores (FS must be on).";
    flw = "flw fa0, 0(a0)", fld = "fld fa0, 0(a0)",
    fsw = "fsw fa0, 0(a0)", fsd = "fsd fa0, 0(a0)",
}

snippet! {
    /// Nothing but the final `ecall`: an instruction fetch.
    pub fn nothing {}
}

/// Tries an access in `mode`.
#[must_use]
pub fn try_access(mode: Mode, code: Snippet, address: u64, operand: u64) -> Outcome {
    Context::new(&[address, operand]).call(mode, code)
}

/// Tries `ld`.
#[must_use]
pub fn load(mode: Mode, address: u64) -> Outcome {
    try_access(mode, ld, address, 0)
}

/// Tries `sd`; an outcome that is a value means that the store was done.
#[must_use]
pub fn store(mode: Mode, address: u64, value: u64) -> Outcome {
    match try_access(mode, sd, address, value) {
        Outcome::Value(_) => Outcome::Value(value),
        trap @ Outcome::Trap(_) => trap,
    }
}

/// Tries to fetch and execute one instruction at a virtual address.
#[must_use]
pub fn fetch(mode: Mode, address: u64) -> Outcome {
    let mut context = Context::new(&[]);
    let trap = context.run_virtual(mode, address);
    context.outcome(trap)
}

/// A page of code that the probe writes itself.
#[repr(C, align(4096))]
struct Page([AtomicU16; 2048]);

static PAGE: Page = Page([const { AtomicU16::new(0) }; 2048]);

/// Instructions made at run time, in a page of their own. One hart only.
pub struct Code {
    at: usize,
}

impl Code {
    /// Code that starts `at` halfwords into the page.
    #[must_use]
    pub fn at(at: usize) -> Self {
        Self { at }
    }

    /// Appends a compressed instruction.
    #[must_use]
    pub fn half(mut self, parcel: u16) -> Self {
        PAGE.0[self.at].store(parcel, Ordering::Relaxed);
        self.at += 1;
        self
    }

    /// Appends an instruction word, at any even address.
    #[must_use]
    pub fn word(self, word: u32) -> Self {
        let [a, b, c, d] = word.to_le_bytes();
        self.half(u16::from_le_bytes([a, b])).half(u16::from_le_bytes([c, d]))
    }

    /// Appends the final `ecall` and makes the code visible to fetches.
    pub fn end(self) {
        let _ = self.word(crate::insn::ECALL);
        csr::fence_i();
    }

    /// Physical address of the page.
    #[must_use]
    pub fn page() -> u64 {
        &raw const PAGE as u64
    }
}

/// Executes one made-up instruction word in `mode`, then `ecall`.
pub fn execute(mode: Mode, context: &mut Context, word: u32) -> Trap {
    Code::at(0).word(word).end();
    context.run_at(mode, Code::page())
}

/// Executes one made-up instruction word with these in a0, a1, …; gives a0.
#[must_use]
pub fn try_word(mode: Mode, word: u32, args: &[u64]) -> Outcome {
    let mut context = Context::new(args);
    let trap = execute(mode, &mut context, word);
    context.outcome(trap)
}
