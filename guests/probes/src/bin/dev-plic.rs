//! The PLIC: priorities, threshold, enables, claim and completion, with the
//! transmitter interrupt of the UART as source.
#![no_std]
#![no_main]

use probes::access::{self, nothing, try_access};
use probes::csr::{self, MEI, MIDELEG, MIE, MIP, MSTATUS, SEI};
use probes::dev::plic::{self, ENABLE, PLIC, THRESHOLD, context_m, context_s};
use probes::dev::uart::{self, IER, IIR, LSR, UART};
use probes::report::Hex;
use probes::{Context, Mode, Probe};

probes::probe!(main);

const M: u64 = context_m(0);
const S: u64 = context_s(0);

fn main(p: &mut Probe) {
    reset();
    registers(p);
    pending(p);
    claims(p);
    priorities(p);
    contexts(p);
    taken(p);
    widths(p);
    reset();
}

/// Everything off, nothing pending.
fn reset() {
    UART.write(IER, 0_u8);
    for context in [M, S] {
        plic::set_enabled(context, 1 << uart::IRQ);
        plic::set_threshold(context, 0);
        plic::set_priority(uart::IRQ, 1);
        let source = plic::claim(context);
        plic::complete(context, source);
        plic::set_enabled(context, 0);
    }
    plic::set_priority(uart::IRQ, 0);
}

/// Makes the UART interrupt; it prints nothing until it is quiet again.
fn raise() {
    while UART.read::<u8>(LSR) & 0x40 == 0 {}
    UART.write(IER, 2_u8);
}

/// Takes the UART's interrupt line down.
fn lower() {
    let _ = UART.read::<u8>(IIR);
    UART.write(IER, 0_u8);
}

fn external(mip: u64) -> &'static str {
    match (mip & MEI != 0, mip & SEI != 0) {
        (false, false) => "none",
        (true, false) => "MEIP",
        (false, true) => "SEIP",
        (true, true) => "MEIP SEIP",
    }
}

fn registers(p: &mut Probe) {
    plic::set_priority(uart::IRQ, 7);
    p.number("priority 7", plic::priority(uart::IRQ).into(), 7);
    plic::set_priority(uart::IRQ, 0);
    p.number("priority 0", plic::priority(uart::IRQ).into(), 0);
    p.number("priority of source 0", plic::priority(0).into(), 0);
    for context in [M, S] {
        plic::set_enabled(context, 0x7fe);
        p.hex(
            format_args!("enables of context {context}"),
            PLIC.read::<u32>(ENABLE + 0x80 * context).into(),
            0x7fe,
        );
        plic::set_enabled(context, 0);
        plic::set_threshold(context, 3);
        p.number(
            format_args!("threshold of context {context}"),
            PLIC.read::<u32>(THRESHOLD + 0x1000 * context).into(),
            3,
        );
        plic::set_threshold(context, 0);
        p.number(
            format_args!("claim of context {context} with nothing"),
            plic::claim(context).into(),
            0,
        );
    }
}

/// Pending without being enabled; the bit is read-only.
fn pending(p: &mut Probe) {
    let before = plic::pending(uart::IRQ);
    raise();
    let (after, mip) = (plic::pending(uart::IRQ), csr::read::<MIP>());
    PLIC.write(plic::PENDING, 0_u32);
    let written = plic::pending(uart::IRQ);
    lower();
    p.is("pending before", before, "false");
    p.is("pending after", after, "true");
    p.is("interrupts while disabled", external(mip), "none");
    p.is("pending after writing 0", written, "true");
    reset();
}

