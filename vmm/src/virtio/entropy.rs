//! The entropy device (virtio 1.2, section 5.4): fills buffers with random
//! bytes, at once and without end. See [`Random`] for where they come from.

use alloc::boxed::Box;

use trapeze_protocol::device::DeviceType;

use super::chain::{Chain, Cursor, total};
use super::queue::{Broken, MAX_SIZE, Queue};
use super::{Device, Served};
use crate::entropy::Random;
use crate::mem::GuestRam;

/// Bytes that are made before other things have their turn.
const TURN: usize = 4096;
/// The most that one buffer gets; who wants more asks again. Linux asks for
/// 64 bytes or less.
const PIECE: usize = 256;

/// A source of random bytes.
pub struct Entropy {
    random: Random,
    chain: Box<Chain>,
}

impl Entropy {
    /// A device that gives what `random` makes.
    pub fn new(random: Random) -> Self {
        Self { random, chain: Box::default() }
    }

    /// Fills the buffer at hand; tells how many bytes it got.
    fn fill(&mut self, ram: &GuestRam) -> Result<usize, Broken> {
        let buffers = self.chain.writable();
        let mut piece = [0; PIECE];
        let wanted = usize::try_from(total(buffers)).unwrap_or(PIECE).min(PIECE);
        if wanted == 0 {
            return Err(Broken::Request);
        }
        let bytes = piece.get_mut(..wanted).unwrap_or_default();
        self.random.fill(bytes);
        Ok(Cursor::new(buffers).write(ram, bytes)?)
    }
}

impl Device for Entropy {
    fn kind(&self) -> DeviceType {
        DeviceType::Entropy
    }

    fn queues(&self) -> usize {
        1
    }

    fn features(&self) -> u64 {
        0
    }

    fn config(&self) -> &[u8] {
        &[]
    }

    fn serve(
        &mut self,
        _index: usize,
        queues: &mut [Queue],
        ram: &GuestRam,
    ) -> Result<Served, Broken> {
        let mut served = Served::empty();
        let Some(queue) = queues.first_mut() else { return Ok(served) };
        // The driver may fill the queue again meanwhile, but not for ever.
        let (mut bytes, mut buffers) = (0, MAX_SIZE);
        loop {
            if bytes >= TURN || buffers == 0 {
                served |= Served::MORE;
                break;
            }
            if queue.pop(ram, &mut self.chain)? {
                let written = self.fill(ram)?;
                queue.push(ram, self.chain.head, u32::try_from(written).unwrap_or(0))?;
                bytes += written;
                buffers -= 1;
            } else if !queue.want_notification(ram)? {
                break;
            }
        }
        served.set(Served::INTERRUPT, queue.should_interrupt(ram)?);
        Ok(served)
    }

    fn collect(&mut self, _: &mut [Queue], _: &GuestRam) -> Result<Served, Broken> {
        Ok(Served::empty())
    }

    fn abandon(&mut self, _index: usize) {}

    fn busy(&self) -> usize {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{BUFFERS, RAM, Slot, reads, writes};
    use super::super::mmio::Version;
    use super::super::queue::Options;
    use super::*;
    use crate::addr::Gpa;

    const PLAIN: Options = Options { indirect: false, event_idx: false };

    fn slot(version: Version, size: u16) -> Slot<Entropy> {
        Slot::start(version, Entropy::new(Random::new([3; 32])), size, PLAIN)
    }

    fn bytes(slot: &Slot<Entropy>, at: Gpa) -> [u8; PIECE] {
        let mut bytes = [0; PIECE];
        slot.driver.ram.read_bytes(at, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn buffers_are_filled_and_never_alike() {
        for version in [Version::Legacy, Version::Modern] {
            let mut slot = slot(version, 8);
            let second = Gpa(BUFFERS.0 + 0x1000);
            slot.send(&[writes(BUFFERS, 3), writes(Gpa(BUFFERS.0 + 3), 61)], None);
            slot.send(&[writes(second, 64)], None);
            assert!(slot.interrupted());
            assert_eq!(slot.driver.take_used().unwrap().1, 64);
            assert_eq!(slot.driver.take_used().unwrap().1, 64);
            let [one, two] = [BUFFERS, second].map(|at| bytes(&slot, at));
            assert_ne!(one[..64], two[..64]);
            assert!(one[..64].iter().any(|byte| *byte != 0));
            assert_eq!(one[64..], [0; PIECE - 64], "past the end of the buffer");
        }
    }

    #[test]
    fn a_large_buffer_is_filled_in_part() {
        let mut slot = slot(Version::Modern, 8);
        slot.send(&[writes(BUFFERS, RAM / 2)], None);
        assert_eq!(slot.driver.take_used().map(|used| used.1), Some(256));
    }

    #[test]
    fn a_full_queue_takes_turns() {
        let mut slot = slot(Version::Modern, 64);
        (0..64).for_each(|_| _ = slot.driver.add(&[writes(BUFFERS, 256)], None));
        slot.send_nothing();
        let given = |slot: &mut Slot<Entropy>| {
            core::iter::from_fn(|| slot.driver.take_used()).count() * PIECE
        };
        for _ in 0..4 {
            assert_eq!(given(&mut slot), TURN);
            assert!(slot.mmio.function().has_backlog());
            slot.mmio.complete(&slot.driver.ram);
        }
        assert!(!slot.mmio.function().has_backlog());
    }

    #[test]
    fn a_buffer_that_cannot_be_written_breaks_the_device() {
        let mut slot = slot(Version::Modern, 8);
        slot.send(&[reads(BUFFERS, 16)], None);
        assert!(slot.needs_reset());
        slot.bring_up();
        assert!(!slot.needs_reset());
    }
}
