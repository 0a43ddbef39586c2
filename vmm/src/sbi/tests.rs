//! Each function once as intended and once as not, then all with wild
//! arguments.

use proptest::prelude::*;
use sbi_spec::base::EID_BASE;
use sbi_spec::dbcn::EID_DBCN;
use sbi_spec::hsm::EID_HSM;
use sbi_spec::rfnc::EID_RFNC;
use sbi_spec::spi::EID_SPI;
use sbi_spec::srst::EID_SRST;
use sbi_spec::time::EID_TIME;

use super::fake::{BASE, Did, Fake, SIZE};
use super::*;

const ALL: u64 = u64::MAX;

fn do_call(host: &mut Fake, eid: usize, fid: u64, a: &[u64]) -> Reply {
    let mut args = Args { eid: eid as u64, fid, ..Args::default() };
    args.a[..a.len()].copy_from_slice(a);
    call(&args, 0, host)
}

fn ok(value: u64) -> Reply {
    Ret::success(value).into()
}

fn invalid_param() -> Reply {
    Ret::invalid_param().into()
}

fn not_supported() -> Reply {
    Ret::not_supported().into()
}

fn harts(bits: u64) -> HartSet {
    HartSet::first(64).and(bits)
}

#[test]
fn base_tells_who_we_are() {
    let mut host = Fake::new(1);
    let values = [2 << 24, IMPLEMENTATION_ID, IMPLEMENTATION_VERSION, 0, 11, 12, 13];
    for (fid, value) in values.into_iter().enumerate() {
        assert_eq!(do_call(&mut host, EID_BASE, fid as u64, &[9]), ok(value), "{fid}");
    }
    assert_eq!(do_call(&mut host, EID_BASE, 7, &[]), not_supported());
    for eid in [0, 8, 0x10, EID_TIME, EID_SPI, EID_RFNC, EID_HSM, EID_SRST, EID_DBCN] {
        assert_eq!(do_call(&mut host, EID_BASE, 3, &[eid as u64]), ok(1), "{eid:#x}");
    }
    for eid in [9, 0x0f, 0x504d55, 0x0800_0000, 0x0900_0000, usize::MAX] {
        assert_eq!(do_call(&mut host, EID_BASE, 3, &[eid as u64]), ok(0), "{eid:#x}");
        assert_eq!(do_call(&mut host, eid, 0, &[]), not_supported(), "{eid:#x}");
    }
}

#[test]
fn time_sets_the_callers_timer() {
    let mut host = Fake::new(4);
    let args = Args { eid: EID_TIME as u64, a: [77, 0, 0, 0, 0, 0], fid: 0 };
    assert_eq!(call(&args, 3, &mut host), ok(0));
    assert_eq!(host.did, [Did::Timer(3, 77)]);
    assert_eq!(do_call(&mut host, EID_TIME, 1, &[]), not_supported());
}

#[test]
fn ipi_goes_to_the_harts_named() {
    let mut host = Fake::new(8);
    for (mask, base, expected) in [
        (0b101, 0, Some(0b101)),
        (0b11, 6, Some(0b1100_0000)),
        (0, ALL, Some(0xff)),
        (ALL, ALL, Some(0xff)),
        (0, 99, Some(0)),
        (0b1, 8, None),
        (0b11, 7, None),
        (1 << 63, 0, None),
        (1 << 63, ALL - 1, None),
    ] {
        host.did.clear();
        let reply = do_call(&mut host, EID_SPI, 0, &[mask, base]);
        match expected {
            Some(bits) => {
                assert_eq!((reply, &host.did[..]), (ok(0), &[Did::Ipi(harts(bits))][..]));
            }
            None => {
                assert_eq!((reply, host.did.len()), (invalid_param(), 0), "{mask:#x} {base:#x}")
            }
        }
    }
    assert_eq!(do_call(&mut host, EID_SPI, 1, &[]), not_supported());
}

#[test]
fn sixty_four_harts_fit_in_a_set() {
    let mut host = Fake::new(64);
    assert_eq!(do_call(&mut host, EID_SPI, 0, &[ALL, 0]), ok(0));
    assert_eq!(do_call(&mut host, EID_SPI, 0, &[1, 63]), ok(0));
    assert_eq!(do_call(&mut host, EID_SPI, 0, &[1, 64]), invalid_param());
    assert_eq!(host.did, [Did::Ipi(harts(ALL)), Did::Ipi(harts(1 << 63))]);
}

