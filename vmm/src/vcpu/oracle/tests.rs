//! The comparisons: more than a million random states in each run.

use softcore_rv64::raw::ast;

use super::check_effects;
use super::model::{Model, code, csr_instruction, register};
use super::random::Random;
use crate::addr::Gpa;
use crate::vcpu::interrupts::STIP;
use crate::vcpu::testing::{Still, encode};
use crate::vcpu::{Cause, CsrId, Effects, Exception, Fence, Interrupt, Mode, Step, Vcpu};

/// Prints how to repeat the case, should it fail while this is alive.
struct Case<'a> {
    what: &'a str,
    seed: u64,
    before: &'a Vcpu,
}

impl Drop for Case<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}: seed {} from {:x?}", self.what, self.seed, self.before);
        }
    }
}

/// Our hart, the model, and the state that both are in.
struct Bench {
    hart: Vcpu,
    model: Model,
}

impl Bench {
    fn new() -> Self {
        Self { hart: Vcpu::new(0), model: Model::new() }
    }

    fn start(&mut self, random: &mut Random, pmp: bool) -> Still {
        let clocks = random.clocks();
        random.state(&mut self.hart, &clocks);
        if pmp {
            random.protect(&mut self.hart);
        }
        self.model.load(&self.hart, &clocks, pmp);
        clocks
    }

    /// Executes on both, takes our traps as the model takes its own.
    fn execute(&mut self, inst: u32, instruction: ast, clocks: &Still) -> Step {
        let before = self.hart.clone();
        let step = self.hart.execute(inst, clocks);
        match step {
            Step::Done(effects) => check_effects(&before, &self.hart, effects),
            Step::Fence(_) | Step::Wait => check_effects(&before, &self.hart, Effects::empty()),
            Step::Trap(exception) => {
                assert_eq!(before, self.hart, "an illegal instruction changed something");
                let effects = self.hart.inject(exception);
                check_effects(&before, &self.hart, effects);
            }
        }
        let trap = self.model.execute(instruction);
        assert_eq!(trap.trapped(), matches!(step, Step::Trap(_)), "trapped");
        step
    }
}

/// Numbers of all CSRs that there are, and some that there are not.
fn numbers() -> Vec<u32> {
    let known = (0..4096).filter(|&n| CsrId::of(n) != CsrId::Unknown).map(u32::from);
    let absent = [0x000, 0x015, 0x10b, 0x145, 0x200, 0x310, 0x3a1, 0x3a3, 0x600, 0x747, 0x7b0];
    known.chain(absent).chain([0xb01, 0xb80, 0xc80, 0xda0, 0xf10, 0xf16, 0xfff]).collect()
}

/// Whether the model has this CSR otherwise than we, as both may.
fn differs(number: u32) -> bool {
    // The model has sixteen PMP entries and no more registers; ours go on to
    // the sixty-fourth, and read zero.
    let pmp_above = matches!(number, 0x3a4..=0x3af | 0x3c0..=0x3ef);
    // It has the debug trigger `tselect`; we have no triggers.
    pmp_above || number == 0x7a0
}

#[test]
fn csr_instructions() {
    let numbers = numbers();
    let mut bench = Bench::new();
    for seed in 0..700_000 {
        let mut random = Random::new(seed);
        let number = match random.below(32) {
            0 => random.below(4096),
            1..8 => random.pick(&[0x100, 0x104, 0x144, 0x300, 0x303, 0x304, 0x344, 0x14d]),
            _ => random.pick(&numbers),
        };
        if differs(number) {
            continue;
        }
        let is_pmp = matches!(number, 0x3a0..0x3f0);
        let clocks = bench.start(&mut random, is_pmp);
        let funct3 = random.pick(&[1, 2, 3, 5, 6, 7]);
        let (source, rd) = (random.below(32), random.below(32));
        let inst = encode(number, funct3, source, rd);
        let before = bench.hart.clone();
        let _case = Case { what: "csr", seed, before: &before };
        if matches!(number, 1..=3) && bench.hart.csr.fp_enabled() {
            // FP registers live in the real hart, which does this natively.
            let step = bench.hart.execute(inst, &clocks);
            assert_eq!((step, &bench.hart), (Step::Done(Effects::FP), &before));
            continue;
        }
        let instruction = csr_instruction(number, funct3, source, rd);
        let _ = bench.execute(inst, instruction, &clocks);
        bench.model.normalise();
        // The model's STIP follows `stimecmp` at its next clock tick; ours at
        // once. That it does is tested beside the CSR file.
        let ignore = if matches!(number, 0x14d | 0x30a) { STIP } else { 0 };
        bench.model.compare(&bench.hart, &clocks, is_pmp, ignore);
    }
}

#[test]
fn privileged_instructions() {
    let mut bench = Bench::new();
    for seed in 0..200_000 {
        let mut random = Random::new(seed);
        let clocks = bench.start(&mut random, false);
        let (rs1, rs2) = (random.below(32), random.below(32));
        let (rs1, rs2) = (rs1 * random.below(2), rs2 * random.below(2));
        let fence = 0x1200_0073 | rs2 << 20 | rs1 << 15;
        let operands = (register(rs1), register(rs2));
        let (inst, instruction) = match random.below(4) {
            0 => (0x3020_0073, ast::MRET(())),
            1 => (0x1020_0073, ast::SRET(())),
            2 => (0x1050_0073, ast::WFI(())),
            _ => (fence, ast::SFENCE_VMA(operands)),
        };
        let before = bench.hart.clone();
        let _case = Case { what: "privileged", seed, before: &before };
        let step = bench.execute(inst, instruction, &clocks);
        bench.model.compare(&bench.hart, &clocks, false, 0);
        match step {
            Step::Fence(Fence { vaddr, asid }) => {
                let (x, y) = (before.ctx.x[rs1 as usize], before.ctx.x[rs2 as usize]);
                assert_eq!(vaddr.map(|a| a.0), (rs1 != 0).then_some(x));
                assert_eq!(asid, (rs2 != 0).then_some(u16::try_from(y & 0xffff).unwrap()));
            }
            Step::Wait => assert_eq!(inst, 0x1050_0073),
            Step::Done(_) | Step::Trap(_) => {}
        }
    }
}

