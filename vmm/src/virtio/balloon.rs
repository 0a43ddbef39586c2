//! The memory balloon (virtio 1.2, section 5.5): the driver gives pages of the
//! guest back, as many as it is asked for, and takes them again.
//!
//! The device reads the lists of pages; what becomes of the pages is up to a
//! [`Keeper`]. That takes a while: the other vCPUs must have forgotten a page
//! before somebody else has it. So a list is given back to the driver when the
//! keeper has taken its pages, and only then the next one is looked at.

use alloc::boxed::Box;
use alloc::vec::Vec;

use trapeze_protocol::device::DeviceType;
use trapeze_protocol::device::balloon::{ACTUAL, Config, Features, INFLATE, PAGE};
use zerocopy::IntoBytes;

use super::chain::{Chain, Cursor, total};
use super::queue::{Broken, MAX_SIZE, Queue};
use super::{Device, Served};
use crate::addr::Gpa;
use crate::mem::GuestRam;

/// Pages in one list, at most; Linux and FreeBSD send 256.
const MAX_PAGES: u64 = 1024;
/// Bytes of a page's number.
const NUMBER: usize = size_of::<u32>();
/// Numbers that are copied at a time.
const PIECE: usize = 64;

/// Who keeps the pages that are in a balloon.
pub trait Keeper: Send {
    /// How many pages the balloon should have.
    fn wanted(&self) -> u32;
    /// How many it has, as the driver says.
    fn note(&mut self, actual: u32);
    /// Begins to take these pages from the guest.
    fn take(&mut self, pages: &[Gpa]);
    /// Whether it has all that it began to take.
    fn has_taken(&self) -> bool;
    /// Gives the guest one back; does nothing if it has it.
    fn give(&mut self, page: Gpa, ram: &GuestRam);
    /// The driver has forgotten about the pages that it is about to take.
    fn forget(&mut self);
}

/// A balloon.
pub struct Balloon {
    config: Config,
    keeper: Box<dyn Keeper>,
    chain: Box<Chain>,
    pages: Vec<Gpa>,
    /// The list whose pages the keeper is taking.
    taking: Option<u16>,
    /// The driver asks before it uses a page again. Of one that does not, no
    /// page is taken: it may be in use before anybody knows.
    asks: bool,
}

impl Balloon {
    /// A balloon whose pages `keeper` has.
    pub fn new(keeper: Box<dyn Keeper>) -> Self {
        let config = Config { num_pages: keeper.wanted(), actual: 0 };
        let (chain, pages) = (Box::default(), Vec::new());
        Self { config, keeper, chain, pages, taking: None, asks: false }
    }

    /// Copies the list at hand.
    fn read_list(&mut self, ram: &GuestRam) -> Result<(), Broken> {
        let buffers = self.chain.readable();
        let bytes = total(buffers);
        if bytes == 0 || bytes > MAX_PAGES * NUMBER as u64 || !bytes.is_multiple_of(NUMBER as u64) {
            return Err(Broken::Request);
        }
        self.pages.clear();
        let mut cursor = Cursor::new(buffers);
        loop {
            let mut piece = [0; PIECE * NUMBER];
            let read = cursor.read(ram, &mut piece)?;
            let (numbers, _) = piece.get(..read).unwrap_or_default().as_chunks::<NUMBER>();
            self.pages
                .extend(numbers.iter().map(|n| Gpa(u64::from(u32::from_le_bytes(*n)) * PAGE)));
            if read < piece.len() {
                return Ok(());
            }
        }
    }

    /// Gives the list back whose pages are taken.
    fn finish(&mut self, queue: &mut Queue, ram: &GuestRam) -> Result<(), Broken> {
        if self.keeper.has_taken()
            && let Some(head) = self.taking.take()
        {
            queue.push(ram, head, 0)?;
        }
        Ok(())
    }

    fn inflate(&mut self, queue: &mut Queue, ram: &GuestRam) -> Result<Served, Broken> {
        self.finish(queue, ram)?;
        // The driver may fill the queue again meanwhile, but not for ever.
        let mut left = MAX_SIZE;
        while self.taking.is_none() {
            if left == 0 {
                return Ok(Served::MORE);
            }
            if queue.pop(ram, &mut self.chain)? {
                self.read_list(ram)?;
                self.taking = Some(self.chain.head);
                if self.asks {
                    self.keeper.take(&self.pages);
                }
                self.finish(queue, ram)?;
                left -= 1;
            } else if !queue.want_notification(ram)? {
                break;
            }
        }
        Ok(Served::empty())
    }

    /// One list at a time: its pages are cleared, which is work.
    fn deflate(&mut self, queue: &mut Queue, ram: &GuestRam) -> Result<Served, Broken> {
        loop {
            if queue.pop(ram, &mut self.chain)? {
                self.read_list(ram)?;
                self.pages.iter().for_each(|page| self.keeper.give(*page, ram));
                queue.push(ram, self.chain.head, 0)?;
                return Ok(Served::MORE);
            }
            if !queue.want_notification(ram)? {
                return Ok(Served::empty());
            }
        }
    }
}

impl Device for Balloon {
    fn kind(&self) -> DeviceType {
        DeviceType::Balloon
    }

    fn queues(&self) -> usize {
        2
    }

    fn features(&self) -> u64 {
        Features::MUST_TELL_HOST.bits()
    }

    fn config(&self) -> &[u8] {
        self.config.as_bytes()
    }

    fn write_config(&mut self, offset: u64, bytes: &[u8]) -> bool {
        let (ACTUAL, Ok(actual)) = (offset, bytes.try_into()) else { return false };
        self.config.actual = u32::from_le_bytes(actual);
        self.keeper.note(self.config.actual);
        true
    }

    fn start(&mut self, features: u64) -> Result<(), Broken> {
        self.asks = features & Features::MUST_TELL_HOST.bits() != 0;
        Ok(())
    }

    fn serve(
        &mut self,
        index: usize,
        queues: &mut [Queue],
        ram: &GuestRam,
    ) -> Result<Served, Broken> {
        let Some(queue) = queues.get_mut(index) else { return Ok(Served::empty()) };
        let mut served = match index == usize::from(INFLATE) {
            true => self.inflate(queue, ram)?,
            false => self.deflate(queue, ram)?,
        };
        served.set(Served::INTERRUPT, queue.should_interrupt(ram)?);
        Ok(served)
    }

    /// Goes on when pages were taken, or others are wanted.
    fn collect(&mut self, queues: &mut [Queue], ram: &GuestRam) -> Result<Served, Broken> {
        let mut served = Served::empty();
        if self.taking.is_some() {
            served = self.serve(usize::from(INFLATE), queues, ram)?;
        }
        let wanted = self.keeper.wanted();
        if self.config.num_pages != wanted {
            self.config.num_pages = wanted;
            served |= Served::CONFIGURATION;
        }
        Ok(served)
    }

    fn abandon(&mut self, index: usize) {
        if index == usize::from(INFLATE) {
            self.taking = None;
            self.keeper.forget();
        }
    }

    fn busy(&self) -> usize {
        0
    }
}

#[cfg(test)]
mod tests;
