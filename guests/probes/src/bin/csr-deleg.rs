//! `medeleg` and `mideleg`: what can be delegated to S-mode.
#![no_std]
#![no_main]

use probes::Probe;
use probes::csr::{self, MEDELEG, MIDELEG};

probes::probe!(main);

/// Bits that any machine may implement or not are left out: 10, 14 and above
/// 15 (reserved, hypervisor) and 11 (some machines keep it, though an `ecall`
/// from M cannot be delegated).
const CAUSES: &[u32] = &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 15];

fn main(p: &mut Probe) {
    for cause in CAUSES {
        let kept = csr::keep::<MEDELEG>(1 << cause) >> cause & 1;
        p.number(format_args!("medeleg bit {cause}"), kept, 1);
    }
    let all = CAUSES.iter().fold(0, |bits, cause| bits | 1 << cause);
    p.hex("medeleg all", csr::keep::<MEDELEG>(all), all);
    p.hex("medeleg none", csr::keep::<MEDELEG>(0), 0);
    p.hex("mideleg all", csr::keep::<MIDELEG>(0xaaa) & 0xaaa, 0x222);
    for interrupt in [1_u32, 5, 9] {
        let kept = csr::keep::<MIDELEG>(1 << interrupt) & 0xaaa;
        p.hex(format_args!("mideleg bit {interrupt}"), kept, 1 << interrupt);
    }
    p.hex("mideleg none", csr::keep::<MIDELEG>(0) & 0xaaa, 0);
}
