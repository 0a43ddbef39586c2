//! The platform-level interrupt controller (RISC-V PLIC specification 1.0).

use super::Window;

/// The PLIC's registers, all 32 bits wide.
pub const PLIC: Window = Window::new(0xc00_0000, 0x60_0000);
/// Offset of source 0's priority; 4 bytes per source.
pub const PRIORITY: u64 = 0;
/// Offset of the pending bits.
pub const PENDING: u64 = 0x1000;
/// Offset of context 0's enable bits; 0x80 bytes per context.
pub const ENABLE: u64 = 0x2000;
/// Offset of context 0's threshold; 0x1000 bytes per context; claim follows.
pub const THRESHOLD: u64 = 0x20_0000;

/// The context of hart `hart` in M-mode.
#[must_use]
pub const fn context_m(hart: u64) -> u64 {
    2 * hart
}

/// The context of hart `hart` in S-mode.
#[must_use]
pub const fn context_s(hart: u64) -> u64 {
    2 * hart + 1
}

/// Sets a source's priority; 0 never interrupts.
pub fn set_priority(source: u32, priority: u32) {
    PLIC.write(PRIORITY + 4 * u64::from(source), priority);
}

/// A source's priority.
pub fn priority(source: u32) -> u32 {
    PLIC.read(PRIORITY + 4 * u64::from(source))
}

/// Pending bit of a source.
pub fn pending(source: u32) -> bool {
    let word: u32 = PLIC.read(PENDING + 4 * u64::from(source / 32));
    word >> (source % 32) & 1 != 0
}

/// Enables exactly the sources (0 to 31) whose bits are set.
pub fn set_enabled(context: u64, sources: u32) {
    PLIC.write(ENABLE + 0x80 * context, sources);
}

/// The same for the 32 sources of word `word` of the enable bits.
pub fn set_enabled_word(context: u64, word: u64, sources: u32) {
    PLIC.write(ENABLE + 0x80 * context + 4 * word, sources);
}

/// Sets the priority that a source must exceed.
pub fn set_threshold(context: u64, threshold: u32) {
    PLIC.write(THRESHOLD + 0x1000 * context, threshold);
}

/// Claims the best pending source, or 0.
pub fn claim(context: u64) -> u32 {
    PLIC.read(THRESHOLD + 0x1000 * context + 4)
}

/// Tells that the handling of a source is over.
pub fn complete(context: u64, source: u32) {
    PLIC.write(THRESHOLD + 0x1000 * context + 4, source);
}
