//! The memory of a disk, beside a plain copy of what is on it.

use alloc::sync::Arc;
use std::sync::Mutex;

use proptest::prelude::*;

use super::super::RamDisk;
use super::*;
use crate::addr::to_usize;
use crate::disk::SECTOR;

const BASE: Gpa = Gpa(0x8000_0000);
/// Where the guest reads and writes.
const BUFFER: Gpa = Gpa(BASE.0 + 0x4_0000);
const SECTORS: u64 = 64;

/// A request that waits: who asked, and where to.
#[derive(Clone)]
struct Waiting {
    op: Op,
    sector: u64,
    data: Vec<Segment>,
    tag: u16,
    /// Whether it goes to the stage.
    staged: bool,
}

/// A disk that does requests when it is told to.
#[derive(Default)]
struct Slow {
    waiting: Vec<Waiting>,
    done: Vec<(u16, bool)>,
    /// Requests that it has seen.
    seen: usize,
}

/// The memory of the guest, and the stage, as numbers of two rooms.
struct SlowDisk {
    state: Arc<Mutex<Slow>>,
    disk: RamDisk,
    stage: usize,
}

impl Disk for SlowDisk {
    fn sectors(&self) -> u64 {
        SECTORS
    }

    fn read_only(&self) -> bool {
        false
    }

    fn serial(&self) -> [u8; SERIAL] {
        [7; SERIAL]
    }

    /// A read is done at once where it goes to the stage, which only
    /// [`Cached`] looks at, so that nobody can tell; but it is told later.
    fn submit(&mut self, request: Request<'_>, ram: &GuestRam) -> Submitted {
        let Request { op, sector, data, tag } = request;
        let staged = ram.base() == Gpa(0);
        self.stage += usize::from(staged);
        let result = self.disk.submit(request, ram);
        let mut state = self.state.lock().unwrap();
        state.seen += 1;
        state.waiting.push(Waiting { op, sector, data: data.to_vec(), tag, staged });
        state.done.push((tag, result == Submitted::Done(true)));
        Submitted::Pending
    }

    fn complete(&mut self, _: &GuestRam) -> Option<(u16, bool)> {
        let mut state = self.state.lock().unwrap();
        if state.done.is_empty() { None } else { Some(state.done.remove(0)) }
    }
}

struct Fixture {
    disk: Cached,
    state: Arc<Mutex<Slow>>,
    ram: GuestRam,
    tag: u16,
}

impl Fixture {
    /// A guest that gave back `spare` pages.
    fn new(spare: u64) -> Self {
        let ram = GuestRam::leaked(BASE, 0x10_0000);
        let pages = Spare::default();
        for n in 0..spare {
            let page = BASE.wrapping_add(n * PAGE_SIZE);
            assert!(ram.withdraw(page));
            pages.take(page, &ram);
        }
        let state = Arc::<Mutex<Slow>>::default();
        let bytes = vec![0; to_usize(SECTORS * SECTOR)].leak();
        let disk = RamDisk::new(bytes, [0; SERIAL], false);
        let slow = SlowDisk { state: state.clone(), disk, stage: 0 };
        let stage = vec![0; to_usize(STAGE)].leak();
        Self { disk: Cached::new(Box::new(slow), pages, stage), state, ram, tag: 0 }
    }

    fn seen(&self) -> usize {
        self.state.lock().unwrap().seen
    }

    /// Begins a request; tells whether it is done.
    fn begin(&mut self, op: Op, sector: u64, sectors: u64, buffer: Gpa) -> bool {
        self.tag += 1;
        // In two parts, the first of which is no whole sector.
        let len = sectors * SECTOR;
        let parts = [(buffer, 100), (buffer.wrapping_add(100), len - 100)];
        let data = parts.map(|(gpa, len)| Segment { gpa, len });
        let request = Request { op, sector, data: &data, tag: self.tag };
        match self.disk.submit(request, &self.ram) {
            Submitted::Done(success) => {
                assert!(success);
                true
            }
            Submitted::Pending => false,
        }
    }

    /// Ends all requests.
    fn end(&mut self) {
        while let Some((_, success)) = self.disk.complete(&self.ram) {
            assert!(success);
        }
    }

    fn read(&mut self, sector: u64, sectors: u64) -> Vec<u8> {
        self.begin(Op::Read, sector, sectors, BUFFER);
        self.end();
        let mut bytes = vec![0; to_usize(sectors * SECTOR)];
        self.ram.read_bytes(BUFFER, &mut bytes).unwrap();
        bytes
    }

    fn fill(&mut self, at: Gpa, byte: u8, sectors: u64) {
        self.ram.write_bytes(at, &vec![byte; to_usize(sectors * SECTOR)]).unwrap();
    }