#[test]
fn remote_fences_carry_range_and_asid() {
    let mut host = Fake::new(2);
    let all = |asid| Ok(RemoteFence::Memory { range: None, asid });
    let some =
        |start, size, asid| Ok(RemoteFence::Memory { range: Some((Gva(start), size)), asid });
    let top = 0xffff_ffff_ffff_f000;
    for (fid, a, expected) in [
        (0, [9, 9, 9], Ok(RemoteFence::Instruction)),
        (1, [0, 0, 9], all(None)),
        (1, [0x1234, ALL, 9], all(None)),
        (1, [0x1000, 0x2000, 9], some(0x1000, 0x2000, None)),
        (1, [0, FENCE_LIMIT, 9], some(0, FENCE_LIMIT, None)),
        (1, [0, FENCE_LIMIT + 1, 9], all(None)),
        (1, [top, 0x1000, 9], some(top, 0x1000, None)),
        (1, [top, 0x1001, 9], Err(Ret::invalid_address())),
        (2, [0x1000, 0x1000, 5], some(0x1000, 0x1000, Some(5))),
        (2, [0, 0, 0xffff], all(Some(0xffff))),
        (2, [0, 0, 0x1_0000], Err(Ret::invalid_param())),
    ] {
        host.did.clear();
        let reply = do_call(&mut host, EID_RFNC, fid, &[2, 0, a[0], a[1], a[2]]);
        match expected {
            Ok(fence) => {
                assert_eq!(reply, ok(0));
                assert_eq!(host.did, [Did::Fence(harts(2), fence)], "{fid} {a:x?}");
            }
            Err(error) => assert_eq!((reply, host.did.len()), (error.into(), 0)),
        }
    }
    host.did.clear();
    assert_eq!(do_call(&mut host, EID_RFNC, 1, &[0, ALL, 0x1000, 0]), ok(0));
    assert_eq!(do_call(&mut host, EID_RFNC, 1, &[4, 0, 0, 0]), invalid_param());
    for hfence in 3..=7 {
        assert_eq!(do_call(&mut host, EID_RFNC, hfence, &[0, ALL]), not_supported());
    }
    assert_eq!(host.did, []);
}

#[test]
fn harts_start_once_and_at_good_addresses() {
    let mut host = Fake::new(2);
    for (hart, address, error) in [
        (2, BASE, Ret::invalid_param()),
        (ALL, BASE, Ret::invalid_param()),
        (1, 0, Ret::invalid_address()),
        (1, BASE + 1, Ret::invalid_address()),
        (1, BASE + SIZE, Ret::invalid_address()),
        (1, ALL - 1, Ret::invalid_address()),
        (0, BASE, Ret::already_available()),
    ] {
        assert_eq!(do_call(&mut host, EID_HSM, 0, &[hart, address, 7]), error.into(), "{hart}");
    }
    assert_eq!(host.did, []);
    let start = Start { pc: Gpa(BASE + 2), opaque: 7 };
    assert_eq!(do_call(&mut host, EID_HSM, 0, &[1, BASE + 2, 7]), ok(0));
    assert_eq!(host.did, [Did::Start(1, start)]);
    let again = do_call(&mut host, EID_HSM, 0, &[1, BASE, 7]);
    assert_eq!(again, Ret::already_available().into());
    host.states[1] = HartState::Stopped;
    host.late = true;
    let raced = do_call(&mut host, EID_HSM, 0, &[1, BASE, 7]);
    assert_eq!(raced, Ret::already_available().into());
}

#[test]
fn harts_stop_and_have_a_state() {
    use HartState::*;
    let mut host = Fake::new(4);
    assert_eq!(do_call(&mut host, EID_HSM, 1, &[]), Reply::Stop);
    host.states = vec![Started, Stopped, StartPending, Suspended];
    for (hart, state) in [(0, 0), (1, 1), (2, 2), (3, 4)] {
        assert_eq!(do_call(&mut host, EID_HSM, 2, &[hart]), ok(state));
    }
    assert_eq!(do_call(&mut host, EID_HSM, 2, &[4]), invalid_param());
    assert_eq!(do_call(&mut host, EID_HSM, 4, &[]), not_supported());
}

