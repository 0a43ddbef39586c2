//! A real device for tests: it looks at its rings as hardware does, at the
//! addresses that it was told.

use alloc::sync::Arc;

use spin::mutex::SpinMutex;
use spin::mutex::spin::SpinMutexGuard;
use trapeze_protocol::queue as layout;
use trapeze_protocol::queue::{Descriptor, DescriptorFlags, UsedElement};

use super::*;
use crate::mem::GuestRam;

/// A ring as the device sees it. Its memory has the real addresses.
pub(crate) struct RealRing {
    memory: GuestRam,
    place: RingPlace,
    next_avail: u16,
    next_used: u16,
}

fn at(base: Hpa, offset: u64) -> Gpa {
    Gpa(base.0 + offset)
}

impl RealRing {
    pub(crate) fn new(place: RingPlace) -> Self {
        let len = place.used.0 + layout::used_len(place.size) - place.descriptors.0;
        let memory = GuestRam::alias(place.descriptors, len);
        Self { memory, place, next_avail: 0, next_used: 0 }
    }

    /// Takes the next chain.
    pub(crate) fn pop(&mut self) -> Option<(u16, Vec<Buffer>)> {
        let RingPlace { size, descriptors, avail, .. } = self.place;
        let index = self.memory.load_u16(at(avail, layout::RING_INDEX)).unwrap();
        if index == self.next_avail {
            return None;
        }
        let element = layout::RING_ELEMENTS + 2 * layout::place(self.next_avail, size);
        let head = self.memory.load_u16(at(avail, element)).unwrap();
        self.next_avail = self.next_avail.wrapping_add(1);
        let (mut buffers, mut next) = (vec![], head);
        loop {
            assert!(next < size && buffers.len() < size.into(), "a chain without an end");
            let d: Descriptor = self.memory.read(at(descriptors, 16 * u64::from(next))).unwrap();
            let flags = DescriptorFlags::from_bits(d.flags).unwrap();
            assert!(!flags.contains(DescriptorFlags::INDIRECT));
            let writable = flags.contains(DescriptorFlags::WRITE);
            buffers.push(Buffer { host: Hpa(d.address), len: d.length, writable });
            if !flags.contains(DescriptorFlags::NEXT) {
                return Some((head, buffers));
            }
            next = d.next;
        }
    }

    /// Gives a chain back.
    pub(crate) fn push(&mut self, head: u16, length: u32) {
        let RingPlace { size, used, .. } = self.place;
        let element = layout::RING_ELEMENTS + 8 * layout::place(self.next_used, size);
        self.memory.write(at(used, element), &UsedElement { id: head.into(), length }).unwrap();
        self.next_used = self.next_used.wrapping_add(1);
        self.memory.store_u16(at(used, layout::RING_INDEX), self.next_used).unwrap();
    }
}

/// What there is of the device.
pub(crate) struct Hardware {
    pub(crate) kind: DeviceType,
    pub(crate) offers: u64,
    pub(crate) config: Vec<u8>,
    pub(crate) queue_max: u32,
    /// Whether a reset is over at once.
    pub(crate) quick: bool,
    /// With what it was started; `None`: it has stopped.
    pub(crate) features: Option<u64>,
    pub(crate) rings: Vec<RealRing>,
    pub(crate) notified: Vec<u16>,
    pub(crate) config_changed: bool,
}

/// A handle of it.
#[derive(Clone)]
pub(crate) struct FakeDevice(Arc<SpinMutex<Hardware>>);

impl FakeDevice {
    pub(crate) fn new(kind: DeviceType) -> Self {
        Self(Arc::new(SpinMutex::new(Hardware {
            kind,
            offers: u64::MAX,
            config: (0..32).collect(),
            queue_max: 1024,
            quick: true,
            features: None,
            rings: vec![],
            notified: vec![],
            config_changed: false,
        })))
    }

    pub(crate) fn look(&self) -> SpinMutexGuard<'_, Hardware> {
        self.0.lock()
    }

    /// The chains that came to queue `index` since the last call.
    pub(crate) fn take(&self, index: usize) -> Vec<(u16, Vec<Buffer>)> {
        let mut hardware = self.look();
        let ring = &mut hardware.rings[index];
        core::iter::from_fn(|| ring.pop()).collect()
    }

    /// Is done with chain `head` of queue `index`.
    pub(crate) fn finish(&self, index: usize, head: u16, written: u32) {
        self.look().rings[index].push(head, written);
    }
}

impl RealDevice for FakeDevice {
    fn reset(&mut self) {
        let mut hardware = self.look();
        if hardware.quick {
            (hardware.features, hardware.rings) = (None, vec![]);
        }
    }

    fn is_quiet(&self) -> bool {
        self.look().features.is_none()
    }
}

impl RealVirtio for FakeDevice {
    fn kind(&self) -> Option<DeviceType> {
        Some(self.look().kind)
    }

    fn features(&mut self) -> u64 {
        self.look().offers
    }

    fn config(&mut self, bytes: &mut [u8]) {
        let hardware = self.look();
        bytes.iter_mut().zip(&hardware.config).for_each(|(to, from)| *to = *from);
    }

    fn queue_max(&mut self, _: u16) -> u32 {
        self.look().queue_max
    }

    fn start(&mut self, features: u64, places: &[RingPlace]) -> bool {
        let mut hardware = self.look();
        let starts = hardware.features.is_none() && features & !hardware.offers == 0;
        if starts {
            hardware.features = Some(features);
            hardware.rings = places.iter().map(|place| RealRing::new(*place)).collect();
        }
        starts
    }

    fn notify(&mut self, index: u16) {
        self.look().notified.push(index);
    }

    fn acknowledge(&mut self) -> bool {
        core::mem::take(&mut self.look().config_changed)
    }
}
