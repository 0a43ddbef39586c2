//! Devices that break the rules of their queues: whatever they say, a driver
//! ends in an error, stops the device, and looks at no memory that it should
//! not.

mod common;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use common::ends::{Loop, Teletype};
use common::liar::{Answer, BYTE, LIES, Liar};
use common::{Machine, Ram, disk};
use guest_drivers::{
    Block, BlockStorage, Console, ConsoleStorage, Device, DeviceType, Entropy, EntropyStorage,
    Error, Net, NetStorage, Operation,
};
use proptest::prelude::*;
use trapeze_vmm::entropy::Random;
use trapeze_vmm::net::Mac;
use trapeze_vmm::virtio::{AnyDevice, console, entropy, function::Interface, net};

type Handle = Device<Ram, &'static Machine>;

/// The queue of what comes, and of what goes; other devices have the first.
const RECEIVE: u64 = 0;
const TRANSMIT: u64 = 1;

fn device_of(kind: DeviceType) -> (&'static Machine, Handle) {
    let device: AnyDevice = match kind {
        DeviceType::Block => disk::device(16),
        DeviceType::Console => {
            Box::new(console::Console::new(Box::new(Teletype::default()), (80, 24)))
        }
        DeviceType::Entropy => Box::new(entropy::Entropy::new(Random::new([7; 32]))),
        DeviceType::Balloon => unreachable!("there is no driver for balloons"),
        DeviceType::Net => {
            Box::new(net::Net::new(Interface::Modern, Mac([2; 6]), Box::new(Loop::default())))
        }
    };
    let machine = Machine::new(vec![device]);
    (machine, machine.guest().find(kind).expect("a device"))
}

/// Answers each notification of `queue` with the next of `answers`, the last
/// of them for ever.
fn script(machine: &'static Machine, queue: u64, answers: &[Answer]) {
    let (mut liar, mut answers) = (Liar::new(machine, 0, queue), VecDeque::from(answers.to_vec()));
    machine.let_lie(Box::new(move |notified| {
        if notified == queue {
            let next =
                if answers.len() > 1 { answers.pop_front() } else { answers.front().copied() };
            next.into_iter().for_each(|answer| liar.answer(answer));
        }
    }));
}

fn console() -> (&'static Machine, Console<Ram, &'static Machine>) {
    let (machine, device) = device_of(DeviceType::Console);
    (machine, Console::new(device, machine.place(ConsoleStorage::new())).expect("a console"))
}

fn entropy() -> (&'static Machine, Entropy<Ram, &'static Machine>) {
    let (machine, device) = device_of(DeviceType::Entropy);
    (machine, Entropy::new(device, machine.place(EntropyStorage::new())).expect("a source"))
}

fn net() -> (&'static Machine, Net<Ram, &'static Machine>) {
    let (machine, device) = device_of(DeviceType::Net);
    (machine, Net::new(device, machine.place(NetStorage::<8>::new())).expect("a network"))
}

/// The device was stopped: it has let go of all memory.
fn stopped(device: Handle) -> bool {
    device.status().is_ok_and(|status| status.is_empty())
}

#[test]
fn a_console_survives_lies_about_what_is_typed() {
    for lie in LIES {
        let (machine, mut console) = console();
        let (mut liar, mut bytes) = (Liar::new(machine, 0, RECEIVE), [0; 200]);
        liar.answer(Answer::Honest(5));
        assert_eq!((console.read(&mut bytes), bytes[4], bytes[5]), (5, BYTE, 0));
        liar.answer(lie);
        match lie {
            // Nobody waits, so nobody looks.
            Answer::GivesUp => continue,
            // The buffer is on offer again: this is as good as an empty one.
            Answer::Again => {
                assert_eq!((console.read(&mut bytes), console.is_broken()), (0, false))
            }
            _ => {
                assert_eq!(console.read(&mut bytes), 0, "{lie:?}");
                assert!(console.is_broken() && stopped(console.device()), "{lie:?}");
                assert_eq!(console.write(machine.buffer(5)), Err(Error::Broken));
            }
        }
    }
}

#[test]
fn a_console_survives_lies_about_what_is_shown() {
    for lie in LIES {
        let (machine, mut console) = console();
        script(machine, TRANSMIT, &[Answer::Honest(0), lie]);
        assert_eq!(console.write(machine.buffer(5)), Ok(()));
        let second = console.write(machine.buffer(5));
        if lie == Answer::Again {
            assert_eq!(second, Ok(()), "there is one slot, so this is its completion");
            continue;
        }
        assert_eq!(second, Err(Error::Broken), "{lie:?}");
        assert!(console.is_broken() && stopped(console.device()));
        assert_eq!((console.read(&mut [0; 9]), console.has_input()), (0, false));
    }
}

