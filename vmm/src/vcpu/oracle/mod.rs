//! The virtual hart against the Sail model of the architecture.
//!
//! A random legal state is loaded into both, both do the same thing, and all
//! that the guest could see must be equal. What the model is known to do
//! otherwise, though the architecture allows ours, is undone in
//! `Model::normalise` or left out by the test, each with its reason.

mod model;
mod random;
mod tests;

pub(super) use random::Random;

use super::{Effects, Vcpu, status};

/// Checks that `effects` name everything that differs between two states.
fn check_effects(before: &Vcpu, after: &Vcpu, effects: Effects) {
    let translation = |v: &Vcpu| {
        let bits = v.csr.mstatus & (status::SUM | status::MXR);
        (v.mode, v.data_mode(), bits, v.csr.satp, v.csr.pmp.rules().clone())
    };
    let silent = |effect| !effects.contains(effect);
    if silent(Effects::TRANSLATION) {
        assert_eq!(translation(before), translation(after), "translation");
    }
    if silent(Effects::PMP) {
        assert_eq!(before.csr.pmp.rules(), after.csr.pmp.rules(), "protection");
    }
    if silent(Effects::FP) {
        assert_eq!(before.csr.mstatus & status::FS, after.csr.mstatus & status::FS, "FS");
    }
    if silent(Effects::TIMER) {
        assert_eq!(before.csr.timer_deadline(), after.csr.timer_deadline(), "deadline");
    }
    if silent(Effects::COUNTERS) {
        assert_eq!(before.native_counters(), after.native_counters(), "counters");
    }
    if silent(Effects::INTERRUPTS) {
        let ((m0, s0), (m1, s1)) = (before.deliverable(), after.deliverable());
        assert_eq!((m1 | s1) & !(m0 | s0), 0, "interrupts");
    }
}