/// The source's line is taken down before completion: whether a line that
/// stays up is pending again is the matter of `dev-plic-completion`.
fn claims(p: &mut Probe) {
    plic::set_enabled(M, 1 << uart::IRQ);
    plic::set_priority(uart::IRQ, 1);
    raise();
    let before = csr::read::<MIP>();
    let (first, second) = (plic::claim(M), plic::claim(M));
    let claimed = (csr::read::<MIP>(), plic::pending(uart::IRQ));
    lower();
    plic::complete(M, first);
    let after = (csr::read::<MIP>(), plic::claim(M));
    p.is("raised", external(before), "MEIP");
    p.number("claim", first.into(), uart::IRQ.into());
    p.number("claim again", second.into(), 0);
    p.is("after the claim", external(claimed.0), "none");
    p.is("pending after the claim", claimed.1, false);
    p.is("after completion", external(after.0), "none");
    p.number("last claim", after.1.into(), 0);
    reset();
}

/// Only a priority above the threshold interrupts.
fn priorities(p: &mut Probe) {
    plic::set_enabled(M, 1 << uart::IRQ);
    for (priority, threshold) in [(0, 0), (1, 0), (1, 1), (2, 1), (6, 7), (7, 7), (7, 6)] {
        plic::set_priority(uart::IRQ, priority);
        plic::set_threshold(M, threshold);
        raise();
        let mip = csr::read::<MIP>();
        lower();
        let claim = plic::claim(M);
        plic::complete(M, claim);
        let want = if priority > threshold { "MEIP" } else { "none" };
        p.is(format_args!("priority {priority}, threshold {threshold}"), external(mip), want);
    }
    reset();
}

/// Each context is asked; the first that claims has it.
fn contexts(p: &mut Probe) {
    plic::set_priority(uart::IRQ, 2);
    for (m, s) in [(0, 1), (1, 0), (1, 1)] {
        plic::set_enabled(M, m << uart::IRQ);
        plic::set_enabled(S, s << uart::IRQ);
        raise();
        let both = csr::read::<MIP>();
        let (by_s, by_m) = (plic::claim(S), plic::claim(M));
        let claimed = csr::read::<MIP>();
        lower();
        plic::complete(S, by_s);
        plic::complete(M, by_m);
        p.show(format_args!("enabled M {m}, S {s}: raised"), external(both));
        p.show("claims by S and M", format_args!("{by_s} {by_m}"));
        p.show("after the claims", external(claimed));
    }
    reset();
}

/// As interrupts, to M and to S.
fn taken(p: &mut Probe) {
    plic::set_priority(uart::IRQ, 1);
    csr::write::<MSTATUS>(0);
    for (context, enable, delegated) in [(M, MEI, 0), (S, SEI, 0), (S, SEI, SEI)] {
        plic::set_enabled(M, 0);
        plic::set_enabled(S, 0);
        plic::set_enabled(context, 1 << uart::IRQ);
        csr::write::<MIDELEG>(delegated);
        csr::write::<MIE>(enable);
        raise();
        let trap = Context::new(&[]).run(Mode::U, nothing);
        lower();
        let source = plic::claim(context);
        plic::complete(context, source);
        let quiet = Context::new(&[]).run(Mode::U, nothing);
        let check = format_args!("context {context}, delegated {delegated:#x}");
        p.show(check, trap.brief());
        p.is("then", quiet.brief(), "ecall-from-U to M");
    }
    csr::write::<MIE>(0);
    csr::write::<MIDELEG>(0);
    reset();
}

/// Only 32-bit accesses are specified.
fn widths(p: &mut Probe) {
    plic::set_priority(uart::IRQ, 5);
    for (name, at) in
        [("priority", plic::PRIORITY + 4 * u64::from(uart::IRQ)), ("threshold", THRESHOLD)]
    {
        for access in access::LOADS {
            let outcome = try_access(Mode::M, access.code, PLIC.address(at), 0);
            p.show(format_args!("{} of {name}", access.name), outcome.brief());
        }
        for access in access::STORES {
            let outcome = try_access(Mode::M, access.code, PLIC.address(at), 1);
            p.show(format_args!("{} of {name}", access.name), outcome.runs());
        }
        p.show(name, Hex(PLIC.read::<u32>(at).into()));
    }
}
