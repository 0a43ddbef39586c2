//! The block device from the driver's chair: both transports, disks that
//! answer at once and later, requests cut into odd pieces.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use std::sync::Mutex;

use proptest::prelude::*;
use zerocopy::FromBytes;

use super::super::fake::{BASE, BUFFERS, Part, RAM, Slot, reads, reg, writes};
use super::super::mmio::Version;
use super::super::queue::Options;
use super::*;
use crate::addr::to_usize;
use crate::disk::RamDisk;

const VERSIONS: [Version; 2] = [Version::Legacy, Version::Modern];
const PLAIN: Options = Options { indirect: false, event_idx: false };
const SECTORS: u64 = 64;
const SERIAL: [u8; 20] = *b"0123456789abcdefghij";

fn ram_disk(read_only: bool) -> RamDisk {
    let bytes: Vec<u8> = (0..SECTORS * SECTOR).map(pattern).collect();
    RamDisk::new(bytes.leak(), SERIAL, read_only)
}

/// What the disk holds at first, byte by byte.
fn pattern(at: u64) -> u8 {
    (at ^ at >> 9).to_le_bytes()[0]
}

/// A disk that does the work at once, but says so when it is let.
struct Slow {
    disk: RamDisk,
    done: Arc<Mutex<Done>>,
}

#[derive(Default)]
struct Done {
    waiting: VecDeque<(u16, bool)>,
    /// How many may be told.
    allowed: usize,
}

impl Disk for Slow {
    fn sectors(&self) -> u64 {
        self.disk.sectors()
    }

    fn read_only(&self) -> bool {
        false
    }

    fn serial(&self) -> [u8; 20] {
        SERIAL
    }

    fn submit(&mut self, request: Request<'_>, ram: &GuestRam) -> Submitted {
        let success = self.disk.submit(request, ram) == Submitted::Done(true);
        self.done.lock().unwrap().waiting.push_back((request.tag, success));
        Submitted::Pending
    }

    fn complete(&mut self, _: &GuestRam) -> Option<(u16, bool)> {
        let mut done = self.done.lock().unwrap();
        done.allowed = done.allowed.checked_sub(1)?;
        // Not in order.
        done.waiting.pop_back()
    }
}

fn slow() -> (Blk, Arc<Mutex<Done>>) {
    let done = Arc::<Mutex<Done>>::default();
    (Blk::new(Box::new(Slow { disk: ram_disk(false), done: done.clone() })), done)
}

/// Where the tests put the parts of request `n`.
struct At(u64);

impl At {
    fn header(&self) -> Gpa {
        Gpa(BUFFERS.0 + self.0 * 0x8000)
    }

    fn status(&self) -> Gpa {
        self.header().wrapping_add(0x40)
    }

    fn data(&self) -> Gpa {
        self.header().wrapping_add(0x1000)
    }

    /// Writes header and status.
    fn prepare(&self, ram: &GuestRam, kind: Kind, sector: u64) {
        ram.write(self.header(), &Header { kind: kind.0, reserved: 0, sector }).unwrap();
        ram.store_u8(self.status(), 0xee).unwrap();
    }

    /// The usual three parts.
    fn parts(&self, len: u64, writable: bool) -> [Part; 3] {
        let data = if writable { writes(self.data(), len) } else { reads(self.data(), len) };
        [reads(self.header(), 16), data, writes(self.status(), 1)]
    }
}

/// One request on a device that answers at once: status and written length.
fn request(slot: &mut Slot<Blk>, kind: Kind, sector: u64, len: u64) -> (Status, u32) {
    let at = At(0);
    at.prepare(&slot.driver.ram, kind, sector);
    let head = slot.send(&at.parts(len, kind != Kind::WRITE), None);
    assert!(slot.interrupted());
    let (id, written) = slot.driver.take_used().unwrap();
    slot.driver.arm();
    assert_eq!(id, head);
    (Status(slot.driver.ram.load_u8(at.status()).unwrap()), written)
}