#[test]
fn harts_suspend_in_two_ways() {
    let mut host = Fake::new(1);
    let start = Start { pc: Gpa(BASE), opaque: 5 };
    // The high half of a 32-bit parameter is not ours to look at.
    for high in [0, 0xffff_ffff << 32] {
        let retentive = do_call(&mut host, EID_HSM, 3, &[high, 1, 5]);
        assert_eq!(retentive, Reply::Suspend(None));
        let other = do_call(&mut host, EID_HSM, 3, &[high | 0x8000_0000, BASE, 5]);
        assert_eq!(other, Reply::Suspend(Some(start)));
    }
    let lost = do_call(&mut host, EID_HSM, 3, &[0x8000_0000, 0x1000, 5]);
    assert_eq!(lost, Ret::invalid_address().into());
    for kind in [1, 0x0fff_ffff, 0x1000_0000, 0x7fff_ffff, 0x8000_0001, 0x9000_0000, 0xffff_ffff] {
        assert_eq!(do_call(&mut host, EID_HSM, 3, &[kind, BASE, 5]), invalid_param(), "{kind:#x}");
    }
}

#[test]
fn resets_have_kinds_and_reasons() {
    use ResetKind::*;
    let mut host = Fake::new(1);
    for (kind, expected) in [(0, Shutdown), (1, ColdReboot), (2, WarmReboot)] {
        for reason in [0, 1] {
            let reset = Reset { kind: expected, failure: reason == 1 };
            assert_eq!(do_call(&mut host, EID_SRST, 0, &[kind, reason]), Reply::Reset(reset));
        }
    }
    for (kind, reason) in [(3, 0), (0xf000_0000, 0), (0, 2), (0, 0xe000_0000)] {
        assert_eq!(do_call(&mut host, EID_SRST, 0, &[kind, reason]), invalid_param());
    }
    assert_eq!(do_call(&mut host, EID_SRST, 1, &[]), not_supported());
}

#[test]
fn console_writes_what_is_in_memory() {
    let mut host = Fake::new(1);
    host.ram.write_bytes(Gpa(BASE + 0x100), b"hello").unwrap();
    assert_eq!(do_call(&mut host, EID_DBCN, 0, &[5, BASE + 0x100, 0]), ok(5));
    assert_eq!(host.shown, b"hello");
    host.room = 2;
    assert_eq!(do_call(&mut host, EID_DBCN, 0, &[5, BASE + 0x100, 0]), ok(2));
    assert_eq!(do_call(&mut host, EID_DBCN, 0, &[5, BASE + 0x100, 0]), ok(0));
    assert_eq!(host.shown, b"hellohe");
    host.room = usize::MAX;
    assert_eq!(do_call(&mut host, EID_DBCN, 0, &[SIZE, BASE, 0]), ok(console::LIMIT));
    assert_eq!(host.shown.len() as u64, 7 + console::LIMIT);
}

#[test]
fn console_reads_into_memory() {
    let mut host = Fake::new(1);
    assert_eq!(do_call(&mut host, EID_DBCN, 1, &[16, BASE, 0]), ok(0));
    host.typed = b"ls -l\n".repeat(100);
    assert_eq!(do_call(&mut host, EID_DBCN, 1, &[4, BASE + 1, 0]), ok(4));
    assert_eq!(do_call(&mut host, EID_DBCN, 1, &[4096, BASE + 5, 0]), ok(596));
    let mut seen = vec![0; 600];
    host.ram.read_bytes(Gpa(BASE + 1), &mut seen).unwrap();
    assert_eq!(seen, b"ls -l\n".repeat(100));
}

