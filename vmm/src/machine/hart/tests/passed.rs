//! A guest with a device of its own.

use alloc::boxed::Box;
use alloc::sync::Arc;

use super::*;
use crate::addr::Hpa;
use crate::bundle::CpuMode;
use crate::bus::{Region, Width, virtio_irq};
use crate::machine::fake::machine_with;
use crate::pass::{Found, RealDevice, Registers};

/// Its interrupt at the real PLIC.
const SOURCE: u32 = 40;
/// At the guest's PLIC, behind a disk and a network interface.
const IRQ: u64 = virtio_irq(2) as u64;
/// The claim register of vS on vCPU 0.
const CLAIM: u64 = 0x20_1004;

/// Counts how often it is reset; it is quiet only at each second look.
struct Device {
    resets: Arc<AtomicUsize>,
    looks: AtomicUsize,
}

impl RealDevice for Device {
    fn reset(&mut self) {
        self.resets.fetch_add(1, Ordering::Relaxed);
    }

    fn is_quiet(&self) -> bool {
        self.looks.fetch_add(1, Ordering::Relaxed) % 2 == 1
    }
}

/// A guest with the device, its hart, and how often the device was reset.
fn owner() -> (FakeHart, Seat, Arc<AtomicUsize>) {
    let resets = Arc::new(AtomicUsize::new(0));
    let registers = Registers { host: Hpa(0x1000_3000), size: 0x1000 };
    let device = || Box::new(Device { resets: resets.clone(), looks: AtomicUsize::new(0) });
    let found = |_| Some(Found { device: device(), registers, source: SOURCE, virtio: None });
    let machine = machine_with(&[(1, CpuMode::Classic)], Boot::Supervisor, 1, found);
    let (mut hart, mut seats) = hart(machine, &Board::new(1), 0, |_| unreachable!());
    machine.start(&hart.host);
    hart.next(&seats);
    prepare(&mut hart, 0, &mut seats[0]);
    (hart, seats.remove(0), resets)
}

/// The device interrupts, and the guest, whose PLIC lets it, claims that.
fn interrupt(hart: &mut FakeHart, seat: &mut Seat) {
    for (offset, value) in [(4 * IRQ, 1), (0x2080, 1 << IRQ)] {
        hart.write_device(seat, (Region::Plic, offset), Width::Word, value).unwrap();
    }
    hart.host.externals.push(External::Passed(SOURCE));
    hart.interrupted(seat, 11);
    let lines = seat.link.lines.load(Ordering::Relaxed);
    assert_ne!(lines & Interrupt::SupervisorExternal.bit(), 0);
    assert_eq!(hart.read_device(seat, (Region::Plic, CLAIM), Width::Word), Ok(IRQ));
    assert!(hart.host.completed.lock().is_empty());
}

#[test]
fn an_interrupt_is_the_guests_to_complete() {
    let (mut hart, mut seat, _) = owner();
    interrupt(&mut hart, &mut seat);
    hart.write_device(&mut seat, (Region::Plic, CLAIM), Width::Word, IRQ).unwrap();
    assert_eq!(*hart.host.completed.lock(), [SOURCE]);
    hart.machine.passed(&hart.host, SOURCE + 1);
    assert_eq!(*hart.host.completed.lock(), [SOURCE, SOURCE + 1], "that one is nobody's");
}

#[test]
fn a_guest_ends_when_its_device_has_stopped() {
    let (mut hart, mut seat, resets) = owner();
    assert_eq!(resets.load(Ordering::Relaxed), 1, "before it starts");
    interrupt(&mut hart, &mut seat);
    seat.guest.end(&hart.host, Power::Reset, 0);
    hart.attend(&mut seat);
    assert_eq!(seat.guest.power(), Power::Reset, "it has not stopped yet");
    hart.attend(&mut seat);
    assert_eq!(seat.guest.power(), Power::On);
    assert!(resets.load(Ordering::Relaxed) > 2, "at the end, and before it starts anew");
    assert_eq!(*hart.host.completed.lock(), [SOURCE], "nobody else will");
}