fn bytes(ram: &GuestRam, gpa: Gpa, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    ram.read_bytes(gpa, &mut bytes).unwrap();
    bytes
}

#[test]
fn each_kind_of_request_on_both_transports() {
    for version in VERSIONS {
        let mut slot = Slot::start(version, Blk::new(Box::new(ram_disk(false))), 8, PLAIN);
        let data = At(0).data();
        assert_eq!(request(&mut slot, Kind::READ, 3, 1024), (Status::OK, 1025));
        let expected: Vec<u8> = (3 * 512..5 * 512).map(pattern).collect();
        assert_eq!(bytes(&slot.driver.ram, data, 1024), expected);
        slot.driver.ram.write_bytes(data, &[0xa5; 512]).unwrap();
        assert_eq!(request(&mut slot, Kind::WRITE, 63, 512), (Status::OK, 1));
        assert_eq!(request(&mut slot, Kind::FLUSH, 0, 0), (Status::OK, 1));
        assert_eq!(request(&mut slot, Kind::READ, 62, 1024), (Status::OK, 1025));
        assert_eq!(bytes(&slot.driver.ram, Gpa(data.0 + 512), 512), [0xa5; 512]);
        assert_eq!(request(&mut slot, Kind::GET_ID, 0, 20), (Status::OK, 21));
        assert_eq!(bytes(&slot.driver.ram, data, 20), SERIAL);
        assert_eq!(request(&mut slot, Kind(77), 0, 512), (Status::UNSUPPORTED, 1));
    }
}

#[test]
fn requests_that_cannot_be_end_in_an_error() {
    let mut slot = Slot::start(Version::Modern, Blk::new(Box::new(ram_disk(false))), 8, PLAIN);
    for (kind, sector, len) in [
        (Kind::READ, 64, 512),
        (Kind::READ, 63, 1024),
        (Kind::WRITE, u64::MAX, 512),
        (Kind::WRITE, 0, 511),
        (Kind::READ, u64::MAX >> 9, 512),
    ] {
        assert_eq!(request(&mut slot, kind, sector, len), (Status::IO_ERROR, 1), "{sector} {len}");
    }
    assert_eq!(request(&mut slot, Kind::READ, 64, 0), (Status::OK, 1));
    assert_eq!(slot.get(reg::STATUS), 15, "the device is well");
}

#[test]
fn header_data_and_status_may_share_buffers() {
    let mut slot = Slot::start(Version::Legacy, Blk::new(Box::new(ram_disk(false))), 8, PLAIN);
    let (header, data) = (At(0).header(), At(0).data());
    At(0).prepare(&slot.driver.ram, Kind::WRITE, 2);
    slot.driver.ram.write_bytes(header.wrapping_add(16), &[0x77; 512]).unwrap();
    slot.send(&[reads(header, 16 + 512), writes(At(1).status(), 1)], None);
    assert_eq!(slot.driver.ram.load_u8(At(1).status()), Ok(Status::OK.0));
    At(0).prepare(&slot.driver.ram, Kind::READ, 2);
    slot.driver.ram.store_u8(data.wrapping_add(512), 0xee).unwrap();
    slot.send(&[reads(header, 16), writes(data, 513)], None);
    assert_eq!(bytes(&slot.driver.ram, data, 512), [0x77; 512]);
    assert_eq!(slot.driver.ram.load_u8(data.wrapping_add(512)), Ok(Status::OK.0));
}

#[test]
fn a_read_only_disk_says_so_and_refuses() {
    let mut slot = Slot::start(Version::Modern, Blk::new(Box::new(ram_disk(true))), 8, PLAIN);
    assert_eq!(slot.get(reg::DEVICE_FEATURES) & 1 << 5, 1 << 5);
    assert_eq!(request(&mut slot, Kind::WRITE, 0, 512), (Status::IO_ERROR, 1));
    assert_eq!(request(&mut slot, Kind::READ, 0, 512), (Status::OK, 513));
}

