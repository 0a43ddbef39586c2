//! The shadow against a plain page walk: a model of a hart with a TLB runs on
//! the shadow tables while a model of a guest rewrites its page tables.

use core::sync::atomic::AtomicU64;
use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::addr::Access;
use crate::mmu::walk;
use crate::vcpu::Pmp;

const BASE: u64 = 0x8000_0000;
const PAGES: u64 = 1024;
/// Pages that serve as page tables; the first two are roots.
const TABLES: u64 = 6;
/// The guest's own view of its memory, for writing to its tables.
const DIRECT: u64 = 0x10_0000_0000;

/// What the model hart remembers of a page: where it is, and its entry.
type Tlb = HashMap<u64, (Hpa, Pte)>;

struct Model {
    ram: GuestRam,
    shadow: Shadow,
    epoch: AtomicU64,
    tlb: Tlb,
    space: Space,
    /// vS and vU run in real S-mode and U-mode.
    native: bool,
    faults: usize,
}

impl Model {
    fn new(quota: u32) -> Self {
        let ram = GuestRam::leaked(Gpa(BASE), PAGES * 4096);
        let mut shadow = Shadow::new(&ram, quota, false).unwrap();
        let pmp = shadow.intern(Pmp::open().rules()).unwrap();
        let space = Space::sv39(Gpa(BASE), false, false, false, pmp);
        let epoch = AtomicU64::new(0);
        let mut model =
            Self { ram, shadow, epoch, tlb: Tlb::new(), space, native: false, faults: 0 };
        for root in 0..2 {
            model.write_raw(root, pte::index(Gva(DIRECT), 2), leaf(0) | 0xcf);
        }
        model
    }

    fn write_raw(&mut self, table: u64, index: usize, value: u64) {
        self.ram.store_u64(entry(table, index), value).unwrap();
    }

    /// What the hardware would find in the shadow tables now.
    fn hardware(&mut self, gva: Gva) -> Option<(Hpa, Pte)> {
        let root = self.shadow.root(self.space)?;
        let (entry, level) = self.shadow.lookup(root, gva)?;
        let within = gva.0 & (pte::leaf_size(level) - 1) & !0xfff;
        entry.has(Pte::V).then(|| (Hpa(entry.hpa().0 | within), entry))
    }

    /// What the hardware lets the guest do by a shadow entry.
    fn usable(&self, entry: Pte, kind: Access) -> bool {
        let real_user_mode = Space::sv39(Gpa(0), true, false, false, 0);
        let hart = if self.native { self.space } else { real_user_mode };
        hart.rights(entry).contains(Rights::from(kind))
    }

    /// Performs an access as a hart does: TLB, tables, fault, again.
    fn access(&mut self, gva: Gva, kind: Access) -> Result<Hpa, Outcome> {
        for _ in 0..4 {
            let known = self.tlb.get(&gva.page()).copied();
            let usable = known.filter(|(_, entry)| self.usable(*entry, kind));
            let found = usable.or_else(|| self.hardware(gva));
            if let Some((hpa, entry)) = found
                && self.usable(entry, kind)
            {
                self.tlb.insert(gva.page(), (hpa, entry));
                return Ok(hpa);
            }
            self.faults += 1;
            let peers = Peers { epoch: &self.epoch, settled: u64::MAX };
            // Each fault goes the way that it has in the machine.
            let root = self.shadow.root(self.space);
            let refill = |root| self.shadow.refill(&self.ram, root, self.space, gva, kind);
            let outcome = root.and_then(refill);
            match outcome
                .unwrap_or_else(|| self.shadow.fault(&self.ram, self.space, gva, kind, peers))
            {
                Outcome::Mapped { flush: true, .. } => self.tlb.clear(),
                Outcome::Mapped { flush: false, .. } => {}
                Outcome::Full => self.zap(),
                other => return Err(other),
            }
        }
        panic!("access to {gva} makes no progress");
    }

