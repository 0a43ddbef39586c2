//! Guests with plugs in their hands, and a real interface that is none.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use std::sync::Mutex;

use proptest::prelude::*;

use super::inbox::LANE;
use super::*;

const ALL: Mac = Mac([0xff; 6]);
/// Somebody on the real network.
const GATEWAY: Mac = Mac([0x52, 0x55, 10, 0, 2, 2]);

fn guest(number: u8, uplink: bool) -> Station {
    Station::Guest { address: Mac::numbered(number), uplink }
}

fn frame(to: Mac, from: Mac, body: &[u8]) -> Vec<u8> {
    [&to.0[..], &from.0, &[0x88, 0xb5], body].concat()
}

/// Guests 0 and 1 with uplink, 2 without, the uplink at port 3.
fn network() -> (Arc<Switch>, [Plug; 4]) {
    let stations = [guest(0, true), guest(1, true), guest(2, false), Station::Uplink];
    let switch = Arc::new(Switch::new(&stations));
    (switch.clone(), core::array::from_fn(|port| Plug::new(switch.clone(), port)))
}

fn next(plug: &mut Plug) -> Option<Vec<u8>> {
    let mut buffer = [0; FRAME_MAX];
    let len = plug.receive(&mut buffer)?;
    Some(buffer[..len].to_vec())
}

/// Sends a frame and tells which ports got it, unchanged.
fn sent(plugs: &mut [Plug], from: usize, frame: &[u8]) -> Vec<usize> {
    assert!(plugs[from].send(frame));
    let got = |(port, plug): (usize, &mut Plug)| {
        let received = next(plug)?;
        assert_eq!(received, frame);
        Some(port)
    };
    plugs.iter_mut().enumerate().filter_map(got).collect()
}

#[test]
fn frames_go_to_whom_they_are_for() {
    let (switch, mut plugs) = network();
    let m = Mac::numbered;
    assert_eq!(sent(&mut plugs, 0, &frame(m(1), m(0), b"to a guest")), [1]);
    assert_eq!(switch.take_news(), 0b10);
    assert_eq!(switch.take_news(), 0, "news are told once");
    assert_eq!(sent(&mut plugs, 0, &frame(GATEWAY, m(0), b"to the outside")), [3]);
    assert_eq!(sent(&mut plugs, 3, &frame(m(0), GATEWAY, b"and back")), [0]);
    assert_eq!(sent(&mut plugs, 0, &frame(ALL, m(0), b"to all")), [1, 2, 3]);
    assert_eq!(sent(&mut plugs, 0, &frame(m(0), m(0), b"to itself")), []);
    assert_eq!(sent(&mut plugs, 3, &frame(m(7), GATEWAY, b"to nobody here")), []);
}

#[test]
fn a_guest_without_uplink_and_the_outside_do_not_meet() {
    let (_, mut plugs) = network();
    let m = Mac::numbered;
    assert_eq!(sent(&mut plugs, 2, &frame(m(0), m(2), b"")), [0]);
    assert_eq!(sent(&mut plugs, 2, &frame(ALL, m(2), b"")), [0, 1]);
    assert_eq!(sent(&mut plugs, 2, &frame(GATEWAY, m(2), b"")), []);
    assert_eq!(sent(&mut plugs, 3, &frame(ALL, GATEWAY, b"")), [0, 1]);
    assert_eq!(sent(&mut plugs, 3, &frame(m(2), GATEWAY, b"")), []);
}

#[test]
fn nobody_speaks_under_the_name_of_another() {
    let (switch, mut plugs) = network();
    for source in [Mac::numbered(1), GATEWAY, ALL] {
        assert_eq!(sent(&mut plugs, 0, &frame(ALL, source, b"it is me")), []);
    }
    assert_eq!(switch.counts(0), Counts { sent: 3, refused: 3, ..Counts::default() });
    assert_eq!(switch.take_news(), 0);
}

