//! The paravirtual disk by the driver of `guest-drivers`.

use guest_drivers::{Block, BlockStorage, Device, Interrupts, Linear, Once, Operation, RawBuffer};

use super::{Arena, BUFFER, DEPTH, Op, Target};

/// A buffer, and the slot whose it is.
type Data = (RawBuffer, usize);

static STORAGE: Once<BlockStorage<Data, DEPTH>> = Once::new(BlockStorage::new());

/// How completions are found.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// The driver's own calls wait for each request.
    Waits,
    /// We look.
    Looks,
    /// The device interrupts.
    Interrupts,
}

/// The driver.
pub(crate) struct Pv {
    disk: Block<Data>,
    arena: Arena,
    style: Style,
    /// What a call that waited has done.
    done: Option<usize>,
}

impl Pv {
    pub(crate) fn new(device: Device<Linear>, arena: Arena, style: Style) -> Option<Self> {
        let mut disk = Block::new(device, STORAGE.take()?).ok()?;
        if style == Style::Interrupts {
            // As many as are in flight, if these are fewer: one interrupt for
            // what was given to the device together.
            disk.set_interrupts(Interrupts::After(u16::MAX));
        }
        Some(Self { disk, arena, style, done: None })
    }
}

impl Target for Pv {
    fn sectors(&self) -> u64 {
        self.disk.capacity()
    }

    fn depth(&self) -> usize {
        if self.style == Style::Waits { 1 } else { DEPTH }
    }

    fn buffer(&mut self, slot: usize) -> &mut [u8] {
        // SAFETY: only slots without a request are asked for.
        unsafe { self.arena.slice(slot, BUFFER) }
    }

    fn submit(&mut self, slot: usize, op: Op, sector: u64, bytes: usize) {
        if self.style == Style::Waits {
            // SAFETY: there is no request.
            let data = unsafe { self.arena.slice(slot, bytes) };
            let result = match op {
                Op::Read => self.disk.read(sector, data),
                Op::Write => self.disk.write(sector, data),
            };
            assert!(result.is_ok(), "a request failed");
            self.done = Some(slot);
            return;
        }
        let place = self.arena.place(slot, bytes);
        // SAFETY: the slot has no request, and gets no other before this one
        // has come back.
        let buffer = unsafe { RawBuffer::new(place.cast(), place.len()) };
        let operation = if op == Op::Read { Operation::Read } else { Operation::Write };
        let given = self.disk.enqueue(operation, sector, (buffer, slot));
        assert!(given.is_ok(), "a request was refused");
    }

    fn kick(&mut self) {
        if self.style != Style::Waits {
            self.disk.kick();
        }
    }

    fn poll(&mut self) -> Option<usize> {
        if self.style == Style::Waits {
            return self.done.take();
        }
        let completion = self.disk.complete()?;
        assert!(completion.result.is_ok(), "a request failed");
        Some(completion.data.1)
    }
}
