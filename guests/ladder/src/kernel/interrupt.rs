//! Waiting for the disk's interrupt, as kernels do: a trap, the handler of the
//! interrupt controller and of the device, and `wfi` while there is nothing.

use core::arch::{asm, naked_asm};
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU64, Ordering};

use guest_drivers::{InterruptLine, Line, Linear, Once, Vmm};
use probes::csr::{self, SEI, SIE, SIE_BIT, SSTATUS, STVEC};
use probes::dev::{ata, plic, virtio};

/// Who interrupts.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Source {
    /// Nobody: completions are looked for.
    None = 0,
    Ata = 1,
    /// The virtio-mmio slot 0.
    Virtio = 2,
    Pv = 3,
}

static SOURCE: AtomicU8 = AtomicU8::new(Source::None as u8);
static CONTEXT: AtomicU64 = AtomicU64::new(0);
/// The disk has interrupted since this was last looked at.
static NEWS: AtomicBool = AtomicBool::new(false);
static LINE: InterruptLine = InterruptLine::new();
/// The VMM of [`Source::Pv`], and where it is.
static VMM: Once<Option<Vmm<Linear>>> = Once::new(None);
static PLACE: AtomicPtr<Option<Vmm<Linear>>> = AtomicPtr::new(ptr::null_mut());

/// Switches interrupts of `source` on.
pub(crate) fn enable(source: Source, hart: u64, vmm: Option<Vmm<Linear>>) {
    let context = plic::context_s(hart);
    let irq = match source {
        Source::None => return,
        Source::Ata => ata::IRQ,
        Source::Virtio => 1,
        Source::Pv => 0,
    };
    if irq == 0 {
        let (Some(cell), Some(vmm)) = (VMM.take(), vmm) else { return };
        *cell = Some(vmm);
        PLACE.store(cell, Ordering::Relaxed);
        let _ = LINE.connect(vmm, Line::SupervisorExternal, hart);
    } else {
        plic::set_priority(irq, 1);
        plic::set_enabled(context, 1 << irq);
        plic::set_threshold(context, 0);
    }
    CONTEXT.store(context, Ordering::Relaxed);
    SOURCE.store(source as u8, Ordering::Relaxed);
    csr::write::<STVEC>(vector as *const () as u64);
    csr::write::<SIE>(SEI);
    csr::set::<SSTATUS>(SIE_BIT);
}

/// Waits for the next interrupt, unless there was one since the last wait.
/// While completions are looked for, there is nothing to wait for.
pub(crate) fn wait() {
    if SOURCE.load(Ordering::Relaxed) == Source::None as u8 {
        core::hint::spin_loop();
        return;
    }
    while !NEWS.swap(false, Ordering::Relaxed) {
        csr::clear::<SSTATUS>(SIE_BIT);
        if !NEWS.load(Ordering::Relaxed) {
            // SAFETY: goes on when an interrupt is pending.
            unsafe { asm!("wfi", options(nostack)) };
        }
        csr::set::<SSTATUS>(SIE_BIT);
    }
}

extern "C" fn handle() {
    let context = CONTEXT.load(Ordering::Relaxed);
    match SOURCE.load(Ordering::Relaxed) {
        1 => claimed(context, || {
            // Acknowledges; the driver reads the alternate status.
            ata::get(ata::STATUS);
        }),
        2 => claimed(context, || {
            let slot = virtio::slot(0);
            let reasons: u32 = slot.read(virtio::INTERRUPT_STATUS);
            slot.write(virtio::INTERRUPT_ACK, reasons);
        }),
        _ => {
            // SAFETY: null, or the static of `enable`, which nobody writes any
            // more.
            let vmm = unsafe { PLACE.load(Ordering::Relaxed).as_ref() };
            vmm.into_iter().flatten().for_each(|vmm| _ = LINE.take(*vmm));
        }
    }
    NEWS.store(true, Ordering::Relaxed);
}

/// What a kernel does for each interrupt of the PLIC.
fn claimed(context: u64, acknowledge: impl FnOnce()) {
    let source = plic::claim(context);
    acknowledge();
    if source != 0 {
        plic::complete(context, source);
    }
}

/// Saves what a call may change, and calls [`handle`]. There are no other
/// traps; one would come here again and again, and the run end by its time.
#[unsafe(naked)]
extern "C" fn vector() {
    naked_asm!(
        ".balign 4",
        "addi sp, sp, -128",
        "sd ra, 0(sp)",
        "sd t0, 8(sp)",
        "sd t1, 16(sp)",
        "sd t2, 24(sp)",
        "sd t3, 32(sp)",
        "sd t4, 40(sp)",
        "sd t5, 48(sp)",
        "sd t6, 56(sp)",
        "sd a0, 64(sp)",
        "sd a1, 72(sp)",
        "sd a2, 80(sp)",
        "sd a3, 88(sp)",
        "sd a4, 96(sp)",
        "sd a5, 104(sp)",
        "sd a6, 112(sp)",
        "sd a7, 120(sp)",
        "csrr a0, scause",
        "call {handle}",
        "ld ra, 0(sp)",
        "ld t0, 8(sp)",
        "ld t1, 16(sp)",
        "ld t2, 24(sp)",
        "ld t3, 32(sp)",
        "ld t4, 40(sp)",
        "ld t5, 48(sp)",
        "ld t6, 56(sp)",
        "ld a0, 64(sp)",
        "ld a1, 72(sp)",
        "ld a2, 80(sp)",
        "ld a3, 88(sp)",
        "ld a4, 96(sp)",
        "ld a5, 104(sp)",
        "ld a6, 112(sp)",
        "ld a7, 120(sp)",
        "addi sp, sp, 128",
        "sret",
        handle = sym handle,
    )
}
