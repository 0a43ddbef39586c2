//! The VMM's side of the line, in this process: its devices, on the memory
//! that the drivers use. What is a guest in a machine is a test here.
#![allow(unsafe_code, dead_code, reason = "each test uses a part of it")]

pub(crate) mod disk;
pub(crate) mod ends;
pub(crate) mod liar;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ptr::NonNull;

use guest_drivers::protocol::call::{Call, Error, Function, Reply, Version};
use guest_drivers::protocol::device::Status;
use guest_drivers::{Hypercall, InterruptLine, Line, Memory, Vmm};
use trapeze_vmm::addr::Gpa;
use trapeze_vmm::mem::GuestRam;
use trapeze_vmm::pv::{Answer, Pv};
use trapeze_vmm::virtio::AnyDevice;
use trapeze_vmm::virtio::queue::Place;

const BASE: Gpa = Gpa(0x8000_0000);
const RAM: u64 = 0x100_0000;

/// A VMM with one guest.
pub(crate) struct Machine {
    ram: GuestRam,
    used: Cell<u64>,
    pv: RefCell<Pv>,
    count: usize,
    /// Where the guest put its queues.
    places: RefCell<HashMap<(u64, u64), Place>>,
    /// Whether devices hear when they are notified.
    pub(crate) hearing: Cell<bool>,
    /// Who answers in their place when a queue is notified.
    liar: RefCell<Option<liar::Answers>>,
    pub(crate) version: Cell<Version>,
    calls: RefCell<Vec<Function>>,
    /// How often the interrupt line came up.
    pub(crate) interrupts: Cell<u64>,
}

/// The way of a guest to its VMM, and how its memory translates.
pub(crate) type Guest = Vmm<Ram, &'static Machine>;

impl Machine {
    /// A machine with these devices; never freed.
    pub(crate) fn new(devices: Vec<AnyDevice>) -> &'static Self {
        let (mut pv, count) = (Pv::default(), devices.len());
        devices.into_iter().for_each(|device| _ = pv.add(device));
        Box::leak(Box::new(Self {
            ram: GuestRam::leaked(BASE, RAM),
            used: Cell::new(0x1000),
            pv: RefCell::new(pv),
            count,
            places: RefCell::default(),
            hearing: Cell::new(true),
            liar: RefCell::default(),
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

    /// The guest's interrupt line, connected.
    pub(crate) fn line(&'static self) -> &'static InterruptLine {
        let line: &'static InterruptLine = self.place(InterruptLine::new());
        line.connect(self.guest(), Line::SupervisorExternal, 0).expect("a line");
        line
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

    /// Where the guest's memory at an address is.
    pub(crate) fn block_at(&self, address: u64) -> NonNull<u8> {
        let host = self.ram.hpa(Gpa(address), 1).expect("guest memory");
        let host = std::ptr::with_exposed_provenance_mut(usize::try_from(host.0).unwrap());
        NonNull::new(host).expect("memory")
    }

    pub(crate) fn ram(&self) -> &GuestRam {
        &self.ram
    }

    /// Where the guest put a queue.
    pub(crate) fn place_of(&self, device: u64, queue: u64) -> Place {
        self.places.borrow()[&(device, queue)]
    }

    /// How often the guest called a function.
    pub(crate) fn count(&self, function: Function) -> usize {
        self.calls.borrow().iter().filter(|call| **call == function).count()
    }

    /// How many calls the guest made.
    pub(crate) fn calls(&self) -> usize {
        self.calls.borrow().len()
    }

    /// Lets devices go on with what is under way.
    pub(crate) fn poll(&self) {
        let mut pv = self.pv.borrow_mut();
        (0..self.count).for_each(|number| pv.poll(number, &self.ram));
        self.publish(&mut pv);
    }

    fn publish(&self, pv: &mut Pv) {
        if pv.publish(&self.ram).is_some() {
            self.interrupts.set(self.interrupts.get() + 1);
        }
    }

    /// From now on `answers` is called with the number of a queue that is
    /// notified, and no device.
    pub(crate) fn let_lie(&self, answers: liar::Answers) {
        self.hearing.set(false);
        *self.liar.borrow_mut() = Some(answers);
    }

    /// Makes the status of a device one that no driver sets.
    pub(crate) fn fail(&self, device: u64) {
        let call = Call::SetStatus { device, status: Status::FAILED.bits() };
        self.pv.borrow_mut().call(call, 1, &self.ram).expect("a device");
    }

    /// What the VMM does for a vCPU that made a hypercall.
    fn serve(&self, call: Call) -> Reply {
        match call {
            Call::Version => return Ok(self.version.get().to_value()),
            Call::Notify { queue, .. } if !self.hearing.get() => {
                if let Some(answers) = &mut *self.liar.borrow_mut() {
                    answers(queue);
                }
                return Ok(0);
            }
            _ => {}
        }
        loop {
            let answer = self.pv.borrow_mut().call(call, 1, &self.ram)?;
            self.publish(&mut self.pv.borrow_mut());
            if let Call::QueueSetUp { device, queue, size, descriptors, avail, used } = call {
                let [descriptors, avail, used] = [descriptors, avail, used].map(Gpa);
                let place = Place { size: size.try_into().unwrap(), descriptors, avail, used };
                self.places.borrow_mut().insert((device, queue), place);
            }
            match answer {
                Answer::Value(value) => return Ok(value),
                Answer::Again => self.poll(),
                Answer::Other(Call::Yield) => {
                    self.poll();
                    return Ok(0);
                }
                Answer::Other(Call::InterruptDone) => return Ok(0),
                Answer::Other(_) => return Err(Error::NotSupported),
            }
        }
    }
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
