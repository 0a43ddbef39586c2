//! What the tests of the virtual hart share: a machine that stands still,
//! instruction encodings, and steps that must succeed.

use super::{Effects, Env, Exception, Step, Vcpu};

/// Clocks that stand, and an FP unit that may have been used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Still {
    pub(super) time: u64,
    pub(super) cycle: u64,
    pub(super) instret: u64,
    pub(super) fp_dirty: bool,
}

/// All clocks zero, and no FP unit in use.
pub(super) const IDLE: Still = Still { time: 0, cycle: 0, instret: 0, fp_dirty: false };

impl Env for Still {
    fn time(&self) -> u64 {
        self.time
    }

    fn cycle(&self) -> u64 {
        self.cycle
    }

    fn instret(&self) -> u64 {
        self.instret
    }

    fn fp_dirty(&self) -> bool {
        self.fp_dirty
    }
}

/// Operations of CSR instructions: values of funct3.
pub(super) const WRITE: u32 = 1;
pub(super) const SET: u32 = 2;
pub(super) const CLEAR: u32 = 3;
pub(super) const IMMEDIATE: u32 = 4;

/// A CSR instruction from its fields.
pub(super) const fn encode(csr: u32, funct3: u32, source: u32, rd: u32) -> u32 {
    csr << 20 | source << 15 | funct3 << 12 | rd << 7 | 0x73
}

/// x10 and x11 are operand and result of the instructions below.
const OPERAND: u32 = 10;
const RESULT: u32 = 11;

/// Executes, which must succeed, and returns the effects.
#[track_caller]
pub(super) fn done(hart: &mut Vcpu, inst: u32, env: &Still) -> Effects {
    match hart.execute(inst, env) {
        Step::Done(effects) => effects,
        other => panic!("{inst:#010x}: {other:?}"),
    }
}

/// Executes, which must be illegal and change nothing.
#[track_caller]
pub(super) fn illegal(hart: &mut Vcpu, inst: u32) {
    let before = hart.clone();
    let step = hart.execute(inst, &IDLE);
    assert_eq!(step, Step::Trap(Exception::illegal(inst)), "{inst:#010x}");
    assert_eq!(*hart, before);
}

/// `csrr`
#[track_caller]
pub(super) fn read(hart: &mut Vcpu, csr: u32, env: &Still) -> u64 {
    let _ = done(hart, encode(csr, SET, 0, RESULT), env);
    hart.ctx.x[RESULT as usize]
}

/// One of `csrrw`, `csrrs`, `csrrc` with this operand: old value and effects.
#[track_caller]
pub(super) fn modify(
    hart: &mut Vcpu,
    csr: u32,
    op: u32,
    operand: u64,
    env: &Still,
) -> (u64, Effects) {
    hart.ctx.x[OPERAND as usize] = operand;
    let effects = done(hart, encode(csr, op, OPERAND, RESULT), env);
    (hart.ctx.x[RESULT as usize], effects)
}

/// `csrw`, without a read.
#[track_caller]
pub(super) fn write(hart: &mut Vcpu, csr: u32, value: u64, env: &Still) -> Effects {
    hart.ctx.x[OPERAND as usize] = value;
    done(hart, encode(csr, WRITE, OPERAND, 0), env)
}
