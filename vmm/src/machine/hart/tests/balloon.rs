//! Pages that leave a guest while its vCPUs are at work.

use super::*;
use crate::addr::Gpa;
use crate::machine::balloon::Ledger;
use crate::machine::guest::Guest;
use crate::virtio::balloon::Keeper;

/// A page that the kernel, at the beginning of RAM, has nothing to do with.
const PAGE: Gpa = Gpa(RAM_BASE.0 + 0x10_0000);
const OTHER: Gpa = Gpa(PAGE.0 + 0x1000);

/// A guest of two vCPUs, on two harts, that both have begun.
fn guest() -> ([(FakeHart, Vec<Seat>); 2], &'static Guest) {
    let (machine, board) = (machine(&[2], Boot::Machine, 2), Board::new(2));
    let mut harts = [0, 1].map(|number| hart(machine, &board, number, |_| unreachable!()));
    machine.start(&harts[0].0.host);
    harts.iter_mut().for_each(look);
    (harts, &machine.guests[0])
}

/// Lets the vCPU of a hart see to what others ask of it.
fn look((hart, seats): &mut (FakeHart, Vec<Seat>)) {
    hart.next(seats);
    prepare(hart, 0, &mut seats[0]);
}

fn ledger(guest: &Guest) -> Ledger {
    guest.balloon.clone().expect("guests of tests have one").0
}

fn ask(guest: &Guest, host: &FakeHost, pages: &[Gpa]) {
    ledger(guest).take(pages);
    guest.with_devices(host, Some(0), |_| ());
}

#[test]
fn pages_are_spare_when_all_vcpus_have_passed_by() {
    let ([mut one, mut two], guest) = guest();
    let spare = &one.0.machine.spare;
    guest.ram.store_u64(PAGE, 5).unwrap();
    ask(guest, &one.0.host, &[PAGE, OTHER, Gpa(0)]);
    assert!(!guest.ram.is_absent(PAGE), "nobody has looked yet");
    look(&mut one);
    assert!(guest.ram.is_absent(PAGE) && guest.ram.is_absent(OTHER));
    assert!(spare.is_empty() && !ledger(guest).has_taken());
    // Further pages wait until these have left.
    let third = Gpa(PAGE.0 + 0x2000);
    ask(guest, &one.0.host, &[third]);
    look(&mut one);
    assert!(!guest.ram.is_absent(third));
    look(&mut two);
    assert_eq!(spare.summary().pages, 2);
    look(&mut one);
    look(&mut two);
    assert_eq!(spare.summary().pages, 3);
    assert!(ledger(guest).has_taken());
}

#[test]
fn a_page_that_is_touched_is_the_guest_s_again() {
    let ([mut one, mut two], guest) = guest();
    guest.ram.store_u64(PAGE, 5).unwrap();
    ask(guest, &one.0.host, &[PAGE, OTHER]);
    look(&mut one);
    // One is touched before it is spare, one after.
    let touch = |(hart, seats): &mut (FakeHart, Vec<Seat>), page: Gpa| {
        let trap = Trap { cause: LOAD_FAULT, value: page.0 };
        assert_eq!(hart.handle(0, &mut seats[0], trap), Did::Retry);
        assert!(!guest.ram.is_absent(page));
        assert!(matches!(hart.handle(0, &mut seats[0], trap), Did::Fill(..)));
    };
    touch(&mut one, PAGE);
    look(&mut two);
    assert_eq!(one.0.machine.spare.summary().pages, 1);
    touch(&mut one, OTHER);
    assert_eq!(guest.ram.load_u64(PAGE), Ok(0), "it comes back empty");
    assert!(one.0.machine.spare.is_empty());
}

#[test]
fn a_guest_that_starts_again_has_all_of_its_memory() {
    let ([mut one, mut two], guest) = guest();
    ask(guest, &one.0.host, &[PAGE]);
    look(&mut one);
    look(&mut two);
    ask(guest, &one.0.host, &[OTHER]);
    look(&mut one);
    guest.boot(&one.0.host);
    assert!(guest.ram.absent() == 0 && one.0.machine.spare.is_empty());
    assert!(ledger(guest).has_taken());
}
