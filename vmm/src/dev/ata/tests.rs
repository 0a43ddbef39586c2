//! The drive from the driver's chair, register by register.

use proptest::prelude::*;

use super::*;
use crate::addr::to_usize;

/// Sectors of the disk under test: more than two buffers.
const SECTORS: u64 = 300;

const DATA: u64 = 0;
const ERROR: u64 = 1;
const COUNT: u64 = 2;
const LBA: u64 = 3;
const DEVICE: u64 = 6;
const STATUS: u64 = 7;

const READ: [u8; 4] = [0x20, 0x24, 0xc4, 0x29];
const WRITE: [u8; 4] = [0x30, 0x34, 0xc5, 0x39];

const READY: u8 = 0x50;
const DATA_REQUEST: u8 = 0x58;
const FAILED: u8 = 0x51;
const BUSY: u8 = 0x80;

/// A disk with storage behind it.
struct Bench {
    disk: Ata,
    storage: Vec<u8>,
    /// What the storage was asked to do.
    wants: Vec<Want>,
    /// The storage fails.
    broken: bool,
}

impl Bench {
    fn new() -> Self {
        let buffer = GuestRam::buffer(vec![0; 2 * to_usize(BUFFER)].leak());
        let disk = Ata::new(SECTORS, *b"serial\0\0\0\0\0\0\0\0\0\0\0\0\0\0", buffer);
        let storage =
            (0..SECTORS * SECTOR).map(|n| (n / SECTOR * 7 + n).to_le_bytes()[0]).collect();
        Self { disk, storage, wants: Vec::new(), broken: false }
    }

    /// Lets the storage do what it is asked to.
    fn serve(&mut self) {
        let Some(want) = self.disk.take_want() else { return };
        let place = |sector: u64, count: u32| {
            let start = to_usize(sector * SECTOR);
            start..start + to_usize(u64::from(count) * SECTOR)
        };
        let ram = self.disk.buffer();
        match want {
            Want::Read { sector, count } => {
                ram.write_bytes(Gpa(0), &self.storage[place(sector, count)]).unwrap();
            }
            Want::Write { sector, count } if !self.broken => {
                ram.read_bytes(Gpa(0), &mut self.storage[place(sector, count)]).unwrap();
            }
            _ => {}
        }
        self.wants.push(want);
        self.disk.done(!self.broken);
    }

    fn get(&mut self, register: u64) -> u8 {
        self.disk.read(register, Width::Byte).unwrap().to_le_bytes()[0]
    }

    fn set(&mut self, register: u64, value: u8) {
        self.disk.write(register, Width::Byte, value.into()).unwrap();
    }

    /// Gives a command for sectors, in the form that its code has.
    fn command(&mut self, code: u8, sector: u64, count: u32) {
        let lba = sector.to_le_bytes();
        let [low, high, ..] = count.to_le_bytes();
        let wide = [0x24, 0x29, 0x34, 0x39].contains(&code);
        if wide {
            self.set(COUNT, high);
            (0..3).for_each(|n| self.set(LBA + n, lba[to_usize(n) + 3]));
        }
        self.set(COUNT, low);
        (0..3).for_each(|n| self.set(LBA + n, lba[to_usize(n)]));
        self.set(DEVICE, 0x40 | if wide { 0 } else { lba[3] & 0xf });
        self.set(STATUS, code);
        self.serve();
    }

    /// Reads the data port until there is no more.
    fn drain(&mut self, width: Width) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.get(CONTROL) == DATA_REQUEST {
            let value = self.disk.read(DATA, width).unwrap();
            bytes.extend(&value.to_le_bytes()[..width as usize]);
            self.serve();
        }
        bytes
    }

    /// Writes bytes to the data port.
    fn fill(&mut self, bytes: &[u8], width: Width) {
        for part in bytes.chunks(width as usize) {
            assert_eq!(self.get(CONTROL), DATA_REQUEST);
            let mut value = [0; 8];
            value[..part.len()].copy_from_slice(part);
            self.disk.write(DATA, width, u64::from_le_bytes(value)).unwrap();
            self.serve();
        }
    }
}

