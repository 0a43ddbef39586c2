//! What a completion at the PLIC brings about: nothing by itself. Its
//! specification (1.0.0, "Interrupt Completion") would make a level-triggered
//! source whose line is still up pending again; QEMU does not, and xv6 relies
//! on it.
#![no_std]
#![no_main]

use probes::Probe;
use probes::csr::{self, MEI, MIP};
use probes::dev::plic::{self, context_m};
use probes::dev::uart::{self, IER, IIR, LSR, UART};

probes::probe!(main);

const M: u64 = context_m(0);

fn main(p: &mut Probe) {
    while UART.read::<u8>(LSR) & 0x40 == 0 {}
    plic::set_enabled(M, 1 << uart::IRQ);
    plic::set_priority(uart::IRQ, 1);
    UART.write(IER, 2_u8);
    let first = plic::claim(M);
    // Neither of these is the claimed source.
    plic::complete(M, 3);
    plic::complete(M, 0);
    let ignored = csr::read::<MIP>() & MEI;
    plic::complete(M, first);
    let again = csr::read::<MIP>() & MEI;
    let second = plic::claim(M);
    let _ = UART.read::<u8>(IIR);
    UART.write(IER, 0_u8);
    plic::complete(M, second);
    let after = csr::read::<MIP>() & MEI;
    p.number("claim", first.into(), uart::IRQ.into());
    p.hex("MEIP after completing other sources", ignored, 0);
    p.hex("MEIP after completion, line up", again, 0);
    p.number("claim again", second.into(), 0);
    p.hex("MEIP after completion, line down", after, 0);
}
