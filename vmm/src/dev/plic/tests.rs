//! The PLIC by its specification, and against a plain model of it.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const PENDING_0: u64 = PENDING;

fn threshold(context: u64) -> u64 {
    CONTEXT + CONTEXT_STRIDE * context
}

fn claim(context: u64) -> u64 {
    threshold(context) + 4
}

fn enabled(context: u64, word: u64) -> u64 {
    ENABLE + ENABLE_STRIDE * context + 4 * word
}

fn get(plic: &mut Plic, offset: u64) -> u64 {
    plic.read(offset, Width::Word).unwrap()
}

fn set(plic: &mut Plic, offset: u64, value: u64) {
    plic.write(offset, Width::Word, value).unwrap();
}

/// Two contexts; sources 1 to 31 have priority 1 and are enabled in context 1.
fn ready() -> Plic {
    let mut plic = Plic::new(2);
    (1..32).for_each(|source| set(&mut plic, 4 * source, 1));
    set(&mut plic, enabled(1, 0), !0);
    plic
}

#[test]
fn registers_keep_their_bits() {
    let mut plic = Plic::new(2);
    for offset in (0..0x1000).step_by(4) {
        set(&mut plic, offset, 0xfffd);
        let exists = (4..=4 * 95).contains(&offset);
        assert_eq!(get(&mut plic, offset), if exists { 5 } else { 0 });
    }
    for (context, word, kept) in [
        (0, 0, 0xffff_fffe),
        (0, 1, 0xffff_ffff),
        (1, 2, 0xffff_ffff),
        (1, 3, 0),
        (1, 31, 0),
        (2, 0, 0),
    ] {
        set(&mut plic, enabled(context, word), !0);
        assert_eq!(get(&mut plic, enabled(context, word)), kept);
    }
    for (context, kept) in [(0, 7), (1, 7), (2, 0), (0x3ff, 0)] {
        set(&mut plic, threshold(context), 15);
        assert_eq!(get(&mut plic, threshold(context)), kept);
    }
    set(&mut plic, PENDING_0, !0);
    set(&mut plic, threshold(0) + 8, !0);
    assert_eq!([get(&mut plic, PENDING_0), get(&mut plic, threshold(0) + 8)], [0, 0]);
}

#[test]
fn only_words() {
    let mut plic = ready();
    for width in [Width::Byte, Width::Half, Width::Double] {
        assert_eq!(plic.read(claim(0), width), Err(AccessFault));
        assert_eq!(plic.write(8, width, 1), Err(AccessFault));
    }
    assert_eq!(plic.read(2, Width::Word), Err(AccessFault));
    assert_eq!(plic.read(u64::MAX - 3, Width::Word), Ok(0));
    assert_eq!(plic.write(u64::MAX - 3, Width::Word, 9), Ok(None));
}

#[test]
fn a_request_is_claimed_once() {
    let mut plic = ready();
    plic.raise(10);
    assert_eq!((plic.pending(0), plic.pending(1), plic.changed()), (false, true, 2));
    assert_eq!(get(&mut plic, PENDING_0), 1 << 10);
    assert_eq!([get(&mut plic, claim(0)), get(&mut plic, claim(1))], [0, 10]);
    assert_eq!((plic.pending(1), plic.changed()), (false, 2));
    assert_eq!([get(&mut plic, PENDING_0), get(&mut plic, claim(1))], [0, 0]);
    set(&mut plic, claim(1), 10);
    assert_eq!((plic.pending(1), plic.changed()), (false, 0));
}

#[test]
fn a_request_while_in_service_comes_at_completion() {
    let mut plic = ready();
    plic.raise(10);
    assert_eq!(get(&mut plic, claim(1)), 10);
    plic.raise(10);
    assert_eq!((plic.pending(1), get(&mut plic, PENDING_0)), (false, 1 << 10));
    set(&mut plic, claim(1), 10);
    assert!(plic.pending(1));
    assert_eq!(get(&mut plic, claim(1)), 10);
    set(&mut plic, claim(1), 10);
    assert!(!plic.pending(1));
}

#[test]
fn priority_then_number_decides() {
    let mut plic = ready();
    set(&mut plic, 4 * 9, 2);
    (1..12).for_each(|irq| plic.raise(irq));
    let order: Vec<_> = (0..4).map(|_| get(&mut plic, claim(1))).collect();
    assert_eq!(order, [9, 1, 2, 3]);
    set(&mut plic, 4 * 11, 7);
    assert_eq!(get(&mut plic, claim(1)), 11);
}

#[test]
fn thresholds_and_priority_zero_mask() {
    let mut plic = ready();
    set(&mut plic, threshold(1), 1);
    plic.raise(3);
    assert_eq!((plic.pending(1), get(&mut plic, claim(1))), (false, 0));
    set(&mut plic, 4 * 3, 2);
    assert!(plic.pending(1));
    set(&mut plic, threshold(1), 0);
    set(&mut plic, 4 * 3, 0);
    assert_eq!((plic.pending(1), get(&mut plic, claim(1))), (false, 0));
}

