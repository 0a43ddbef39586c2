//! The drivers of `guest-drivers` for a kernel in C.
//!
//! `cargo xtask c-abi` builds `libtrapeze.a`, for rv64gc with the ABI lp64d
//! and the code model medany; `include/trapeze_drivers.h` declares what is in
//! it. That header is made from [`abi`] by a test.
//!
//! ```c
//! #include "trapeze_drivers.h"
//!
//! void start(void)                     // in M-mode, on one hart
//! {
//!     if (trapeze_detect_by_trap() != TRAPEZE_OK || trapeze_block_open(0, 1) != TRAPEZE_OK)
//!         return;                      // no guest of Trapeze, or no disk
//!     trapeze_interrupt_connect(9, 0); // the S-mode external interrupt of hart 0
//! }
//!
//! void read_sector(uint64_t sector, void *page)
//! {
//!     trapeze_block_submit(0, TRAPEZE_OPERATION_READ, sector, page, 512, page);
//! }
//!
//! void external_interrupt(void)
//! {
//!     struct trapeze_completion done;
//!     if (trapeze_interrupt_pending() && trapeze_interrupt_take())
//!         while (trapeze_block_complete(0, &done) == 1)
//!             wake_up(done.tag, done.status);
//! }
//! ```
//!
//! There is one of everything, in statics: no allocator is needed, and no
//! set-up but the calls above.
//!
//! - Memory that devices get, the library's own statics included, must be
//!   mapped where it is in physical memory. A kernel that maps its stacks
//!   elsewhere, as xv6 does, must not read a disk onto its stack.
//! - Two calls for the same device must not run at once. The kernel has locks
//!   for that; where it forgets, the later call returns `TRAPEZE_BUSY`.
//! - Floating-point registers are not used.
#![cfg_attr(not(test), no_std)]

pub mod abi;
mod drivers;
mod status;

/// What a panic does: there is none that a device or the VMM could bring
/// about, so this is a bug of ours, or of who called us.
#[cfg(all(feature = "panic-handler", target_os = "none"))]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    abi::last_words(format_args!("\ntrapeze: {info}\n"));
    loop {
        core::hint::spin_loop();
    }
}
