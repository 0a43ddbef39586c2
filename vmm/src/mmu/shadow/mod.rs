//! Shadow page tables: a virtual TLB with a memory.
//!
//! The hardware walks these tables instead of the guest's. They are filled
//! on faults and stay: an address-space switch or a full `sfence.vma` throws
//! nothing away but what the guest has changed.
//!
//! How the shadow knows what changed: a guest page that serves as a page
//! table is *followed*, i.e. mapped read-only. The first write to it exits,
//! makes it writable again and puts it on the list of *changed* pages. The
//! architecture lets a TLB be stale until `sfence.vma`, so nothing more is
//! due until then; the fence compares each changed page with what the shadow
//! was made from, drops the entries that differ, and follows the page again.
//!
//! Invariants, beside **followed-tables** (see `track`):
//! - **only-own-memory**: a leaf maps guest RAM of this guest, or registers of
//!   a device that belongs to it, nothing else.
//! - A root of a vCPU with a CPU page is its own; its last entry leads there,
//!   and mirrors nothing (`fill`, `fault_in_tail`). All below is shared.
//! - **full-is-empty**: when the quota is used up the whole shadow is
//!   emptied (`zap`); a guest with many address spaces gets slower, and the
//!   VMM's work stays proportional to the faults that the guest took.
//! - **epochs**: other harts may hold translations that the shadow no longer
//!   has. Taking away a writable mapping starts a new epoch; each hart
//!   flushes its TLB when it enters the guest in a new epoch; a page counts
//!   as unwritable only when all harts that run the guest have done so.

mod fill;
mod hot;
mod pool;
mod refill;
mod sync;
mod track;

#[cfg(test)]
mod tests;

use alloc::vec::Vec;
use core::sync::atomic::AtomicU64;

use super::pte::{self, ENTRIES, Pte, ROOT_LEVEL, Rights};
use super::space::{Space, View};
use crate::addr::{Gpa, Gva, Hpa};
use crate::bundle::MAX_CPUS;
use crate::mem::GuestRam;
use crate::pass::{Mapping, Registers};
use crate::vcpu::{Mode, Permission, Rules};
use hot::HotEntry;
use pool::{Key, PageId, Pool, Slot};
use track::Tracker;

/// What became of a fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The access is mapped now; `flush`: this hart's TLB must be flushed.
    Mapped {
        /// Where the page is.
        target: Hpa,
        /// Whether translations were taken away.
        flush: bool,
    },
    /// The page is neither RAM nor a device of the guest's own: the caller
    /// asks the bus.
    Device(Gpa),
    /// The page is RAM that the guest gave back: the caller gives it to it.
    Absent(Gpa),
    /// The guest takes a page fault.
    PageFault,
    /// The guest takes an access fault.
    AccessFault,
    /// The quota is used up: stop the other harts, `zap`, and try again.
    Full,
}

/// The other vCPUs of the guest, as far as the shadow has to know.
#[derive(Clone, Copy)]
pub struct Peers<'a> {
    /// The guest's current epoch.
    pub epoch: &'a AtomicU64,
    /// The latest epoch in which all other running vCPUs have flushed.
    pub settled: u64,
}

/// The shadow page tables of one guest.
pub struct Shadow {
    pool: Pool,
    tracker: Tracker,
    pmps: Vec<Protection>,
    /// Registers that the guest reaches without an exit.
    devices: Vec<Mapping>,
    /// Likewise, where the guest has put them; each time under a higher number.
    windows: (u64, Vec<Mapping>),
    hot: Option<HotEntry>,
    /// The CPU page of each vCPU.
    cpu_pages: [Option<Gpa>; MAX_CPUS as usize],
    /// More than one vCPU can run in the guest.
    smp: bool,
    generation: u64,
}

/// No RAM and no device is at this guest-physical address or above it.
const FAR: u64 = 1 << 48;

/// A PMP configuration of the guest.
struct Protection {
    rules: Rules,
    /// vS and vU may do everything everywhere: the usual case, and no need
    /// to look at the rules.
    open: bool,
}

impl Protection {
    fn new(rules: &Rules) -> Self {
        let everything = rules.permission(Gpa(0), FAR, Mode::Supervisor);
        Self { rules: rules.clone(), open: everything == Some(Permission::all()) }
    }
}

/// What a CPU page grants.
const CPU_PAGE: Rights = Rights::R.union(Rights::W);

/// The table of `level` on the way to the CPU page of [`Space::page_of`].
fn tail_key(page_of: u8, level: u8) -> Key {
    Key { source: 0, level, view: View::empty(), pmp: 0, page_of, direct: Some(CPU_PAGE) }
}

