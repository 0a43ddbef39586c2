//! The registers that a kernel with a CPU page finds there: what goes into it
//! before vS runs, and what comes back when it has run.
//!
//! A word that has changed is a `csrw`: the same rules make it legal, and say
//! what else it concerns. So whatever the guest leaves in its page, it gets
//! what it could have had by instructions. (`docs/protocol.md`, "The CPU page".)

use super::access::{Modify, Outcome, vector};
use super::csr::CsrFile;
use super::status::{SSTATUS, TVM};
use super::{Effects, Env, Vcpu};

/// The words, in the order of [`Registers`](trapeze_protocol::cpu::Registers).
pub type PageWords = [u64; 8];

/// `satp.MODE` of the one mode that a crossing can bring.
const SV39: u64 = 8;

impl Vcpu {
    /// What the page is to hold while vS runs.
    #[inline]
    pub fn page_words<E: Env>(&mut self, env: &E) -> PageWords {
        let csr = &mut self.csr;
        let status = csr.synced_mstatus(env) & SSTATUS;
        let enabled = csr.mie & csr.mideleg;
        let pending = csr.mip() & enabled;
        let (vector, scratch) = (csr.stvec, csr.sscratch);
        [status, enabled, vector, scratch, csr.sepc, csr.scause, csr.stval, pending]
    }

    /// Takes over what vS has changed in the page since it held `before`.
    #[inline]
    pub fn adopt_page_words<E: Env>(
        &mut self,
        before: &PageWords,
        now: &PageWords,
        env: &E,
    ) -> Effects {
        self.csr.adopt(before, now, env)
    }

    /// Puts `satp` into force as a guest wants it when the mode changes from
    /// vS to vU or back; `false` if it does not, or must not.
    #[inline]
    pub fn cross_to(&mut self, satp: u64) -> bool {
        if satp >> 60 != SV39 || self.csr.mstatus & TVM != 0 {
            return false;
        }
        self.csr.satp = satp;
        true
    }
}

impl CsrFile {
    #[inline]
    fn adopt<E: Env>(&mut self, before: &PageWords, now: &PageWords, env: &E) -> Effects {
        let [status, enabled, base, scratch, pc, cause, value, _] = *now;
        let mut effects = Effects::empty();
        if status != before[0] {
            effects |= ignore_old(self.sstatus(write(status), env));
        }
        if enabled != before[1] {
            effects |= ignore_old(self.enable(write(enabled), self.mideleg, self.mideleg));
        }
        if base != before[2] {
            effects |= ignore_old(vector(&mut self.stvec, write(base)));
        }
        (self.sscratch, self.scause, self.stval) = (scratch, cause, value);
        self.sepc = pc & !1;
        effects
    }
}

/// `csrw`
#[inline(always)]
const fn write(value: u64) -> Modify {
    Modify { clear: u64::MAX, set: value, writes: true }
}

#[inline(always)]
fn ignore_old(outcome: Outcome) -> Effects {
    outcome.map_or(Effects::empty(), |(_, effects)| effects)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{IDLE, Still, WRITE, modify, read};
    use super::super::{Mode, status};
    use super::*;

    /// The registers in the page, by number.
    const NAMES: [u32; 7] = [0x100, 0x104, 0x105, 0x140, 0x141, 0x142, 0x143];

    /// A hart in vS with anything that vM could have set up.
    fn hart() -> impl Strategy<Value = Vcpu> {
        let writes = prop::collection::vec((0..NAMES.len(), any::<u64>()), 0..20);
        (writes, any::<[u64; 4]>()).prop_map(|(writes, [mie, mideleg, lines, other])| {
            let mut hart = Vcpu::for_supervisor(0);
            hart.csr.mideleg = mideleg & 0x222;
            hart.csr.mie = mie & 0xaaa;
            hart.csr.mstatus |= other & (status::MIE | status::MPIE | status::TVM);
            hart.set_lines(lines);
            for (name, value) in writes {
                let _ = modify(&mut hart, NAMES[name], WRITE, value, &IDLE);
            }
            hart
        })
    }

    /// What guests store: mostly something that looks right.
    fn word() -> impl Strategy<Value = u64> {
        prop_oneof![any::<u64>(), (0..64u32).prop_map(|n| 1 << n), 0..0x1000u64]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// The page shows what instructions would read.
        #[test]
        fn the_page_says_what_the_registers_say(mut hart in hart(), fp_dirty in any::<bool>()) {
            let env = Still { fp_dirty, ..IDLE };
            let words = hart.page_words(&env);
            for (name, word) in NAMES.into_iter().zip(words) {
                prop_assert_eq!(read(&mut hart, name, &env), word, "{:#x}", name);
            }
            let sip = read(&mut hart, 0x144, &env);
            prop_assert_eq!(words[7], sip & words[1]);
            prop_assert!(words[0] & 0xff & !(status::SIE | status::SPIE) == 0, "as documented");
        }

        /// Stores to the page do what `csrw` does, whatever is stored, and
        /// however often; and what is shown next is legal.
        #[test]
        fn a_store_is_a_write(
            hart in hart(),
            rounds in prop::collection::vec(prop::collection::vec((0..8usize, word()), 0..6), 1..6),
            fp_dirty in any::<bool>(),
        ) {
            let env = Still { fp_dirty, ..IDLE };
            let (mut paged, mut plain) = (hart.clone(), hart);
            let mut there = paged.page_words(&env);
            let _ = plain.page_words(&env);
            for stores in rounds {
                let mut page = there;
                stores.iter().for_each(|(n, value)| page[*n] = *value);
                let effects = paged.adopt_page_words(&there, &page, &env);
                let mut expected = Effects::empty();
                for (n, name) in NAMES.into_iter().enumerate() {
                    if stores.iter().any(|(m, _)| *m == n) {
                        expected |= modify(&mut plain, name, WRITE, page[n], &env).1;
                    }
                }
                let ctx = paged.ctx.clone();
                plain.ctx = ctx;
                prop_assert_eq!(&paged, &plain);
                prop_assert_eq!(effects, expected);
                let now = paged.page_words(&env);
                prop_assert_eq!(now, plain.page_words(&env));
                there = now;
            }
        }
    }

    #[test]
    fn a_crossing_brings_sv39_alone_and_not_past_tvm() {
        let mut hart = Vcpu::for_supervisor(0);
        for satp in [0, 1, 9 << 60, u64::MAX] {
            assert!(!hart.cross_to(satp));
        }
        assert!(hart.cross_to(8 << 60 | 5));
        hart.csr.mstatus |= TVM;
        assert!(!hart.cross_to(8 << 60 | 6));
        assert_eq!((hart.csr.satp, hart.mode), (8 << 60 | 5, Mode::Supervisor));
    }
}
