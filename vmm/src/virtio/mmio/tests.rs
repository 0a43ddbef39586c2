//! The registers, one by one, over a device that only counts.

use super::super::Served;
use super::super::fake::{BASE, BUFFERS, RAM, Slot, reads, reg};
use super::super::queue::{Broken, Options, Queue};
use super::*;
use trapeze_protocol::device::DeviceType;

/// A device with two queues that breaks on request.
#[derive(Default)]
struct Probe {
    served: Vec<usize>,
    answer: Vec<Result<Served, Broken>>,
    busy: usize,
}

impl Device for Probe {
    fn kind(&self) -> DeviceType {
        DeviceType::Entropy
    }

    fn queues(&self) -> usize {
        2
    }

    fn features(&self) -> u64 {
        0x22
    }

    fn config(&self) -> &[u8] {
        &[1, 2, 3, 4, 5, 6]
    }

    fn serve(&mut self, i: usize, _: &mut [Queue], _: &GuestRam) -> Result<Served, Broken> {
        self.served.push(i);
        self.answer.pop().unwrap_or(Ok(Served::INTERRUPT))
    }

    fn collect(&mut self, _: &mut [Queue], _: &GuestRam) -> Result<Served, Broken> {
        Ok(Served::empty())
    }

    fn abandon(&mut self, _: usize) {}

    fn busy(&self) -> usize {
        self.busy
    }
}

const PLAIN: Options = Options { indirect: false, event_idx: false };

fn slot(version: Version) -> Slot<Probe> {
    Slot::start(version, Probe::default(), 8, PLAIN)
}

fn served(slot: &Slot<Probe>) -> &[usize] {
    &slot.mmio.function().device().served
}

#[test]
fn the_device_says_what_it_is() {
    for (version, number) in [(Version::Legacy, 1), (Version::Modern, 2)] {
        let slot = slot(version);
        assert_eq!([0, 4, 8, 12].map(|at| slot.get(at)), [MAGIC, number, 4, VENDOR]);
    }
}

#[test]
fn widths_and_holes_as_in_qemu() {
    let mut slot = slot(Version::Modern);
    let ram = GuestRam::leaked(BASE, RAM);
    let mmio = &mut slot.mmio;
    assert_eq!(mmio.read(0, Width::Double), Ok(0x2_7472_6976));
    assert_eq!(mmio.read(0, Width::Byte), Ok(0));
    assert_eq!(mmio.read(2, Width::Half), Ok(0));
    assert_eq!(mmio.write(STATUS, Width::Byte, 0, &ram), Ok(()));
    assert_eq!(mmio.read(STATUS, Width::Word), Ok(15), "not written");
    for width in Width::ALL {
        assert_eq!(mmio.read(END, width), Err(AccessFault));
        assert_eq!(mmio.write(END, width, 0, &ram), Err(AccessFault));
        assert_eq!(mmio.read(u64::MAX, width), Err(AccessFault));
    }
    assert_eq!(mmio.read(CONFIG, Width::Byte), Ok(1));
    assert_eq!(mmio.read(CONFIG + 2, Width::Half), Ok(0x0403));
    assert_eq!(mmio.read(CONFIG + 4, Width::Word), Ok(0xffff_0605));
    assert_eq!(mmio.read(CONFIG, Width::Double), Ok(0xffff_0605_0403_0201));
    assert_eq!(mmio.read(END - 8, Width::Double), Ok(u64::MAX));
}

#[test]
fn no_register_stops_the_vmm() {
    for version in [Version::Legacy, Version::Modern] {
        for value in [0, 1, 2, 0x7fff_ffff, u64::from(u32::MAX), u64::MAX] {
            let mut slot = slot(version);
            for (offset, width) in (0..END).flat_map(|o| Width::ALL.map(|width| (o, width))) {
                if offset % width.bytes() == 0 {
                    slot.mmio.write(offset, width, value, &slot.driver.ram).unwrap();
                    slot.mmio.read(offset, width).unwrap();
                }
            }
        }
    }
}

#[test]
fn features_come_in_words() {
    let offered = |version, select| {
        let mut slot = slot(version);
        slot.set(reg::DEVICE_FEATURES_SEL, select);
        slot.get(reg::DEVICE_FEATURES)
    };
    assert_eq!(offered(Version::Modern, 0), 0x3000_0022);
    assert_eq!(offered(Version::Modern, 1), 1);
    assert_eq!(offered(Version::Modern, 2), 0);
    assert_eq!(offered(Version::Modern, u32::MAX), 0);
    assert_eq!(offered(Version::Legacy, 0), 0x3800_0022);
    assert_eq!(offered(Version::Legacy, 1), 0);
}