    fn zap(&mut self) {
        self.shadow.zap(&self.ram);
        self.space.pmp = self.shadow.intern(Pmp::open().rules()).unwrap();
        self.tlb.clear();
    }

    /// Writes a page-table entry as the guest does, by a store.
    fn store_entry(&mut self, table: u64, index: usize, value: u64) {
        let gva = Gva(DIRECT + entry(table, index).0 - BASE);
        if self.access(gva, Access::Store).is_ok() {
            // Raw: a store of the guest, which the VMM does not see.
            let target = entry(table, index);
            let old = self.ram.load_u64(target).unwrap();
            let _ = self.ram.compare_exchange_u64(target, old, value);
        }
    }

    /// As the trap entry does it, if it does.
    fn fence(&mut self) {
        let peers = Peers { epoch: &self.epoch, settled: u64::MAX };
        if self.ram.fence_work().any() && !self.shadow.fence(&self.ram, None, peers) {
            self.zap();
        }
        self.tlb.clear();
    }

    /// For one address; `ahead`, as the short path does it.
    fn fence_at(&mut self, gva: Gva, ahead: bool) {
        let peers = Peers { epoch: &self.epoch, settled: u64::MAX };
        let root = self.shadow.root(self.space).filter(|_| ahead);
        let done = match root {
            Some(root) => self.shadow.fence_at(&self.ram, root, self.space, gva, peers),
            None => self.shadow.fence(&self.ram, Some(gva), peers),
        };
        if !done {
            self.zap();
        }
        self.tlb.clear();
    }

    /// Whether a load at `gva` would cost an exit.
    fn is_mapped(&mut self, gva: Gva) -> bool {
        self.hardware(gva).is_some_and(|(_, entry)| self.usable(entry, Access::Load))
    }

    /// What a plain walk says.
    fn expected(&self, gva: Gva, kind: Access) -> Result<Gpa, Outcome> {
        match walk::access(&self.ram, self.space, gva, kind, |_| true) {
            Ok(walk) => Ok(walk.translate(gva).align_down(4096)),
            Err(walk::WalkFault::Page) => Err(Outcome::PageFault),
            Err(walk::WalkFault::Access) => Err(Outcome::AccessFault),
        }
    }

    fn check(&mut self, gva: Gva, kind: Access) {
        let found = self.access(gva, kind);
        let expected = self.expected(gva, kind);
        match (found, expected) {
            (Ok(hpa), Ok(gpa)) => assert_eq!(self.ram.hpa(gpa, 1), Some(hpa), "{kind:?} {gva}"),
            (Err(Outcome::Device(at)), Ok(gpa)) => {
                assert_eq!((at.align_down(4096), self.ram.hpa(gpa, 1)), (gpa, None));
            }
            (found, expected) => assert_eq!(found.err(), expected.err(), "{kind:?} {gva}"),
        }
    }
}

fn entry(table: u64, index: usize) -> Gpa {
    Gpa(BASE + table * 4096 + 8 * index as u64)
}

/// An entry without flags for the page `page` of RAM.
fn leaf(page: u64) -> u64 {
    ((BASE >> 12) + page) << 10
}

/// Addresses that share tables: three bits per level.
fn address() -> impl Strategy<Value = Gva> {
    (0..2u64, 0..3u64, 0..4u64).prop_map(|(a, b, c)| Gva(a << 30 | b << 21 | c << 12))
}

fn kind() -> impl Strategy<Value = Access> {
    prop_oneof![Just(Access::Load), Just(Access::Store), Just(Access::Execute)]
}

/// An entry that a guest might write: mostly sensible, sometimes not.
fn value() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => (0..TABLES).prop_map(|table| leaf(table) | Pte::V),
        4 => (0..64u64, any::<u8>()).prop_map(|(page, flags)| leaf(page) | u64::from(flags) | 1),
        2 => any::<u8>().prop_map(|flags| leaf(512) | u64::from(flags) | 1),
        1 => Just(0),
        1 => Just(0x1000 << 10 | 0xcf),
        1 => any::<u64>(),
    ]
}

