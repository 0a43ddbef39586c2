//! The overlay against an array, over a base that answers at once and one
//! that answers later.

use alloc::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::addr::Gpa;
use crate::disk::Image;

const BASE: Gpa = Gpa(0x8000_0000);
const SECTORS: u64 = 40;

/// Answers when asked twice.
struct Later {
    image: Image,
    waiting: VecDeque<(u16, bool)>,
    asked: bool,
}

impl Disk for Later {
    fn sectors(&self) -> u64 {
        self.image.sectors()
    }

    fn read_only(&self) -> bool {
        true
    }

    fn serial(&self) -> [u8; SERIAL] {
        self.image.serial()
    }

    fn submit(&mut self, request: Request<'_>, ram: &GuestRam) -> Submitted {
        assert_eq!(request.op, Op::Read, "the base is only read");
        let success = self.image.submit(request, ram) == Submitted::Done(true);
        self.waiting.push_back((request.tag, success));
        Submitted::Pending
    }

    fn complete(&mut self, _: &GuestRam) -> Option<(u16, bool)> {
        self.asked = !self.asked;
        if self.asked { None } else { self.waiting.pop_back() }
    }
}

fn image() -> Image {
    let bytes = (0..SECTORS * SECTOR).map(|at| (at / SECTOR).to_le_bytes()[0]);
    Image::new(bytes.collect::<Vec<_>>().leak(), [1; SERIAL])
}

fn overlay(later: bool, clusters: usize) -> Overlay {
    let image = image();
    let (waiting, asked) = (VecDeque::new(), false);
    let base: Box<dyn Disk> =
        if later { Box::new(Later { image, waiting, asked }) } else { Box::new(image) };
    Overlay::new(base, vec![0xcc; clusters * CLUSTER_BYTES + 100].leak(), [2; SERIAL])
}

fn segment(offset: u64, len: u64) -> Segment {
    Segment { gpa: BASE.wrapping_add(offset), len }
}

/// Whether the request, sooner or later, succeeds.
fn run(disk: &mut Overlay, request: Request<'_>, ram: &GuestRam) -> bool {
    match disk.submit(request, ram) {
        Submitted::Done(success) => success,
        Submitted::Pending => {
            assert_eq!(disk.complete(ram), None);
            let (tag, success) = disk.complete(ram).unwrap();
            assert_eq!(tag, request.tag);
            success
        }
    }
}

#[test]
fn written_sectors_hide_those_of_the_base() {
    for later in [false, true] {
        let (mut disk, ram) = (overlay(later, 2), GuestRam::leaked(BASE, 0x4000));
        ram.write_bytes(BASE, &[0xaa; 1024]).unwrap();
        // The last sector of one cluster and the first of the next.
        let data = [segment(0, 300), segment(300, 724)];
        let request = Request { op: Op::Write, sector: 7, data: &data, tag: 1 };
        assert!(run(&mut disk, request, &ram));
        let data = [segment(0x1000, 1), segment(0x1001, 5 * 512 - 1)];
        assert!(run(&mut disk, Request { op: Op::Read, sector: 5, data: &data, tag: 2 }, &ram));
        let firsts = [0, 1, 2, 3, 4].map(|n| ram.load_u8(Gpa(BASE.0 + 0x1000 + n * 512)).unwrap());
        assert_eq!(firsts, [5, 6, 0xaa, 0xaa, 9]);
        assert!(run(&mut disk, Request { op: Op::Flush, sector: 0, data: &[], tag: 3 }, &ram));
        assert_eq!((disk.read_only(), disk.serial(), disk.sectors()), (false, [2; 20], SECTORS));
    }
}

#[test]
fn what_is_all_written_does_not_ask_the_base() {
    let (mut disk, ram) = (overlay(true, 1), GuestRam::leaked(BASE, 0x1000));
    let data = [segment(0, 512)];
    let request = |op| Request { op, sector: 3, data: &data, tag: 0 };
    assert_eq!(disk.submit(request(Op::Write), &ram), Submitted::Done(true));
    assert_eq!(disk.submit(request(Op::Read), &ram), Submitted::Done(true));
}

#[test]
fn without_memory_writes_fail_and_change_nothing() {
    let (mut disk, ram) = (overlay(false, 1), GuestRam::leaked(BASE, 0x4000));
    let write = |sector, data| Request { op: Op::Write, sector, data, tag: 0 };
    let (one, two) = ([segment(0, 512)], [segment(0, 1024)]);
    assert!(!run(&mut disk, write(7, &two), &ram), "two clusters");
    assert_eq!(disk.room(), CLUSTER_BYTES);
    assert!(run(&mut disk, write(7, &one), &ram));
    assert!(!run(&mut disk, write(8, &one), &ram));
    assert!(run(&mut disk, write(0, &one), &ram), "the cluster is there");
    assert!(run(&mut disk, Request { op: Op::Read, sector: 8, data: &one, tag: 0 }, &ram));
    assert_eq!(ram.load_u8(BASE), Ok(8));
}

#[test]
fn a_write_while_the_base_reads_is_seen_or_not() {
    let (mut disk, ram) = (overlay(true, 2), GuestRam::leaked(BASE, 0x4000));
    let (to, from) = ([segment(0x1000, 1024)], [segment(0, 512)]);
    let read = Request { op: Op::Read, sector: 4, data: &to, tag: 7 };
    assert_eq!(disk.submit(read, &ram), Submitted::Pending);
    ram.write_bytes(BASE, &[0xaa; 512]).unwrap();
    let write = Request { op: Op::Write, sector: 5, data: &from, tag: 8 };
    assert_eq!(disk.submit(write, &ram), Submitted::Done(true));
    assert_eq!((disk.complete(&ram), disk.complete(&ram)), (None, Some((7, true))));
    let firsts = [0x1000, 0x1200].map(|at| ram.load_u8(Gpa(BASE.0 + at)).unwrap());
    assert_eq!(firsts, [4, 0xaa]);
}

proptest! {
    #[test]
    fn an_overlay_is_an_array(
        jobs in prop::collection::vec((any::<bool>(), 0..SECTORS, 1u64..12, any::<u8>(), 1u64..700), 1..60),
        later: bool,
    ) {
        let (mut disk, ram) = (overlay(later, 5), GuestRam::leaked(BASE, 0x4000));
        let mut model: Vec<u8> = (0..SECTORS * SECTOR).map(|at| (at / SECTOR).to_le_bytes()[0]).collect();
        for (write, sector, count, fill, cut) in jobs {
            let len = count.min(SECTORS - sector) * SECTOR;
            let cut = cut.min(len - 1);
            let data = [segment(0, cut), segment(cut, len - cut)];
            ram.write_bytes(BASE, &vec![fill; to_usize(len)]).unwrap();
            let op = if write { Op::Write } else { Op::Read };
            let request = Request { op, sector, data: &data, tag: 3 };
            prop_assert!(run(&mut disk, request, &ram));
            let place = &mut model[super::super::place(sector, len).unwrap()];
            let mut memory = vec![0; to_usize(len)];
            ram.read_bytes(BASE, &mut memory).unwrap();
            if write {
                place.copy_from_slice(&memory);
            }
            prop_assert_eq!(&memory, place);
        }
    }
}
