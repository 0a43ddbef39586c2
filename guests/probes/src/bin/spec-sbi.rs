//! The SBI where OpenSBI 1.1, which comes with QEMU 7.2, is more lenient than the
//! specification (2.0): hart masks with harts that are not there (3.1, "Hart
//! list parameter"), start addresses outside memory (9.1).
#![no_std]
#![no_main]

use probes::Probe;
use probes::sbi::{self, HSM, INVALID_ADDRESS, INVALID_PARAM, IPI, RFENCE};

probes::probe!(main);

fn main(p: &mut Probe) {
    for (mask, base) in [(0b10_0000, 0), (1, 8), (1, 64), (1, 4000), (3, u64::MAX - 1)] {
        let error = sbi::call3(IPI, 0, mask, base, 0).error;
        p.is(format_args!("interrupt {mask:#x} from {base}"), error, INVALID_PARAM);
        for function in 0..3 {
            let error = sbi::call3(RFENCE, function, mask, base, 0).error;
            p.is(format_args!("fence {function} of {mask:#x} from {base}"), error, INVALID_PARAM);
        }
    }
    for address in [0, 0x1000_0000, 0x1800_0000, 0x9_0000_0000, u64::MAX - 1] {
        let error = sbi::call3(HSM, 0, 1, address, 0).error;
        p.is(format_args!("start at {address:#x}"), error, INVALID_ADDRESS);
    }
    p.is("hart 1 is still stopped", sbi::hart_status(1).value, 1);
}
