//! Physical memory protection: sixteen entries with a grain of 4 KiB.
//!
//! Privileged architecture 1.12, section 3.7. The registers are kept as
//! written; every change is at once compiled into `Rules`, a short list of
//! address ranges in rising order, so that a question about a page costs a
//! comparison or two and equal protection compares equal.

use core::fmt;

use bitflags::bitflags;

use super::Mode;
use crate::addr::Gpa;

/// Entries that can be programmed; the registers of the other 48 read zero.
pub(super) const ENTRIES: usize = 16;
/// G: log2 of the grain, in words of four bytes. 10 makes 4 KiB, so that a
/// page is never divided and the shadow tables can express every rule.
const GRAIN: u32 = 10;
/// Address bits that a NAPOT entry reads as ones.
const NAPOT_ONES: u64 = (1 << (GRAIN - 1)) - 1;
/// Address bits that OFF and TOR entries read as zeros and do not compare.
const TOR_ZEROS: u64 = (1 << GRAIN) - 1;
/// Address bits that exist: bits 55 to 2 of a physical address.
const ADDRESS: u64 = (1 << 54) - 1;
/// First byte above all physical addresses.
const PHYSICAL_END: u64 = 1 << 56;

const R: u8 = 1;
const W: u8 = 1 << 1;
const A: u8 = 3 << 3;
const A_TOR: u8 = 1 << 3;
const A_NA4: u8 = 2 << 3;
const A_NAPOT: u8 = 3 << 3;
const LOCKED: u8 = 1 << 7;
/// Bits of a configuration byte that exist.
const CONFIG: u8 = LOCKED | A | 7;

bitflags! {
    /// What an access to memory may do; the bits are those of `pmpcfg`.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Default)]
    pub struct Permission: u8 {
        /// Loads.
        const READ = 1;
        /// Stores and AMOs.
        const WRITE = 2;
        /// Instruction fetch.
        const EXECUTE = 4;
    }
}

/// A stretch of physical addresses under one rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Default)]
struct Segment {
    /// Last byte; the first is the one after the previous segment's last.
    last: u64,
    /// What vM may do.
    machine: Permission,
    /// What vS and vU may do.
    lower: Permission,
}

impl Segment {
    const fn permission(&self, mode: Mode) -> Permission {
        match mode {
            Mode::Machine => self.machine,
            Mode::Supervisor | Mode::User => self.lower,
        }
    }
}

/// Each entry adds at most two boundaries.
const SEGMENTS: usize = 2 * ENTRIES + 1;

/// What a PMP configuration means, without how it was written.
///
/// Two configurations that protect alike are equal and hash alike.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Rules {
    segments: [Segment; SEGMENTS],
    len: usize,
}

impl Rules {
    /// What `mode` may do on all of `[base, base + size)`, or `None` where
    /// the answer is not the same for all bytes or the range wraps around.
    #[inline]
    pub fn permission(&self, base: Gpa, size: u64, mode: Mode) -> Option<Permission> {
        let last = base.0.checked_add(size.saturating_sub(1))?;
        let mut rest = self.segments.iter().skip_while(|segment| segment.last < base.0);
        let first = rest.next()?;
        let permission = first.permission(mode);
        if last <= first.last {
            return Some(permission);
        }
        for segment in rest {
            if segment.permission(mode) != permission {
                return None;
            }
            if last <= segment.last {
                return Some(permission);
            }
        }
        None
    }

    /// Adds a segment above all others, joined to its neighbour where alike.
    fn push(&mut self, segment: Segment) {
        let previous = self.len.checked_sub(1).and_then(|i| self.segments.get_mut(i));
        match previous {
            Some(p) if (p.machine, p.lower) == (segment.machine, segment.lower) => {
                p.last = segment.last;
            }
            _ => {
                if let Some(slot) = self.segments.get_mut(self.len) {
                    *slot = segment;
                    self.len += 1;
                }
            }
        }
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.segments.iter().take(self.len)).finish()
    }
}

/// The PMP registers of one virtual hart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pmp {
    pub(super) config: [u8; ENTRIES],
    pub(super) address: [u64; ENTRIES],
    rules: Rules,
}

impl Default for Pmp {
    fn default() -> Self {
        Self::new()
    }
}

impl Pmp {
    /// All entries off: vM may do everything, vS and vU nothing.
    pub fn new() -> Self {
        let rules = Rules { segments: [Segment::default(); SEGMENTS], len: 0 };
        let mut pmp = Self { config: [0; ENTRIES], address: [0; ENTRIES], rules };
        pmp.compile();
        pmp
    }

    /// Entry 0 opens all memory to all modes, as firmware does for a kernel
    /// that starts in vS.
    pub fn open() -> Self {
        let mut pmp = Self::new();
        pmp.write_address(0, ADDRESS);
        pmp.write_config(0, u64::from(A_NAPOT | Permission::all().bits()));
        pmp
    }

