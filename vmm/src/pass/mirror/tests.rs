//! Guests that behave, and guests that do not, against a device that looks at
//! what it was told.

use proptest::prelude::*;

use trapeze_protocol::queue::{Descriptor, DescriptorFlags};

use super::super::fake::FakeDevice;
use super::*;
use crate::addr::{Gpa, Hpa, to_usize};
use crate::bus::Width;
use crate::virtio::fake::{BASE, BUFFERS, Driver, RAM, Slot, reads, reg, writes};
use crate::virtio::mmio::Version;
use crate::virtio::queue::Options;

/// A slot whose driver is ready, and the device behind it.
fn slot(kind: DeviceType, size: u16, options: Options) -> (Slot<Mirror>, FakeDevice) {
    let device = FakeDevice::new(kind);
    (Slot::start(Version::Modern, mirror(&device).unwrap(), size, options), device)
}

fn mirror(device: &FakeDevice) -> Option<Mirror> {
    let mut memory = |size| Some(vec![0; to_usize(size)].leak());
    Mirror::new(Box::new(device.clone()), &mut memory)
}

/// The host's address of the guest's memory at `gpa`.
fn host(driver: &Driver, gpa: Gpa) -> Hpa {
    driver.ram.hpa(gpa, 1).unwrap()
}

/// Three parts, as of a request to read.
const REQUEST: [Gpa; 3] = [BUFFERS, Gpa(BUFFERS.0 + 0x1000), Gpa(BUFFERS.0 + 0x2000)];

fn request() -> [crate::virtio::fake::Part; 3] {
    let [header, data, status] = REQUEST;
    [reads(header, 16), writes(data, 512), writes(status, 1)]
}

#[test]
fn a_chain_arrives_at_real_addresses_and_comes_back() {
    for indirect in [None, Some(0), Some(1)] {
        let options = Options { indirect: indirect.is_some(), event_idx: indirect == Some(1) };
        let (mut slot, device) = slot(DeviceType::Block, 8, options);
        let head = slot.send(&request(), indirect);
        let [(number, buffers)] = &device.take(0)[..] else { panic!("one chain") };
        let expected = REQUEST.map(|gpa| host(&slot.driver, gpa));
        assert_eq!(buffers.iter().map(|b| b.host).collect::<Vec<_>>(), expected);
        let shapes: Vec<_> = buffers.iter().map(|b| (b.len, b.writable)).collect();
        assert_eq!(shapes, [(16, false), (512, true), (1, true)]);
        assert_eq!(device.look().notified, [0]);
        device.finish(0, *number, 513);
        assert!(!slot.interrupted(), "nobody has looked yet");
        let ram = slot.driver.ram.clone();
        slot.mmio.complete(&ram);
        assert!(slot.interrupted());
        assert_eq!(slot.driver.take_used(), Some((head, 513)));
        assert_eq!(slot.mmio.function().busy(), 0);
    }
}

/// What the guest does after the check is nothing to the device.
#[test]
fn the_device_sees_what_was_checked() {
    let (mut slot, device) = slot(DeviceType::Block, 8, Options::default());
    slot.send(&request(), None);
    let everything = Descriptor { address: 0, length: u32::MAX, flags: 3, next: 0 };
    for index in 0..8 {
        slot.driver.describe(slot.driver.place.descriptors, index, everything);
    }
    // The ring is moved while in use: the registers do not take it.
    slot.set(reg::QUEUE_SEL, 0);
    slot.set(reg::QUEUE_DESC, 0x1000);
    let [(_, buffers)] = &device.take(0)[..] else { panic!("one chain") };
    let expected = REQUEST.map(|gpa| host(&slot.driver, gpa));
    assert_eq!(buffers.iter().map(|b| b.host).collect::<Vec<_>>(), expected);
    // The next chain is checked again, and breaks the device, which stops.
    slot.send_nothing();
    slot.driver.offer(0);
    slot.send_nothing();
    assert!(slot.needs_reset() && device.look().features.is_none());
}

#[test]
fn buffers_outside_of_ram_break_the_device() {
    let end = Gpa(BASE.0 + RAM);
    for bad in [
        writes(Gpa(0x1000_0000), 4),
        writes(Gpa(BASE.0 - 1), 2),
        writes(Gpa(end.0 - 1), 2),
        reads(end, 1),
        writes(BASE, u64::from(u32::MAX)),
        writes(Gpa(u64::MAX), 2),
    ] {
        let (mut slot, device) = slot(DeviceType::Net, 8, Options::default());
        slot.send(&[bad], None);
        assert!(slot.needs_reset(), "{bad:?}");
        assert!(device.look().features.is_none(), "the device has stopped");
        slot.bring_up();
        slot.driver = Driver::new(8, Options::default());
    }
}

