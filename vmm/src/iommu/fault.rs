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
        let [low, high, _, _, _, a, b, c] = header.to_le_bytes();
        let cause = u16::from_le_bytes([low, high & 0xf]);
        // QEMU 10 calls each access a write, so the cause is asked first.
        let write = match cause {
            5 | 13 | 21 => false,
            7 | 15 | 23 => true,
            // Kinds 3 and 7 are writes, untranslated and translated.
            _ => header >> 34 & 3 == 3,
        };
        Self { device: u32::from_le_bytes([a, b, c, 0]), address, write, cause }
    }
}

/// What has been told about the faults of one device: the first of each page,
/// and not for ever, as a guest can make as many as it likes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Told {
    lines: u32,
    faults: u32,
    page: Option<u64>,
}

/// What is to be done about a fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Nothing: it was told.
    Known,
    /// It is news.
    Tell,
    /// It is told, and the IOMMU is to report none of this device any more.
    TellLast,
}

impl Told {
    /// Lines about one device.
    const LINES: u32 = 8;
    /// Faults that are looked at for them.
    const FAULTS: u32 = 1000;

    /// Whether enough is told.
    pub fn is_enough(&self) -> bool {
        self.lines >= Self::LINES || self.faults >= Self::FAULTS
    }

    /// Takes note of a fault.
    pub fn hear(&mut self, fault: &Fault) -> Verdict {
        if self.is_enough() {
            return Verdict::Known;
        }
        self.faults += 1;
        let page = fault.address >> 12;
        let news = self.page.replace(page) != Some(page);
        self.lines += u32::from(news);
        match (self.is_enough(), news) {
            (true, _) => Verdict::TellLast,
            (false, true) => Verdict::Tell,
            (false, false) => Verdict::Known,
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
        assert!(!Fault::decode([3 << 34 | 21, 0, 4, 0]).write, "as QEMU 10 says it");
    }

    fn at(address: u64) -> Fault {
        Fault { device: 1, address, write: true, cause: 23 }
    }

    #[test]
    fn a_page_is_told_once_and_eight_of_them_are_enough() {
        let mut told = Told::default();
        for page in 0..7 {
            assert_eq!(told.hear(&at(page << 12)), Verdict::Tell);
            assert_eq!(told.hear(&at(page << 12 | 8)), Verdict::Known);
        }
        assert_eq!(told.hear(&at(7 << 12)), Verdict::TellLast);
        assert!(told.is_enough());
        assert_eq!(told.hear(&at(8 << 12)), Verdict::Known);
    }

    #[test]
    fn a_flood_on_one_page_ends_too() {
        let mut told = Told::default();
        let verdicts = [(); 2000].map(|()| told.hear(&at(0)));
        let told: Vec<_> = verdicts.iter().filter(|verdict| **verdict != Verdict::Known).collect();
        assert_eq!(told, [&Verdict::Tell, &Verdict::TellLast]);
    }
}
