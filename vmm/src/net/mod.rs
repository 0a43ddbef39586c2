//! The network of the guests: Ethernet frames from port to port.
//!
//! ```text
//!  guest 0 ── virtio::net ──┐
//!  guest 1 ── virtio::net ──┼── Switch ── Cable ── (hw) QEMU's network
//!  ...                      │     └ one inbox per port, with a lane per sender
//! ```
//!
//! Both ends of everything here are a [`Wire`]: the device of a guest stands
//! before one, as a block device stands before a disk; a port of the switch
//! is one, and so is the real network interface.

mod cable;
mod inbox;
mod mac;
mod switch;
#[cfg(test)]
mod tests;

pub use cable::{BURST, Cable};
pub use mac::Mac;
pub use switch::{Counts, Plug, Station, Switch, bit};

/// The longest payload of a frame, in bytes.
pub const MTU: u16 = 1500;
/// Destination, source and type: a frame has at least these.
pub const FRAME_MIN: usize = trapeze_protocol::device::net::ETHERNET_HEADER;
/// The longest frame, without check sum.
pub const FRAME_MAX: usize = FRAME_MIN + MTU as usize;

/// Room for any frame.
pub type Frame = [u8; FRAME_MAX];

/// One end of something that carries frames of [`FRAME_MIN`] to [`FRAME_MAX`]
/// bytes, neither reliably nor for ever: as a real network does.
pub trait Wire: Send {
    /// Takes a frame to the other end; `false` if there is no room for it
    /// now, and nothing was taken.
    fn send(&mut self, frame: &[u8]) -> bool;

    /// Puts the next frame from the other end into `frame`; tells its length.
    fn receive(&mut self, frame: &mut Frame) -> Option<usize>;

    /// Throws away what has come so far.
    fn clear(&mut self);
}

/// Destination and source of a frame; `None` if it has none.
fn addresses(frame: &[u8]) -> Option<(Mac, Mac)> {
    let (destination, rest) = frame.split_first_chunk()?;
    Some((Mac(*destination), Mac(*rest.first_chunk()?)))
}