#[test]
fn features_and_configuration_are_those_that_can_be_mirrored() {
    let (mut slot, device) = slot(DeviceType::Block, 8, Options::default());
    assert_eq!(device.look().features, Some(1 << 32), "what the guest did not want is not on");
    let offered = slot.mmio.function().offered();
    assert_eq!(offered & !(1 << 28 | 1 << 29), BLOCK_FEATURES | 1 << 32);
    let config = |slot: &Slot<Mirror>, at| slot.mmio.read(reg::CONFIG + at, Width::Word).unwrap();
    assert_eq!(config(&slot, 0), 0x0302_0100);
    assert_eq!(config(&slot, 12), u64::from(MAX_SEGMENTS) - 2);
    device.look().config[0] = 0xff;
    device.look().config_changed = true;
    let ram = slot.driver.ram.clone();
    slot.mmio.complete(&ram);
    assert_eq!(config(&slot, 0), 0x0302_01ff);
    assert_eq!(slot.get(reg::INTERRUPT_STATUS), 2);
}

#[test]
fn what_cannot_be_mirrored_is_refused() {
    assert!(mirror(&FakeDevice::new(DeviceType::Console)).is_none());
    let small = FakeDevice::new(DeviceType::Block);
    small.look().queue_max = 64;
    assert!(mirror(&small).is_none(), "the longest chain has to fit");
    let poor = FakeDevice::new(DeviceType::Net);
    assert!(Mirror::new(Box::new(poor), &mut |_| None).is_none());
}

#[test]
fn a_reset_ends_when_the_device_is_quiet() {
    let (mut slot, device) = slot(DeviceType::Block, 8, Options::default());
    slot.send(&request(), None);
    device.look().quick = false;
    slot.set(reg::STATUS, 0);
    assert_ne!((slot.get(reg::STATUS), slot.mmio.function().busy()), (0, 0));
    device.look().features = None;
    assert_eq!((slot.get(reg::STATUS), slot.mmio.function().busy()), (0, 0));
    slot.driver = Driver::new(8, Options::default());
    slot.bring_up();
    slot.send(&request(), None);
    assert_eq!(device.take(0).len(), 1, "what was under way is forgotten");
}

#[test]
fn chains_wait_where_the_ring_has_no_room() {
    let (mut slot, device) =
        slot(DeviceType::Net, 256, Options { indirect: true, event_idx: true });
    let parts: Vec<_> = (0..16).map(|n| writes(Gpa(BUFFERS.0 + 16 * n), 16)).collect();
    for _ in 0..250 {
        slot.send(&parts, Some(0));
    }
    let mut back = 0;
    for _ in 0..40 {
        let came = device.take(0);
        assert!(came.len() <= usize::from(RING) / 16);
        came.iter().for_each(|(number, _)| device.finish(0, *number, 1));
        let ram = slot.driver.ram.clone();
        slot.mmio.complete(&ram);
        while slot.driver.take_used().is_some() {
            back += 1;
        }
    }
    assert_eq!(back, 250);
}

/// A descriptor with fields that are near what is valid.
fn hostile() -> impl Strategy<Value = Descriptor> {
    let near = prop_oneof![BASE.0 - 64..BASE.0 + RAM + 64, any::<u64>(), Just(BASE.0 + RAM - 8)];
    let length = prop_oneof![0..64u32, any::<u32>(), Just(16), 0..0x10_0000u32];
    let flags = (0..8u16, any::<bool>());
    (near, length, flags, 0..18u16).prop_map(|(address, length, (flags, wild), next)| {
        let indirect = DescriptorFlags::INDIRECT.bits();
        let flags = if wild { flags } else { flags & !indirect };
        Descriptor { address, length, flags, next }
    })
}

proptest! {
    /// Whatever a guest writes, whenever: what reaches the device lies inside
    /// of the guest's RAM.
    #[test]
    fn what_reaches_the_device_is_inside_of_guest_ram(
        tables in prop::collection::vec(prop::collection::vec(hostile(), 16), 1..6),
        heads in prop::collection::vec((0..18u16, any::<bool>()), 1..40),
        indirect in any::<bool>(),
    ) {
        let (mut slot, device) = slot(DeviceType::Net, 16, Options { indirect, event_idx: false });
        let ram = slot.driver.ram.clone();
        let start = ram.hpa(BASE, 1).unwrap().0;
        let mut tables = tables.iter().cycle();
        for (head, rewrite) in heads {
            if rewrite && let Some(table) = tables.next() {
                for (index, descriptor) in (0..).zip(table) {
                    slot.driver.describe(slot.driver.place.descriptors, index, *descriptor);
                }
            }
            slot.driver.offer(head);
            slot.send_nothing();
            if device.look().features.is_none() {
                prop_assert!(slot.needs_reset());
                slot.driver = Driver::new(16, Options { indirect, event_idx: false });
                // The same memory, so that what is left of the tables is used.
                slot.driver.ram = ram.clone();
                slot.driver.jump(0);
                slot.bring_up();
                continue;
            }
            for (number, buffers) in device.take(0) {
                prop_assert!(buffers.len() <= MAX_SEGMENTS.into());
                for Buffer { host, len, .. } in buffers {
                    let inside = host.0 >= start && host.0 + u64::from(len) <= start + RAM;
                    prop_assert!(inside && len != 0, "{host:?} {len}");
                }
                device.finish(0, number, u32::MAX);
            }
            slot.mmio.complete(&ram);
        }
    }
}