#[derive(Clone, Debug)]
enum Event {
    Write { table: u64, index: usize, value: u64 },
    DeviceWrite { table: u64, index: usize, value: u64 },
    Touch(Gva, Access),
    Switch { root: u64, user: bool, sum: bool, mxr: bool },
    Fence,
    FenceAt { gva: Gva, ahead: bool },
}

fn event() -> impl Strategy<Value = Event> {
    let place = || (0..TABLES, 0..5usize, value());
    prop_oneof![
        4 => place().prop_map(|(table, index, value)| Event::Write { table, index, value }),
        1 => place().prop_map(|(table, index, value)| Event::DeviceWrite { table, index, value }),
        6 => (address(), kind()).prop_map(|(gva, kind)| Event::Touch(gva, kind)),
        1 => (0..2u64, any::<(bool, bool, bool)>()).prop_map(|(root, (user, sum, mxr))| {
            Event::Switch { root, user, sum, mxr }
        }),
        2 => Just(Event::Fence),
        4 => (address(), any::<bool>()).prop_map(|(gva, ahead)| Event::FenceAt { gva, ahead }),
    ]
}

fn run(quota: u32, native: bool, events: Vec<Event>, probes: Vec<(Gva, Access)>) {
    let mut model = Model { native, ..Model::new(quota) };
    model.switch(0, false, false, false);
    for event in events {
        match event {
            Event::Write { table, index, value } => {
                let space = model.space;
                model.switch(0, false, false, false);
                model.store_entry(table, index, value);
                model.switch_to(space);
            }
            Event::DeviceWrite { table, index, value } => model.write_raw(table, index, value),
            // Stale answers are allowed before a fence; endless faults are not.
            Event::Touch(gva, kind) => drop(model.access(gva, kind)),
            Event::Switch { root, user, sum, mxr } => model.switch(root, user, sum, mxr),
            Event::FenceAt { gva, ahead } => {
                model.fence_at(gva, ahead);
                for kind in [Access::Load, Access::Store, Access::Execute] {
                    model.check(gva, kind);
                }
            }
            Event::Fence => {
                model.fence();
                for &(gva, kind) in &probes {
                    model.check(gva, kind);
                }
            }
        }
    }
}

impl Model {
    fn switch(&mut self, root: u64, user: bool, sum: bool, mxr: bool) {
        let root = Gpa(BASE + root * 4096);
        let space = Space::sv39(root, user, sum, mxr, self.space.pmp);
        self.switch_to(if self.native { space.native(user) } else { space });
    }

