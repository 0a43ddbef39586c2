//! The SiFive test finisher: a store to it ends the machine.

use super::Window;

/// The finisher's one register.
pub const FINISHER: Window = Window::new(0x10_0000, 0x1000);

/// Powers off with success.
pub fn pass() -> ! {
    end(0x5555)
}

/// Powers off with a failure code.
pub fn fail(code: u16) -> ! {
    end(u32::from(code) << 16 | 0x3333)
}

/// Resets the machine.
pub fn reset() -> ! {
    end(0x7777)
}

fn end(word: u32) -> ! {
    FINISHER.write(0, word);
    loop {
        core::hint::spin_loop();
    }
}
