//! The parameters of a command: registers that are only memory, and two deep.

/// A register that keeps the last byte written and the one before (6.20).
#[derive(Clone, Copy, Default, Debug)]
struct Pair {
    now: u8,
    before: u8,
}

/// The registers at offsets 1 to 6, as the host writes them.
#[derive(Clone, Default, Debug)]
pub(super) struct TaskFile {
    features: Pair,
    count: Pair,
    /// Low, mid and high.
    lba: [Pair; 3],
    device: u8,
}

/// Device register: the sector is given as an LBA.
const LBA: u8 = 1 << 6;
/// Device register: device 1, which is missing.
const SECOND: u8 = 1 << 4;
/// Device register: bits that always read 1.
const OBSOLETE: u8 = 0xa0;

impl TaskFile {
    /// The register at `offset`, 2 to 6; `high`: the byte before.
    pub(super) fn read(&self, offset: u64, high: bool) -> u8 {
        let pair = match offset {
            2 => self.count,
            3 => self.lba[0],
            4 => self.lba[1],
            5 => self.lba[2],
            _ => return self.device | OBSOLETE,
        };
        if high { pair.before } else { pair.now }
    }

    /// Writes the register at `offset`, 1 to 6.
    pub(super) fn write(&mut self, offset: u64, value: u8) {
        let pair = match offset {
            1 => &mut self.features,
            2 => &mut self.count,
            3 => &mut self.lba[0],
            4 => &mut self.lba[1],
            5 => &mut self.lba[2],
            _ => return self.device = value,
        };
        *pair = Pair { now: value, before: pair.now };
    }

    /// Whether device 0 is meant.
    #[inline]
    pub(super) fn is_selected(&self) -> bool {
        self.device & SECOND == 0
    }

    pub(super) fn select_first(&mut self) {
        self.device = 0;
    }

    /// Whether the sector is given as an LBA, and not as a cylinder and so on.
    pub(super) fn is_lba(&self) -> bool {
        self.device & LBA != 0
    }

    pub(super) fn features(&self) -> u8 {
        self.features.now
    }

    /// The sector count of commands that do not move sectors.
    pub(super) fn count(&self) -> u8 {
        self.count.now
    }

    /// First sector and number of sectors with 28-bit addresses.
    pub(super) fn range28(&self) -> (u64, u32) {
        let [low, mid, high] = self.lba.map(|pair| pair.now);
        let sector = u32::from_le_bytes([low, mid, high, self.device & 0xf]);
        let count = if self.count.now == 0 { 0x100 } else { self.count.now.into() };
        (sector.into(), count)
    }

    /// The same with 48-bit addresses.
    pub(super) fn range48(&self) -> (u64, u32) {
        let [low, mid, high] = self.lba;
        let parts = [low.now, mid.now, high.now, low.before, mid.before, high.before, 0, 0];
        let count = u32::from(self.count.before) << 8 | u32::from(self.count.now);
        (u64::from_le_bytes(parts), if count == 0 { 0x1_0000 } else { count })
    }

    /// Shows the sector of an error, as an address of the command's kind.
    pub(super) fn show_sector(&mut self, sector: u64, wide: bool) {
        let [a, b, c, d, e, f, ..] = sector.to_le_bytes();
        let before = if wide { [d, e, f] } else { self.lba.map(|pair| pair.before) };
        for ((pair, now), before) in self.lba.iter_mut().zip([a, b, c]).zip(before) {
            *pair = Pair { now, before };
        }
        if !wide {
            self.device = self.device & 0xf0 | d & 0xf;
        }
    }

    /// What a disk of this kind shows after a reset.
    pub(super) fn sign(&mut self) {
        let byte = |now| Pair { now, before: 0 };
        (self.count, self.lba) = (byte(1), [byte(1), byte(0), byte(0)]);
    }
}
