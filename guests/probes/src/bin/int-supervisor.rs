//! Supervisor software and timer interrupts that M-mode raises for S-mode,
//! the way a firmware without Sstc does.
#![no_std]
#![no_main]

use probes::access::{nothing, try_word};
use probes::csr::{self, MENVCFG, MIDELEG, MIE, MIP, MSTATUS, SEI, SIE_BIT, SIP, SSI, STCE, STI};
use probes::{Context, Mode, Probe, insn, snippet};

probes::probe!(main);

snippet! {
    /// In S: opens interrupts while one is pending.
    fn open {
        "li a0, 1",
        "csrsi sstatus, 2",
        "li a0, 2",
        "1: j 1b",
    }
}

snippet! {
    /// In S with interrupts open: raises its own software interrupt.
    fn raise {
        "li a0, 1",
        "csrsi sip, 2",
        "li a0, 2",
        "1: j 1b",
    }
}

fn main(p: &mut Probe) {
    csr::clear::<MENVCFG>(STCE);
    csr::write::<MIDELEG>(SSI | STI | SEI);
    csr::write::<MIE>(SSI | STI | SEI);
    for (name, bit) in [("SSI", SSI), ("STI", STI), ("SEI", SEI)] {
        csr::write::<MSTATUS>(0);
        csr::write::<MIP>(bit);
        let mut context = Context::new(&[]);
        let trap = context.run(Mode::S, nothing);
        p.is(format_args!("{name} masked in S"), trap.brief(), "ecall-from-S to M");
        p.show(format_args!("{name} in U"), Context::new(&[]).run(Mode::U, nothing));
        let trap = context.run(Mode::S, open);
        p.show(format_args!("{name} when S opens"), trap.brief());
        p.show(
            format_args!("{name} when S opens: sip"),
            try_word(Mode::S, insn::csrrs(10, SIP, 0), &[]),
        );
        csr::write::<MIP>(0);
    }
    csr::write::<MSTATUS>(SIE_BIT);
    let trap = Context::new(&[]).run(Mode::S, raise);
    p.is("S interrupts itself", trap.brief(), "S-software to S");
    csr::write::<MIP>(0);
    p.is("and clears it", Context::new(&[]).run(Mode::S, nothing).brief(), "ecall-from-S to M");
    csr::write::<MIE>(0);
}
