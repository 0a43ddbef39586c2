//! Waiting until a device has news.
//!
//! Paravirtual devices share the VMM's interrupt line, a word in our memory;
//! devices with registers go through the PLIC. Both end a `wfi`. Whoever
//! waits for something looks for it, and waits here if it is not there yet:
//!
//! ```text
//!   while nothing { events::wait() }
//! ```
//!
//! No news is lost in between: what comes after the look is pending when the
//! wait begins, which then ends at once.

use guest_drivers::{InterruptLine, Line};
use spin::mutex::SpinMutex;

use crate::Vmm;
use crate::hart;
use crate::mmio::Registers;
use crate::plic::Plic;

static LINE: InterruptLine = InterruptLine::new();
static SOURCES: SpinMutex<Sources> = SpinMutex::new(Sources { vmm: None, plic: None });

struct Sources {
    vmm: Option<Vmm>,
    plic: Option<Plic>,
}

/// Begins to listen, on `hart`.
pub(crate) fn init(vmm: Option<Vmm>, plic: Option<Registers>, hart: u64) {
    let mut sources = SOURCES.lock();
    if let Some(vmm) = vmm {
        LINE.connect(vmm, Line::SupervisorExternal, hart).expect("the VMM takes our line");
        sources.vmm = Some(vmm);
    }
    sources.plic = plic.map(|registers| Plic::new(registers, usize::try_from(hart).unwrap_or(0)));
    hart::enable_wake_ups();
}

/// Lets a device with registers end a wait.
pub(crate) fn enable(irq: u32) {
    if let Some(plic) = SOURCES.lock().plic.as_mut().filter(|_| irq != 0) {
        plic.enable(irq);
    }
}

/// Whether `irq` has interrupted, and its driver has not looked yet: a look at
/// a register costs a guest an exit, so none is taken without a cause.
pub(crate) fn has(irq: u32) -> bool {
    SOURCES.lock().plic.as_ref().is_some_and(|plic| plic.has(irq))
}

/// The driver of `irq` has found nothing more to do.
pub(crate) fn served(irq: u32) {
    if let Some(plic) = &mut SOURCES.lock().plic {
        plic.served(irq);
    }
}

/// Waits for news from any device, or the timer; may return without.
pub(crate) fn wait() {
    let Sources { vmm, plic } = &mut *SOURCES.lock();
    if let Some(plic) = plic {
        plic.complete();
    }
    // What came since the last wait costs no `wfi`.
    if news(*vmm) {
        return;
    }
    hart::wait();
    if !news(*vmm)
        && let Some(plic) = plic
    {
        plic.claim();
    }
}

/// Takes what is pending on the VMM's line.
fn news(vmm: Option<Vmm>) -> bool {
    vmm.is_some_and(|vmm| !LINE.take(vmm).is_empty())
}