#[test]
fn the_configuration_tells_capacity_and_limits() {
    let slot = Slot::start(Version::Legacy, Blk::new(Box::new(ram_disk(false))), 8, PLAIN);
    let words = [0, 4, 8, 12, 16, 20].map(|at| slot.get(reg::CONFIG + at));
    assert_eq!(words, [64, 0, 0, 126, 0, 512]);
}

#[test]
fn a_chain_without_header_or_status_breaks_the_device() {
    let header = At(0).header();
    for parts in [
        vec![reads(header, 15), writes(At(0).status(), 1)],
        vec![reads(header, 16)],
        vec![writes(header, 600)],
    ] {
        let mut slot = Slot::start(Version::Modern, Blk::new(Box::new(ram_disk(false))), 8, PLAIN);
        slot.send(&parts, None);
        assert_eq!(slot.get(reg::STATUS), 15 | 64, "{parts:?}");
        assert_eq!(slot.driver.take_used(), None);
        slot.bring_up();
        assert_eq!(slot.get(reg::STATUS), 15);
    }
}

#[test]
fn slow_requests_overlap_and_come_back_in_any_order() {
    for version in VERSIONS {
        let (device, done) = slow();
        let mut slot = Slot::start(version, device, 16, PLAIN);
        let heads: Vec<u16> = (0..4)
            .map(|n| {
                At(n).prepare(&slot.driver.ram, Kind::READ, n);
                slot.send(&At(n).parts(512, true), None)
            })
            .collect();
        assert_eq!(slot.mmio.function().busy(), 4);
        assert!(!slot.interrupted());
        done.lock().unwrap().allowed = 4;
        slot.mmio.complete(&slot.driver.ram);
        assert!(slot.interrupted());
        let back: Vec<_> = core::iter::from_fn(|| slot.driver.take_used()).collect();
        let expected: Vec<_> = heads.iter().rev().map(|head| (*head, 513)).collect();
        assert_eq!(back, expected);
        for n in 0..4 {
            assert_eq!(slot.driver.ram.load_u8(At(n).status()), Ok(Status::OK.0));
        }
        assert_eq!(slot.mmio.function().busy(), 0);
    }
}

#[test]
fn what_a_reset_forgot_is_not_taken_for_something_new() {
    let (device, done) = slow();
    let mut slot = Slot::start(Version::Modern, device, 8, PLAIN);
    At(0).prepare(&slot.driver.ram, Kind::READ, 0);
    slot.send(&At(0).parts(512, true), None);
    slot.set(reg::STATUS, 0);
    assert_ne!(slot.get(reg::STATUS), 0, "the disk may still write");
    slot.driver = super::super::fake::Driver::new(8, PLAIN);
    slot.bring_up();
    At(1).prepare(&slot.driver.ram, Kind::READ, 1);
    let head = slot.send(&At(1).parts(512, true), None);
    // The old one is told last, so tell both.
    done.lock().unwrap().waiting.make_contiguous().reverse();
    done.lock().unwrap().allowed = 1;
    slot.mmio.complete(&slot.driver.ram);
    assert_eq!(slot.driver.take_used(), None);
    assert_eq!(slot.driver.ram.load_u8(At(1).status()), Ok(0xee));
    done.lock().unwrap().allowed = 1;
    slot.mmio.complete(&slot.driver.ram);
    assert_eq!(slot.driver.take_used(), Some((head, 513)));
}

#[test]
fn late_data_is_noted_even_after_a_reset() {
    let (device, done) = slow();
    let mut slot = Slot::start(Version::Modern, device, 8, PLAIN);
    At(0).prepare(&slot.driver.ram, Kind::READ, 0);
    slot.send(&At(0).parts(512, true), None);
    slot.mmio.reset();
    slot.driver.ram.watch(At(0).data().page());
    done.lock().unwrap().allowed = 1;
    slot.mmio.complete(&slot.driver.ram);
    assert!(slot.driver.ram.take_marked());
}

