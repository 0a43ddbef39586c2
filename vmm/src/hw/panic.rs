//! The VMM's own end. A panic is our bug: it is said loudly, and QEMU ends
//! with a status of its own.

use core::fmt::Write;
use core::panic::PanicInfo;

use super::console::Messages;
use crate::bundle::status;

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let _ = writeln!(Messages, "\ntrapeze: the VMM failed; this is a bug in it: {info}");
    super::power::off(status::PANIC.into())
}
