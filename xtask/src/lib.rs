//! The host tool behind `make`: it builds the VMM, runs guests on it in QEMU,
//! and checks the project.
//!
//! As a library it serves the `tests` crate, which needs the same guests and
//! the same idea of where things are.

pub mod cli;
pub mod demo;
pub mod failure;
pub mod fat;
pub mod guests;
pub mod lint;
pub mod linux;
pub mod mode;
pub mod progress;
pub mod run;
pub mod setup;
pub mod suite;
pub mod workspace;
pub mod xv6;
