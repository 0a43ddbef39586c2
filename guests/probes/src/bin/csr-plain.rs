//! Accesses of the registers of vS by every form of instruction with every
//! register, alone and in random sequences. The VMM does most of them in its
//! trap entry, where the guest's registers still are; what becomes of all
//! registers is told as a checksum.
#![no_std]
#![no_main]

use probes::access::{Code, nothing};
use probes::context::Context;
use probes::csr::{
    self, FS, MIDELEG, MIE, MIP, MSTATUS, MXR, SCAUSE, SEI, SEPC, SIE, SIE_BIT, SPIE, SPP,
    SSCRATCH, SSI, SSTATUS, STI, STVAL, STVEC, SUM,
};
use probes::report::Hex;
use probes::rng::Rng;
use probes::{Mode, Probe, insn};

probes::probe!(main);

/// A CSR, and the bits of it about which the architecture leaves no choice.
const CSRS: &[(&str, u16, u64)] = &[
    ("sstatus", SSTATUS, STATUS),
    ("sie", SIE, SSI | STI | SEI),
    ("stvec", STVEC, !3),
    ("sscratch", SSCRATCH, !0),
    ("sepc", SEPC, !1),
    ("scause", SCAUSE, !0),
    ("stval", STVAL, !0),
];
const STATUS: u64 = SIE_BIT | SPIE | SPP | FS | SUM | MXR;

/// A form: mnemonic, encoding, and whether its source is an immediate.
type Form = (&'static str, fn(u32, u16, u32) -> u32, bool);

const FORMS: &[Form] = &[
    ("csrrw", insn::csrrw, false),
    ("csrrs", insn::csrrs, false),
    ("csrrc", insn::csrrc, false),
    ("csrrwi", insn::csrrwi, true),
    ("csrrsi", insn::csrrsi, true),
    ("csrrci", insn::csrrci, true),
];

/// How many instructions a random sequence has, and how many of those there
/// are.
const LENGTH: usize = 100;
const SEQUENCES: usize = 100;

fn main(p: &mut Probe) {
    csr::write::<MIDELEG>(SSI | STI | SEI);
    csr::write::<MIE>(0);
    csr::write::<MIP>(0);
    for csr in CSRS {
        for form in FORMS {
            p.show(format_args!("{} {}", form.0, csr.0), Hex(every_register(*csr, *form)));
        }
    }
    for fs in [0, csr::FS_INITIAL, csr::FS_CLEAN, FS] {
        csr::write::<MSTATUS>(fs);
        p.show(format_args!("random sequences, FS {}", fs >> 13), Hex(sequences(fs)));
    }
    csr::write::<MSTATUS>(0);
    with_pending(p);
}

/// What is known of a vCPU, in one number.
struct Sum(u64);

impl Sum {
    fn add(&mut self, value: u64) {
        self.0 = (self.0 ^ value).wrapping_mul(0x100_0000_01b3).rotate_left(23);
    }

    fn add_all(&mut self, context: &Context) {
        context.x[1..].iter().for_each(|x| self.add(*x));
        self.add(csr::read::<SSTATUS>() & STATUS);
        self.add(csr::read::<SIE>());
        self.add(csr::read::<SSCRATCH>());
        self.add(csr::read::<SEPC>());
        self.add(csr::read::<SCAUSE>());
        self.add(csr::read::<STVAL>());
    }
}

/// A context with random registers of which only these bits are not zero.
fn random(rng: &mut Rng, bits: u64) -> Context {
    let mut context = Context::new(&[]);
    context.x.fill_with(|| rng.draw() & bits);
    context
}

/// One access after another, to every register from four others, each of which
/// is every register in turn; the first one is the same.
fn every_register((_, csr, bits): (&str, u16, u64), (_, form, immediate): Form) -> u64 {
    let (mut rng, mut sum) = (Rng::new(0x7261_7065), Sum(0));
    for (rd, distance) in (0..32).flat_map(|rd| [0, 1, 9, 18].map(|distance| (rd, distance))) {
        let source = (rd + distance) % 32;
        // An immediate is the value itself.
        if immediate && u64::from(source) & !bits != 0 {
            continue;
        }
        let mut context = random(&mut rng, bits);
        let read = insn::csrrs((rd + 1) % 32, csr, 0);
        Code::at(0).word(form(rd, csr, source)).word(read).end();
        let trap = context.run_at(Mode::S, Code::page());
        sum.add(trap.cause);
        sum.add_all(&context);
    }
    sum.0
}

/// Random accesses of random CSRs with random registers. All values come from
/// bits of `sstatus`, for that is where they may go. `stvec` is only read: it
/// would take them for modes that do not exist.
fn sequences(fs: u64) -> u64 {
    let (mut rng, mut sum) = (Rng::new(0x706c_6169), Sum(0));
    for _ in 0..SEQUENCES {
        let mut context = random(&mut rng, STATUS & !FS | fs);
        context.stvec = Some(SPP | SPIE);
        let mut code = Code::at(0);
        for _ in 0..LENGTH {
            let [rd, source] = [0; 2].map(|_: u32| u32::from(rng.draw().to_be_bytes()[0] % 32));
            let (_, csr, _) = CSRS[usize::from(rng.draw().to_be_bytes()[0]) % CSRS.len()];
            code = code.word(match rng.below(8) {
                0 if csr != STVEC => insn::csrrw(rd, csr, source),
                1 if csr != STVEC => insn::csrrw(0, csr, source),
                2 if csr != STVEC => insn::csrrs(rd, csr, source),
                3 if csr != STVEC => insn::csrrc(rd, csr, source),
                4 => insn::csrrsi(rd, SSTATUS, 2),
                5 => insn::csrrci(rd, SSTATUS, 2),
                _ => insn::csrrs(rd, csr, 0),
            });
        }
        code.end();
        let trap = context.run_at(Mode::S, Code::page());
        sum.add(trap.cause);
        sum.add_all(&context);
    }
    sum.0
}

/// With an interrupt pending and enabled, whatever sets SIE is followed by the
/// interrupt and by nothing else.
fn with_pending(p: &mut Probe) {
    csr::write::<MIE>(SSI);
    csr::write::<MIP>(SSI);
    for (name, word) in [
        ("csrsi", insn::csrrsi(0, SSTATUS, 2)),
        ("csrrsi", insn::csrrsi(11, SSTATUS, 2)),
        ("csrs", insn::csrrs(0, SSTATUS, 10)),
        ("csrw", insn::csrrw(0, SSTATUS, 10)),
        ("csrrw", insn::csrrw(11, SSTATUS, 10)),
    ] {
        csr::clear::<SSTATUS>(SIE_BIT);
        let mut context = Context::new(&[SIE_BIT | SPP]);
        Code::at(0).word(word).word(insn::csrrwi(0, SSCRATCH, 1)).end();
        csr::write::<SSCRATCH>(0);
        let trap = context.run_at(Mode::S, Code::page());
        p.is(format_args!("{name} opens"), trap.full(), "S-software to S, tval 0x0, pc +0x4");
        p.hex(format_args!("{name}, the one after it"), csr::read::<SSCRATCH>(), 0);
    }
    csr::clear::<SSTATUS>(SIE_BIT);
    csr::write::<MIP>(0);
    csr::write::<MIE>(0);
    let trap = Context::new(&[]).run(Mode::S, nothing);
    p.is("none is pending", trap.brief(), "ecall-from-S to M");
}