#[test]
fn only_frames_are_taken_for_frames() {
    let (switch, mut plugs) = network();
    let long = frame(ALL, Mac::numbered(0), &[1; MTU as usize + 1]);
    for frame in [&long[..0], &long[..5], &long[..13], &long] {
        assert_eq!(sent(&mut plugs, 0, frame), []);
    }
    assert_eq!(switch.counts(0).refused, 4);
    for frame in [&long[..14], &long[..FRAME_MAX]] {
        assert_eq!(sent(&mut plugs, 0, frame), [1, 2, 3]);
    }
}

#[test]
fn a_flood_takes_no_more_than_its_share() {
    let (switch, mut plugs) = network();
    let m = Mac::numbered;
    for _ in 0..10 * LANE {
        plugs[0].send(&frame(m(1), m(0), b"flood"));
    }
    let lost = 9 * LANE as u64;
    assert_eq!(switch.counts(1), Counts { received: LANE as u64, lost, ..Counts::default() });
    // Who comes later waits for one frame of the flood, not for all.
    for n in 0..3 {
        plugs[2].send(&frame(m(1), m(2), &[n]));
    }
    let order: Vec<_> = (0..6).map(|_| next(&mut plugs[1]).unwrap()[14]).collect();
    assert_eq!(order, [b'f', 0, b'f', 1, b'f', 2]);
    assert_eq!(plugs[1].waiting(), LANE - 3);
}

/// A real interface: how many frames it has room for, what went out, and
/// what is to come in.
#[derive(Clone, Default)]
struct Real(Arc<Mutex<(usize, Frames, Frames)>>);

type Frames = VecDeque<Vec<u8>>;

impl Wire for Real {
    fn send(&mut self, frame: &[u8]) -> bool {
        let (room, out, _) = &mut *self.0.lock().unwrap();
        let fits = out.len() < *room;
        if fits {
            out.push_back(frame.to_vec());
        }
        fits
    }

    fn receive(&mut self, frame: &mut Frame) -> Option<usize> {
        let next = self.0.lock().unwrap().2.pop_front()?;
        frame[..next.len()].copy_from_slice(&next);
        Some(next.len())
    }

    fn clear(&mut self) {
        self.0.lock().unwrap().2.clear();
    }
}

#[test]
fn a_cable_loses_nothing_when_the_other_end_is_full() {
    let (switch, [mut first, mut second, _, uplink]) = network();
    let real = Real::default();
    let mut cable = Cable::new(uplink, Box::new(real.clone()));
    for n in 0..20 {
        first.send(&frame(GATEWAY, Mac::numbered(0), &[n]));
        second.send(&frame(GATEWAY, Mac::numbered(1), &[n + 100]));
    }
    let mut came = Vec::new();
    for _ in 0..10 {
        assert!(!cable.move_frames());
        let mut real = real.0.lock().unwrap();
        came.extend(core::mem::take(&mut real.1).into_iter().map(|frame| frame[14]));
        real.0 = 7;
    }
    let expected: Vec<u8> = (0..20).flat_map(|n| [n, n + 100]).collect();
    assert_eq!(came, expected);
    assert_eq!(switch.counts(3).lost, 0);
}

#[test]
fn a_cable_takes_a_burst_at_a_time() {
    let (_, [mut first, _, _, uplink]) = network();
    let real = Real::default();
    let incoming = frame(Mac::numbered(0), GATEWAY, b"hello");
    real.0.lock().unwrap().2.extend((0..BURST + 5).map(|_| incoming.clone()));
    let mut cable = Cable::new(uplink, Box::new(real));
    assert!(!cable.move_frames());
    assert_eq!(first.waiting(), BURST);
    assert!(!cable.move_frames());
    assert_eq!(first.waiting(), BURST + 5);
    assert_eq!(next(&mut first).unwrap(), incoming);
}

