//! Images made by hand, right and wrong.

#![expect(clippy::cast_possible_truncation, reason = "sizes in tests are small")]

use proptest::prelude::*;

use super::*;

const BASE: Gpa = Gpa(0x8000_0000);
const SIZE: u64 = 8 << 20;

fn ram() -> GuestRam {
    GuestRam::leaked(BASE, SIZE)
}

/// One program header: virtual and physical address, bytes, size in memory.
#[derive(Clone)]
struct Load {
    vaddr: u64,
    paddr: u64,
    bytes: Vec<u8>,
    memsz: u64,
}

fn at(paddr: u64, bytes: &[u8], memsz: u64) -> Load {
    Load { vaddr: paddr, paddr, bytes: bytes.to_vec(), memsz }
}

/// An ELF file with these segments, headers first, then the bytes.
fn elf(entry: u64, loads: &[Load]) -> Vec<u8> {
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    file.extend([2, 0, 243, 0, 1, 0, 0, 0]);
    for field in [entry, 64, 0] {
        file.extend(field.to_le_bytes());
    }
    for field in [0, 0, 64, 56, loads.len() as u16, 64, 0, 0] {
        file.extend(field.to_le_bytes());
    }
    let mut offset = (64 + 56 * loads.len()) as u64;
    for load in loads {
        file.extend([1, 0, 0, 0, 7, 0, 0, 0]);
        let size = load.bytes.len() as u64;
        for field in [offset, load.vaddr, load.paddr, size, load.memsz, 0x1000] {
            file.extend(field.to_le_bytes());
        }
        offset += size;
    }
    loads.iter().for_each(|load| file.extend(&load.bytes));
    file
}

fn linux(text_offset: u64, image_size: u64, flags: u64) -> Vec<u8> {
    let mut file = vec![0x6f, 0, 0, 4, 1, 0, 0, 0];
    for field in [text_offset, image_size, flags, 2, 0] {
        file.extend(field.to_le_bytes());
    }
    file.extend(b"RISCV\0\0\0RSC\x05\0\0\0\0rest");
    file
}

fn read(ram: &GuestRam, at: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    ram.read_bytes(Gpa(at), &mut bytes).unwrap();
    bytes
}

fn fails(image: &[u8]) -> LoadError {
    let ram = ram();
    let error = kernel(image, &ram, BootRequest::Auto).unwrap_err();
    assert_eq!(read(&ram, BASE.0, 4096), vec![0; 4096], "{error}");
    assert!(!error.to_string().contains('\n') && error.to_string().contains(": "), "{error}");
    error
}

#[test]
fn elf_goes_where_it_says() {
    let ram = ram();
    ram.write_bytes(BASE, &[0xaa; 64]).unwrap();
    let loads = [at(BASE.0 + 0x2000, b"data", 4), at(BASE.0, b"code", 16)];
    let entry = kernel(&elf(BASE.0, &loads), &ram, BootRequest::Auto).unwrap();
    let end = BASE.wrapping_add(0x2004);
    assert_eq!(entry, Entry { pc: BASE, mode: Mode::Machine, end, kind: Kind::Elf });
    assert_eq!(read(&ram, BASE.0, 17), b"code\0\0\0\0\0\0\0\0\0\0\0\0\xaa");
    assert_eq!(read(&ram, BASE.0 + 0x2000, 4), b"data");
}

#[test]
fn elf_boots_in_the_mode_its_entry_suggests() {
    for (entry, boot, mode) in [
        (BASE.0, BootRequest::Auto, Mode::Machine),
        (BASE.0, BootRequest::Supervisor, Mode::Supervisor),
        (BASE.0 + 2, BootRequest::Auto, Mode::Supervisor),
        (BASE.0 + 2, BootRequest::Machine, Mode::Machine),
    ] {
        let image = elf(entry, &[at(BASE.0, b"code", 4)]);
        assert_eq!(kernel(&image, &ram(), boot).unwrap().mode, mode);
    }
}

#[test]
fn elf_linked_high_is_entered_low() {
    let high = 0xffff_ffff_8000_0000;
    let load = Load { vaddr: high, ..at(BASE.0 + 0x20_0000, b"code", 0x3000) };
    for entry in [high + 0x10, BASE.0 + 0x20_0010] {
        let entry =
            kernel(&elf(entry, core::slice::from_ref(&load)), &ram(), BootRequest::Auto).unwrap();
        assert_eq!((entry.pc, entry.mode), (Gpa(BASE.0 + 0x20_0010), Mode::Supervisor));
    }
}

#[test]
fn elf_without_memory_in_a_segment_is_fine() {
    let loads = [at(0, b"", 0), at(BASE.0, b"code", 4)];
    assert!(kernel(&elf(BASE.0, &loads), &ram(), BootRequest::Auto).is_ok());
}

