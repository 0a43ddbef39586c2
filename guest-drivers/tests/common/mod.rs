//! The VMM's side of the line, in this process: its devices, on the memory
//! that the drivers use. What is a guest in a machine is a test here.
#![allow(unsafe_code, dead_code, reason = "each test uses a part of it")]

pub(crate) mod disk;

use std::cell::{Cell, RefCell};
use std::ptr::NonNull;

use guest_drivers::protocol::call::{
    Call, Error, Features, Function as Number, QueueState, Reply, Version,
};
use guest_drivers::protocol::device::{Description, Status};
use guest_drivers::protocol::interrupt;
use guest_drivers::{Hypercall, Memory, Vmm};
use trapeze_vmm::addr::Gpa;
use trapeze_vmm::mem::GuestRam;
use trapeze_vmm::virtio::function::{Function, Interface, InterruptStatus};
use trapeze_vmm::virtio::queue::{MAX_SIZE, Place};
use trapeze_vmm::virtio::{AnyDevice, Device as _};

const BASE: Gpa = Gpa(0x8000_0000);
const RAM: u64 = 0x100_0000;

/// A device, and where its queues are.
struct Slot {
    function: Function<AnyDevice>,
    places: Vec<Option<Place>>,
    generation: u64,
}

/// A VMM with one guest.
pub(crate) struct Machine {
    ram: GuestRam,
    used: Cell<u64>,
    slots: RefCell<Vec<Slot>>,
    line: Cell<Option<Gpa>>,
    /// Whether devices serve their queues when they are notified.
    pub(crate) serving: Cell<bool>,
    pub(crate) version: Cell<Version>,
    /// Calls by function.
    calls: RefCell<Vec<Number>>,
    /// Interrupts that devices asked for.
    pub(crate) interrupts: Cell<u64>,
}

/// The way of a guest to its VMM, and how its memory translates.
pub(crate) type Guest = Vmm<Ram, &'static Machine>;

