//! The ATA disk: READ and WRITE MULTIPLE, data moved by halfwords as the
//! `insw` of most kernels does.

use probes::dev::ata::{
    self, ALT_STATUS, ATA, BUSY, DATA, DATA_REQUEST, IDENTIFY, READ_MULTIPLE, WRITE_MULTIPLE,
};

use super::{Arena, BUFFER, Op, Target};

/// Status: the command failed.
const FAILED: u8 = 1;
/// Bytes between two interrupts.
const BLOCK: usize = 16 * 512;

/// What the disk works on.
struct Request {
    slot: usize,
    op: Op,
    bytes: usize,
    /// Bytes that were moved.
    at: usize,
}

/// The driver.
pub(crate) struct Ata {
    arena: Arena,
    sectors: u64,
    request: Option<Request>,
}

impl Ata {
    pub(crate) fn new(mut arena: Arena) -> Option<Self> {
        ata::set(ata::DEVICE, 0);
        ata::set(ata::COMMAND, IDENTIFY);
        if wait_ready() & DATA_REQUEST == 0 {
            return None;
        }
        // SAFETY: this device does not know of our memory.
        let id = unsafe { arena.slice(0, 512) };
        read_block(id);
        let word = |n: usize| u64::from(id[2 * n]) | u64::from(id[2 * n + 1]) << 8;
        let sectors = word(60) | word(61) << 16;
        // Blocks of 16 sectors are what the disk begins with.
        (word(59) == 0x110).then_some(Self { arena, sectors, request: None })
    }

    /// Moves the next block of the request at hand.
    fn move_block(&mut self) {
        let Some(request) = &mut self.request else { return };
        let end = request.bytes.min(request.at + BLOCK);
        // SAFETY: this device does not know of our memory.
        let bytes = unsafe { self.arena.slice(request.slot, request.bytes) };
        let block = &mut bytes[request.at..end];
        match request.op {
            Op::Read => read_block(block),
            Op::Write => write_block(block),
        }
        request.at = end;
    }
}

impl Target for Ata {
    fn sectors(&self) -> u64 {
        self.sectors
    }

    fn depth(&self) -> usize {
        1
    }

    fn buffer(&mut self, slot: usize) -> &mut [u8] {
        // SAFETY: this device does not know of our memory.
        unsafe { self.arena.slice(slot, BUFFER) }
    }

    fn submit(&mut self, slot: usize, op: Op, sector: u64, bytes: usize) {
        self.request = Some(Request { slot, op, bytes, at: 0 });
        let sector = u32::try_from(sector).unwrap_or(u32::MAX);
        let count = u8::try_from(bytes / 512).unwrap_or(0);
        let code = if op == Op::Read { READ_MULTIPLE } else { WRITE_MULTIPLE };
        ata::command(code, sector, count);
        if op == Op::Write {
            // The first block is asked for without an interrupt.
            let status = wait_ready();
            assert!(status & DATA_REQUEST != 0, "a write failed");
            self.move_block();
        }
    }

    fn kick(&mut self) {}

    fn poll(&mut self) -> Option<usize> {
        let request = self.request.as_ref()?;
        let status = ata::get(ALT_STATUS);
        if status & BUSY != 0 {
            return None;
        }
        assert!(status & FAILED == 0, "a request failed");
        if request.at < request.bytes {
            self.move_block();
            // A read is done with its last block, a write when the disk has it.
            if self.request.as_ref()?.op == Op::Write || !self.is_moved() {
                return None;
            }
        }
        self.request.take().map(|request| request.slot)
    }
}

impl Ata {
    fn is_moved(&self) -> bool {
        self.request.as_ref().is_some_and(|request| request.at == request.bytes)
    }
}

/// Waits while the disk is busy; gives its status.
fn wait_ready() -> u8 {
    loop {
        let status = ata::get(ALT_STATUS);
        if status & BUSY == 0 {
            return status;
        }
    }
}

/// Loops over halfwords, of a buffer that is aligned to pages.
fn read_block(block: &mut [u8]) {
    // SAFETY: any bytes are halfwords.
    let halves = unsafe { block.align_to_mut::<u16>() }.1;
    halves.iter_mut().for_each(|half| *half = ATA.read(DATA));
}

fn write_block(block: &[u8]) {
    // SAFETY: as above.
    let halves = unsafe { block.align_to::<u16>() }.1;
    halves.iter().for_each(|half| ATA.write(DATA, *half));
}
