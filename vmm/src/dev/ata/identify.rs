//! What the disk says of itself: IDENTIFY DEVICE (8.15), 256 words.

use super::{Ata, MULTIPLE};

/// Words of the answer.
const WORDS: usize = 256;

/// Sectors that 28 bits can count.
const MAX28: u64 = 0x0fff_ffff;

/// Cylinders, heads and sectors of a track, for those who ask: what all disks
/// of more than 8 GiB say.
const GEOMETRY: [u16; 3] = [16383, 16, 63];

const FIRMWARE: &str = "1.0";
const MODEL: &str = "TRAPEZE ATA DISK";

impl Ata {
    pub(super) fn identity(&self) -> [u16; WORDS] {
        let mut words = [0; WORDS];
        let [cylinders, heads, track] = GEOMETRY;
        let multiple = u16::from(self.multiple);
        // With 48-bit addresses, FLUSH CACHE and FLUSH CACHE EXT.
        let commands = 1 << 14 | 1 << 13 | 1 << 12 | 1 << 10;
        for (word, value) in [
            // A fixed disk.
            (0, 1 << 6),
            (1, cylinders),
            (3, heads),
            (6, track),
            (47, 0x8000 | u16::from(MULTIPLE)),
            // LBA, and IORDY that can be switched off.
            (49, 1 << 11 | 1 << 10 | 1 << 9),
            (50, 1 << 14),
            // Words 64 to 70 are valid.
            (53, 1 << 1),
            (59, if multiple == 0 { 0 } else { 1 << 8 | multiple }),
            // PIO modes 3 and 4, with cycles of 120 ns.
            (64, 0b11),
            (67, 120),
            (68, 120),
            // ATA/ATAPI-4 to 6.
            (80, 0b111_0000),
            // A write cache, supported and on.
            (82, 1 << 5),
            (83, commands),
            (84, 1 << 14),
            (85, 1 << 5),
            (86, commands & !(1 << 14)),
            (87, 1 << 14),
            // Device 0, found as such by its jumper, passed its diagnostic.
            (93, 1 << 14 | 1 << 3 | 1 << 1 | 1),
        ] {
            words[word] = value;
        }
        let serial = core::str::from_utf8(&self.serial).unwrap_or_default();
        text(&mut words[10..20], serial.trim_end_matches('\0'));
        text(&mut words[23..27], FIRMWARE);
        text(&mut words[27..47], MODEL);
        number(&mut words[60..62], self.sectors.min(MAX28));
        number(&mut words[100..104], self.sectors);
        words
    }
}

/// Two characters to a word, the first one in its high byte; padded with
/// blanks.
fn text(words: &mut [u16], text: &str) {
    let mut bytes = text.bytes().chain(core::iter::repeat(b' '));
    for word in words {
        let pair = [bytes.next(), bytes.next()].map(Option::unwrap_or_default);
        *word = u16::from_be_bytes(pair);
    }
}

/// The low word first.
fn number(words: &mut [u16], value: u64) {
    let halves = value.to_le_bytes();
    for (word, half) in words.iter_mut().zip(halves.chunks_exact(2)) {
        *word = half.iter().rev().fold(0, |value, byte| value << 8 | u16::from(*byte));
    }
}
