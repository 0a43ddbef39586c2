//! The simple chips of the machine, as register machines.
//!
//! A chip knows its registers and nothing else: no bus, no lock, no interrupt
//! controller, no clock. It takes an offset within its window, returns what is
//! to happen, and tells the level of its interrupt line when asked. What reads
//! the line and carries out the effects is the machine.
//!
//! The specification is the data sheet or, where QEMU 7.2's `virt` machine
//! goes its own way (access widths above all), what that machine was seen to
//! do: kernels made for it must boot unmodified.

pub mod ata;
pub mod clint;
pub mod finisher;
pub mod plic;
pub mod rtc;
pub mod uart16550;
