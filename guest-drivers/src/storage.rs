//! How what drivers keep in statics begins. This is apart from the types,
//! because the crate `ordering` has these with atomics that constants cannot
//! be made of.

use crate::atomic::{AtomicU16, AtomicU32, AtomicU64};
use crate::rings::{Available, Descriptor, Element, RingMemory, Used};

impl Descriptor {
    pub(crate) const fn new() -> Self {
        Self { address: AtomicU64::new(0), rest: AtomicU64::new(0) }
    }
}

impl Element {
    const fn new() -> Self {
        Self { id: AtomicU32::new(0), length: AtomicU32::new(0) }
    }
}

impl<const SIZE: usize> RingMemory<SIZE> {
    pub(crate) const fn new() -> Self {
        Self {
            descriptors: [const { Descriptor::new() }; SIZE],
            available: Available {
                flags: AtomicU16::new(0),
                index: AtomicU16::new(0),
                ring: [const { AtomicU16::new(0) }; SIZE],
                used_event: AtomicU16::new(0),
            },
            used: Used {
                flags: AtomicU16::new(0),
                index: AtomicU16::new(0),
                ring: [const { Element::new() }; SIZE],
                avail_event: AtomicU16::new(0),
            },
        }
    }
}