    /// Real modes, SUM and MXR change without the VMM, and the TLB stays.
    fn switch_to(&mut self, space: Space) {
        let space = Space { pmp: self.space.pmp, ..space };
        let before = core::mem::replace(&mut self.space, space);
        if before.shared() != self.space.shared() {
            self.tlb.clear();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn after_a_fence_the_shadow_says_what_the_tables_say(
        events in prop::collection::vec(event(), 1..60),
        probes in prop::collection::vec((address(), kind()), 6),
        quota in prop_oneof![Just(8u32), Just(12), Just(64)],
        native in any::<bool>(),
    ) {
        run(quota, native, events, probes);
    }
}

/// A model whose root maps one table of pages at address 0.
fn with_pages() -> Model {
    let mut model = Model::new(64);
    model.write_raw(0, 0, leaf(2) | Pte::V);
    model.write_raw(2, 0, leaf(3) | Pte::V);
    for index in 0..64 {
        model.write_raw(3, index, leaf(100 + index as u64) | 0xcf);
    }
    model
}

#[test]
fn a_full_fence_costs_no_faults_when_nothing_changed() {
    let mut model = with_pages();
    for round in 0..3 {
        let before = model.faults;
        for page in 0..64 {
            model.access(Gva(page << 12), Access::Store).unwrap();
        }
        // Eight that come together cost one; the first of all has no table yet.
        assert_eq!(model.faults - before, if round == 0 { 8 + 7 } else { 0 });
        model.fence();
        // From the second fence after a change on, the trap entry does them.
        assert!(round == 0 || !model.ram.fence_work().any());
    }
}

#[test]
fn a_changed_entry_costs_one_exit_for_the_write_and_one_for_the_refill() {
    let mut model = with_pages();
    for page in 0..64 {
        model.access(Gva(page << 12), Access::Load).unwrap();
    }
    model.store_entry(4, 0, 0);
    let before = model.faults;
    model.store_entry(3, 7, leaf(200) | 0xcf);
    model.store_entry(3, 8, leaf(201) | 0xcf);
    assert_eq!(model.faults - before, 1);
    model.fence();
    for page in 0..64 {
        model.check(Gva(page << 12), Access::Load);
    }
    assert_eq!(model.faults - before, 3);
}

#[test]
fn a_hot_table_costs_one_exit_per_round() {
    let mut model = with_pages();
    let pages = [300, 301];
    let mut round = |n: usize| {
        model.faults = 0;
        model.store_entry(3, 7, leaf(pages[n % 2]) | 0xcf);
        model.fence();
        // The map is used, and a neighbour in the same table that stays.
        model.check(Gva(7 << 12), Access::Store);
        model.check(Gva(0x5000), Access::Load);
        model.faults
    };
    assert!((0..10).map(&mut round).sum::<usize>() > 10);
    assert_eq!((10..20).map(&mut round).sum::<usize>(), 10);
    // At rest it is followed again, and the next write exits.
    (0..8).for_each(|_| model.fence());
    assert!(!model.shadow.tracker.any_changed());
}

#[test]
fn a_fence_of_one_address_maps_what_a_hot_table_has_there() {
    let mut model = with_pages();
    let (slot, other) = (Gva(7 << 12), Gva(9 << 12));
    let set = |model: &mut Model, gva: Gva, value| {
        model.store_entry(3, pte::index(gva, 0), value);
        model.fence_at(gva, true);
    };
    (0..20).for_each(|page| model.check(Gva(page << 12), Access::Load));
    // A map and an unmap in turn, as Linux does for each piece of code.
    for n in 0..20 {
        set(&mut model, slot, leaf(300 + n % 2) | 0xcf);
        assert!(model.is_mapped(slot));
        model.check(slot, Access::Store);
        set(&mut model, slot, 0);
        model.check(slot, Access::Load);
    }
    assert!(model.shadow.tracker.is_hot(BASE / 4096 + 3));
    model.faults = 0;
    set(&mut model, slot, leaf(300) | 0xcf);
    model.check(slot, Access::Store);
    assert_eq!(model.faults, 0);
    // What was written elsewhere waits for its own fence.
    model.store_entry(3, pte::index(other, 0), leaf(302) | 0xcf);
    model.fence_at(slot, true);
    model.fence_at(other, true);
    model.check(other, Access::Load);
    assert_eq!(model.faults, 0);
}

/// Changes of tables that nothing mirrors, as many as there is room for.
fn fill_the_list(model: &mut Model) {
    for page in 0..track::MAX_CHANGED as u64 {
        let change = track::Change { page: BASE / 4096 + 200 + page, protected: None };
        assert!(model.shadow.tracker.push_changed(&model.ram, change));
    }
}

#[test]
fn a_full_list_of_changes_leaves_no_table_behind() {
    let mut model = with_pages();
    fill_the_list(&mut model);
    let page = BASE / 4096 + 3;
    (0..8).for_each(|_| model.shadow.tracker.warm(page));
    let peers = Peers { epoch: &model.epoch, settled: u64::MAX };
    let fault =
        |shadow: &mut Shadow| shadow.fault(&model.ram, model.space, Gva(0), Access::Load, peers);
    assert_eq!(fault(&mut model.shadow), Outcome::Full);
    model.shadow.zap(&model.ram);
    assert_eq!(model.shadow.tracker.state(page), track::State::Plain);
}

/// Who is told first may not be who empties the shadow: the next one that
/// asks gets the same answer.
#[test]
fn a_fence_that_overflows_fails_until_the_shadow_is_emptied() {
    let mut model = with_pages();
    model.access(Gva(0), Access::Load).unwrap();
    fill_the_list(&mut model);
    // The VMM writes to the last table, which is followed.
    assert_eq!(model.shadow.tracker.state(BASE / 4096 + 3), track::State::Followed);
    model.write_raw(3, 0, leaf(21) | 0xcf);
    let peers = Peers { epoch: &model.epoch, settled: u64::MAX };
    let space = model.space;
    let root = model.shadow.root(space).unwrap();
    for _ in 0..2 {
        assert!(!model.shadow.fence(&model.ram, None, peers));
        assert!(!model.shadow.fence_at(&model.ram, root, space, Gva(0), peers));
    }
    model.zap();
    model.fence();
    assert_eq!(
        model.access(Gva(0), Access::Load).unwrap(),
        model.ram.hpa(Gpa(BASE + 21 * 4096), 1).unwrap()
    );
}

#[test]
fn two_roots_share_the_shadow_of_a_common_table() {
    let mut model = with_pages();
    model.write_raw(1, 0, leaf(2) | Pte::V);
    model.access(Gva(0), Access::Load).unwrap();
    let used = model.shadow.used();
    model.switch(1, false, false, false);
    model.access(Gva(0), Access::Load).unwrap();
    assert_eq!(model.shadow.used(), used + 1);
}

#[test]
fn superpages_stay_whole_until_a_table_lies_in_them() {
    let mut model = Model::new(64);
    let gva = Gva(DIRECT + 0x20_0000);
    model.access(gva, Access::Store).unwrap();
    let root = model.shadow.root(model.space).unwrap();
    // Host memory of the test need not be aligned to 2 MiB.
    let whole = model.ram.hpa(Gpa(BASE + 0x20_0000), 1).unwrap().is_aligned(0x20_0000);
    let (_, level) = model.shadow.lookup(root, gva).unwrap();
    assert_eq!(level, u8::from(whole));
    model.access(Gva(DIRECT), Access::Store).unwrap();
    let (entry, level) = model.shadow.lookup(root, Gva(DIRECT)).unwrap();
    assert_eq!((level, entry.has(Pte::W)), (0, true), "the root itself, changed by a store");
}

#[test]
fn other_harts_must_flush_before_a_table_counts_as_followed() {
    let mut model = with_pages();
    model.shadow.smp = true;
    model.access(Gva(DIRECT + 0x3000), Access::Store).unwrap();
    model.access(Gva(0), Access::Load).unwrap();
    model.access(Gva(0x1000), Access::Load).unwrap();
    assert_eq!(model.epoch.load(core::sync::atomic::Ordering::Relaxed), 1);
    // A hart with a stale TLB writes unseen; the fence must look even so.
    let old = model.ram.load_u64(entry(3, 0)).unwrap();
    model.ram.compare_exchange_u64(entry(3, 0), old, leaf(300) | 0xcf).unwrap().unwrap();
    let unsettled = Peers { epoch: &model.epoch, settled: 0 };
    assert!(model.shadow.fence(&model.ram, None, unsettled));
    assert!(model.shadow.tracker.any_changed());
    model.tlb.clear();
    model.check(Gva(0), Access::Load);
    let settled = Peers { epoch: &model.epoch, settled: u64::MAX };
    assert!(model.shadow.fence(&model.ram, None, settled));
    assert!(!model.shadow.tracker.any_changed());
}

#[test]
fn neighbours_come_along_only_as_far_as_the_guest_has_touched_them() {
    let mut model = with_pages();
    model.access(Gva(0), Access::Load).unwrap();
    let untouched = leaf(300) | 0xcf & !(Pte::A | Pte::D);
    let clean = leaf(301) | 0xcf & !Pte::D;
    let pointer = leaf(302) | Pte::V | Pte::A;
    let device = 0x10000 << 10 | 0xcf;
    let table = leaf(3) | 0xcf;
    let entries = [untouched, clean, leaf(303) | 0xdf, pointer, device, table, 0, leaf(304) | 0xcf];
    for (index, value) in (16..).zip(entries) {
        model.write_raw(3, index, value);
    }
    model.access(Gva(23 << 12), Access::Load).unwrap();
    let found = (16..24).map(|page| model.hardware(Gva(page << 12)));
    let (all, no_write) = (Some(Rights::all()), Some(Rights::R | Rights::X));
    let found = found.map(|found| found.map(|(_, entry)| entry.rights()));
    assert_eq!(found.collect::<Vec<_>>(), [None, no_write, None, None, None, None, None, all]);
    assert_eq!(model.ram.load_u64(entry(3, 16)), Ok(untouched));
}

#[test]
fn a_device_is_reported_with_its_address() {
    let mut model = with_pages();
    model.write_raw(3, 100, 0x10000 << 10 | 0xc7);
    let gva = Gva(100 << 12 | 5);
    assert_eq!(model.access(gva, Access::Load), Err(Outcome::Device(Gpa(0x1000_0005))));
    assert_eq!(model.access(gva, Access::Execute), Err(Outcome::PageFault));
}

#[test]
fn registers_of_its_own_are_mapped_for_data_and_no_further() {
    let mut model = with_pages();
    let registers = Registers { host: Hpa(0x1000_8000), size: 0x1000 };
    model.shadow.own(Mapping { guest: Gpa(0x1000_3000), registers });
    let page = |n: u64| (0x1_0000 + n) << 10 | 0xcf;
    model.write_raw(3, 100, page(3));
    model.write_raw(3, 101, page(4));
    for kind in [Access::Load, Access::Store] {
        assert_eq!(model.access(Gva(100 << 12), kind), Ok(Hpa(0x1000_8000)));
        let at = Outcome::Device(Gpa(0x1000_4000));
        assert_eq!(model.access(Gva(101 << 12), kind), Err(at), "the page behind is not its own");
    }
    assert_eq!(model.access(Gva(100 << 12), Access::Execute), Err(Outcome::AccessFault));
    // What is taken away by the guest is gone after a fence.
    model.store_entry(3, 100, page(4));
    model.fence();
    assert!(model.access(Gva(100 << 12), Access::Store).is_err());
    model.zap();
    model.store_entry(3, 100, page(3));
    assert_eq!(model.access(Gva(100 << 12), Access::Store), Ok(Hpa(0x1000_8000)));
}

#[test]
fn windows_are_where_the_guest_moved_them_last() {
    let mut model = with_pages();
    let registers = Registers { host: Hpa(0x4000_0000), size: 0x1000 };
    let at = |guest| vec![Mapping { guest: Gpa(guest), registers }];
    let page = |n: u64| (0x5_0000 + n) << 10 | 0xcf;
    model.write_raw(3, 100, page(0));
    model.write_raw(3, 101, page(1));
    let found =
        |model: &mut Model| [100, 101].map(|n| model.access(Gva(n << 12), Access::Load).ok());
    model.shadow.show(5, at(0x5000_0000));
    model.zap();
    assert_eq!(found(&mut model), [Some(registers.host), None]);
    model.shadow.show(7, at(0x5000_1000));
    model.zap();
    assert_eq!(found(&mut model), [None, Some(registers.host)]);
    model.shadow.show(6, at(0x5000_0000));
    model.zap();
    assert_eq!(found(&mut model), [None, Some(registers.host)], "6 came late");
}