#[test]
fn damaged_elf_is_refused() {
    let good = elf(BASE.0, &[at(BASE.0, b"code", 0x1000)]);
    let with = |at: usize, bytes: &[u8]| {
        let mut image = good.clone();
        image[at..at + bytes.len()].copy_from_slice(bytes);
        fails(&image)
    };
    assert_eq!(with(4, &[1]), LoadError::NotElf64);
    assert_eq!(with(5, &[2]), LoadError::NotElf64);
    assert_eq!(with(18, &[62]), LoadError::OtherMachine(62));
    assert_eq!(with(16, &[1]), LoadError::NotExecutable(1));
    assert_eq!(with(56, &[0]), LoadError::NoSegments);
    assert_eq!(with(64, &[2]), LoadError::NoSegments);
    assert!(matches!(with(32, &[0xff; 8]), LoadError::Malformed(_)));
    assert!(matches!(with(40, &[0xf0; 8]), LoadError::Malformed(_)));
    assert!(matches!(with(54, &[7]), LoadError::Malformed(_)));
    assert!(matches!(fails(&good[..100]), LoadError::Malformed(_)));
    let problem = "is not all in the file";
    assert_eq!(fails(&good[..122]), LoadError::Segment { index: 0, problem });
    assert_eq!(with(64 + 8, &[0xff; 8]), LoadError::Segment { index: 0, problem });
    let problem = "has more bytes in the file than in memory";
    assert_eq!(with(64 + 40, &[3, 0]), LoadError::Segment { index: 0, problem });
}

#[test]
fn elf_outside_ram_is_refused() {
    for (paddr, memsz) in [
        (0, 4),
        (BASE.0 - 4, 8),
        (BASE.0, SIZE + 1),
        (BASE.0 + SIZE - 2, 4),
        (u64::MAX - 3, 4),
        (BASE.0, u64::MAX),
    ] {
        let error = fails(&elf(paddr, &[at(paddr, b"code", memsz)]));
        assert!(matches!(error, LoadError::OutsideRam { .. }), "{error}");
    }
    let code = at(BASE.0, b"code", 4);
    assert_eq!(
        fails(&elf(BASE.0 + 4, core::slice::from_ref(&code))),
        LoadError::BadEntry(BASE.0 + 4)
    );
    assert_eq!(fails(&elf(BASE.0 + 1, &[code])), LoadError::BadEntry(BASE.0 + 1));
}

#[test]
fn elf_segments_must_not_overlap() {
    let loads = [at(BASE.0 + 0x1000, b"b", 1), at(BASE.0, b"a", 0x1001)];
    assert_eq!(fails(&elf(BASE.0, &loads)), LoadError::Overlap(1, 0));
    let same = [at(BASE.0, b"a", 1), at(BASE.0, b"b", 1)];
    assert!(matches!(fails(&elf(BASE.0, &same)), LoadError::Overlap(..)));
    let many = vec![at(BASE.0, b"", 1); 65];
    assert_eq!(fails(&elf(BASE.0, &many)), LoadError::TooManySegments(65));
}

#[test]
fn linux_goes_to_its_offset() {
    let image = linux(0x20_0000, 0x3000, 0);
    let ram = ram();
    let entry = kernel(&image, &ram, BootRequest::Auto).unwrap();
    let pc = Gpa(BASE.0 + 0x20_0000);
    let end = pc.wrapping_add(0x3000);
    assert_eq!(entry, Entry { pc, mode: Mode::Supervisor, end, kind: Kind::LinuxImage });
    assert_eq!(read(&ram, pc.0, image.len()), image);
    // built without MMU
    let entry = kernel(&linux(0, 0, 0), &ram, BootRequest::Auto).unwrap();
    assert_eq!((entry.pc, entry.mode), (BASE, Mode::Machine));
    assert_eq!(entry.end.0, BASE.0 + image.len() as u64);
    let entry = kernel(&image, &ram, BootRequest::Machine).unwrap();
    assert_eq!(entry.mode, Mode::Machine);
}

#[test]
fn linux_that_does_not_fit_is_refused() {
    assert_eq!(fails(&linux(0x20_0000, 0, 1)), LoadError::BigEndian);
    assert_eq!(fails(&linux(0x1000, 0, 0)), LoadError::TextOffset(0x1000));
    for (offset, size) in [
        (SIZE, 1),
        (0, SIZE + 1),
        (0x20_0000, u64::MAX),
        (0u64.wrapping_sub(2 << 20), 1),
        (0u64.wrapping_sub(BASE.0), 1),
    ] {
        let error = fails(&linux(offset, size, 0));
        assert!(matches!(error, LoadError::OutsideRam { .. }), "{error}");
    }
}

