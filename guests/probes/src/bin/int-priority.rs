//! Which of several pending interrupts is taken, and by which mode.
#![no_std]
#![no_main]

use core::fmt::{self, Display};

use probes::access::nothing;
use probes::csr::{
    self, MENVCFG, MIDELEG, MIE, MIP, MSI, MSTATUS, MTI, SEI, SIE_BIT, SSI, STCE, STI,
};
use probes::dev::clint;
use probes::{Context, Mode, Probe};

probes::probe!(main);

const NAMES: &[(u64, &str)] =
    &[(SSI, "SSI"), (MSI, "MSI"), (STI, "STI"), (MTI, "MTI"), (SEI, "SEI")];

fn main(p: &mut Probe) {
    csr::clear::<MENVCFG>(STCE);
    for set in 1_u64..32 {
        let bits =
            NAMES.iter().enumerate().fold(0, |bits, (n, (bit, _))| bits | ((set >> n & 1) * bit));
        raise(bits);
        for delegated in [0, SSI | STI | SEI, STI] {
            // Here QEMU 7.2 lets SSI go before MSI, against the specification
            // (privileged, "Machine Interrupt Registers").
            if bits == SSI | MSI && delegated & SSI == 0 {
                continue;
            }
            csr::write::<MIDELEG>(delegated);
            csr::write::<MIE>(bits);
            for mode in [Mode::U, Mode::S] {
                csr::write::<MSTATUS>(SIE_BIT);
                taken(p, bits, delegated, mode);
            }
        }
    }
    raise(0);
    masked(p);
}

/// Makes exactly these interrupts pending.
fn raise(bits: u64) {
    csr::write::<MIP>(bits);
    clint::set_msip(0, u32::from(bits & MSI != 0));
    clint::set_mtimecmp(0, if bits & MTI != 0 { 0 } else { u64::MAX });
    while csr::read::<MIP>() & 0x2aa != bits {}
}

fn taken(p: &mut Probe, bits: u64, delegated: u64, mode: Mode) {
    let trap = Context::new(&[]).run(mode, nothing);
    let check = format_args!("{} in {}, delegated {}", Set(bits), mode.letter(), Set(delegated));
    p.show(check, trap.brief());
}

/// MIE and SIE mask only their own mode, and lower modes' interrupts not at all.
fn masked(p: &mut Probe) {
    csr::write::<MIE>(SSI);
    csr::write::<MIP>(SSI);
    for (delegated, sie, mode, mie) in [
        (0, false, Mode::M, false),
        (0, false, Mode::M, true),
        (0, false, Mode::S, false),
        (0, false, Mode::U, false),
        (SSI, false, Mode::S, false),
        (SSI, true, Mode::S, false),
        (SSI, false, Mode::U, false),
        (SSI, true, Mode::M, true),
    ] {
        csr::write::<MIDELEG>(delegated);
        csr::write::<MSTATUS>(if sie { SIE_BIT } else { 0 });
        let mut context = Context::new(&[]);
        context.interrupts = mie;
        let trap = context.run(mode, nothing);
        let check = format_args!(
            "{} runs, delegated {}, SIE {sie}, MIE {mie}",
            mode.letter(),
            Set(delegated)
        );
        p.show(check, trap.brief());
    }
    csr::write::<MIP>(0);
    csr::write::<MIE>(0);
}

/// A set of interrupts, by name.
struct Set(u64);

impl Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (bit, name) in NAMES {
            if self.0 & bit != 0 {
                write!(f, "{name} ")?;
            }
        }
        f.write_str("}")
    }
}
