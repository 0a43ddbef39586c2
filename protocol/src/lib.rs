//! What both sides of the line agree on: hypercalls, rings and device
//! configuration, shared by the VMM and by every guest driver.
#![no_std]
#![forbid(unsafe_code)]

pub mod queue;
