//! Every call survives the way through registers.

use super::*;

/// One call of each function, with arguments that tell their places apart.
fn samples() -> [Call; 22] {
    let (device, queue, offset) = (3, 2, 8);
    [
        Call::Version,
        Call::Features,
        Call::DeviceCount,
        Call::Describe { device },
        Call::DeviceFeatures { device },
        Call::AcceptFeatures { device, features: 1 << 63 },
        Call::GetStatus { device },
        Call::SetStatus { device, status: 15 },
        Call::QueueState { device, queue },
        Call::QueueSetUp { device, queue, size: 256, descriptors: 1, avail: 2, used: u64::MAX },
        Call::QueueStop { device, queue },
        Call::ConfigRead { device, offset, width: Width::Double },
        Call::ConfigWrite { device, offset, width: Width::Word, value: 65 },
        Call::ConfigGeneration { device },
        Call::Notify { device, queue },
        Call::InterruptSetUp { line: Some((64, Line::SupervisorExternal)), hart: 1 },
        Call::InterruptDone,
        Call::Yield,
        Call::Counter { counter: 5 },
        Call::CounterName { counter: 5, part: 3 },
        Call::CpuPageSetUp { address: 0x8000_1000 },
        Call::CpuPageEnd,
    ]
}

#[test]
fn calls_survive_the_way_through_registers() {
    for call in samples() {
        assert_eq!(Call::decode(call.function() as u64, call.arguments()), Ok(call));
    }
    let none = Call::InterruptSetUp { line: None, hart: 5 };
    assert_eq!(Call::decode(15, none.arguments()), Ok(none));
}

#[test]
fn functions_are_numbered_in_order_and_each_has_a_sample() {
    for (number, (function, call)) in (0..).zip(Function::ALL.into_iter().zip(samples())) {
        assert_eq!(function as u64, number);
        assert_eq!(Function::from_number(number), Some(function));
        assert_eq!(call.function(), function);
    }
    assert_eq!(Function::from_number(22), None);
    assert_eq!(Function::from_number(u64::MAX), None);
}

#[test]
fn what_cannot_be_is_refused() {
    assert_eq!(Call::decode(22, [0; 6]), Err(Error::NotSupported));
    for width in [0, 3, 16, u64::MAX] {
        assert_eq!(Call::decode(11, [0, 0, width, 0, 0, 0]), Err(Error::InvalidParameter));
    }
    for line in [1, 10, 1 << 32 | 9] {
        assert_eq!(Call::decode(15, [64, line, 0, 0, 0, 0]), Err(Error::InvalidParameter));
    }
}

#[test]
fn replies_survive_the_way_through_registers() {
    let errors = Error::ALL.map(Err);
    for reply in [Ok(0), Ok(u64::MAX)].into_iter().chain(errors) {
        assert_eq!(reply_from_registers(reply_to_registers(reply)), reply);
    }
    assert_eq!(reply_from_registers([77, 0]), Err(Error::Failed));
}

#[test]
fn versions_and_queue_states_survive_as_values() {
    let later = Version { major: 1, minor: 7 };
    for version in [Version::CURRENT, later, Version { major: 2, minor: 0 }] {
        assert_eq!(Version::from_value(version.to_value()), Some(version));
        assert_eq!(version.serves(Version::CURRENT), version.major == 1);
    }
    assert!(!Version::CURRENT.serves(later));
    assert_eq!(Version::from_value(1 << 32), None);
    for ready in [false, true] {
        let state = QueueState { max_size: 256, ready };
        assert_eq!(QueueState::from_value(state.to_value()), state);
    }
}
