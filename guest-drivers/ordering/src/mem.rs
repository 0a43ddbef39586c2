//! Guest RAM as the VMM's queue knows it, on the atomics of `loom`: the
//! memory of one queue of the driver's, and a word of data for each slot.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering, fence};
use trapeze_protocol::queue as layout;
use trapeze_vmm::addr::Hpa;
pub(crate) use trapeze_vmm::mem::OutOfRange;
use trapeze_vmm::mem::{FENCE, LOAD, STORE};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::addr::Gpa;
use crate::rings::{Available, Descriptor, Element, RingMemory, Used};

/// Elements of the queue.
pub(crate) const ELEMENTS: u16 = 2;
/// The same, as a length.
pub(crate) const SIZE: usize = ELEMENTS as usize;

/// Where the parts are for the device.
pub(crate) const DESCRIPTORS: Gpa = Gpa(0x1000);
pub(crate) const AVAIL: Gpa = Gpa(0x2000);
pub(crate) const USED: Gpa = Gpa(0x3000);
pub(crate) const DATA: Gpa = Gpa(0x4000);

/// All memory that both sides have.
pub(crate) struct Shared {
    pub(crate) rings: RingMemory<SIZE>,
    pub(crate) data: [AtomicU64; SIZE],
}

impl Shared {
    pub(crate) fn new() -> Self {
        let half = || AtomicU16::new(0);
        let descriptor = || Descriptor { address: AtomicU64::new(0), rest: AtomicU64::new(0) };
        let element = || Element { id: AtomicU32::new(0), length: AtomicU32::new(0) };
        let (ring, elements) = ([half(), half()], [element(), element()]);
        let available = Available { flags: half(), index: half(), ring, used_event: half() };
        let used = Used { flags: half(), index: half(), ring: elements, avail_event: half() };
        let descriptors = [descriptor(), descriptor()];
        let rings = RingMemory { descriptors, available, used };
        Self { rings, data: [AtomicU64::new(0), AtomicU64::new(0)] }
    }
}

/// The same, as the device has it.
pub(crate) struct GuestRam(pub(crate) Arc<Shared>);

/// As [`trapeze_vmm::mem::full_fence`].
pub(crate) fn full_fence() {
    fence(FENCE);
}

/// Which element is `offset` bytes behind the first of a ring.
fn element(offset: u64, size: u64) -> usize {
    usize::try_from((offset - layout::RING_ELEMENTS) / size).unwrap()
}

impl GuestRam {
    pub(crate) fn hpa(&self, gpa: Gpa, len: u64) -> Option<Hpa> {
        let end = gpa.checked_add(len)?;
        (gpa >= DESCRIPTORS && end.0 <= DATA.0 + 8 * SIZE as u64).then_some(Hpa(gpa.0))
    }

    fn half(&self, gpa: Gpa) -> &AtomicU16 {
        let RingMemory { available, used, .. } = &self.0.rings;
        let [in_avail, in_used] = [AVAIL, USED].map(|start| gpa.0.wrapping_sub(start.0));
        match (in_avail, in_used) {
            (0, _) => &available.flags,
            (layout::RING_INDEX, _) => &available.index,
            (offset, _) if offset == layout::used_event_offset(ELEMENTS) => &available.used_event,
            (offset, _) if offset < layout::used_event_offset(ELEMENTS) => {
                &available.ring[element(offset, 2)]
            }
            (_, 0) => &used.flags,
            (_, layout::RING_INDEX) => &used.index,
            (_, offset) if offset == layout::avail_event_offset(ELEMENTS) => &used.avail_event,
            _ => panic!("there is no word at {gpa:?}"),
        }
    }

    pub(crate) fn load_u16(&self, gpa: Gpa) -> Result<u16, OutOfRange> {
        Ok(self.half(gpa).load(LOAD))
    }

    pub(crate) fn store_u16(&self, gpa: Gpa, value: u16) -> Result<(), OutOfRange> {
        self.half(gpa).store(value, STORE);
        Ok(())
    }

    /// Reads a descriptor, as bytes are read: in no order.
    pub(crate) fn read<T: FromBytes + IntoBytes>(&self, gpa: Gpa) -> Result<T, OutOfRange> {
        let place = usize::try_from((gpa.0 - DESCRIPTORS.0) / 16).unwrap();
        let Descriptor { address, rest } = &self.0.rings.descriptors[place];
        let words = [address, rest].map(|word| word.load(Ordering::Relaxed));
        T::read_from_bytes(words.as_bytes()).map_err(|_| OutOfRange)
    }

    /// Writes a used element, likewise.
    pub(crate) fn write<T: IntoBytes + Immutable>(
        &self,
        gpa: Gpa,
        value: &T,
    ) -> Result<(), OutOfRange> {
        let words = <[u32; 2]>::read_from_bytes(value.as_bytes()).map_err(|_| OutOfRange)?;
        let element = &self.0.rings.used.ring[element(gpa.0 - USED.0, 8)];
        element.id.store(words[0], Ordering::Relaxed);
        element.length.store(words[1], Ordering::Relaxed);
        Ok(())
    }

    fn word(&self, gpa: Gpa) -> &AtomicU64 {
        &self.0.data[usize::try_from((gpa.0 - DATA.0) / 8).unwrap()]
    }

    /// Reads a word of data, likewise.
    pub(crate) fn read_bytes(&self, gpa: Gpa, bytes: &mut [u8]) -> Result<(), OutOfRange> {
        bytes.copy_from_slice(self.word(gpa).load(Ordering::Relaxed).as_bytes());
        Ok(())
    }

    /// Writes a word of data, likewise.
    pub(crate) fn write_bytes(&self, gpa: Gpa, bytes: &[u8]) -> Result<(), OutOfRange> {
        let word = u64::read_from_bytes(bytes).map_err(|_| OutOfRange)?;
        self.word(gpa).store(word, Ordering::Relaxed);
        Ok(())
    }
}
