//! What the probe was told on its command line: `/chosen/bootargs` in the
//! device tree (Devicetree Specification 0.4, chapters 3 and 5).

const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROP: u32 = 3;
const NOP: u32 = 4;

/// A device tree in memory, read one word at a time.
struct Tree {
    base: u64,
    /// Offset of the next word of the structure block.
    at: u64,
    strings: u64,
}

impl Tree {
    fn byte(&self, offset: u64) -> u8 {
        // SAFETY: the machine's firmware passed the address of a device tree,
        // which nobody writes; offsets come from that tree.
        unsafe { ((self.base + offset) as *const u8).read() }
    }

    fn word(&self, offset: u64) -> u32 {
        u32::from_be_bytes([0, 1, 2, 3].map(|n| self.byte(offset + n)))
    }

    fn next(&mut self) -> u32 {
        self.at += 4;
        self.word(self.at - 4)
    }

    /// The text of `length` bytes.
    fn text(&self, offset: u64, length: usize) -> &'static str {
        // SAFETY: as in `byte`.
        let bytes =
            unsafe { core::slice::from_raw_parts((self.base + offset) as *const u8, length) };
        core::str::from_utf8(bytes).unwrap_or("")
    }

    fn length(&self, offset: u64) -> u64 {
        (0..).find(|n| self.byte(offset + n) == 0).unwrap_or(0)
    }

    /// Skips `bytes` and what fills up their last word.
    fn skip(&mut self, bytes: u64) {
        self.at = (self.at + bytes).next_multiple_of(4);
    }

    fn is_named(&self, name: u32, wanted: &str) -> bool {
        let at = self.strings + u64::from(name);
        let same = |(n, byte)| self.byte(at + n) == byte;
        (0..).zip(wanted.bytes().chain([0])).all(same)
    }
}

/// The command line; empty if there is none.
#[must_use]
pub fn bootargs(dtb: u64) -> &'static str {
    let mut tree = Tree { base: dtb, at: 0, strings: 0 };
    if dtb == 0 || tree.word(0) != 0xd00d_feed {
        return "";
    }
    (tree.at, tree.strings) = (tree.word(8).into(), tree.word(12).into());
    loop {
        match tree.next() {
            BEGIN_NODE => tree.skip(tree.length(tree.at) + 1),
            END_NODE | NOP => {}
            PROP => {
                let (length, name) = (tree.next(), tree.next());
                if tree.is_named(name, "bootargs") {
                    let text = tree.text(tree.at, usize::try_from(length).unwrap_or(0));
                    return text.trim_end_matches('\0');
                }
                tree.skip(length.into());
            }
            _ => return "",
        }
    }
}

/// The value of `key=value`, one of the words of the command line.
#[must_use]
pub fn value(line: &'static str, key: &str) -> Option<&'static str> {
    line.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}