#[test]
fn a_source_survives_lies() {
    for lie in LIES {
        let (machine, mut source) = entropy();
        script(machine, RECEIVE, &[Answer::Honest(20), Answer::Honest(99), lie]);
        let bytes = machine.buffer(32);
        assert_eq!(source.fill(bytes), Ok(()));
        assert_eq!(bytes, [BYTE; 32]);
        let wanted = if lie == Answer::Again { Error::Io } else { Error::Broken };
        assert_eq!(source.fill(bytes), Err(wanted), "{lie:?}");
    }
}

#[test]
fn a_source_that_has_nothing_is_not_asked_for_ever() {
    let (machine, mut source) = entropy();
    script(machine, RECEIVE, &[Answer::Honest(0)]);
    assert_eq!(source.fill(machine.buffer(32)), Err(Error::Io));
}

#[test]
fn a_network_survives_lies_about_what_comes() {
    for lie in LIES.into_iter().filter(|lie| *lie != Answer::GivesUp) {
        let (machine, mut net) = net();
        let mut liar = Liar::new(machine, 0, RECEIVE);
        liar.answer(Answer::Honest(12 + 60));
        assert_eq!(net.receive(|frame| (frame.len(), frame[0])), Some((60, BYTE)));
        liar.answer(lie);
        assert_eq!(net.receive(<[u8]>::len), None, "{lie:?}");
        if lie != Answer::Again {
            assert!(net.is_broken() && stopped(net.device()), "{lie:?}");
            assert_eq!(net.send(60, |_| ()), Err(Error::Broken));
        }
    }
}

#[test]
fn a_network_survives_lies_about_what_goes() {
    for lie in LIES.into_iter().filter(|lie| *lie != Answer::GivesUp) {
        let (machine, mut net) = net();
        script(machine, TRANSMIT, &[Answer::Honest(0), lie]);
        // The second answer is seen by the third.
        let sent = [0; 3].map(|_| net.send(60, |_| ()));
        if lie == Answer::Again {
            assert_eq!(sent, [Ok(()); 3], "that slot is on offer, so this is its completion");
            continue;
        }
        assert_eq!(sent, [Ok(()), Ok(()), Err(Error::Broken)], "{lie:?}");
        assert!(net.is_broken() && stopped(net.device()) && net.receive(|_| ()).is_none());
    }
}

#[test]
fn frames_that_are_none_are_left_out() {
    let (machine, mut net) = net();
    let mut liar = Liar::new(machine, 0, RECEIVE);
    // More often than there are buffers, so that they go back.
    for _ in 0..5 {
        for len in [0, 1, 12, 12 + 13] {
            liar.answer(Answer::Honest(len));
        }
        assert_eq!(net.receive(<[u8]>::len), None);
    }
    liar.answer(Answer::Honest(u32::MAX));
    assert_eq!(net.receive(<[u8]>::len), Some(1514));
    assert!(!net.is_broken());
}

