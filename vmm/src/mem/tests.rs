//! Accesses stay inside, words do not tear, writes leave marks.

use super::*;

const BASE: Gpa = Gpa(0x8000_0000);

#[test]
fn accesses_stay_inside() {
    let ram = GuestRam::leaked(BASE, 0x2000);
    assert_eq!(ram.store_u64(Gpa(BASE.0 + 0x1ff8), 7), Ok(()));
    assert_eq!(ram.load_u64(Gpa(BASE.0 + 0x1ff8)), Ok(7));
    for bad in [0, BASE.0 - 8, BASE.0 + 0x2000, u64::MAX - 7, BASE.0 + 4] {
        assert_eq!(ram.load_u64(Gpa(bad)), Err(OutOfRange), "{bad:#x}");
    }
    assert_eq!(ram.write_bytes(Gpa(BASE.0 + 0x1fff), &[0; 2]), Err(OutOfRange));
    assert_eq!(ram.hpa(BASE, u64::MAX), None);
    assert_eq!(ram.load_line(Gpa(BASE.0 + 0x1ff0)), Ok([0, 0, 0, 0, 0, 0, 0, 7]));
    assert_eq!(ram.load_line(Gpa(BASE.0 + 0x2000)), Err(OutOfRange));
}

#[test]
fn copies_are_right_at_every_alignment() {
    let ram = GuestRam::leaked(BASE, 0x1000);
    let bytes: Vec<u8> = (0..400u32).map(|n| n.to_le_bytes()[0] ^ 0x5a).collect();
    for (from, to, len) in [(0, 0, 400), (8, 16, 192), (0, 1, 130), (3, 0, 129), (8, 8, 63)] {
        ram.write_bytes(BASE, &[0; 0x1000]).unwrap();
        let part = &bytes[from..][..len.min(400 - from)];
        ram.write_bytes(Gpa(BASE.0 + to), part).unwrap();
        let mut back = vec![0xff; part.len() + 1];
        ram.read_bytes(Gpa(BASE.0 + to), &mut back).unwrap();
        assert_eq!((&back[..part.len()], back[part.len()]), (part, 0), "{from} {to} {len}");
    }
}

#[test]
fn plain_values_pass_at_every_alignment() {
    let ram = GuestRam::leaked(BASE, 0x1000);
    for at in [BASE, Gpa(BASE.0 + 0x24), Gpa(BASE.0 + 0xff0)] {
        ram.write(at, &[1u64, u64::MAX]).unwrap();
        assert_eq!(ram.read::<[u64; 2]>(at), Ok([1, u64::MAX]));
        assert_eq!(ram.read::<[u8; 3]>(Gpa(at.0 + 7)), Ok([0, 0xff, 0xff]));
    }
    assert_eq!(ram.read::<[u64; 2]>(Gpa(BASE.0 + 0xff8)), Err(OutOfRange));
    assert_eq!(ram.write(Gpa(BASE.0 + 0xffc), &0u64), Err(OutOfRange));
}

#[test]
fn only_writes_to_watched_pages_leave_marks() {
    let ram = GuestRam::leaked(BASE, 0x4000);
    ram.watch(BASE.page() + 1);
    ram.store_u8(BASE, 1).unwrap();
    assert!(!ram.take_marked());
    ram.write_bytes(Gpa(BASE.0 + 0xffc), &[1; 8]).unwrap();
    assert!(ram.take_marked());
    ram.write(Gpa(BASE.0 + 0x1ff8), &1u64).unwrap();
    assert!(ram.take_marked());
    let mut marks = vec![];
    ram.drain_marks(|page| marks.push(page));
    assert_eq!(marks, [BASE.page() + 1]);
    assert!(!ram.take_marked());
}

#[test]
fn an_absent_page_is_the_vmm_s_until_it_comes_back_empty() {
    let ram = GuestRam::leaked(BASE, 0x4000);
    let page = Gpa(BASE.0 + 0x1000);
    ram.write_bytes(page, &[7; 0x1000]).unwrap();
    assert!(ram.withdraw(page) && !ram.withdraw(page), "only once");
    assert!(!ram.withdraw(Gpa(BASE.0 + 0x4000)) && !ram.withdraw(Gpa(0)));
    assert_eq!((ram.absent(), ram.absent_pages().next()), (0x1000, Some(page)));
    assert_eq!(ram.load_u64(page), Err(OutOfRange));
    assert_eq!(ram.hpa(BASE, 0x4000), None);
    assert_eq!(ram.write_bytes(Gpa(BASE.0 + 0xff8), &[1; 16]), Err(OutOfRange));
    assert!(ram.hpa(BASE, 0x1000).is_some() && ram.hpa(Gpa(BASE.0 + 0x2000), 0x2000).is_some());

    assert!(ram.frame(BASE).is_none(), "it is the guest's");
    let mut frame = ram.frame(page).unwrap();
    assert_eq!(ram.gpa(frame.hpa()), page);
    assert_eq!(frame.write(4090, &[1; 6]), Some(()));
    let mut bytes = [9; 8];
    assert_eq!(frame.read(4088, &mut bytes), Some(()));
    assert_eq!(bytes, [7, 7, 1, 1, 1, 1, 1, 1]);
    assert_eq!(frame.write(4091, &[1; 6]), None);
    assert_eq!(frame.read(usize::MAX, &mut bytes), None);

    ram.restore(page);
    assert_eq!((ram.absent(), ram.absent_pages().next()), (0, None));
    assert!((0..512).all(|n| ram.load_u64(Gpa(page.0 + 8 * n)) == Ok(0)));
}

#[test]
fn compare_exchange_reports_what_it_found() {
    let ram = GuestRam::leaked(BASE, 0x1000);
    assert_eq!(ram.compare_exchange_u64(BASE, 0, 5), Ok(Ok(0)));
    assert_eq!(ram.compare_exchange_u64(BASE, 0, 6), Ok(Err(5)));
}