#[test]
fn anything_else_is_raw() {
    let ram = ram();
    let entry = kernel(b"\x13\0\0\0", &ram, BootRequest::Auto).unwrap();
    let end = BASE.wrapping_add(4);
    assert_eq!(entry, Entry { pc: BASE, mode: Mode::Machine, end, kind: Kind::Raw });
    let entry = kernel(b"\x13\0\0\0", &ram, BootRequest::Supervisor).unwrap();
    assert_eq!((entry.pc.0, entry.mode), (BASE.0 + (2 << 20), Mode::Supervisor));
    assert_eq!(read(&ram, entry.pc.0, 4), b"\x13\0\0\0");
}

#[test]
fn what_cannot_be_a_kernel_is_said_to_be_none() {
    assert_eq!(fails(b""), LoadError::Empty);
    assert_eq!(fails(b"\x1f\x8b\x08"), LoadError::Packed("gzip"));
    assert_eq!(fails(b"\x28\xb5\x2f\xfd"), LoadError::Packed("zstd"));
    assert_eq!(fails(b"MZ\0\0zimg"), LoadError::Packed("EFI zboot"));
    assert!(matches!(fails(b"\x7fELF"), LoadError::Malformed(_)));
    let large = vec![1; SIZE as usize + 1];
    assert!(matches!(fails(&large), LoadError::OutsideRam { .. }));
}

fn ending(end: u64) -> Entry {
    Entry { pc: BASE, mode: Mode::Machine, end: Gpa(end), kind: Kind::Raw }
}

#[test]
fn initrd_and_tree_lie_at_the_top() {
    let ram = ram();
    let top = BASE.0 + SIZE;
    let placed = place(&ram, &ending(BASE.0 + 0x1001), 0x1801).unwrap();
    assert_eq!(placed.tree.0, top - (2 << 20));
    let (start, end) = placed.initrd.unwrap();
    assert_eq!((start.0, end.0), (placed.tree.0 - 0x2000, placed.tree.0 - 0x2000 + 0x1801));
    placed.fill(&ram, b"cpio", b"tree").unwrap();
    assert_eq!(
        (read(&ram, start.0, 4), read(&ram, placed.tree.0, 4)),
        (b"cpio".into(), b"tree".into())
    );
    assert_eq!(place(&ram, &ending(BASE.0), 0).unwrap().initrd, None);
}

#[test]
fn much_memory_is_used_from_below() {
    let ram = GuestRam::leaked(BASE, 2 << 30);
    let placed = place(&ram, &ending(BASE.0), 0x1000).unwrap();
    assert_eq!(placed.tree.0, BASE.0 + (1 << 30) - (2 << 20));
}

#[test]
fn little_memory_is_used_well() {
    let ram = ram();
    let room = SIZE - TREE_ROOM;
    // nothing is left but the tree
    let placed = place(&ram, &ending(BASE.0 + room), 0).unwrap();
    assert_eq!(placed.tree.0, BASE.0 + room);
    // the kernel ends in the last large page
    let placed = place(&ram, &ending(BASE.0 + room - 0x1fff), 0x1000).unwrap();
    assert_eq!(placed.initrd, Some((Gpa(BASE.0 + room - 0x1000), Gpa(BASE.0 + room))));
    for (end, initrd) in [(room + 1, 0), (room - 0x1000, 0x1001), (0, SIZE), (0, u64::MAX)] {
        let error = place(&ram, &ending(BASE.0 + end), initrd).unwrap_err();
        assert!(matches!(error, LoadError::NoRoom { .. }), "{error}");
    }
    assert!(place(&ram, &ending(u64::MAX), 0).is_err());
    let placed = place(&ram, &ending(BASE.0), 0).unwrap();
    let large = vec![0; TREE_ROOM as usize + 1];
    assert_eq!(placed.fill(&ram, b"", &large), Err(LoadError::TreeTooLarge(TREE_ROOM + 1)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]
    /// Damage of any sort is refused or loaded inside RAM, never worse.
    #[test]
    fn damaged_images_do_no_harm(
        damage in proptest::collection::vec((0..200usize, any::<u8>()), 1..12),
        cut in 0..250usize,
        is_elf in any::<bool>(),
    ) {
        let ram = GuestRam::leaked(BASE, 0x8000);
        let loads = [at(BASE.0, b"code", 0x100), at(BASE.0 + 0x1000, &[7; 40], 0x2000)];
        let mut image = if is_elf { elf(BASE.0, &loads) } else { linux(0, 0x2000, 0) };
        for (at, byte) in damage {
            if let Some(place) = image.get_mut(at) {
                *place = byte;
            }
        }
        image.truncate(cut.max(1));
        match kernel(&image, &ram, BootRequest::Auto) {
            Ok(entry) => {
                let inside = |at: Gpa| at >= BASE && at.0 <= BASE.0 + 0x8000;
                prop_assert!(inside(entry.pc) && inside(entry.end) && entry.pc.0 & 1 == 0);
            }
            Err(error) => prop_assert!(!error.to_string().contains('\n')),
        }
    }
}
