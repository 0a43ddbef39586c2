//! The registers of the 16550 UART, also read with other widths than a byte.
//!
//! Results are collected first and printed after, because printing changes
//! what is looked at.
#![no_std]
#![no_main]

use probes::access::{self, Access, try_access};
use probes::dev::uart::{self, IER, IIR, LCR, LSR, MCR, MSR, RBR, SCR, UART};
use probes::report::Hex;
use probes::{Mode, Outcome, Probe};

probes::probe!(main);

/// LCR: the first two registers are the divisor.
const DLAB: u8 = 0x80;
/// MCR: what is sent is received.
const LOOP: u8 = 0x10;
/// FCR: FIFOs on, both emptied.
const FIFO: u8 = 7;

fn main(p: &mut Probe) {
    idle();
    kept(p);
    divisor(p);
    fifo(p);
    modem(p);
    looped(p);
    widths(p);
}

/// Waits until all is sent, and brings the UART into a known state.
fn idle() {
    while UART.read::<u8>(LSR) & 0x40 == 0 {}
    UART.write(LCR, 3_u8);
    UART.write(MCR, 0_u8);
    UART.write(IER, 0_u8);
    UART.write(IIR, 0_u8);
    let _ = (UART.read::<u8>(LSR), UART.read::<u8>(MSR), UART.read::<u8>(IIR));
}

fn hex(p: &mut Probe, name: &str, value: u8) {
    p.show(name, Hex(value.into()));
}

/// What each register keeps of all ones.
fn kept(p: &mut Probe) {
    for (name, register, ones) in
        [("IER", IER, 0xff_u8), ("LCR", LCR, 0x7f), ("MCR", MCR, 0xef), ("SCR", SCR, 0xff)]
    {
        idle();
        UART.write(register, ones);
        let kept = UART.read::<u8>(register);
        UART.write(register, 0_u8);
        let zero = UART.read::<u8>(register);
        idle();
        p.show(name, format_args!("ones {kept:#x}, zeroes {zero:#x}"));
    }
    UART.write(SCR, 0x5a_u8);
    hex(p, "SCR after printing", UART.read(SCR));
    idle();
    let (lsr, iir) = (UART.read::<u8>(LSR), UART.read::<u8>(IIR));
    hex(p, "LSR when idle", lsr);
    hex(p, "IIR when idle", iir);
}

fn divisor(p: &mut Probe) {
    idle();
    let ier = UART.read::<u8>(IER);
    UART.write(LCR, DLAB | 3);
    UART.write(RBR, 0x34_u8);
    UART.write(IER, 0x12_u8);
    let (low, high, lcr) = (UART.read::<u8>(RBR), UART.read::<u8>(IER), UART.read::<u8>(LCR));
    UART.write(RBR, 1_u8);
    UART.write(IER, 0_u8);
    UART.write(LCR, 3_u8);
    let after = UART.read::<u8>(IER);
    hex(p, "divisor low", low);
    hex(p, "divisor high", high);
    hex(p, "LCR with DLAB", lcr);
    p.holds("IER untouched", ier == after);
}

fn fifo(p: &mut Probe) {
    idle();
    UART.write(IIR, FIFO);
    let on = UART.read::<u8>(IIR);
    UART.write(IIR, 0_u8);
    let off = UART.read::<u8>(IIR);
    hex(p, "IIR with FIFO", on);
    hex(p, "IIR without FIFO", off);
    // THRE interrupt: identified, and reading IIR ends it.
    idle();
    UART.write(IER, 2_u8);
    let (first, second) = (UART.read::<u8>(IIR), UART.read::<u8>(IIR));
    UART.write(IER, 0_u8);
    hex(p, "IIR after enabling THRE", first);
    hex(p, "IIR once more", second);
}

/// Loopback: the four outputs are the four inputs.
fn modem(p: &mut Probe) {
    for out in 0..16_u8 {
        idle();
        UART.write(MCR, LOOP | out);
        let msr = UART.read::<u8>(MSR);
        idle();
        p.show(format_args!("MSR with MCR {:#x}", LOOP | out), Hex((msr >> 4).into()));
    }
}

/// Loopback: bytes come back, in order, without and with FIFO.
fn looped(p: &mut Probe) {
    for (name, fcr, bytes) in [("no FIFO", 0, 1), ("FIFO", FIFO, 8)] {
        idle();
        UART.write(IIR, fcr);
        UART.write(MCR, LOOP);
        let before = UART.read::<u8>(LSR);
        for n in 0..bytes {
            while UART.read::<u8>(LSR) & uart::LSR_THRE == 0 {}
            UART.write(RBR, 0x41 + n);
        }
        while UART.read::<u8>(LSR) & uart::LSR_READY == 0 {}
        let mut right = 0_u64;
        for n in 0..bytes {
            right += u64::from(UART.read::<u8>(RBR) == 0x41 + n);
        }
        let after = UART.read::<u8>(LSR);
        idle();
        p.show(format_args!("loopback, {name}: LSR before"), Hex(before.into()));
        p.number(format_args!("loopback, {name}: right bytes"), right, bytes.into());
        p.show(format_args!("loopback, {name}: LSR after"), Hex(after.into()));
    }
}

/// Loads of each width that is naturally aligned, stores to the scratch register.
fn widths(p: &mut Probe) {
    for (offset, width, access) in aligned(0..8, access::LOADS) {
        idle();
        UART.write(SCR, 0x99_u8);
        let outcome = try_access(Mode::M, access.code, UART.address(offset), 0);
        let check = format_args!("{} ({width} bytes) at {offset}", access.name);
        if offset == RBR {
            // What the receive buffer holds when it is empty is up to the UART.
            p.show(check, outcome.runs());
        } else {
            p.show(check, outcome);
        }
    }
    for (offset, width, access) in aligned(4..8, access::STORES) {
        idle();
        UART.write(SCR, 0x99_u8);
        let outcome = try_access(Mode::M, access.code, UART.address(offset), 0x0403_0201);
        let (scr, mcr) = (UART.read::<u8>(SCR), UART.read::<u8>(MCR));
        UART.write(MCR, 0_u8);
        let check = format_args!("{} ({width} bytes) at {offset}", access.name);
        let done = matches!(outcome, Outcome::Value(_));
        p.show(
            check,
            format_args!("{}, SCR {scr:#x}, MCR {mcr:#x}", if done { "done" } else { "fault" }),
        );
    }
}

/// Each access at each of the offsets where it is aligned, with its width.
fn aligned(
    offsets: core::ops::Range<u64>,
    accesses: &'static [Access],
) -> impl Iterator<Item = (u64, u64, &'static Access)> {
    offsets
        .flat_map(move |offset| accesses.iter().map(move |access| (offset, access.width(), access)))
        .filter(|(offset, width, _)| offset % width == 0)
}