    /// See [`Rules::permission`].
    #[inline]
    pub fn permission(&self, base: Gpa, size: u64, mode: Mode) -> Option<Permission> {
        self.rules.permission(base, size, mode)
    }

    /// What the registers mean: the identity of this protection.
    #[inline]
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Reads `pmpcfg<register>`; `register` is even on RV64, and holds eight
    /// entries. Those that are not implemented read zero.
    pub fn read_config(&self, register: usize) -> u64 {
        let bytes = self.config.chunks_exact(8).nth(register / 2);
        bytes.and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
    }

    /// Writes `pmpcfg<register>`, as far as locks allow.
    pub fn write_config(&mut self, register: usize, value: u64) {
        if let Some(entries) = self.config.chunks_exact_mut(8).nth(register / 2) {
            for (entry, byte) in entries.iter_mut().zip(value.to_le_bytes()) {
                if *entry & LOCKED == 0 {
                    *entry = legal_config(byte);
                }
            }
            self.compile();
        }
    }

    /// Reads `pmpaddr<entry>`: its low bits depend on the entry's mode.
    pub fn read_address(&self, entry: usize) -> u64 {
        match (self.config.get(entry), self.address.get(entry)) {
            (Some(config), Some(address)) if config & A_NA4 != 0 => address | NAPOT_ONES,
            (Some(_), Some(address)) => address & !TOR_ZEROS,
            _ => 0,
        }
    }

    /// Writes `pmpaddr<entry>`, unless the entry is locked, or is the bottom
    /// of the next entry's range and that entry is locked.
    pub fn write_address(&mut self, entry: usize, value: u64) {
        let locked = self.config.get(entry).is_some_and(|c| c & LOCKED != 0);
        let is_locked_bottom =
            self.config.get(entry + 1).is_some_and(|c| c & (LOCKED | A) == LOCKED | A_TOR);
        if let Some(address) = self.address.get_mut(entry)
            && !locked
            && !is_locked_bottom
        {
            *address = value & ADDRESS;
            self.compile();
        }
    }

    /// Bytes that an entry matches: first, and the one after the last.
    fn range(&self, entry: usize) -> Option<(u64, u64)> {
        let config = *self.config.get(entry)?;
        let address = *self.address.get(entry)?;
        match config & A {
            A_TOR => {
                let bottom = entry.checked_sub(1).and_then(|i| self.address.get(i)).unwrap_or(&0);
                let (first, end) = ((bottom & !TOR_ZEROS) << 2, (address & !TOR_ZEROS) << 2);
                (first < end).then_some((first, end))
            }
            A_NAPOT => {
                let address = address | NAPOT_ONES;
                let mask = address ^ (address + 1);
                let first = (address & !mask) << 2;
                Some((first, first + ((mask + 1) << 2)))
            }
            _ => None,
        }
    }

    /// Rebuilds the rules from the registers.
    fn compile(&mut self) {
        let ranges: [_; ENTRIES] = core::array::from_fn(|entry| self.range(entry));
        let mut rules = Rules { segments: [Segment::default(); SEGMENTS], len: 0 };
        let mut first = 0;
        while first < PHYSICAL_END {
            // The entry with the lowest number decides.
            let hit = ranges.iter().position(|r| r.is_some_and(|(a, b)| a <= first && first < b));
            let next = ranges.iter().flatten().flat_map(|&(a, b)| [a, b]).filter(|&x| x > first);
            let end = next.min().unwrap_or(u64::MAX);
            let (machine, lower) = permissions(hit.and_then(|i| self.config.get(i)));
            let last = if end < PHYSICAL_END { end - 1 } else { u64::MAX };
            rules.push(Segment { last, machine, lower });
            first = end;
        }
        self.rules = rules;
    }
}

/// What vM, and what the lower modes may do where this entry decides.
fn permissions(config: Option<&u8>) -> (Permission, Permission) {
    match config {
        None => (Permission::all(), Permission::empty()),
        Some(&config) => {
            let lower = Permission::from_bits_truncate(config);
            (if config & LOCKED == 0 { Permission::all() } else { lower }, lower)
        }
    }
}

