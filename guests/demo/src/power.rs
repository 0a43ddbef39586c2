//! The end: the test finisher, which the machine and the VMM have.

use spin::Once;

use crate::hart;
use crate::mmio::Registers;

static FINISHER: Once<Registers> = Once::new();

/// How to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reason {
    /// All is done.
    Done,
    /// Something is wrong; a code for the host.
    Failure(u16),
    /// Start again.
    Reboot,
}

/// Remembers where the finisher is.
pub(crate) fn init(finisher: Registers) {
    FINISHER.call_once(|| finisher);
}

/// Ends the machine. Without a finisher it waits for ever.
pub(crate) fn off(reason: Reason) -> ! {
    if let Some(finisher) = FINISHER.get() {
        finisher.write(
            0,
            match reason {
                Reason::Done => 0x5555,
                Reason::Failure(code) => u32::from(code) << 16 | 0x3333,
                Reason::Reboot => 0x7777,
            },
        );
    }
    loop {
        hart::wait();
    }
}