#[test]
fn a_cable_sends_in_turns() {
    let (_, [mut first, mut second, _, uplink]) = network();
    for _ in 0..LANE {
        first.send(&frame(GATEWAY, Mac::numbered(0), b""));
        second.send(&frame(GATEWAY, Mac::numbered(1), b""));
    }
    let real = Real::default();
    real.0.lock().unwrap().0 = usize::MAX;
    let mut cable = Cable::new(uplink, Box::new(real.clone()));
    assert!(cable.move_frames());
    assert_eq!(real.0.lock().unwrap().1.len(), LANE);
    assert!(cable.move_frames());
    assert!(!cable.move_frames());
    assert_eq!(real.0.lock().unwrap().1.len(), 2 * LANE);
}

#[test]
fn who_has_not_looked_yet_is_told_once() {
    let (switch, mut plugs) = network();
    let frame = frame(Mac::numbered(1), Mac::numbered(0), b"");
    for expected in [0b10, 0, 0] {
        plugs[0].send(&frame);
        assert_eq!(switch.take_news(), expected);
    }
    assert_eq!(core::iter::from_fn(|| next(&mut plugs[1])).count(), 3);
    plugs[0].send(&frame);
    assert_eq!(switch.take_news(), 0b10, "it found nothing, and waits");
    plugs[1].clear();
    assert_eq!(next(&mut plugs[1]), None);
}

/// What a port may do in the test below.
#[derive(Clone, Debug)]
enum Step {
    Send { from: usize, to: Mac, source: Mac, len: usize },
    Receive(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let mac = || prop_oneof![(0u8..5).prop_map(Mac::numbered), Just(GATEWAY), Just(ALL)];
    prop_oneof![
        (0usize..4, mac(), mac(), 0usize..1600).prop_map(|(from, to, source, len)| Step::Send {
            from,
            to,
            source,
            len
        }),
        (0usize..4).prop_map(Step::Receive),
    ]
}

proptest! {
    /// Against a network that is nothing but a list of rules: frames come
    /// once, in order per sender, to whom they are meant for, and no others.
    #[test]
    fn the_switch_keeps_its_rules(steps in prop::collection::vec(step(), 0..600)) {
        let (switch, mut plugs) = network();
        let mut waiting: [[VecDeque<Vec<u8>>; 4]; 4] = Default::default();
        let mut serial = 0u32;
        for step in steps {
            match step {
                Step::Send { from, to, source, len } => {
                    serial += 1;
                    let mut bytes = frame(to, source, &serial.to_le_bytes());
                    bytes.resize(len, 0x5a);
                    plugs[from].send(&bytes);
                    for port in receivers(from, to, source, len) {
                        if waiting[port][from].len() < LANE {
                            waiting[port][from].push_back(bytes.clone());
                        }
                    }
                }
                Step::Receive(port) => {
                    let frame = next(&mut plugs[port]);
                    let empty = waiting[port].iter().all(VecDeque::is_empty);
                    prop_assert_eq!(frame.is_none(), empty);
                    if let Some(frame) = frame {
                        let is_it = |lane: &&mut VecDeque<Vec<u8>>| lane.front() == Some(&frame);
                        let lane = waiting[port].iter_mut().find(is_it);
                        prop_assert!(lane.is_some());
                        lane.unwrap().pop_front();
                    }
                }
            }
        }
        for (port, lanes) in waiting.iter().enumerate() {
            prop_assert_eq!(plugs[port].waiting(), lanes.iter().map(VecDeque::len).sum::<usize>());
        }
        let news = switch.take_news();
        prop_assert!((0..4).all(|port| plugs[port].waiting() == 0 || news & 1 << port != 0));
    }
}

fn receivers(from: usize, to: Mac, source: Mac, len: usize) -> Vec<usize> {
    let own = u8::try_from(from).map(Mac::numbered).unwrap();
    if !(FRAME_MIN..=FRAME_MAX).contains(&len) || (from < 3 && source != own) {
        return vec![];
    }
    let meant = |port: &usize| {
        to == ALL || (to == GATEWAY || to >= Mac::numbered(3)) && *port == 3 || {
            *port < 3 && to == Mac::numbered(u8::try_from(*port).unwrap())
        }
    };
    let apart = |port: &usize| matches!((from, *port), (2, 3) | (3, 2));
    (0..4).filter(|port| *port != from && meant(port) && !apart(port)).collect()
}
