//! Where an access to the configuration space goes: 20 bits of bus, device and
//! function, and 12 of the register (PCI Express Base Specification 4.0,
//! section 7.2.2). Our window is that of bus 0.

use super::REGISTERS;
use crate::addr::to_usize;
use crate::bus::Width;

/// The part of an access that concerns one register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Part {
    /// Device number times 8, and function number.
    pub(super) function: u32,
    /// Number of the register; `None` behind the last that we have.
    pub(super) register: Option<usize>,
    /// First byte in it, and how many.
    at: u32,
    bytes: u32,
}

impl Part {
    /// The number of bits accessed.
    pub(super) const fn bits(self) -> u32 {
        8 * self.bytes
    }

    /// The bits of the register that are accessed.
    pub(super) const fn mask(self) -> u32 {
        (u32::MAX >> (32 - self.bits())) << (8 * self.at)
    }

    /// What a load yields of a register with this value.
    pub(super) const fn of(self, dword: u32) -> u32 {
        (dword & self.mask()) >> (8 * self.at)
    }

    /// A stored value, in its place in the register.
    pub(super) const fn place(self, value: u64) -> u32 {
        let [a, b, c, d, ..] = value.to_le_bytes();
        u32::from_le_bytes([a, b, c, d]) << (8 * self.at)
    }
}

/// The registers that an aligned access at `offset` reaches, one or two.
pub(super) fn parts(offset: u64, width: Width) -> impl DoubleEndedIterator<Item = Part> {
    let (count, bytes) = match width {
        Width::Byte => (1, 1),
        Width::Half => (1, 2),
        Width::Word => (1, 4),
        Width::Double => (2, 4),
    };
    (0..count).map(move |n| part(offset + 4 * n, bytes))
}

fn part(offset: u64, bytes: u32) -> Part {
    let [low, middle, high, ..] = offset.to_le_bytes();
    let function = u32::from(high & 0xf) << 4 | u32::from(middle >> 4);
    let register = to_usize(offset & 0xfff) / 4;
    let register = (register < REGISTERS).then_some(register);
    Part { function, register, at: u32::from(low & 3), bytes }
}
