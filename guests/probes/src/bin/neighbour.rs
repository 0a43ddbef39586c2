//! A guest that behaves: it shows that it is well while others are not.
//!
//! Twice a second it checks a pattern in memory and prints `neighbour: beat N`.
//! It answers each line of input with `neighbour: you said LINE`, and ends on
//! the line `stop`. It uses timer and external interrupts, and `wfi`.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU64, Ordering};

use probes::csr::{self, MEI, MIE, MIP, MTI};
use probes::dev::clint::{self, TICKS_PER_MS};
use probes::dev::plic::{self, context_m};
use probes::dev::uart::{self, IER, IIR, UART};
use probes::paging::{Frame, KERNEL, Space};
use probes::{Mode, Probe, access};

probes::probe!(main);

/// Frames with the pattern: 4 MiB.
const FRAMES: u64 = 1024;
const PERIOD: u64 = 500 * TICKS_PER_MS;
const VA: u64 = 0x4000_0000;

fn main(p: &mut Probe) {
    let memory = Frame::run(FRAMES);
    for n in 0..FRAMES {
        fill(memory.after(n), n);
    }
    let space = Space::new();
    for n in 0..FRAMES {
        space.map(VA + n * 4096, memory.after(n).pa(), KERNEL, 0);
    }
    space.switch();
    listen();
    let mut line = Line::default();
    let mut beat = 0;
    let mut next = clint::mtime();
    loop {
        if clint::mtime() >= next {
            beat += 1;
            next = clint::mtime() + PERIOD;
            csr::write::<MIE>(0);
            heart(p, memory, beat);
            csr::write::<MIE>(MTI | MEI);
        }
        clint::set_mtimecmp(0, next);
        csr::wfi();
        if csr::read::<MIP>() & MEI != 0 && line.receive(p) {
            break;
        }
    }
}

fn pattern(n: u64, index: u64) -> u64 {
    (n << 32 | index).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn fill(frame: Frame, n: u64) {
    for (index, word) in frame.words().iter().enumerate() {
        word.store(pattern(n, index as u64), Ordering::Relaxed);
    }
}

/// Checks a part of the memory, also through translation.
fn heart(p: &mut Probe, memory: Frame, beat: u64) {
    let right =
        |word: (usize, &AtomicU64), n| word.1.load(Ordering::Relaxed) == pattern(n, word.0 as u64);
    let well = (0..64).map(|k| (beat * 64 + k) % FRAMES).all(|n| {
        memory.after(n).words().iter().enumerate().all(|word| right(word, n))
            && access::load(Mode::S, VA + n * 4096).value() == Some(pattern(n, 0))
    });
    p.show("beat", format_args!("{beat}, memory {}", if well { "well" } else { "DAMAGED" }));
}

/// Interrupts of the receiver and of the timer wake the hart, untaken.
fn listen() {
    plic::set_priority(uart::IRQ, 1);
    plic::set_enabled(context_m(0), 1 << uart::IRQ);
    UART.write(IIR, 1_u8);
    UART.write(IER, 1_u8);
    csr::write::<MIE>(MTI | MEI);
}

/// A line of input.
struct Line {
    bytes: [u8; 80],
    len: usize,
}

impl Default for Line {
    fn default() -> Self {
        Self { bytes: [0; 80], len: 0 }
    }
}

impl Line {
    /// Serves the receiver's interrupt; true on `stop`.
    fn receive(&mut self, p: &mut Probe) -> bool {
        let source = plic::claim(context_m(0));
        let mut stop = false;
        while let Some(byte) = uart::get() {
            match byte {
                b'\r' | b'\n' => stop |= self.answer(p),
                _ if self.len < self.bytes.len() => {
                    self.bytes[self.len] = byte;
                    self.len += 1;
                }
                _ => (),
            }
        }
        plic::complete(context_m(0), source);
        stop
    }

    fn answer(&mut self, p: &mut Probe) -> bool {
        let text = core::str::from_utf8(&self.bytes[..self.len]).unwrap_or("?");
        self.len = 0;
        if !text.is_empty() {
            p.show("you said", text);
        }
        text == "stop"
    }
}