#[test]
fn a_disk_survives_lies_and_gives_all_buffers_back() {
    for lie in LIES.into_iter().filter(|lie| *lie != Answer::GivesUp) {
        let (machine, device) = device_of(DeviceType::Block);
        let storage = machine.place(BlockStorage::<(&'static mut [u8], u8), 8>::new());
        let mut disk = Block::new(device, storage).expect("a disk");
        machine.hearing.set(false);
        for name in 0..4 {
            disk.submit(Operation::Read, 0, (machine.buffer(512), name)).unwrap();
        }
        let mut liar = Liar::new(machine, 0, RECEIVE);
        [Answer::Honest(u32::MAX), lie].into_iter().for_each(|answer| liar.answer(answer));
        let done: Vec<_> = std::iter::from_fn(|| disk.complete()).collect();
        let mut names: Vec<u8> = done.iter().map(|done| done.data.1).collect();
        names.sort_unstable();
        assert_eq!(names, [0, 1, 2, 3], "{lie:?}");
        // The status that a liar writes is no status.
        assert!(done.iter().all(|done| done.result.is_err()));
        let refused = disk.submit(Operation::Read, 0, (machine.buffer(512), 9)).unwrap_err();
        assert_eq!((refused.error, refused.data.1, stopped(device)), (Error::Broken, 9, true));
        assert_eq!((disk.restart(), disk.in_flight()), (Ok(()), 0));
    }
}

/// What a device does, and what its driver is asked for.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The device, by itself, in the queue of what comes.
    Comes(Answer),
    Read(usize),
    Write(usize),
}

/// Answers, most of them honest.
fn answers() -> impl Strategy<Value = Answer> {
    prop_oneof![
        12 => (0u32..2000).prop_map(Answer::Honest),
        1 => (1u32..=u32::MAX).prop_map(Answer::TooLong),
        1 => any::<u32>().prop_map(Answer::Unknown),
        1 => Just(Answer::Again),
        1 => (1u16..0x7fff).prop_map(Answer::RunsAway),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        answers().prop_map(Step::Comes),
        (0usize..300).prop_map(Step::Read),
        (14usize..1500).prop_map(Step::Write),
    ];
    prop::collection::vec(step, 1..60)
}

/// Answers notifications of what goes at random, and never not at all.
/// Returns whether all that it said was honest.
fn random_script(machine: &'static Machine, queue: u64, said: Vec<Answer>) -> Rc<RefCell<bool>> {
    let (mut liar, mut said) = (Liar::new(machine, 0, queue), said.into_iter().cycle());
    let honest = Rc::new(RefCell::new(true));
    let told = honest.clone();
    machine.let_lie(Box::new(move |notified| {
        if notified == queue
            && let Some(answer) = said.next()
        {
            *told.borrow_mut() &= matches!(answer, Answer::Honest(_));
            liar.answer(answer);
        }
    }));
    honest
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A console that is never lied to works, and one that is broken stays so.
    #[test]
    fn consoles_survive_anything(steps in steps(), said in prop::collection::vec(answers(), 1..20)) {
        let (machine, mut console) = console();
        let honest = random_script(machine, TRANSMIT, said);
        let mut liar = Liar::new(machine, 0, RECEIVE);
        for step in steps {
            let was_broken = console.is_broken();
            match step {
                Step::Comes(_) if was_broken => {}
                Step::Comes(answer) => {
                    *honest.borrow_mut() &= matches!(answer, Answer::Honest(_));
                    liar.answer(answer);
                }
                Step::Read(len) => {
                    let mut bytes = vec![0; len];
                    let count = console.read(&mut bytes);
                    prop_assert!(count <= len && bytes[count..].iter().all(|byte| *byte == 0));
                }
                Step::Write(len) => {
                    let written = console.write(machine.buffer(len));
                    prop_assert!(!was_broken || written == Err(Error::Broken));
                    prop_assert!(written.is_ok() || console.is_broken());
                }
            }
            prop_assert!(console.is_broken() || !was_broken);
            prop_assert!(!console.is_broken() || !*honest.borrow());
            prop_assert!(!console.is_broken() || stopped(console.device()));
        }
    }

    /// The same of networks.
    #[test]
    fn networks_survive_anything(steps in steps(), said in prop::collection::vec(answers(), 1..20)) {
        let (machine, mut net) = net();
        let honest = random_script(machine, TRANSMIT, said);
        let mut liar = Liar::new(machine, 0, RECEIVE);
        for step in steps {
            let was_broken = net.is_broken();
            match step {
                Step::Comes(_) if was_broken => {}
                Step::Comes(answer) => {
                    *honest.borrow_mut() &= matches!(answer, Answer::Honest(_));
                    liar.answer(answer);
                }
                Step::Read(_) => {
                    let len = net.receive(<[u8]>::len);
                    prop_assert!(len.is_none_or(|len| (14..=1514).contains(&len)));
                    prop_assert!(!was_broken || len.is_none());
                }
                Step::Write(len) => {
                    let sent = net.send(len, |bytes| bytes.len());
                    let right = if was_broken { sent == Err(Error::Broken) } else {
                        matches!(sent, Err(Error::Full | Error::Broken)) || sent == Ok(len)
                    };
                    prop_assert!(right, "{sent:?}");
                }
            }
            prop_assert!(net.is_broken() || !was_broken);
            prop_assert!(!net.is_broken() || !*honest.borrow());
            prop_assert!(!net.is_broken() || stopped(net.device()));
        }
    }

    /// A source fills everything, or fails.
    #[test]
    fn sources_survive_anything(
        lens in prop::collection::vec(0usize..3000, 1..30),
        said in prop::collection::vec(answers(), 1..20),
    ) {
        let (machine, mut source) = entropy();
        let honest = random_script(machine, RECEIVE, said);
        for len in lens {
            let bytes = machine.buffer(len);
            match source.fill(bytes) {
                Ok(()) => prop_assert!(bytes.iter().all(|byte| *byte == BYTE)),
                Err(Error::Io) => {}
                Err(error) => {
                    prop_assert_eq!(error, Error::Broken);
                    prop_assert!(!*honest.borrow());
                }
            }
        }
    }
}
