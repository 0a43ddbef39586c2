//! The one switch between running guests on the VMM and on bare QEMU.

/// What executes a guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// The VMM, in QEMU.
    Guest,
    /// QEMU alone: for comparison, and to prove recipes and tests.
    Native,
}

/// What demos and tests use unless told otherwise.
pub const DEFAULT: Mode = Mode::Guest;

/// The mode to use: `TRAPEZE_MODE` (`guest` or `native`) overrides [`DEFAULT`].
pub fn current() -> Mode {
    match std::env::var("TRAPEZE_MODE").as_deref() {
        Ok("guest") => Mode::Guest,
        Ok("native") => Mode::Native,
        _ => DEFAULT,
    }
}
