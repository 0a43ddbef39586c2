//! Which capabilities of a real function the guest is shown.
//!
//! - Power management (1), without states that mean anything: the guest can
//!   put the function into D3 and finds it as it left it.
//! - PCI Express (16), to be read only, and without a reset of the function,
//!   which would undo what the VMM has set up.
//!
//! All others are left out: MSI and MSI-X have no controller here to write to,
//! what is vendor-specific may do anything, and what is unknown, too.

use super::space::{CAPABILITIES, Space};
use super::{Found, REGISTERS};

const POWER: u8 = 0x01;
const EXPRESS: u8 = 0x10;

/// Capabilities start behind the header.
const FIRST: usize = 16;

/// Copies the capabilities that are shown, as a list of their own.
pub(super) fn copy(found: &Found, space: &mut Space) {
    // The guest finds them where they really are, last one first, so that each
    // can point to the one before.
    let shown = list(found);
    let next = shown.iter().fold(0, |next, (start, id)| {
        match *id {
            POWER => power(found, space, *start, next),
            _ => express(found, space, *start, next),
        }
        u8::try_from(4 * start).unwrap_or(0)
    });
    space.set(CAPABILITIES, next.into(), 0);
}

/// First register and number of each capability to be shown. A list that
/// turns back on itself ends.
pub(super) fn list(found: &Found) -> alloc::vec::Vec<(usize, u8)> {
    let mut shown = alloc::vec::Vec::new();
    let mut at = pointer(register(found, CAPABILITIES));
    for _ in FIRST..REGISTERS {
        if at < FIRST {
            break;
        }
        let header = register(found, at);
        let id = header.to_le_bytes()[0];
        let seen = shown.iter().any(|(_, known)| *known == id);
        if (id == POWER || id == EXPRESS) && !seen {
            shown.push((at, id));
        }
        at = pointer(header >> 8);
    }
    shown
}

/// The register that the low byte points to; its last two bits are reserved.
fn pointer(word: u32) -> usize {
    usize::from(word.to_le_bytes()[0]) / 4
}

fn register(found: &Found, number: usize) -> u32 {
    found.registers.get(number).copied().unwrap_or(0)
}

/// Capability number and pointer to the next.
fn header(id: u8, next: u8, rest: u32) -> u32 {
    rest & 0xffff_0000 | u32::from(next) << 8 | u32::from(id)
}

/// D0 and D3, no wake-up, nothing lost on the way back (`No_Soft_Reset`).
fn power(found: &Found, space: &mut Space, start: usize, next: u8) {
    const VERSION: u32 = 7 << 16;
    const STATE: u32 = 3;
    const NO_SOFT_RESET: u32 = 1 << 3;
    space.set(start, header(POWER, next, register(found, start) & VERSION), 0);
    space.set(start + 1, NO_SOFT_RESET, STATE);
}

fn express(found: &Found, space: &mut Space, start: usize, next: u8) {
    const FUNCTION_LEVEL_RESET: u32 = 1 << 28;
    // Version 1 of the capability, of an endpoint, ends behind the link.
    let version = register(found, start) >> 16 & 0xf;
    let length = if version < 2 { 5 } else { 15 };
    space.set(start, header(EXPRESS, next, register(found, start)), 0);
    space.set(start + 1, register(found, start + 1) & !FUNCTION_LEVEL_RESET, 0);
    // Errors in the upper half of the next, the device's control and status,
    // are ones of the past.
    space.set(start + 2, register(found, start + 2) & 0x7fff, 0);
    for number in start + 3..start + length {
        space.set(number, register(found, number), 0);
    }
}

/// The real function's own reset, if it has one: the register of its PCI
/// Express capability that starts it (control and status of the device).
pub fn function_level_reset(found: &Found) -> Option<usize> {
    const FUNCTION_LEVEL_RESET: u32 = 1 << 28;
    let (start, _) = list(found).into_iter().find(|(_, id)| *id == EXPRESS)?;
    (register(found, start + 1) & FUNCTION_LEVEL_RESET != 0).then_some(start + 2)
}