#[test]
fn console_buffers_are_checked_whole() {
    let mut host = Fake::new(1);
    host.typed = vec![b'x'];
    for fid in [0, 1] {
        for (size, low, high) in [
            (1, BASE, 1),
            (1, BASE - 1, 0),
            (2, BASE + SIZE - 1, 0),
            (SIZE + 1, BASE, 0),
            (ALL, BASE, 0),
            (2, ALL, 0),
        ] {
            let reply = do_call(&mut host, EID_DBCN, fid, &[size, low, high]);
            assert_eq!(reply, invalid_param(), "{size:#x} {low:#x} {high:#x}");
        }
        assert_eq!(do_call(&mut host, EID_DBCN, fid, &[0, ALL, ALL]), ok(0));
    }
    assert_eq!((host.shown.len(), host.typed.len()), (0, 1));
    assert_eq!(do_call(&mut host, EID_DBCN, 3, &[]), not_supported());
}

#[test]
fn single_bytes_wait_for_the_console() {
    let mut host = Fake::new(1);
    host.room = 2;
    assert_eq!(do_call(&mut host, EID_DBCN, 2, &[0x1141]), ok(0));
    assert_eq!(do_call(&mut host, 1, 0, &[0x1142]), Reply::Legacy(0));
    assert_eq!(do_call(&mut host, EID_DBCN, 2, &[0x43]), Reply::Again);
    assert_eq!(do_call(&mut host, 1, 0, &[0x43]), Reply::Again);
    assert_eq!(host.shown, b"AB");
}

#[test]
fn legacy_calls_work_as_of_old() {
    let mut host = Fake::new(4);
    host.typed = vec![0xe4];
    host.pending = true;
    assert_eq!(do_call(&mut host, 0, 9, &[55]), Reply::Legacy(0));
    assert_eq!(do_call(&mut host, 2, 9, &[]), Reply::Legacy(0xe4));
    assert_eq!(do_call(&mut host, 2, 9, &[]), Reply::Legacy(-1));
    assert_eq!(do_call(&mut host, 3, 9, &[]), Reply::Legacy(1));
    assert_eq!(do_call(&mut host, 3, 9, &[]), Reply::Legacy(0));
    let shutdown = Reset { kind: ResetKind::Shutdown, failure: false };
    assert_eq!(do_call(&mut host, 8, 9, &[]), Reply::Reset(shutdown));
    assert_eq!(host.did, [Did::Timer(0, 55), Did::ClearIpi(0), Did::ClearIpi(0)]);
}

#[test]
fn legacy_masks_are_virtual_pointers() {
    let mut host = Fake::new(3);
    let pointer = 1 << 63 | (BASE + 4);
    host.ram.write(Gpa(BASE + 4), &0xf2u64).unwrap();
    let fence = |range, asid| RemoteFence::Memory { range, asid };
    assert_eq!(do_call(&mut host, 4, 0, &[pointer]), Reply::Legacy(0));
    assert_eq!(do_call(&mut host, 4, 0, &[0]), Reply::Legacy(0));
    assert_eq!(do_call(&mut host, 5, 0, &[pointer]), Reply::Legacy(0));
    assert_eq!(do_call(&mut host, 6, 0, &[pointer, 0x1000, 0x1000]), Reply::Legacy(0));
    assert_eq!(do_call(&mut host, 7, 0, &[pointer, 0, 0, 3]), Reply::Legacy(0));
    assert_eq!(
        host.did,
        [
            Did::Ipi(harts(0b010)),
            Did::Ipi(harts(0b111)),
            Did::Fence(harts(0b010), RemoteFence::Instruction),
            Did::Fence(harts(0b010), fence(Some((Gva(0x1000), 0x1000)), None)),
            Did::Fence(harts(0b010), fence(None, Some(3))),
        ]
    );
    host.did.clear();
    for eid in 4..=7 {
        // not mapped: what SBI_ERR_INVALID_ADDRESS is today
        assert_eq!(do_call(&mut host, eid, 0, &[BASE]), Reply::Legacy(-5), "{eid}");
    }
    assert_eq!(do_call(&mut host, 7, 0, &[0, 0, 0, 1 << 16]), Reply::Legacy(-3));
    assert_eq!(do_call(&mut host, 6, 0, &[0, ALL, 2]), Reply::Legacy(-5));
    assert_eq!(host.did, []);
}