#[test]
fn features_that_are_not_offered_are_not_agreed() {
    let mut slot = slot(Version::Modern);
    let agree = |slot: &mut Slot<Probe>, low| {
        slot.set(reg::STATUS, 0);
        slot.set(reg::DRIVER_FEATURES_SEL, 0);
        slot.set(reg::DRIVER_FEATURES, low);
        slot.set(reg::STATUS, 3);
        slot.set(reg::STATUS, 11);
        slot.get(reg::STATUS)
    };
    assert_eq!(agree(&mut slot, 0x40), 3);
    assert_eq!(agree(&mut slot, 0x20), 11, "even without VERSION_1, as xv6 does");
    slot.set(reg::DRIVER_FEATURES, 0x40);
    slot.set(reg::STATUS, 11);
    assert_eq!(slot.get(reg::STATUS), 11, "features are settled");
}

#[test]
fn queues_are_told_apart() {
    let mut slot = slot(Version::Modern);
    assert_eq!(slot.get(reg::QUEUE_READY), 1);
    slot.set(reg::QUEUE_SEL, 1);
    assert_eq!((slot.get(reg::QUEUE_READY), slot.get(reg::QUEUE_NUM_MAX)), (0, 256));
    slot.set(reg::QUEUE_SEL, 2);
    assert_eq!((slot.get(reg::QUEUE_READY), slot.get(reg::QUEUE_NUM_MAX)), (0, 0));
    slot.set(reg::QUEUE_NUM, 8);
    slot.set(reg::QUEUE_READY, 1);
    assert_eq!(slot.get(reg::QUEUE_READY), 0);
    for queue in [1, 2, u32::MAX, 0] {
        slot.set(reg::QUEUE_NOTIFY, queue);
    }
    assert_eq!(served(&slot), [0], "only what is in use");
}

#[test]
fn a_queue_in_use_stays_where_it_is() {
    let mut slot = slot(Version::Modern);
    slot.set(reg::QUEUE_NUM, 4);
    slot.set(reg::QUEUE_DESC, 0);
    slot.set(reg::QUEUE_READY, 1);
    assert_eq!(slot.get(reg::QUEUE_READY), 1);
    slot.set(reg::QUEUE_READY, 0);
    assert_eq!(slot.get(reg::QUEUE_READY), 0);
    slot.set(reg::QUEUE_NOTIFY, 0);
    assert_eq!(served(&slot), []);
}

#[test]
fn the_two_versions_do_not_mix() {
    let mut legacy = slot(Version::Legacy);
    legacy.set(reg::QUEUE_READY, 0);
    assert_eq!(legacy.get(reg::QUEUE_READY), 0);
    assert_eq!(legacy.get(reg::QUEUE_PFN), 0x8_0000);
    legacy.set(reg::QUEUE_PFN, 0);
    assert_eq!(legacy.get(reg::QUEUE_PFN), 0);
    legacy.set(reg::QUEUE_NOTIFY, 0);
    assert_eq!(served(&legacy), []);
    let mut modern = slot(Version::Modern);
    modern.set(reg::QUEUE_PFN, 0);
    assert_eq!((modern.get(reg::QUEUE_PFN), modern.get(reg::QUEUE_READY)), (0, 1));
    assert_eq!((modern.get(SHM_LEN_LOW), legacy.get(SHM_LEN_LOW)), (u32::MAX, 0));
}

#[test]
fn a_modern_driver_must_say_that_it_is_ready() {
    let mut slot = slot(Version::Modern);
    slot.set(reg::STATUS, 0);
    slot.set(reg::STATUS, 11);
    slot.set_queue();
    slot.set(reg::QUEUE_NOTIFY, 0);
    assert_eq!(served(&slot), []);
    slot.set(reg::STATUS, 15);
    slot.set(reg::QUEUE_NOTIFY, 0);
    slot.set(reg::STATUS, 15 | 128);
    slot.set(reg::QUEUE_NOTIFY, 0);
    assert_eq!(served(&slot), [0], "not after FAILED");
}

#[test]
fn the_line_is_up_until_acknowledged() {
    let mut slot = slot(Version::Modern);
    slot.set(reg::QUEUE_NOTIFY, 0);
    assert!(slot.mmio.interrupt());
    assert_eq!(slot.get(reg::INTERRUPT_STATUS), 1);
    slot.set(reg::INTERRUPT_ACK, 2);
    assert!(slot.mmio.interrupt());
    slot.set(reg::INTERRUPT_ACK, 1);
    assert!(!slot.mmio.interrupt());
}