fn word(bytes: &[u8], n: usize) -> u16 {
    u16::from_le_bytes([bytes[2 * n], bytes[2 * n + 1]])
}

#[test]
fn it_says_what_it_is() {
    let mut bench = Bench::new();
    bench.set(STATUS, 0xec);
    assert!(bench.disk.interrupt());
    let id = bench.drain(Width::Half);
    assert_eq!(id.len(), 512);
    assert_eq!((word(&id, 0), word(&id, 49)), (0x40, 0xe00));
    assert_eq!(&id[20..28], b"esirla  ");
    assert_eq!((word(&id, 47), word(&id, 59)), (0x8010, 0x110));
    assert_eq!((word(&id, 60), word(&id, 100)), (300, 300));
    assert_eq!(word(&id, 83) & 0xc400, 0x4400);
    assert_eq!(bench.get(STATUS), READY);
}

#[test]
fn each_block_that_is_read_interrupts() {
    let mut bench = Bench::new();
    bench.command(0x20, 5, 3);
    for _ in 0..3 {
        assert!(bench.disk.interrupt());
        assert_eq!(bench.get(CONTROL), DATA_REQUEST);
        assert!(bench.disk.interrupt(), "the alternate status does not acknowledge");
        assert_eq!(bench.get(STATUS), DATA_REQUEST);
        assert!(!bench.disk.interrupt());
        assert!((0..256).all(|_| bench.disk.read(DATA, Width::Half).is_ok()));
    }
    assert!(!bench.disk.interrupt());
    assert_eq!(bench.get(STATUS), READY);
    assert_eq!(bench.wants, [Want::Read { sector: 5, count: 3 }]);
    assert_eq!(bench.disk.read(DATA, Width::Half), Ok(0), "there is no more");
}

#[test]
fn each_block_that_is_written_interrupts_after_it() {
    let mut bench = Bench::new();
    bench.command(0xc5, 5, 17);
    assert!(!bench.disk.interrupt());
    bench.fill(&[1; 16 * 512], Width::Half);
    assert!(bench.disk.interrupt());
    assert_eq!(bench.get(STATUS), DATA_REQUEST);
    assert!(bench.wants.is_empty());
    bench.fill(&[2; 512], Width::Word);
    assert!(bench.disk.interrupt());
    assert_eq!(bench.get(STATUS), READY);
    assert_eq!(bench.wants, [Want::Write { sector: 5, count: 17 }]);
    assert_eq!((bench.storage[5 * 512], bench.storage[21 * 512]), (1, 2));
}

#[test]
fn long_transfers_come_in_buffers() {
    let mut bench = Bench::new();
    bench.command(0x24, 0, 300);
    let storage = bench.storage.clone();
    assert!(bench.drain(Width::Half) == storage);
    let read = |sector, count| Want::Read { sector, count };
    assert_eq!(bench.wants, [read(0, 128), read(128, 128), read(256, 44)]);
}

#[test]
fn a_count_of_zero_is_the_largest() {
    let mut bench = Bench::new();
    bench.command(0x20, 0, 256);
    assert_eq!(bench.drain(Width::Word).len(), 256 * 512);
    bench.command(0x24, 0, 0x1_0000);
    assert_eq!(bench.get(ERROR), 0x10, "there are not that many");
}

#[test]
fn sectors_behind_the_end_are_named() {
    let mut bench = Bench::new();
    for (code, sector, count) in [(0x20, 299, 2), (0x34, 290, 11), (0xc4, 44, 256 + 1)] {
        bench.command(code, sector, count);
        let missing = sector + u64::from(count) > 300 && count != 257;
        assert_eq!(bench.get(STATUS), if missing { FAILED } else { DATA_REQUEST });
        if missing {
            assert_eq!((bench.get(ERROR), bench.get(LBA), bench.get(LBA + 1)), (0x10, 44, 1));
        }
    }
    bench.set(CONTROL, 4);
    bench.set(CONTROL, 0);
    bench.command(0x24, 0x1234_5678_9abc, 1);
    assert_eq!((bench.get(STATUS), bench.get(ERROR)), (FAILED, 0x10));
    let low: Vec<u8> = (0..3).map(|n| bench.get(LBA + n)).collect();
    bench.set(CONTROL, 0x80);
    let high: Vec<u8> = (0..3).map(|n| bench.get(LBA + n)).collect();
    assert_eq!((low, high), (vec![0xbc, 0x9a, 0x78], vec![0x56, 0x34, 0x12]));
    assert!(bench.wants.is_empty() || bench.wants.len() == 1);
}