    fn write(&mut self, sector: u64, sectors: u64, byte: u8) {
        self.fill(BUFFER, byte, sectors);
        self.begin(Op::Write, sector, sectors, BUFFER);
        self.end();
    }
}

#[test]
fn what_was_read_is_not_read_again() {
    let mut fixture = Fixture::new(4);
    fixture.write(0, 16, 5);
    let before = fixture.seen();
    assert_eq!(fixture.read(0, 16), [5; 8192]);
    assert_eq!(fixture.seen(), before + 1);
    for (sector, sectors) in [(0, 16), (3, 1), (6, 4), (8, 8)] {
        fixture.fill(BUFFER, 0, 16);
        assert_eq!(fixture.read(sector, sectors), vec![5; to_usize(sectors * SECTOR)]);
    }
    assert_eq!(fixture.seen(), before + 1, "from spare memory");
    // Half a cluster is not kept, nor used for a whole one.
    fixture.read(16, 4);
    fixture.read(16, 8);
    assert_eq!(fixture.seen(), before + 3);
}

#[test]
fn without_spare_memory_all_goes_to_the_disk_and_to_the_guest() {
    let mut fixture = Fixture::new(0);
    fixture.write(0, 8, 1);
    let before = fixture.seen();
    (0..3).for_each(|_| assert_eq!(fixture.read(0, 8), [1; 4096]));
    assert_eq!(fixture.seen(), before + 3);
    assert!(fixture.state.lock().unwrap().waiting.iter().all(|request| !request.staged));
}

/// A program of the guest that writes to the buffer of a read changes what it
/// reads, not what others will.
#[test]
fn what_the_guest_writes_meanwhile_is_not_kept() {
    let mut fixture = Fixture::new(4);
    fixture.write(0, 8, 5);
    fixture.begin(Op::Read, 0, 8, BUFFER);
    fixture.fill(BUFFER, 66, 8);
    fixture.end();
    fixture.fill(BUFFER, 66, 8);
    assert_eq!(fixture.read(0, 8), [5; 4096]);
    assert!(fixture.state.lock().unwrap().waiting.last().unwrap().staged);
}

#[test]
fn a_read_that_a_write_overtakes_is_not_kept() {
    let other = BUFFER.wrapping_add(0x2000);
    for write_first in [true, false] {
        let mut fixture = Fixture::new(4);
        fixture.fill(other, 9, 8);
        if write_first {
            fixture.begin(Op::Write, 0, 8, other);
            fixture.begin(Op::Read, 0, 8, BUFFER);
        } else {
            fixture.begin(Op::Read, 0, 8, BUFFER);
            fixture.begin(Op::Write, 0, 8, other);
        }
        fixture.end();
        let before = fixture.seen();
        assert_eq!(fixture.read(0, 8), [9; 4096]);
        assert_eq!(fixture.seen(), before + 1, "from the disk");
    }
}

#[test]
fn reads_that_find_no_place_are_read_all_the_same() {
    let mut fixture = Fixture::new(4);
    fixture.write(0, 40, 3);
    for n in 0..40 {
        fixture.begin(Op::Read, n, 1, BUFFER.wrapping_add(n * SECTOR));
    }
    fixture.end();
    let mut bytes = [0; 40 * 512];
    fixture.ram.read_bytes(BUFFER, &mut bytes).unwrap();
    assert_eq!(bytes, [3; 40 * 512]);
    let waiting = fixture.state.lock().unwrap().waiting.clone();
    let staged = waiting.iter().filter(|request| request.staged && request.op == Op::Read);
    assert_eq!(staged.clone().count(), READS);
    // Each on a place of its own.
    let mut places: Vec<_> = staged.map(|request| request.data[0].gpa).collect();
    places.sort();
    places.dedup();
    assert_eq!(places.len(), READS);
    assert!(waiting.iter().all(|request| request.sector < SECTORS && request.tag != 0));
}

proptest! {
    /// Whatever is read and written, a read brings what was written last.
    #[test]
    fn it_reads_as_the_disk_does(
        spare in 0u64..6,
        steps in prop::collection::vec((any::<bool>(), 0..SECTORS - 24, 1u64..24, any::<u8>()), 1..60),
    ) {
        let mut fixture = Fixture::new(spare);
        let mut plain = vec![0; to_usize(SECTORS * SECTOR)];
        for (write, sector, sectors, byte) in steps {
            let place = to_usize(sector * SECTOR)..to_usize((sector + sectors) * SECTOR);
            if write {
                fixture.write(sector, sectors, byte);
                plain[place].fill(byte);
            } else {
                prop_assert_eq!(&fixture.read(sector, sectors), &plain[place]);
            }
        }
    }
}
