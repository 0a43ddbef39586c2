//! The kernel: finds its VMM, and lets one user after the other have the
//! devices.

mod borrowed;
mod heap;
mod own;

use guest_drivers::{Linear, detect};
use probes::Probe;

probes::probe!(main);

fn main(p: &mut Probe) {
    heap::init();
    // SAFETY: this kernel runs without paging.
    let memory = unsafe { Linear::identity() };
    // SAFETY: in M-mode.
    let vmm = unsafe { detect::by_trap(memory) };
    p.holds("there is a VMM", vmm.is_some());
    if let Some(vmm) = vmm {
        borrowed::main(p, vmm);
        own::main(p, vmm);
    }
}
