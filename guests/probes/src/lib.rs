//! What every probe shares: a probe is a bare-metal program that looks at
//! one behaviour of the machine and prints what it saw.
//!
//! ```text
//!   boot      first instructions, stacks, harts that wait to be called
//!   bootargs  the command line, for the few probes that take one
//!   context   run a snippet in any mode as if it were a function call
//!   trap      what ended the snippet, in words
//!   access    snippets: one load or store, one instruction made on the fly
//!   paging    Sv39 tables, frames they are made of
//!   csr, insn CSR access, instruction encodings
//!   smp, sbi  other harts, calls to a firmware
//!   dev       the devices of the `virt` machine
//!   report    `name: check = value` lines, pass or fail
//! ```
//!
//! A probe behaves alike on the real machine and as a guest, so it prints
//! nothing that may differ: no times, no implementation identities.
#![no_std]

pub mod access;
pub mod boot;
pub mod bootargs;
pub mod context;
pub mod csr;
pub mod dev;
pub mod insn;
pub mod interrupts;
pub mod paging;
pub mod report;
pub mod rng;
pub mod sbi;
pub mod smp;
pub mod trap;

pub use context::{Context, Mode};
pub use report::Probe;
pub use trap::{Outcome, Trap};

/// Makes `$main`, a `fn(&mut Probe)`, the program that the boot hart runs.
/// The program is named after the executable.
#[macro_export]
macro_rules! probe {
    ($main:path) => {
        #[unsafe(no_mangle)]
        extern "Rust" fn probe_main(hart: u64, dtb: u64) -> ! {
            let mut probe = $crate::Probe::start(env!("CARGO_BIN_NAME"), hart, dtb);
            $main(&mut probe);
            probe.finish()
        }
    };
}

/// Defines a snippet: instructions to run with [`Context::run`], without
/// compressed forms so that offsets are known, ended by an `ecall`.
#[macro_export]
macro_rules! snippet {
    ($(#[$doc:meta])* $vis:vis fn $name:ident { $($line:expr),* $(,)? }) => {
        $(#[$doc])*
        #[unsafe(naked)]
        $vis extern "C" fn $name() {
            core::arch::naked_asm!(
                ".option push", ".option arch, +a, +d", ".option norvc", ".balign 4",
                $($line,)*
                "ecall",
                ".option pop",
            )
        }
    };
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    dev::uart::print(format_args!("panic: {info}\n"));
    dev::finisher::fail(101)
}