#[test]
fn resets_do_not_pile_requests_up() {
    let (device, _done) = slow();
    let mut slot = Slot::start(Version::Modern, device, 256, PLAIN);
    for _ in 0..20 {
        for n in 0..80 {
            At(n % 8).prepare(&slot.driver.ram, Kind::FLUSH, 0);
            slot.send(&At(n % 8).parts(0, true), None);
        }
        slot.driver = super::super::fake::Driver::new(256, PLAIN);
        slot.bring_up();
    }
    assert_eq!(slot.mmio.function().busy(), MAX_FLIGHTS);
}

#[test]
fn a_long_queue_is_served_in_turns() {
    let bytes = vec![0u8; 8 << 20].leak();
    let device = Blk::new(Box::new(RamDisk::new(bytes, SERIAL, false)));
    let mut slot = Slot::start(Version::Modern, device, 256, PLAIN);
    // Each reads 1 MiB, over the same buffers again and again.
    let len = 0x8_0000;
    let at = At(0);
    at.prepare(&slot.driver.ram, Kind::READ, 0);
    let data = writes(Gpa(BASE.0 + RAM - len), len);
    for _ in 0..20 {
        let parts = [reads(at.header(), 16), data, data, writes(at.status(), 1)];
        slot.driver.add(&parts, None);
    }
    slot.set(reg::QUEUE_NOTIFY, 0);
    for _ in 0..4 {
        assert!(slot.mmio.function().has_backlog());
        assert_eq!(core::iter::from_fn(|| slot.driver.take_used()).count(), 4);
        slot.mmio.complete(&slot.driver.ram);
    }
    assert_eq!(core::iter::from_fn(|| slot.driver.take_used()).count(), 4);
    slot.mmio.complete(&slot.driver.ram);
    assert!(!slot.mmio.function().has_backlog());
    let most = [reads(at.header(), 16), data, data, data, data, data, data, data, data];
    let status = writes(at.status(), 1);
    for (extra, code) in [(vec![status], Status::OK), (vec![data, status], Status::IO_ERROR)] {
        slot.send(&[&most[..], &extra].concat(), None);
        assert_eq!(slot.driver.ram.load_u8(at.status()), Ok(code.0));
    }
}

/// A request of the property test, with the places where it is cut.
#[derive(Clone, Debug)]
struct Job {
    write: bool,
    sector: u64,
    sectors: u64,
    fill: u8,
    cuts: Vec<u64>,
    indirect_from: Option<usize>,
}

fn job() -> impl Strategy<Value = Job> {
    let cuts = prop::collection::vec(0u64..2600, 0..5);
    (any::<bool>(), 0u64..SECTORS + 4, 0u64..6, any::<u8>(), cuts, prop::option::of(0usize..6))
        .prop_map(|(write, sector, sectors, fill, cuts, indirect_from)| Job {
            write,
            sector,
            sectors,
            fill,
            cuts,
            indirect_from,
        })
}

/// The bytes from `gpa` on, in parts that end at the cuts.
fn cut(gpa: Gpa, len: u64, cuts: &[u64], part: fn(Gpa, u64) -> Part) -> Vec<Part> {
    let mut ends: Vec<u64> = cuts.iter().map(|cut| cut.min(&len)).copied().chain([len]).collect();
    ends.sort_unstable();
    let starts = [0].into_iter().chain(ends.clone());
    starts.zip(ends).map(|(start, end)| part(gpa.wrapping_add(start), end - start)).collect()
}

