//! From reset to the loop.
//!
//! QEMU starts all harts at `_start`, with the hart's number in a0 and the
//! address of the device tree in a1. Hart 0 builds the machine; the others
//! sleep until it is there.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::arch::global_asm;
use core::fmt::Write;
use core::sync::atomic::{AtomicU32, Ordering};

use spin::Once;

use super::console::Messages;
use super::hart::RealHart;
use super::memory::{Free, Map};
use super::{clint, console, csr, heap, memory, pci, power, rtc, virtio};
use crate::addr::{Gpa, to_usize};
use crate::bundle::{self, Config, RealDevice, status};
use crate::bus::RAM_BASE;
use crate::entropy::Seeds;
use crate::machine::{self, Machine, RamAddress, Resources};
use crate::mem::GuestRam;

/// Harts that have a stack; QEMU `virt` has no more than 8 by default.
const MAX_HARTS: usize = 8;
const STACK_SHIFT: u32 = 17;
/// What the last word of the first stack holds until somebody reaches it.
const UNTOUCHED: u64 = 0x7472_6170_657a_6521;
/// The heap before the configuration is known, in bytes.
const FIRST_HEAP: u64 = 32 << 20;
/// What a guest needs of the heap beyond that: its shadow tables, mostly.
const HEAP_PER_GUEST: u64 = 32 << 20;
/// Guest RAM is aligned to a superpage.
const RAM_ALIGN: u64 = 2 << 20;

global_asm!(
    ".pushsection .text.start, \"ax\"",
    ".global _start",
    "_start:",
    "csrw mie, zero",
    "li t0, {harts}",
    "bgeu a0, t0, 3f",
    "la sp, __stacks_start",
    "addi t0, a0, 1",
    "slli t0, t0, {stack}",
    "add sp, sp, t0",
    "bnez a0, 2f",
    "la t0, __bss_start",
    "la t1, __bss_end",
    "1: bgeu t0, t1, 2f",
    "sd zero, 0(t0)",
    "addi t0, t0, 8",
    "j 1b",
    "2: call {main}",
    "3: wfi",
    "j 3b",
    ".popsection",
    harts = const MAX_HARTS,
    stack = const STACK_SHIFT,
    main = sym main,
);

unsafe extern "C" {
    static __image_end: u8;
    static mut __stacks_start: u64;
}

static MACHINE: Once<&'static Machine> = Once::new();
/// 1 until the machine is built. Not zero, so that it lies in `.data`: the
/// other harts look at it before `.bss` is cleared.
static BUILDING: AtomicU32 = AtomicU32::new(1);

extern "C" fn main(hart: usize, tree: u64) -> ! {
    let real = RealHart::new(hart);
    if hart == 0 {
        // SAFETY: the end of this stack, where nothing is yet.
        unsafe { (&raw mut __stacks_start).write_volatile(UNTOUCHED) };
        // SAFETY: QEMU put the device tree there, and nobody changes it meanwhile.
        let machine = unsafe { build(tree) };
        check_stack();
        let machine = machine.unwrap_or_else(|text| refuse(&text));
        MACHINE.call_once(|| machine);
        BUILDING.store(0, Ordering::Release);
        (1..MAX_HARTS.min(machine.harts)).for_each(clint::kick);
        machine.start(&real);
    }
    while BUILDING.load(Ordering::Acquire) != 0 {
        csr::wait();
    }
    clint::clear_kick(hart);
    match MACHINE.get() {
        Some(machine) => {
            csr::guard(image_end(), &machine.open);
            machine::run(machine, real)
        }
        None => power::off(status::PANIC.into()),
    }
}

/// Nothing needs more of a stack than the building of the machine, and below
/// the first one are the VMM's variables.
fn check_stack() {
    // SAFETY: a word that is there, and that nobody else uses.
    let last = unsafe { (&raw const __stacks_start).read_volatile() };
    assert!(last == UNTOUCHED, "the stack is too small: make STACK_SHIFT and vmm.ld larger");
}

/// One past the last byte of the VMM's image.
fn image_end() -> u64 {
    (&raw const __image_end) as u64
}

/// Says why nothing can be started, and ends the machine.
fn refuse(text: &dyn core::fmt::Display) -> ! {
    let _ = writeln!(Messages, "trapeze: {text}");
    power::off(status::BAD_BUNDLE.into())
}