#[test]
fn sets_are_what_they_contain() {
    let set = harts(0b1001_0010);
    assert_eq!(set.iter().collect::<Vec<_>>(), [1, 4, 7]);
    assert!((0..70).all(|hart| set.contains(hart) == [1, 4, 7].contains(&hart)));
    assert_eq!((HartSet::first(0).bits(), HartSet::first(1).bits()), (0, 1));
    assert_eq!((HartSet::first(63).bits(), HartSet::first(64).bits()), (ALL >> 1, ALL));
    assert!(HartSet::default().is_empty() && !set.is_empty());
}

#[test]
fn arguments_come_from_the_a_registers() {
    let mut x = [0; 32];
    for (number, register) in x.iter_mut().enumerate() {
        *register = number as u64;
    }
    let args = Args { a: [10, 11, 12, 13, 14, 15], fid: 16, eid: 17 };
    assert_eq!(Args::from_registers(&x), args);
}

#[test]
fn names_tell_calls_apart() {
    let mut names = vec![];
    for (eid, fids) in [
        (EID_BASE, 7),
        (EID_TIME, 1),
        (EID_SPI, 1),
        (EID_RFNC, 3),
        (EID_HSM, 4),
        (EID_SRST, 1),
        (EID_DBCN, 3),
    ] {
        names.extend((0..=fids).map(|fid| name(eid as u64, fid)));
        assert!(names.last().unwrap().ends_with(".?"));
    }
    names.extend((0..9).map(|eid| name(eid, 123)));
    names.push(name(0x0800_0000, 0));
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

/// Values that are more often at an edge than not.
fn edgy() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        0..10u64,
        any::<u32>().prop_map(u64::from),
        (BASE - 8)..(BASE + 8),
        (BASE + SIZE - 8)..(BASE + SIZE + 8),
        Just(1u64 << 63 | BASE),
        (ALL - 8)..=ALL,
    ]
}

fn extensions() -> impl Strategy<Value = u64> {
    let ours = [EID_BASE, EID_TIME, EID_SPI, EID_RFNC, EID_HSM, EID_SRST, EID_DBCN];
    prop_oneof![
        8 => proptest::sample::select(ours.map(|eid| eid as u64).to_vec()),
        4 => 0..16u64,
        1 => any::<u64>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn wild_arguments_do_no_harm(
        eid in extensions(),
        fid in prop_oneof![8 => 0..8u64, 1 => any::<u64>()],
        a in proptest::array::uniform6(edgy()),
        harts in 1..=64usize,
        from in 0..64usize,
    ) {
        let mut host = Fake::new(harts);
        host.typed = vec![b'y'; 10_000];
        let reply = call(&Args { a, fid, eid }, from % harts, &mut host);
        let all = HartSet::first(harts).bits();
        for did in &host.did {
            match *did {
                Did::Ipi(set) => prop_assert_eq!(set.bits() & !all, 0),
                Did::Fence(set, fence) => {
                    prop_assert_eq!(set.bits() & !all, 0);
                    if let RemoteFence::Memory { range: Some((start, size)), .. } = fence {
                        prop_assert!(size != 0 && size <= FENCE_LIMIT);
                        prop_assert!(start.checked_add(size - 1).is_some());
                    }
                }
                Did::Start(hart, at) => prop_assert!(hart < harts && host.ram.hpa(at.pc, 2).is_some()),
                Did::Timer(hart, _) | Did::ClearIpi(hart) => prop_assert_eq!(hart, from % harts),
            }
        }
        prop_assert!(host.shown.len() as u64 <= console::LIMIT);
        prop_assert!(host.typed.len() as u64 >= 10_000 - console::LIMIT);
        match reply {
            // SBI_ERR_NO_SHMEM is the last code of version 2.0
            Reply::Return(ret) => prop_assert!((-9..=0).contains(&ret.error.cast_signed())),
            Reply::Legacy(value) => prop_assert!(eid <= 8 && (-9..256).contains(&value)),
            Reply::Again => prop_assert!(false, "the console has room"),
            Reply::Suspend(Some(start)) => prop_assert!(host.ram.hpa(start.pc, 2).is_some()),
            Reply::Stop | Reply::Suspend(None) | Reply::Reset(_) => {}
        }
        prop_assert!(!name(eid, fid).is_empty());
    }
}
