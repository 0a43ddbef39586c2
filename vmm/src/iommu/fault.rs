//! Records of the fault queue (section "Fault/Event-Queue").

use super::DeviceId;

/// Doublewords of a record.
pub const RECORD: usize = 4;

/// An access that the IOMMU refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Whose access it was.
    pub device: DeviceId,
    /// The address, as the device put it.
    pub address: u64,
    /// Whether it was a write.
    pub write: bool,
    /// Why, by the number of the specification.
    pub cause: u16,
}

impl Fault {
    /// The fault of a record.
    pub fn decode([header, _, address, _]: [u64; RECORD]) -> Self {
        // Kinds of accesses: 3 and 7 are writes, untranslated and translated.
        let kind = header >> 34 & 0x3f;
        let [low, high, ..] = header.to_le_bytes();
        let [_, _, _, _, _, a, b, c] = header.to_le_bytes();
        Self {
            device: u32::from_le_bytes([a, b, c, 0]),
            address,
            write: kind & 3 == 3,
            cause: u16::from_le_bytes([low, high & 0xf]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_say_who_wanted_what() {
        let header = 0x08 << 40 | 3 << 34 | 23;
        let fault = Fault::decode([header, 0, 0xdead_b000, 0]);
        let expected = Fault { device: 8, address: 0xdead_b000, write: true, cause: 23 };
        assert_eq!(fault, expected);
        let read = Fault::decode([0x12_3456 << 40 | 2 << 34 | 258, 0, 4, 0]);
        assert_eq!((read.device, read.write, read.cause), (0x12_3456, false, 258));
    }
}
