//! Floating point: `FS` off, initial, clean and dirty.
#![no_std]
#![no_main]

use probes::access::try_word;
use probes::csr::{self, FCSR, FFLAGS, FRM, FS, MSTATUS, SD};
use probes::paging::Frame;
use probes::{Mode, Probe};

probes::probe!(main);

/// Instruction, and whether it writes F state.
const INSTRUCTIONS: &[(&str, u32, bool)] = &[
    ("fadd.d fa0, fa0, fa1", 0x02b5_7553, true),
    ("fmv.d.x fa0, a1", 0xf205_8553, true),
    ("fmv.x.d a0, fa0", 0xe205_0553, false),
    ("fld fa0, 0(a2)", 0x0006_3507, true),
    ("fsd fa0, 8(a2)", 0x00a6_3427, false),
    ("c.fld fa0, 0(a2); c.nop", 0x0001_2208, true),
    ("c.fsd fa0, 8(a2); c.nop", 0x0001_a608, false),
    ("fcvt.d.l fa0, a1", 0xd225_8553, true),
    ("csrr a0, fcsr", 0x0030_2573, false),
    ("csrw fflags, a1", 0x0015_9073, true),
    ("csrw frm, zero", 0x0020_1073, true),
];

fn main(p: &mut Probe) {
    let frame = Frame::new();
    for mode in [Mode::U, Mode::S, Mode::M] {
        for (name, word, writes) in INSTRUCTIONS {
            for fs in 0..4_u64 {
                one(p, mode, (name, *word, *writes), fs, frame);
            }
        }
    }
    registers(p);
}

fn one(p: &mut Probe, mode: Mode, (name, word, writes): (&str, u32, bool), fs: u64, frame: Frame) {
    csr::write::<MSTATUS>(fs << 13);
    let outcome = try_word(mode, word, &[0, 1, frame.pa()]);
    let after = csr::read::<MSTATUS>();
    let check = format_args!("{name} in {}, FS {fs}", mode.letter());
    if fs == 0 {
        p.is(check, outcome.brief(), "illegal-instruction to M");
        p.hex("FS stays off", after & (FS | SD), 0);
        return;
    }
    p.is(check, outcome.runs(), "runs");
    // Dirty is allowed at any time; it is demanded after a write.
    if writes {
        p.hex("dirty after", after & (FS | SD), FS | SD);
    }
    csr::write::<MSTATUS>(0);
}

/// `fcsr` is the union of `fflags` and `frm`.
fn registers(p: &mut Probe) {
    csr::write::<MSTATUS>(FS);
    p.hex("fcsr keeps", csr::keep::<FCSR>(u64::MAX), 0xff);
    p.hex("fflags of it", csr::read::<FFLAGS>(), 0x1f);
    p.hex("frm of it", csr::read::<FRM>(), 7);
    p.hex("fflags keeps", csr::keep::<FFLAGS>(0xe2), 2);
    p.hex("frm keeps", csr::keep::<FRM>(0x1a), 2);
    p.hex("fcsr after both", csr::read::<FCSR>(), 0x42);
    csr::write::<FCSR>(0);
    csr::write::<FRM>(5);
    let outcome = try_word(Mode::U, 0x02b5_7553, &[]);
    p.is("dynamic rounding with a reserved frm", outcome.brief(), "illegal-instruction to M");
    csr::write::<FCSR>(0);
    let outcome = try_word(Mode::U, 0x02b5_5553, &[]);
    p.is("reserved rounding mode", outcome.brief(), "illegal-instruction to M");
    csr::write::<MSTATUS>(0);
}