#[test]
fn what_the_disk_cannot_do_is_aborted() {
    let mut bench = Bench::new();
    for code in [0x00, 0x08, 0x25, 0x91, 0xa1, 0xc8, 0xca, 0xff] {
        bench.command(code, 0, 1);
        assert_eq!((bench.get(ERROR), bench.get(STATUS)), (4, FAILED), "{code:#x}");
    }
    // Cylinder, head and sector.
    bench.set(DEVICE, 0);
    bench.set(STATUS, 0x20);
    assert_eq!(bench.get(ERROR), 4);
    for (count, result) in [(3, FAILED), (32, FAILED), (4, READY), (0, READY)] {
        bench.set(COUNT, count);
        bench.set(STATUS, 0xc6);
        assert!(bench.disk.interrupt());
        assert_eq!(bench.get(STATUS), result, "{count}");
    }
    bench.command(0xc4, 0, 1);
    assert_eq!(bench.get(STATUS), FAILED, "multiple mode is off");
    for (feature, count, result) in [(3, 0x0c, READY), (3, 0x22, FAILED), (0x82, 0, FAILED)] {
        bench.set(COUNT, count);
        bench.set(ERROR, feature);
        bench.set(STATUS, 0xef);
        assert_eq!(bench.get(STATUS), result, "{feature:#x}");
    }
}

#[test]
fn storage_that_fails_is_reported() {
    let mut bench = Bench::new();
    bench.broken = true;
    bench.command(0x20, 9, 4);
    assert!(bench.disk.interrupt());
    assert_eq!((bench.get(STATUS), bench.get(ERROR), bench.get(LBA)), (FAILED, 0x40, 9));
    bench.command(0x30, 9, 1);
    bench.fill(&[0; 512], Width::Half);
    assert_eq!((bench.get(STATUS), bench.get(ERROR), bench.get(LBA)), (FAILED, 4, 9));
    bench.command(0xe7, 0, 0);
    assert_eq!((bench.get(STATUS), bench.get(ERROR)), (FAILED, 4));
    bench.broken = false;
    bench.command(0xea, 0, 0);
    assert_eq!((bench.get(STATUS), bench.get(ERROR)), (READY, 0));
    assert_eq!(bench.wants.last(), Some(&Want::Flush));
}

#[test]
fn a_reset_waits_for_the_storage() {
    let mut bench = Bench::new();
    bench.set(COUNT, 1);
    bench.set(DEVICE, 0x40);
    bench.set(STATUS, 0x20);
    assert_eq!(bench.disk.take_want(), Some(Want::Read { sector: 1, count: 1 }));
    assert_eq!(bench.get(STATUS), BUSY);
    bench.set(CONTROL, 4);
    assert_eq!(bench.get(STATUS), BUSY);
    bench.set(CONTROL, 0);
    assert_eq!(bench.get(STATUS), BUSY, "the storage may still write to the buffer");
    bench.set(STATUS, 0x20);
    bench.disk.done(true);
    assert_eq!(bench.get(STATUS), READY);
    assert!(!bench.disk.interrupt());
    let signature: Vec<u8> = (1..6).map(|n| bench.get(n)).collect();
    assert_eq!(signature, [1, 1, 1, 0, 0]);
    bench.command(0x20, 1, 1);
    assert_eq!(bench.drain(Width::Half), bench.storage[512..1024]);
}

#[test]
fn the_second_device_is_missing() {
    let mut bench = Bench::new();
    bench.set(DEVICE, 0x50);
    assert_eq!((bench.get(STATUS), bench.get(CONTROL)), (0, 0));
    bench.set(STATUS, 0xec);
    assert_eq!(bench.get(STATUS), 0);
    bench.set(STATUS, 0x90);
    assert_eq!((bench.get(DEVICE), bench.get(ERROR), bench.get(STATUS)), (0xa0, 1, READY));
}

