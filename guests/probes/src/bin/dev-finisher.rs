//! The finisher: what may be read and written without ending the machine.
#![no_std]
#![no_main]

use probes::Probe;
use probes::access::{self, try_access};
use probes::dev::finisher::FINISHER;
use probes::{Mode, Outcome};

probes::probe!(main);

fn main(p: &mut Probe) {
    for offset in [0, 4, 8, 0xffc] {
        for access in access::LOADS.iter().filter(|access| offset % access.width() == 0) {
            let outcome = try_access(Mode::M, access.code, FINISHER.address(offset), 0);
            p.show(format_args!("{} at {offset:#x}", access.name), outcome);
        }
    }
    for value in [0_u64, 1, 0x1234, 0x5554, 0x3332, 0xffff_ffff] {
        let outcome = try_access(Mode::M, access::sw, FINISHER.address(0), value);
        let done = matches!(outcome, Outcome::Value(_));
        p.show(format_args!("sw of {value:#x}"), if done { "goes on" } else { "fault" });
    }
}