type Refusal = Box<dyn core::fmt::Display>;

fn refusal<T>(text: &'static str) -> Result<T, Refusal> {
    Err(Box::new(text))
}

/// Builds the machine that the bundle describes.
///
/// # Safety
/// `tree` must be the address of the machine's device tree.
unsafe fn build(tree: u64) -> Result<&'static Machine, Refusal> {
    console::init();
    // SAFETY: the caller's promise.
    let Some(map) = (unsafe { memory::read(tree) }) else { power::off(status::PANIC.into()) };
    let mut free = Free::new(&map, image_end());
    add_heap(&mut free, FIRST_HEAP);
    let Some(bundle) = bundle_bytes(&map) else {
        return refusal("no bundle was given as the initrd: start guests with `cargo xtask run`");
    };
    let config = Config::parse(bundle).map_err(|error| Box::new(error) as Refusal)?;
    for _ in &config.guests {
        add_heap(&mut free, HEAP_PER_GUEST);
    }
    virtio::init(config.passed().filter_map(|passed| match passed.device {
        RealDevice::VirtioMmio { slot } => Some(slot),
        RealDevice::Pci { .. } => None,
    }));
    let free = core::cell::RefCell::new(free);
    let alone = config.guests.len() == 1;
    let mut resources = Resources {
        harts: map.harts.min(MAX_HARTS),
        bundle,
        ram: &mut |size, address| guest_ram(&mut free.borrow_mut(), (size, address), alone),
        bytes: &mut |size| static_bytes(&mut free.borrow_mut(), size),
        disk: &mut virtio::disk,
        passed: &mut |device| match device {
            RealDevice::VirtioMmio { slot } => virtio::passed(slot),
            RealDevice::Pci { .. } => None,
        },
        function: &mut |device, ram| pci::give(device, ram, map.iommu),
        network: &mut virtio::network,
        assists: csr::extensions() & csr::H == 0,
        sstc: map.sstc,
        has_log: virtio::has_log(),
        epoch: map.rtc.map(rtc::epoch),
        seeds: map.seed.map(|seed| Arc::new(Seeds::new(seed))),
    };
    let machine = machine::build(&config, &mut resources).map_err(|e| Box::new(e) as Refusal)?;
    Ok(Box::leak(Box::new(machine)))
}

fn add_heap(free: &mut Free, size: u64) {
    match free.take(size, bundle::ALIGN) {
        // SAFETY: taken from what is free, and never given back.
        Some(start) => unsafe { heap::add(start, size) },
        None => refuse(&"the machine has too little memory: give it more"),
    }
}

fn bundle_bytes(map: &Map) -> Option<&'static [u8]> {
    let (start, end) = map.bundle?;
    let pointer = core::ptr::with_exposed_provenance(to_usize(start));
    // SAFETY: QEMU loaded the bundle there, and `Free` leaves it alone.
    Some(unsafe { core::slice::from_raw_parts(pointer, to_usize(end.checked_sub(start)?)) })
}

fn static_bytes(free: &mut Free, size: u64) -> Option<&'static mut [u8]> {
    let start = free.take(size, bundle::ALIGN)?;
    let pointer = core::ptr::with_exposed_provenance_mut(to_usize(start));
    // SAFETY: taken from what is free, and never given back.
    Some(unsafe { core::slice::from_raw_parts_mut(pointer, to_usize(size)) })
}

/// RAM of a guest; of one that is `alone` aligned to the largest page, where
/// that fits. Beside others the gap before it would be theirs.
fn guest_ram(free: &mut Free, (size, address): (u64, RamAddress), alone: bool) -> Option<GuestRam> {
    const GIB: u64 = 1 << 30;
    let big = if alone && size >= GIB { free.take(size, GIB) } else { None };
    let start = big.or_else(|| free.take(size, RAM_ALIGN))?;
    let host = core::ptr::with_exposed_provenance_mut(to_usize(start));
    let host = core::ptr::NonNull::new(host)?;
    let base = match address {
        RamAddress::Usual => RAM_BASE,
        RamAddress::Real => Gpa(start),
    };
    // SAFETY: taken from what is free, and never given back; aligned.
    Some(unsafe { GuestRam::new(base, host, size) })
}