/// PMP configurations that are told apart; beyond that the shadow is zapped.
const MAX_PMPS: usize = 15;

impl Shadow {
    /// An empty shadow of at most `quota` tables for a guest with RAM `ram`;
    /// `None` when there is not enough memory for it.
    pub fn new(ram: &GuestRam, quota: u32, smp: bool) -> Option<Self> {
        let pool = Pool::new(quota)?;
        let pmps = Vec::with_capacity(MAX_PMPS);
        let (tracker, devices, windows) = (Tracker::new(ram), Vec::new(), Default::default());
        let (hot, cpu_pages) = Default::default();
        Some(Self { pool, tracker, pmps, devices, windows, hot, cpu_pages, smp, generation: 0 })
    }

    /// The guest owns these registers from now on: they are mapped where it
    /// accesses them, for loads and stores.
    pub fn own(&mut self, registers: Mapping) {
        self.devices.push(registers);
    }

    /// The guest has its movable registers here from now on; `zap` follows. A
    /// call that was overtaken by one with a higher number changes nothing.
    pub fn show(&mut self, number: u64, windows: Vec<Mapping>) {
        if number >= self.windows.0 {
            self.windows = (number, windows);
        }
    }

    /// The registers that the guest owns.
    pub fn owned(&self) -> Vec<Registers> {
        self.devices.iter().map(|mapping| mapping.registers).collect()
    }

    /// Registers of the guest's own that are at `gpa`.
    fn registers(&self, gpa: Gpa) -> Option<Hpa> {
        let all = self.devices.iter().chain(&self.windows.1);
        all.into_iter().find_map(|mapping| mapping.find(gpa))
    }

    /// From now on this is the CPU page of vCPU `cpu`, if it has one. Its hart
    /// flushes its TLB; no other one runs on its roots.
    pub fn set_cpu_page(&mut self, ram: &GuestRam, cpu: u8, page: Option<Gpa>) {
        if let Some(place) = self.cpu_pages.get_mut(usize::from(cpu)) {
            *place = page;
        }
        if let Some(table) = self.pool.find(tail_key(cpu + 1, 0)) {
            self.clear(ram, Slot::new(table, ENTRIES - 1));
        }
    }

    /// Changes whenever all roots have become invalid.
    #[inline]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Shadow tables in use.
    pub fn used(&self) -> u32 {
        self.pool.used()
    }

    /// The number under which a PMP configuration goes in a [`Space`], or
    /// `None` when there are too many: `zap`, and try again.
    pub fn intern(&mut self, pmp: &Rules) -> Option<u8> {
        let known = self.pmps.iter().position(|known| known.rules == *pmp);
        let index = match known {
            Some(index) => index,
            None if self.pmps.len() < MAX_PMPS => {
                self.pmps.push(Protection::new(pmp));
                self.pmps.len() - 1
            }
            None => return None,
        };
        u8::try_from(index).ok()
    }

    /// The shadow root of `space`, made if need be; `None` when the quota is
    /// used up.
    pub fn root(&mut self, space: Space) -> Option<Hpa> {
        let id = self.root_page(space)?;
        Some(self.pool.hpa(id))
    }

    fn root_page(&mut self, space: Space) -> Option<PageId> {
        let space = space.shared();
        let direct = space.is_bare().then(|| space.limit(Rights::all()));
        let Space { root, view, pmp, page_of } = space;
        self.find_or_make(Key { source: root, level: ROOT_LEVEL, view, pmp, page_of, direct })
    }

    fn find_or_make(&mut self, key: Key) -> Option<PageId> {
        self.pool.find(key).or_else(|| {
            self.hot = None;
            self.pool.make(key)
        })
    }

    /// The shadow entry that the hardware finds for `gva` below `root`, a
    /// value of [`Shadow::root`] of this generation.
    #[inline]
    fn lookup(&self, root: Hpa, gva: Gva) -> Option<(Pte, u8)> {
        let mut page = self.pool.page_at(root);
        for level in (0..=ROOT_LEVEL).rev() {
            let entry = self.pool.entry(page, pte::index(gva, level));
            if !entry.has(Pte::V) || entry.is_leaf() {
                return (entry.0 != 0).then_some((entry, level));
            }
            page = self.pool.page_at(entry.hpa());
        }
        None
    }

    /// Where the instruction at `pc` lies, when the hardware could fetch it.
    #[inline]
    pub fn fetch_address(&self, ram: &GuestRam, root: Hpa, pc: Gva) -> Option<Gpa> {
        let (entry, level) = self.lookup(root, pc)?;
        let within = pc.0 & (pte::leaf_size(level) - 1);
        entry.has(Pte::V | Pte::X).then(|| ram.gpa(Hpa(entry.hpa().0 | within)))
    }
}