/// What a write of a configuration byte leaves: the reserved W without R
/// gives no permission, and NA4 is off as the grain is larger than 4 bytes.
const fn legal_config(byte: u8) -> u8 {
    let mut config = byte & CONFIG;
    if config & (R | W) == W {
        config &= !7;
    }
    if config & A == A_NA4 {
        config &= !A;
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    const RWX: Option<Permission> = Some(Permission::all());
    const NONE: Option<Permission> = Some(Permission::empty());
    const READ: Option<Permission> = Some(Permission::READ);

    fn lower(pmp: &Pmp, base: u64, size: u64) -> Option<Permission> {
        pmp.permission(Gpa(base), size, Mode::Supervisor)
    }

    fn machine(pmp: &Pmp, base: u64, size: u64) -> Option<Permission> {
        pmp.permission(Gpa(base), size, Mode::Machine)
    }

    #[test]
    fn reset_is_for_machine_mode_only() {
        let pmp = Pmp::new();
        assert_eq!(machine(&pmp, 0, u64::MAX), RWX);
        assert_eq!(lower(&pmp, 0x8000_0000, 4096), NONE);
    }

    #[test]
    fn what_kernels_write_to_open_memory_opens_it() {
        let mut tor = Pmp::new();
        tor.write_address(0, 0x3f_ffff_ffff_ffff);
        tor.write_config(0, 0xf);
        assert_eq!(lower(&tor, 0x8000_0000, 1 << 30), RWX);
        assert_eq!(lower(&Pmp::open(), 0, 1 << 56), RWX);
    }

    #[test]
    fn lowest_entry_decides_and_edges_are_not_uniform() {
        let mut pmp = Pmp::new();
        // Entry 0: read-only, [0x8000_0000, 0x8000_2000). Entry 1: all, everywhere.
        pmp.write_address(0, 0x8000_0000 >> 2 | 0x3ff);
        pmp.write_address(1, ADDRESS);
        pmp.write_config(0, 0x1f_19);
        assert_eq!(lower(&pmp, 0x8000_1000, 0x1000), READ);
        assert_eq!(lower(&pmp, 0x8000_2000, 0x1000), RWX);
        assert_eq!(lower(&pmp, 0x8000_0000, 0x20_0000), None);
        // Not locked: vM passes, on either side and across.
        assert_eq!(machine(&pmp, 0x8000_0000, 0x20_0000), RWX);
    }

    #[test]
    fn locked_entries_bind_machine_mode_until_reset() {
        let mut pmp = Pmp::new();
        pmp.write_address(0, 0x8000_0000 >> 2);
        pmp.write_address(1, 0x8000_1000 >> 2);
        pmp.write_config(0, 0x89_00);
        let before = pmp.clone();
        pmp.write_config(0, 0x0f_0f);
        pmp.write_address(0, 0);
        pmp.write_address(1, 0);
        assert_eq!(pmp.read_config(0), 0x89_0f);
        assert_eq!(pmp.address, before.address);
        assert_eq!(machine(&pmp, 0x8000_0000, 0x1000), READ);
        assert_eq!(machine(&pmp, 0x8000_1000, 0x1000), RWX);
    }

    #[test]
    fn grain_shows_in_addresses() {
        let mut pmp = Pmp::new();
        pmp.write_address(0, u64::MAX);
        assert_eq!(pmp.read_address(0), ADDRESS & !0x3ff);
        pmp.write_address(0, 0);
        pmp.write_config(0, 0x18);
        assert_eq!(pmp.read_address(0), 0x1ff);
        pmp.write_config(0, 0x10);
        assert_eq!(pmp.read_config(0), 0, "NA4 cannot be selected");
        // The low bits of the bottom of a range do not count either.
        pmp.write_address(0, 0x8000_0000 >> 2 | 0x3ff);
        pmp.write_address(1, 0x8000_1000 >> 2 | 0x3ff);
        pmp.write_config(0, 0x0f_00);
        assert_eq!(lower(&pmp, 0x8000_0000, 0x1000), RWX);
        assert_eq!(lower(&pmp, 0x8000_1000, 0x1000), NONE);
    }

    #[test]
    fn registers_above_the_sixteenth_read_zero() {
        let mut pmp = Pmp::new();
        pmp.write_address(16, ADDRESS);
        pmp.write_address(63, ADDRESS);
        pmp.write_config(4, u64::MAX);
        assert_eq!((pmp.read_address(16), pmp.read_address(63), pmp.read_config(4)), (0, 0, 0));
        assert_eq!(pmp, Pmp::new());
    }

    #[test]
    fn equal_protection_has_equal_rules() {
        let mut halves = Pmp::new();
        halves.write_address(0, 0x4000_0000 >> 2);
        halves.write_address(1, ADDRESS);
        halves.write_config(0, 0x1f_0f);
        assert_eq!(halves.rules(), Pmp::open().rules());
        assert_ne!(halves.rules(), Pmp::new().rules());
    }

    #[test]
    fn all_entries_apart_fit() {
        let mut pmp = Pmp::new();
        for entry in 0..ENTRIES {
            pmp.write_address(entry, (0x8000_0000 + 0x2000 * entry as u64) >> 2 | 0x1ff);
        }
        pmp.write_config(0, u64::from_le_bytes([0x19; 8]));
        pmp.write_config(2, u64::from_le_bytes([0x19; 8]));
        assert_eq!(pmp.rules.len, SEGMENTS);
        assert_eq!(lower(&pmp, 0x8001_e000, 0x1000), READ);
        assert_eq!(lower(&pmp, 0x8001_f000, 0x1000), NONE);
    }
}