fn answering(answers: &[Result<Served, Broken>]) -> Slot<Probe> {
    let device = Probe { answer: answers.iter().rev().copied().collect(), ..Probe::default() };
    Slot::start(Version::Modern, device, 8, PLAIN)
}

#[test]
fn a_broken_queue_needs_a_reset() {
    let mut slot = answering(&[Err(Broken::Loop)]);
    slot.set(reg::QUEUE_NOTIFY, 0);
    assert_eq!((slot.get(reg::STATUS), slot.get(reg::INTERRUPT_STATUS)), (15 | 64, 2));
    assert_eq!(slot.get(reg::QUEUE_READY), 0);
    slot.set(reg::STATUS, 15);
    slot.set_queue();
    slot.set(reg::QUEUE_NOTIFY, 0);
    assert_eq!(slot.get(reg::STATUS), 15 | 64, "only the device clears it");
    assert_eq!(served(&slot), [0]);
    slot.bring_up();
    slot.set(reg::QUEUE_NOTIFY, 0);
    assert_eq!((slot.get(reg::STATUS), slot.get(reg::INTERRUPT_STATUS)), (15, 1));
}

#[test]
fn a_queue_that_cannot_be_breaks_the_device() {
    for (register, value) in
        [(reg::QUEUE_NUM, 6), (reg::QUEUE_NUM, 0x1_0008), (reg::QUEUE_DESC, 0x8000_0008)]
    {
        let mut slot = slot(Version::Modern);
        slot.set(reg::QUEUE_READY, 0);
        slot.set(register, value);
        slot.set(reg::QUEUE_READY, 1);
        assert_eq!((slot.get(reg::QUEUE_READY), slot.get(reg::STATUS)), (0, 15 | 64));
    }
    for (register, value) in [(reg::QUEUE_ALIGN, 0), (reg::QUEUE_ALIGN, 3), (0x28, 1)] {
        let mut slot = slot(Version::Legacy);
        slot.set(reg::QUEUE_PFN, 0);
        slot.set(register, value);
        slot.set(reg::QUEUE_PFN, 0x8_0000);
        assert_eq!(slot.get(reg::STATUS), 7 | 64, "{register:#x}");
    }
}

#[test]
fn work_that_was_put_off_is_done_when_polled() {
    let mut slot = answering(&[Ok(Served::MORE), Ok(Served::MORE), Ok(Served::INTERRUPT)]);
    slot.set(reg::QUEUE_NOTIFY, 0);
    assert!(slot.mmio.function().has_backlog());
    slot.mmio.complete(&slot.driver.ram);
    assert!(slot.mmio.function().has_backlog() && !slot.mmio.interrupt());
    slot.mmio.complete(&slot.driver.ram);
    assert!(!slot.mmio.function().has_backlog() && slot.mmio.interrupt());
    slot.mmio.complete(&slot.driver.ram);
    assert_eq!(served(&slot), [0, 0, 0]);
}

#[test]
fn a_reset_forgets_all_but_the_legacy_page_size() {
    let mut slot = slot(Version::Legacy);
    slot.driver.add(&[reads(BUFFERS, 1)], None);
    slot.set(reg::QUEUE_NOTIFY, 0);
    slot.set(reg::GUEST_PAGE_SIZE, 8192);
    slot.set(reg::STATUS, 0);
    let registers = [reg::STATUS, reg::INTERRUPT_STATUS, reg::QUEUE_PFN];
    assert_eq!(registers.map(|register| slot.get(register)), [0; 3]);
    // Linux tells the page size before it resets the device.
    slot.set(reg::QUEUE_NUM, 8);
    slot.set(reg::QUEUE_PFN, 0x4_0000);
    slot.set(reg::QUEUE_NOTIFY, 0);
    assert_eq!(served(&slot), [0, 0]);
}

#[test]
fn a_reset_lasts_until_the_backend_is_quiet() {
    let device = Probe { busy: 1, ..Probe::default() };
    let mut slot = Slot { mmio: Mmio::new(Version::Modern, device), ..slot(Version::Modern) };
    slot.set(reg::STATUS, 3);
    slot.set(reg::STATUS, 0);
    assert_eq!(slot.get(reg::STATUS), 3);
    slot.set(reg::STATUS, 1);
    assert_eq!(slot.get(reg::STATUS), 1, "a driver that does not wait may go on");
}

#[test]
fn an_empty_slot_has_no_device() {
    let words = [0, 4, 8, 12, 16, 0x100].map(|at| read_empty(at, Width::Word));
    assert_eq!(words, [MAGIC.into(), 2, 0, VENDOR.into(), 0, 0]);
    assert_eq!(read_empty(0, Width::Byte), 0x76);
}
