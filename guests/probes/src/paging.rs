//! Sv39 page tables (privileged ISA, "Sv39") and the frames they are made of.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::csr::{self, SATP};

/// Bytes of a page.
pub const PAGE: u64 = 4096;
/// Bytes of a level-1 leaf.
pub const MEGA: u64 = 2 << 20;
/// Bytes of a level-2 leaf.
pub const GIGA: u64 = 1 << 30;
/// Where RAM starts.
pub const RAM: u64 = 0x8000_0000;
/// U-mode sees RAM at this distance above its physical address.
pub const USER_WINDOW: u64 = 2 * GIGA;

/// PTE valid.
pub const V: u64 = 1;
/// PTE readable.
pub const R: u64 = 2;
/// PTE writable.
pub const W: u64 = 4;
/// PTE executable.
pub const X: u64 = 8;
/// PTE accessible to U-mode.
pub const U: u64 = 16;
/// PTE global.
pub const G: u64 = 32;
/// PTE accessed.
pub const A: u64 = 64;
/// PTE dirty.
pub const D: u64 = 128;
/// The leaf that most checks start from: everything but U and G.
pub const KERNEL: u64 = V | R | W | X | A | D;
/// `KERNEL` for U-mode.
pub const USER: u64 = KERNEL | U;

unsafe extern "C" {
    /// First byte after the image and the stacks, from the linker script.
    static __frames: u8;
}

/// Frames handed out so far.
static TAKEN: AtomicU64 = AtomicU64::new(0);

/// A zeroed page of RAM that is never given back. All accesses are atomic, so
/// other modes, harts and devices may change it at any time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Frame(u64);

impl Frame {
    /// A new frame.
    #[must_use]
    pub fn new() -> Self {
        Self::run(1)
    }

    /// The first of `count` frames that lie one after another.
    #[must_use]
    pub fn run(count: u64) -> Self {
        Self::aligned(count, PAGE)
    }

    /// The first of `count` consecutive frames, at a multiple of `align`.
    #[must_use]
    pub fn aligned(count: u64, align: u64) -> Self {
        let base = &raw const __frames as u64;
        let start = (base + TAKEN.load(Ordering::Relaxed)).next_multiple_of(align);
        TAKEN.store(start + count * PAGE - base, Ordering::Relaxed);
        let first = Self(start);
        for n in 0..count {
            first.after(n).fill(0);
        }
        first
    }

    /// The frame `n` places after this one, of the same [`Frame::run`].
    #[must_use]
    pub fn after(self, n: u64) -> Self {
        Self(self.0 + n * PAGE)
    }

    /// Physical address.
    #[must_use]
    pub fn pa(self) -> u64 {
        self.0
    }

    /// The frame's contents.
    #[must_use]
    pub fn words(self) -> &'static [AtomicU64; 512] {
        // SAFETY: a frame lies in RAM behind everything the linker placed and
        // is only ever accessed through these atomics; RAM is never unmapped.
        unsafe { &*(self.0 as *const [AtomicU64; 512]) }
    }

    /// One doubleword.
    #[must_use]
    pub fn get(self, index: usize) -> u64 {
        self.words()[index].load(Ordering::Relaxed)
    }

    /// Changes one doubleword.
    pub fn set(self, index: usize, value: u64) {
        self.words()[index].store(value, Ordering::Relaxed);
    }

    /// Writes `value` into every doubleword.
    pub fn fill(self, value: u64) {
        for word in self.words() {
            word.store(value, Ordering::Relaxed);
        }
    }
}

impl Default for Frame {
    fn default() -> Self {
        Self::new()
    }
}

/// The PTE that points to `pa` with these flags.
#[must_use]
pub fn pte(pa: u64, flags: u64) -> u64 {
    pa >> 12 << 10 | flags
}

/// The address with the low 39 bits of `va` that Sv39 accepts.
#[must_use]
pub fn canonical(va: u64) -> u64 {
    let low = va & ((1 << 39) - 1);
    if low >> 38 == 0 { low } else { low | u64::MAX << 39 }
}

/// Index into the table of `level` (2 is the root).
#[must_use]
pub fn index(va: u64, level: u32) -> usize {
    usize::try_from(va >> (12 + 9 * level) & 0x1ff).unwrap_or(0)
}

/// An address space: a root table and those below it.
#[derive(Clone, Copy)]
pub struct Space {
    /// The root table.
    pub root: Frame,
}

impl Space {
    /// Maps nothing.
    #[must_use]
    pub fn empty() -> Self {
        Self { root: Frame::new() }
    }

    /// Maps the first GiB of RAM twice: at its own address for S-mode, and
    /// [`USER_WINDOW`] above for U-mode. Snippets need one of them to run.
    #[must_use]
    pub fn new() -> Self {
        let space = Self::empty();
        space.map(RAM, RAM, KERNEL, 2);
        space.map(RAM + USER_WINDOW, RAM, USER, 2);
        space
    }

    /// Makes `va` a leaf of `level` (0: 4 KiB), with missing tables above it.
    /// Gives the leaf, to look at or change.
    pub fn map(&self, va: u64, pa: u64, flags: u64, level: u32) -> Leaf {
        let leaf = self.leaf(va, level);
        leaf.set(pte(pa, flags));
        leaf
    }

    /// The place of the PTE of `level` for `va`; makes missing tables.
    #[must_use]
    pub fn leaf(&self, va: u64, level: u32) -> Leaf {
        let mut table = self.root;
        for above in (level + 1..3).rev() {
            let entry = table.get(index(va, above));
            let next = if entry & V == 0 { Frame::new() } else { Frame(entry >> 10 << 12) };
            if entry & V == 0 {
                table.set(index(va, above), pte(next.pa(), V));
            }
            table = next;
        }
        Leaf { table, index: index(va, level) }
    }

    /// The `satp` value of this space.
    #[must_use]
    pub fn satp(&self, asid: u64) -> u64 {
        8 << 60 | asid << 44 | self.root.pa() >> 12
    }

    /// Switches to this space (ASID 0) and fences.
    pub fn switch(&self) {
        csr::write::<SATP>(self.satp(0));
        csr::sfence_vma();
    }
}

impl Default for Space {
    fn default() -> Self {
        Self::new()
    }
}

/// Turns paging off.
pub fn bare() {
    csr::write::<SATP>(0);
    csr::sfence_vma();
}

/// The place of one PTE.
#[derive(Clone, Copy)]
pub struct Leaf {
    /// The table that it is in.
    pub table: Frame,
    /// Its index there.
    pub index: usize,
}

impl Leaf {
    /// The PTE.
    #[must_use]
    pub fn get(self) -> u64 {
        self.table.get(self.index)
    }

    /// Changes the PTE, without a fence.
    pub fn set(self, pte: u64) {
        self.table.set(self.index, pte);
    }

    /// Changes the PTE and fences everything.
    pub fn replace(self, pte: u64) {
        self.set(pte);
        csr::sfence_vma();
    }

    /// Physical address of the PTE.
    #[must_use]
    pub fn pa(self) -> u64 {
        self.table.pa() + 8 * self.index as u64
    }
}