#[test]
fn completion_needs_no_enable() {
    let mut plic = ready();
    plic.raise(10);
    assert_eq!(get(&mut plic, claim(1)), 10);
    set(&mut plic, enabled(1, 0), 0);
    set(&mut plic, claim(1), 10);
    set(&mut plic, enabled(1, 0), !0);
    plic.raise(10);
    assert_eq!(get(&mut plic, claim(1)), 10);
    for number in [0, 96, 0xffff_ffff, 11] {
        set(&mut plic, claim(1), number);
        assert!(!plic.pending(1));
    }
}

#[test]
fn sources_that_do_not_exist_are_ignored() {
    let mut plic = ready();
    [0, 96, 127, 128, 266, u32::MAX].iter().for_each(|irq| plic.raise(*irq));
    assert_eq!((plic.changed(), get(&mut plic, PENDING_0)), (0, 0));
    assert_eq!(Plic::new(1000).contexts.len(), MAX_CONTEXTS);
    assert!(!plic.pending(2) && !plic.pending(usize::MAX));
}

#[test]
fn reset_forgets_everything() {
    let mut plic = ready();
    plic.raise(10);
    plic.changed();
    plic.reset();
    assert_eq!((plic.pending(1), plic.changed()), (false, 2));
    assert_eq!([get(&mut plic, PENDING_0), get(&mut plic, enabled(1, 0))], [0, 0]);
}

/// The state, and everything worked out from it at each question.
struct Model {
    priority: [u8; 96],
    pending: [bool; 96],
    in_service: [bool; 96],
    again: [bool; 96],
    enabled: [[bool; 96]; 3],
    threshold: [u8; 3],
}

impl Model {
    const NEW: Self = Self {
        priority: [0; 96],
        pending: [false; 96],
        in_service: [false; 96],
        again: [false; 96],
        enabled: [[false; 96]; 3],
        threshold: [0; 3],
    };

    fn best(&self, context: usize) -> usize {
        let mut best = (self.threshold[context], 0);
        for source in 1..96 {
            let wanted = self.pending[source] && self.enabled[context][source];
            if wanted && self.priority[source] > best.0 {
                best = (self.priority[source], source);
            }
        }
        best.1
    }

    fn raise(&mut self, source: usize) {
        let gate = if self.in_service[source] { &mut self.again } else { &mut self.pending };
        gate[source] = true;
    }
}

#[derive(Clone, Debug)]
enum Step {
    Raise(usize),
    Priority(usize, u8),
    Enable(usize, usize, u32),
    Threshold(usize, u8),
    Claim(usize),
    Complete(usize),
}

fn step() -> impl Strategy<Value = Step> {
    // Few sources, from each word, so that they meet.
    let source = || prop::sample::select(vec![1usize, 2, 31, 32, 63, 64, 65, 95]);
    let context = 0..3usize;
    prop_oneof![
        4 => source().prop_map(Step::Raise),
        2 => (source(), 0..8u8).prop_map(|(s, p)| Step::Priority(s, p)),
        2 => (context.clone(), 0..3usize, any::<u32>()).prop_map(|(c, w, v)| Step::Enable(c, w, v)),
        1 => (context.clone(), 0..8u8).prop_map(|(c, t)| Step::Threshold(c, t)),
        3 => context.prop_map(Step::Claim),
        3 => source().prop_map(Step::Complete),
    ]
}

/// Does a step on both; a claim must give the same.
fn both(plic: &mut Plic, model: &mut Model, step: &Step) {
    match *step {
        Step::Raise(source) => {
            plic.raise(u32::try_from(source).unwrap());
            model.raise(source);
        }
        Step::Priority(source, priority) => {
            set(plic, 4 * source as u64, priority.into());
            model.priority[source] = priority;
        }
        Step::Enable(context, word, value) => {
            set(plic, enabled(context as u64, word as u64), value.into());
            (0..32).for_each(|bit| {
                model.enabled[context][32 * word + bit] = value >> bit & 1 != 0;
            });
        }
        Step::Threshold(context, value) => {
            set(plic, threshold(context as u64), value.into());
            model.threshold[context] = value;
        }
        Step::Claim(context) => {
            let best = model.best(context);
            assert_eq!(get(plic, claim(context as u64)), best as u64);
            model.pending[best] = false;
            model.in_service[best] = true;
        }
        Step::Complete(source) => {
            set(plic, claim(0), source as u64);
            if core::mem::take(&mut model.in_service[source]) {
                model.pending[source] |= core::mem::take(&mut model.again[source]);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..Default::default() })]

    #[test]
    fn agrees_with_the_model(steps in vec(step(), 1..200)) {
        let (mut plic, mut model) = (Plic::new(3), Model::NEW);
        let mut lines = [false; 3];
        for step in steps {
            both(&mut plic, &mut model, &step);
            let changed = plic.changed();
            for (context, line) in lines.iter_mut().enumerate() {
                if changed >> context & 1 != 0 {
                    *line = plic.pending(context);
                }
                let expected = model.best(context) != 0;
                prop_assert_eq!((plic.pending(context), *line), (expected, expected));
            }
            let shown = (0..96u64).map(|n| get(&mut plic, PENDING_0 + n / 32 * 4) >> (n % 32) & 1 != 0);
            let both = (0..96).map(|n| model.pending[n] || model.again[n]);
            prop_assert!(shown.eq(both), "pending after {:?}", step);
        }
    }
}
