//! Between the switch and the real network interface: frames are moved when
//! somebody says that there are some.

use alloc::boxed::Box;

use super::{FRAME_MAX, Frame, Plug, Wire};

/// Frames that are taken from the real interface at once: as many as it can
/// have at hand when it interrupts (`hw/virtio/net.rs`).
pub const BURST: usize = 64;

/// Frames that are sent at once: no more, as others may go on sending.
const TURN: usize = 2 * BURST;

/// A port of the switch and the real interface, joined.
pub struct Cable {
    port: Plug,
    real: Box<dyn Wire>,
    /// The frame on its way out, and the one on its way in.
    out: Box<Frame>,
    back: Box<Frame>,
    /// The real interface had no room for the frame in `out`: its length.
    held: Option<usize>,
}

impl Cable {
    /// Joins `port` and `real`.
    pub fn new(port: Plug, real: Box<dyn Wire>) -> Self {
        let [out, back] = [(); 2].map(|()| Box::new([0; FRAME_MAX]));
        Self { port, real, out, back, held: None }
    }

    /// Moves what waits at either end. What the real interface has no room
    /// for stays where each sender has its share of it, until the interface
    /// says that there is room. `true` if there was more than is moved at
    /// once, and this is to be called again.
    #[must_use]
    pub fn move_frames(&mut self) -> bool {
        let more = self.send();
        for _ in 0..BURST {
            let Some(len) = self.real.receive(&mut self.back) else { break };
            self.port.send(self.back.get(..len).unwrap_or_default());
        }
        more
    }

    fn send(&mut self) -> bool {
        for _ in 0..TURN {
            let Some(len) = self.held.take().or_else(|| self.port.receive(&mut self.out)) else {
                return false;
            };
            if !self.real.send(self.out.get(..len).unwrap_or_default()) {
                self.held = Some(len);
                return false;
            }
        }
        true
    }
}