#[test]
fn interrupts_can_be_switched_off() {
    let mut bench = Bench::new();
    bench.set(CONTROL, 2);
    bench.command(0x20, 0, 1);
    assert!(!bench.disk.interrupt());
    bench.set(CONTROL, 0);
    assert!(bench.disk.interrupt());
}

#[test]
fn a_register_has_one_width() {
    let mut bench = Bench::new();
    for (offset, width) in [
        (0, Width::Byte),
        (0, Width::Double),
        (2, Width::Half),
        (4, Width::Word),
        (8, Width::Byte),
        (CONTROL, Width::Half),
        (CONTROL + 1, Width::Byte),
        (u64::MAX, Width::Byte),
    ] {
        assert_eq!(bench.disk.read(offset, width), Err(AccessFault), "{offset} {width:?}");
        assert_eq!(bench.disk.write(offset, width, 0), Err(AccessFault), "{offset} {width:?}");
    }
}

#[test]
fn a_block_can_be_moved_at_once() {
    let mut bench = Bench::new();
    bench.command(0xc4, 3, 20);
    let mut read = Vec::new();
    for expected in [2, 8190, 2048] {
        let mut bytes = vec![0; to_usize(expected.min(bench.disk.readable()))];
        bench.disk.read_block(&mut bytes);
        read.extend(bytes);
    }
    assert!(read == bench.storage[3 * 512..23 * 512]);
    assert_eq!((bench.disk.readable(), bench.get(STATUS)), (0, READY));
    bench.command(0x30, 3, 1);
    bench.disk.write_block(&[9; 514]);
    assert_eq!(bench.disk.writable(), 512, "more than there is room for is not taken");
    bench.disk.write_block(&[9; 512]);
    bench.serve();
    assert_eq!(bench.storage[3 * 512..4 * 512], [9; 512]);
}

proptest! {
    #[test]
    fn what_was_written_is_read_back(
        sector in 0..SECTORS,
        length in 1u32..300,
        (write, read) in (0..4usize, 0..4usize),
        (narrow, wide) in any::<(bool, bool)>(),
        multiple in 0u32..5,
        seed: u8,
    ) {
        let mut bench = Bench::new();
        let left = u32::try_from(SECTORS - sector).unwrap();
        let count = length.min(left).min(256);
        let width = |narrow| if narrow { Width::Half } else { Width::Word };
        bench.set(COUNT, 1 << multiple);
        bench.set(STATUS, 0xc6);
        let bytes: Vec<u8> = (0..count * 512).map(|n| (n / 3).to_le_bytes()[0] ^ seed).collect();
        bench.command(WRITE[write], sector, count);
        bench.fill(&bytes, width(narrow));
        prop_assert_eq!(bench.get(STATUS), READY);
        bench.command(READ[read], sector, count);
        prop_assert!(bench.drain(width(wide)) == bytes);
        let place = to_usize(sector * SECTOR);
        prop_assert!(bench.storage[place..][..bytes.len()] == bytes[..]);
    }

    /// Any accesses at all: no panic, wants that the storage can satisfy (the
    /// bench would panic), and a status that makes sense.
    #[test]
    fn rubbish_does_no_harm(
        accesses in prop::collection::vec(
            (0..4u8, prop_oneof![0u64..8, Just(CONTROL), any::<u64>()], 0..4usize, any::<u64>()),
            1..400,
        ),
        lazy: bool,
    ) {
        let mut bench = Bench::new();
        for (kind, offset, width, value) in accesses {
            let width = Width::ALL[width];
            match kind {
                0 => drop(bench.disk.read(offset, width)),
                // Commands that there are, in good order, more often.
                1 => bench.command([READ, WRITE][to_usize(value & 1)][width as usize % 4],
                    value >> 8 & 0x1ff, value.to_le_bytes()[3].into()),
                _ => drop(bench.disk.write(offset, width, value)),
            }
            if !lazy || value & 1 != 0 {
                bench.serve();
            }
            let status = bench.get(CONTROL);
            prop_assert!(status & 0x80 == 0 || status & 8 == 0);
            prop_assert!(bench.disk.readable().max(bench.disk.writable()) <= 16 * SECTOR);
        }
    }
}