#[test]
fn exceptions() {
    let mut bench = Bench::new();
    for seed in 0..150_000 {
        let mut random = Random::new(seed);
        let clocks = bench.start(&mut random, false);
        let exception = Exception { cause: random.pick(&Cause::ALL), tval: random.value() };
        let before = bench.hart.clone();
        let _case = Case { what: "exception", seed, before: &before };
        let effects = bench.hart.inject(exception);
        check_effects(&before, &bench.hart, effects);
        bench.model.inject(exception);
        bench.model.compare(&bench.hart, &clocks, false, 0);
    }
}

#[test]
fn interrupts() {
    let mut bench = Bench::new();
    for seed in 0..200_000 {
        let mut random = Random::new(seed);
        let clocks = bench.start(&mut random, false);
        let before = bench.hart.clone();
        let _case = Case { what: "interrupt", seed, before: &before };
        let pending = bench.hart.pending_interrupt();
        assert_eq!(code(pending), bench.model.pending());
        let Some(interrupt) = pending else { continue };
        assert!(bench.hart.wakes());
        let effects = bench.hart.take_interrupt(interrupt);
        check_effects(&before, &bench.hart, effects);
        bench.model.dispatch_interrupt();
        bench.model.compare(&bench.hart, &clocks, false, 0);
    }
}

/// The lines, unlike what software wrote, are the model's where it has them:
/// with the external line of vS up, delivery is as if software had set SEIP.
#[test]
fn the_external_line_delivers_like_the_bit() {
    let seip = Interrupt::SupervisorExternal.bit();
    let mut bench = Bench::new();
    for seed in 0..50_000 {
        let mut random = Random::new(seed);
        let clocks = random.clocks();
        random.state(&mut bench.hart, &clocks);
        bench.hart.set_lines(bench.hart.csr.lines() | seip);
        bench.model.load(&bench.hart, &clocks, false);
        assert_eq!(code(bench.hart.pending_interrupt()), bench.model.pending(), "seed {seed}");
    }
}

/// Every encoding that is no instruction of the model is none of ours.
#[test]
fn unknown_encodings() {
    let mut bench = Bench::new();
    for seed in 0..40_000 {
        let mut random = Random::new(seed);
        let clocks = random.clocks();
        let known = random.pick(&[0x3020_0073, 0x1020_0073, 0x1050_0073, 0x1200_0073, 0x1600_0073]);
        let noise = random.word() & random.word() & random.word() & !0x7f;
        let funct3 = if random.one_in(2) { 0 } else { 0x4000 };
        let inst = ((known ^ noise) & !0x7000) | funct3;
        bench.hart.mode = Mode::Machine;
        let illegal = bench.hart.execute(inst, &clocks) == Step::Trap(Exception::illegal(inst));
        // `ecall` and `ebreak` trap by themselves, and never as illegal.
        let is_call = inst == 0x73 || inst == 0x0010_0073;
        assert_eq!(!illegal, bench.model.decodes(inst) && !is_call, "{inst:#010x}");
    }
}

#[test]
fn protection() {
    let mut bench = Bench::new();
    for seed in 0..30_000 {
        let mut random = Random::new(seed);
        let _ = bench.start(&mut random, true);
        // With a grain, the low bits of pmpaddr "do not affect the TOR
        // address-matching logic" (3.7.1). The model lets those of a NAPOT
        // entry take part where it is the bottom of the next entry.
        let config = &bench.hart.csr.pmp.config;
        if config.windows(2).any(|two| two[0] & 0x18 == 0x18 && two[1] & 0x18 == 0x08) {
            continue;
        }
        for _ in 0..4 {
            let (address, mode) = (random.address(), random.mode());
            let ours = bench.hart.csr.pmp.permission(Gpa(address), 8, mode).map(|p| p.bits());
            let model = bench.model.permission(address, mode);
            assert_eq!(ours, Some(model), "seed {seed}: {address:#x} from {mode:?}");
        }
    }
}

/// No instruction word and no state does any harm.
#[test]
fn any_word_in_any_state() {
    let mut hart = Vcpu::new(0);
    for seed in 0..200_000 {
        let mut random = Random::new(seed);
        let clocks = random.clocks();
        random.state(&mut hart, &clocks);
        let before = hart.clone();
        let _case = Case { what: "word", seed, before: &before };
        let inst = if random.one_in(8) { random.word() } else { random.word() & !0x7f | 0x73 };
        match hart.execute(inst, &clocks) {
            Step::Done(effects) => {
                check_effects(&before, &hart, effects);
                assert_eq!(hart.ctx.x[0], 0);
            }
            Step::Fence(_) | Step::Wait => check_effects(&before, &hart, Effects::empty()),
            Step::Trap(exception) => {
                assert_eq!((exception, &hart), (Exception::illegal(inst), &before));
            }
        }
    }
}