impl Machine {
    /// A machine with these devices; never freed.
    pub(crate) fn new(devices: Vec<AnyDevice>) -> &'static Self {
        let slot = |device: AnyDevice| Slot {
            places: vec![None; device.queues()],
            function: Function::new(device, Interface::Modern),
            generation: 0,
        };
        Box::leak(Box::new(Self {
            ram: GuestRam::leaked(BASE, RAM),
            used: Cell::new(0x1000),
            slots: RefCell::new(devices.into_iter().map(slot).collect()),
            line: Cell::new(None),
            serving: Cell::new(true),
            version: Cell::new(Version::CURRENT),
            calls: RefCell::default(),
            interrupts: Cell::new(0),
        }))
    }

    /// The guest, when it has found its VMM.
    pub(crate) fn guest(&'static self) -> Guest {
        Vmm::connect(Ram(self), self).expect("a VMM")
    }

    /// How the guest's memory translates.
    pub(crate) fn guest_memory(&'static self) -> Ram {
        Ram(self)
    }

    /// Puts a value into the guest's memory, for ever.
    #[expect(clippy::mut_from_ref, reason = "each time to other memory")]
    pub(crate) fn place<T>(&'static self, value: T) -> &'static mut T {
        let at = self.used.get().next_multiple_of(4096);
        self.used.set(at + size_of::<T>() as u64);
        let host = self.ram.hpa(Gpa(BASE.0 + at), size_of::<T>() as u64).expect("enough memory");
        let host = std::ptr::with_exposed_provenance_mut::<T>(usize::try_from(host.0).unwrap());
        // SAFETY: a part of leaked memory that nobody else was given.
        unsafe {
            host.write(value);
            &mut *host
        }
    }

    /// A buffer in the guest's memory.
    pub(crate) fn buffer(&'static self, len: usize) -> &'static mut [u8] {
        let buffer = self.place([0u8; 0x4000]);
        &mut buffer[..len]
    }

    pub(crate) fn ram(&self) -> &GuestRam {
        &self.ram
    }

    /// Where the guest put a queue.
    pub(crate) fn place_of(&self, device: usize, queue: usize) -> Place {
        self.slots.borrow()[device].places[queue].expect("a queue")
    }

    /// How often the guest called a function.
    pub(crate) fn count(&self, function: Number) -> usize {
        self.calls.borrow().iter().filter(|call| **call == function).count()
    }

    /// Lets devices go on with what is under way.
    pub(crate) fn poll(&self) {
        let count = self.slots.borrow().len();
        for number in 0..count {
            self.slots.borrow_mut()[number].function.poll(&self.ram);
            self.deliver(number);
        }
    }

    /// Raises what a device has to say in the guest's line.
    fn deliver(&self, number: usize) {
        let slot = &mut self.slots.borrow_mut()[number];
        let reasons = slot.function.interrupt();
        slot.function.acknowledge(reasons);
        if reasons.is_empty() {
            return;
        }
        self.interrupts.set(self.interrupts.get() + 1);
        if let Some(line) = self.line.get() {
            if reasons.contains(InterruptStatus::CONFIGURATION) {
                self.raise(line.wrapping_add(interrupt::CHANGED), number);
            }
            self.raise(line, number);
        }
    }

    fn raise(&self, word: Gpa, bit: usize) {
        let old = self.ram.load_u64(word).unwrap();
        self.ram.store_u64(word, old | 1 << bit).unwrap();
    }

    fn serve(&self, call: Call) -> Reply {
        match call {
            Call::Version => Ok(self.version.get().to_value()),
            Call::Features => Ok(Features::YIELD.bits()),
            Call::DeviceCount => Ok(self.slots.borrow().len() as u64),
            Call::Yield => {
                self.poll();
                Ok(0)
            }
            Call::InterruptSetUp { line, .. } => {
                self.line.set(line.map(|(address, _)| Gpa(address)));
                Ok(0)
            }
            Call::InterruptDone => Ok(0),
            // Not among the features.
            Call::Counter { .. } | Call::CounterName { .. } => Err(Error::NotSupported),
            Call::Describe { device }
            | Call::DeviceFeatures { device }
            | Call::AcceptFeatures { device, .. }
            | Call::GetStatus { device }
            | Call::SetStatus { device, .. }
            | Call::QueueState { device, .. }
            | Call::QueueSetUp { device, .. }
            | Call::QueueStop { device, .. }
            | Call::ConfigRead { device, .. }
            | Call::ConfigWrite { device, .. }
            | Call::ConfigGeneration { device }
            | Call::Notify { device, .. } => {
                let number = usize::try_from(device).unwrap();
                let mut slots = self.slots.borrow_mut();
                let slot = slots.get_mut(number).ok_or(Error::InvalidParameter)?;
                let reply = slot.serve(call, &self.ram, self.serving.get());
                drop(slots);
                self.deliver(number);
                reply
            }
        }
    }
}

impl Slot {
    fn serve(&mut self, call: Call, ram: &GuestRam, serving: bool) -> Reply {
        let number = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        match call {
            Call::Describe { .. } => Ok(self.describe().to_value()),
            Call::DeviceFeatures { .. } => Ok(self.function.offered()),
            Call::AcceptFeatures { features, .. } => {
                self.function.accept(0, low(features));
                self.function.accept(1, low(features >> 32));
                Ok(0)
            }
            Call::GetStatus { .. } => Ok(self.function.status().bits()),
            Call::SetStatus { status, .. } => {
                self.function.set_status(Status::from_bits_retain(status));
                while status == 0 && !self.function.status().is_empty() {
                    self.function.poll(ram);
                }
                Ok(0)
            }
            Call::QueueState { queue, .. } => {
                let ready = self.function.queue_ready(number(queue));
                let ready = ready.ok_or(Error::InvalidParameter)?;
                Ok(QueueState { max_size: MAX_SIZE, ready }.to_value())
            }
            Call::QueueSetUp { queue, size, descriptors, avail, used, .. } => {
                let [descriptors, avail, used] = [descriptors, avail, used].map(Gpa);
                let place = Place { size: size.try_into().unwrap(), descriptors, avail, used };
                self.function.enable(number(queue), place, ram);
                self.places[number(queue)] = Some(place);
                Ok(0)
            }
            Call::ConfigRead { offset, width, .. } => {
                let mut bytes = [0; 8];
                let config = self.function.config().iter().skip(number(offset));
                bytes
                    .iter_mut()
                    .take(width as usize)
                    .zip(config)
                    .for_each(|(to, from)| *to = *from);
                Ok(u64::from_le_bytes(bytes))
            }
            Call::ConfigGeneration { .. } => Ok(self.generation),
            Call::Notify { queue, .. } => {
                if serving {
                    self.function.notify(number(queue), ram);
                }
                Ok(0)
            }
            _ => Err(Error::NotSupported),
        }
    }

    fn describe(&self) -> Description {
        let device = self.function.device();
        let queues = u16::try_from(self.places.len()).unwrap();
        let config_len = u32::try_from(device.config().len()).unwrap();
        Description { kind: device.kind() as u16, queues, config_len }
    }
}

fn low(value: u64) -> u32 {
    u32::try_from(value & 0xffff_ffff).unwrap()
}

// SAFETY: the VMM's own devices, which keep the protocol; tests that make
// them lie give no memory that they could harm.
unsafe impl Hypercall for &'static Machine {
    unsafe fn call(self, call: Call) -> Reply {
        self.calls.borrow_mut().push(call.function());
        // Through registers, as from a guest.
        let call = Call::decode(call.function() as u64, call.arguments())?;
        self.serve(call)
    }
}

/// Translation of what is in the guest's memory.
#[derive(Clone, Copy)]
pub(crate) struct Ram(&'static Machine);

// SAFETY: the addresses are of the same memory, and of no other.
unsafe impl Memory for Ram {
    fn physical(self, start: NonNull<u8>, len: usize) -> Option<u64> {
        let host = self.0.ram.hpa(BASE, RAM)?.0;
        let offset = (start.addr().get() as u64).checked_sub(host)?;
        let fits = offset.checked_add(len as u64)? <= RAM;
        fits.then_some(BASE.0 + offset)
    }
}
