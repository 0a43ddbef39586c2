//! The console device (virtio 1.2, section 5.3), with a single port.
//!
//! What the driver writes is shown piece by piece, at most [`TURN`] bytes at
//! once: a long buffer keeps its place in the queue until all of it is shown.
//! What is typed waits in the [`Terminal`] until the driver offers a buffer.

#[cfg(test)]
mod tests;

use alloc::boxed::Box;

use trapeze_protocol::device::DeviceType;
use trapeze_protocol::device::console::{Config, EMERG_WR, Features, RECEIVE, TRANSMIT};
use zerocopy::IntoBytes;

use super::chain::{Chain, Cursor, total};
use super::queue::{Broken, MAX_SIZE, Queue};
use super::{Device, Served};
use crate::mem::GuestRam;

/// Bytes that are shown before other things have their turn.
pub const TURN: usize = 4096;
/// Bytes that are copied at a time, on the VMM's stack.
const PIECE: usize = 256;

/// What is at the other end of a console.
pub trait Terminal: Send {
    /// Shows `bytes`.
    fn show(&mut self, bytes: &[u8]);
    /// How many typed bytes wait.
    fn waiting(&self) -> usize;
    /// Takes typed bytes, as many as there are and fit; tells how many.
    fn take(&mut self, bytes: &mut [u8]) -> usize;
}

/// A console.
pub struct Console {
    config: Config,
    terminal: Box<dyn Terminal>,
    received: Box<Chain>,
    sending: Sending,
}

/// The buffer that is being shown.
#[derive(Default)]
struct Sending {
    chain: Box<Chain>,
    /// How much of it has been shown; `None`: there is no buffer.
    shown: Option<u64>,
}

impl Console {
    /// A console of this many columns and rows.
    pub fn new(terminal: Box<dyn Terminal>, (cols, rows): (u16, u16)) -> Self {
        let config = Config { cols, rows, ..Config::default() };
        Self { config, terminal, received: Box::default(), sending: Sending::default() }
    }

    /// Gives typed bytes to the driver, a buffer at a time.
    fn receive(&mut self, queue: &mut Queue, ram: &GuestRam) -> Result<(), Broken> {
        while self.terminal.waiting() != 0 {
            if queue.pop(ram, &mut self.received)? {
                let written = self.fill(ram)?;
                queue.push(ram, self.received.head, written)?;
            } else if !queue.want_notification(ram)? {
                break;
            }
        }
        Ok(())
    }

    /// Puts typed bytes into the buffer at hand.
    fn fill(&mut self, ram: &GuestRam) -> Result<u32, Broken> {
        let buffers = self.received.writable();
        let mut piece = [0; PIECE];
        let room = usize::try_from(total(buffers)).unwrap_or(PIECE).min(PIECE);
        if room == 0 {
            return Err(Broken::Request);
        }
        let taken = self.terminal.take(piece.get_mut(..room).unwrap_or_default());
        Cursor::new(buffers).write(ram, piece.get(..taken).unwrap_or_default())?;
        Ok(u32::try_from(taken).unwrap_or(0))
    }

    /// Shows what the driver has written; tells whether some is left.
    fn transmit(&mut self, queue: &mut Queue, ram: &GuestRam) -> Result<bool, Broken> {
        let Self { terminal, sending, .. } = self;
        // The driver may fill the queue again meanwhile, but not for ever.
        let (mut bytes, mut buffers) = (TURN, MAX_SIZE);
        loop {
            if sending.shown.is_none() && queue.pop(ram, &mut sending.chain)? {
                sending.shown = Some(0);
                buffers -= 1;
            }
            if sending.shown.is_some() {
                bytes -= sending.show(terminal.as_mut(), ram, bytes)?;
                if sending.shown.is_none() {
                    queue.push(ram, sending.chain.head, 0)?;
                }
            } else if !queue.want_notification(ram)? {
                return Ok(false);
            }
            if bytes == 0 || buffers == 0 {
                return Ok(true);
            }
        }
    }
}

impl Sending {
    /// Shows up to `limit` bytes more; tells how many.
    fn show(
        &mut self,
        terminal: &mut dyn Terminal,
        ram: &GuestRam,
        limit: usize,
    ) -> Result<usize, Broken> {
        let before = self.shown.unwrap_or(0);
        let mut cursor = Cursor::new(self.chain.readable());
        cursor.skip(before);
        let mut done = 0;
        while done < limit {
            let mut piece = [0; PIECE];
            let wanted = piece.get_mut(..(limit - done).min(PIECE)).unwrap_or_default();
            let read = cursor.read(ram, wanted)?;
            terminal.show(piece.get(..read).unwrap_or_default());
            done += read;
            if read == 0 {
                break;
            }
        }
        let shown = before + done as u64;
        self.shown = (shown < total(self.chain.readable())).then_some(shown);
        Ok(done)
    }
}

impl Device for Console {
    fn kind(&self) -> DeviceType {
        DeviceType::Console
    }

    fn queues(&self) -> usize {
        2
    }

    fn features(&self) -> u64 {
        (Features::SIZE | Features::EMERG_WRITE).bits()
    }

    fn config(&self) -> &[u8] {
        self.config.as_bytes()
    }

    /// `emerg_wr` shows a byte without a queue (section 5.3.4).
    fn write_config(&mut self, offset: u64, bytes: &[u8]) -> bool {
        let shown = if offset == EMERG_WR { bytes.first() } else { None };
        shown.inspect(|byte| self.terminal.show(&[**byte])).is_some()
    }

    fn serve(
        &mut self,
        index: usize,
        queues: &mut [Queue],
        ram: &GuestRam,
    ) -> Result<Served, Broken> {
        let mut served = Served::empty();
        let Some(queue) = queues.get_mut(index) else { return Ok(served) };
        if index == usize::from(TRANSMIT) {
            served.set(Served::MORE, self.transmit(queue, ram)?);
        } else {
            self.receive(queue, ram)?;
        }
        served.set(Served::INTERRUPT, queue.should_interrupt(ram)?);
        Ok(served)
    }

    fn collect(&mut self, queues: &mut [Queue], ram: &GuestRam) -> Result<Served, Broken> {
        self.serve(usize::from(RECEIVE), queues, ram)
    }

    fn abandon(&mut self, index: usize) {
        if index == usize::from(TRANSMIT) {
            self.sending.shown = None;
        }
    }

    fn busy(&self) -> usize {
        0
    }
}
