//! Measures what guests pay on Trapeze, and where it goes; see
//! docs/benchmarks.md.
//!
//! ```text
//!   operation   what is measured, and what it should cost
//!   machine     the probe `cost`, run natively and as a guest
//!   cpu         the suite: figures and exits of each operation
//!   ladder      the suites of devices, with tables and pictures of their own
//!   scaling     more vCPUs, and more guests
//!   xv6         the user's own xv6, with our drivers and without
//!   linux       boot and disk of Debian's kernel
//!   profile     the instructions of one operation, by function of the VMM
//!   stub        a QEMU that stops where it should
//!   pool        runs that count, side by side
//!   report      what was measured, where: JSON
//!   render      the same as tables
//!   publish     the committed report, and the pages that show its tables
//!   compare     what changed between two reports
//! ```
//!
//! It goes through `cargo xtask run`, as users do.

pub mod compare;
pub mod cpu;
pub mod ladder;
pub mod linux;
pub mod machine;
pub mod operation;
mod pool;
pub mod profile;
mod progress;
pub mod publish;
pub mod render;
pub mod report;
pub mod scaling;
mod stub;
pub mod xv6;