/// Runs the jobs on a device and on a plain array; `finish` lets a slow disk go
/// on.
fn run(version: Version, device: Blk, options: Options, jobs: &[Job], finish: &dyn Fn()) {
    let mut slot = Slot::start(version, device, 64, options);
    let mut model: Vec<u8> = (0..SECTORS * SECTOR).map(pattern).collect();
    for (n, job) in (0u64..).zip(jobs) {
        let (at, len) = (At(n % 4), to_usize(job.sectors * SECTOR));
        let mut memory = vec![job.fill; len];
        slot.driver.ram.write_bytes(at.data(), &memory).unwrap();
        let head = job.send(&mut slot, &at);
        finish();
        slot.mmio.complete(&slot.driver.ram);
        assert!(slot.interrupted());
        let start = to_usize(job.sector * SECTOR);
        let (code, written) = match (model.get_mut(start..start + len), job.write) {
            (Some(place), true) => {
                place.copy_from_slice(&memory);
                (Status::OK, 1)
            }
            (Some(place), false) => {
                memory.copy_from_slice(place);
                (Status::OK, len + 1)
            }
            (None, _) => (Status::IO_ERROR, 1),
        };
        assert_eq!(slot.driver.take_used(), Some((head, u32::try_from(written).unwrap())));
        slot.driver.arm();
        assert_eq!(slot.driver.ram.load_u8(at.status()), Ok(code.0));
        assert_eq!(bytes(&slot.driver.ram, at.data(), len), memory);
    }
}

impl Job {
    /// Puts the request into the queue, cut as it says.
    fn send(&self, slot: &mut Slot<Blk>, at: &At) -> u16 {
        let kind = if self.write { Kind::WRITE } else { Kind::READ };
        at.prepare(&slot.driver.ram, kind, self.sector);
        let mut parts = cut(at.header(), 16, &self.cuts, reads);
        let data = if self.write { reads } else { writes };
        parts.extend(cut(at.data(), self.sectors * SECTOR, &self.cuts, data));
        parts.push(writes(at.status(), 1));
        let indirect = slot.driver.options.indirect;
        let from = self.indirect_from.filter(|from| indirect && *from < parts.len());
        slot.send(&parts, from)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A disk behind the device is an array of bytes.
    #[test]
    fn a_disk_is_an_array(
        jobs in prop::collection::vec(job(), 1..30),
        modern: bool,
        indirect: bool,
        event_idx: bool,
    ) {
        let version = if modern { Version::Modern } else { Version::Legacy };
        let options = Options { indirect, event_idx };
        run(version, Blk::new(Box::new(ram_disk(false))), options, &jobs, &|| {});
        let (device, done) = slow();
        run(version, device, options, &jobs, &|| done.lock().unwrap().allowed = 1);
    }

    /// Requests of noise end in a status or in `DEVICE_NEEDS_RESET`.
    #[test]
    fn noise_does_no_harm(
        requests in prop::collection::vec((any::<[u8; 16]>(), 0u64..40, 0u64..0x9000, 0u64..600), 1..20),
    ) {
        let mut slot = Slot::start(Version::Modern, Blk::new(Box::new(ram_disk(false))), 8, PLAIN);
        for (mut header, header_len, data_len, tail) in requests {
            // Kinds that exist, more often than not.
            (header[0], header[1], header[2], header[3]) = (header[0] % 10, 0, 0, 0);
            let at = At(0);
            let parsed = Header::read_from_bytes(&header).unwrap();
            at.prepare(&slot.driver.ram, Kind(parsed.kind), parsed.sector);
            let parts = [
                reads(at.header(), header_len),
                reads(at.data(), data_len),
                writes(at.data(), data_len / 2 + tail),
                writes(at.status(), 1),
            ];
            slot.send(&parts, None);
            if slot.get(reg::STATUS) & 64 != 0 {
                prop_assert!(header_len + data_len < 16);
                slot.driver = super::super::fake::Driver::new(8, PLAIN);
                slot.bring_up();
            } else {
                prop_assert!(slot.driver.take_used().is_some());
                prop_assert!(slot.driver.ram.load_u8(at.status()).unwrap() <= Status::UNSUPPORTED.0);
            }
        }
    }
}
