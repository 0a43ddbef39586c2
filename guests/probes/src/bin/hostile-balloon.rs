//! Hostile: a balloon driver that gives back what is not its to give, what it
//! uses, and the same again and again. After each attack a page must go into
//! the balloon and come back, empty.
#![no_std]
#![no_main]

use probes::access::load;
use probes::dev::net::Ring;
use probes::dev::virtio::{self, DEVICE_ID, NEXT, QUEUE_NOTIFY, SLOTS, STATUS, VERSION, WRITE};
use probes::dev::{Window, clint};
use probes::paging::{self, Frame, KERNEL, PAGE, RAM, Space};
use probes::rng::Rng;
use probes::{Mode, Probe};

probes::probe!(main);

/// Device id of a memory balloon, and the feature to ask before a page that
/// was given back is used again.
const BALLOON: u32 = 5;
const MUST_TELL_HOST: u32 = 1;
const INFLATE: u32 = 0;
const DEFLATE: u32 = 1;
/// Where a mapping of one page is that attacks the tables.
const MAPPED: u64 = 0x40_0000_0000;

/// Pages that are not RAM, the last and the first ones beside it, and numbers
/// that wrap when they become addresses.
const WILD: &[u32] =
    &[0, 1, 0x1_0000, 0x1_0001, 0x7_ffff, 0x8_8000, 0x10_0000, 0x7fff_ffff, 0xffff_fff0, u32::MAX];

/// A way to misbehave, from a working device.
type Attack = (&'static str, fn(&mut Driver));

const ATTACKS: &[Attack] = &[
    ("pages that are no RAM", wild),
    ("the same page twice, and again", twice),
    ("pages that were never given", never_given),
    ("its own queues and lists", own_rings),
    ("a page table in use", tables),
    ("lists of every length", lengths),
    ("lists outside memory", outside),
    ("wrong directions and loops", directions),
    ("without asking before use", silent),
    ("notifications and configuration", registers),
    ("rubbish in the rings", rubbish),
];

fn main(p: &mut Probe) {
    let slots = (0..SLOTS).map(virtio::slot);
    let Some(regs) = slots.into_iter().find(|slot| slot.read::<u32>(DEVICE_ID) == BALLOON) else {
        p.holds("a balloon", false);
        return;
    };
    let mut driver = Driver::new(regs);
    for (name, attack) in ATTACKS {
        driver.restart(MUST_TELL_HOST);
        attack(&mut driver);
        driver.restart(MUST_TELL_HOST);
        p.holds(format_args!("after {name}: a page goes and comes back"), driver.works());
    }
}

struct Driver {
    regs: Window,
    queues: [Ring; 2],
    list: Frame,
    page: Frame,
}

/// The number of a page.
fn number(page: Frame) -> u32 {
    u32::try_from(page.pa() / PAGE).unwrap_or(0)
}

impl Driver {
    fn new(regs: Window) -> Self {
        Self { regs, queues: [Ring::new(), Ring::new()], list: Frame::new(), page: Frame::new() }
    }

    fn restart(&mut self, features: u32) {
        let version = self.regs.read(VERSION);
        virtio::negotiate_with(self.regs, version, features);
        for (queue, ring) in (0..).zip(&mut self.queues) {
            ring.restart();
            virtio::place_queue(self.regs, version, queue, ring.pages.pa());
        }
        self.regs.write(STATUS, self.regs.read::<u32>(STATUS) | 4);
    }

    /// Writes a list of pages.
    fn write(&self, pages: &[u32]) {
        for (at, pair) in pages.chunks(2).enumerate() {
            let high = pair.get(1).copied().unwrap_or(0);
            self.list.set(at, u64::from(high) << 32 | u64::from(pair[0]));
        }
    }

    /// Makes descriptor 0 of a queue available; whether the device took it.
    fn offer(&mut self, queue: u32, (address, len): (u64, u64), flags: u64, next: u64) -> bool {
        let ring = &mut self.queues[queue as usize];
        ring.describe(0, address, len, flags, next);
        ring.offer(0);
        self.regs.write(QUEUE_NOTIFY, queue);
        let end = clint::mtime() + 20 * clint::TICKS_PER_MS;
        while ring.take().is_none() {
            if clint::mtime() > end {
                return false;
            }
        }
        true
    }

    /// Puts pages into the balloon, or takes them out.
    fn send(&mut self, queue: u32, pages: &[u32]) -> bool {
        self.write(pages);
        self.offer(queue, (self.list.pa(), 4 * pages.len() as u64), 0, 0)
    }

    /// The same with a device that may be broken before.
    fn try_send(&mut self, queue: u32, pages: &[u32]) {
        if !self.send(queue, pages) {
            self.restart(MUST_TELL_HOST);
        }
    }

    fn works(&mut self) -> bool {
        let page = [number(self.page)];
        self.page.fill(0x77);
        // The machine may be busy.
        let sent = (0..50).any(|_| {
            self.restart(MUST_TELL_HOST);
            self.send(INFLATE, &page) && self.send(DEFLATE, &page)
        });
        sent && (0..512).all(|word| self.page.get(word) == 0)
    }
}

fn wild(driver: &mut Driver) {
    for queue in [INFLATE, DEFLATE] {
        WILD.iter().for_each(|page| driver.try_send(queue, &[*page]));
        driver.try_send(queue, WILD);
    }
}

fn twice(driver: &mut Driver) {
    let page = number(driver.page);
    for _ in 0..20 {
        driver.try_send(INFLATE, &[page; 8]);
    }
    // It is the guest's again as soon as it is touched.
    driver.page.fill(1);
    driver.try_send(INFLATE, &[page; 2]);
    driver.try_send(DEFLATE, &[page; 8]);
    driver.try_send(DEFLATE, &[page; 8]);
}

fn never_given(driver: &mut Driver) {
    let (list, page) = (number(driver.list), number(driver.page));
    let queues = [0, 1].map(|n: usize| number(driver.queues[n].pages));
    driver.try_send(DEFLATE, &[page, queues[0], queues[1], list]);
}

fn own_rings(driver: &mut Driver) {
    for queue in [INFLATE, DEFLATE] {
        let rings = [0, 1].map(|n: usize| number(driver.queues[n].pages));
        for page in [rings[0], rings[0] + 1, rings[1], rings[1] + 1, number(driver.list)] {
            driver.try_send(queue, &[page]);
            driver.try_send(queue, &[page, page]);
            driver.restart(MUST_TELL_HOST);
        }
    }
}

/// The guest's own tables go, above and below a mapping in use.
fn tables(driver: &mut Driver) {
    let space = Space::new();
    let leaf = space.map(MAPPED, driver.page.pa(), KERNEL, 0);
    space.switch();
    for table in [leaf.pa() / PAGE * PAGE, driver.page.pa()] {
        let _ = load(Mode::S, MAPPED);
        let page = u32::try_from(table / PAGE).unwrap_or(0);
        driver.try_send(INFLATE, &[page]);
        let _ = load(Mode::S, MAPPED);
        driver.try_send(DEFLATE, &[page]);
        let _ = load(Mode::S, MAPPED);
        leaf.replace(paging::pte(driver.page.pa(), KERNEL));
    }
    paging::bare();
}

fn lengths(driver: &mut Driver) {
    driver.write(&[number(driver.page); 1024]);
    for len in [0, 1, 2, 3, 5, 4095, 4096, 4097, 0xffff, 0x7fff_fffc, 0xffff_ffff] {
        for queue in [INFLATE, DEFLATE] {
            if !driver.offer(queue, (driver.list.pa(), len), 0, 0) {
                driver.restart(MUST_TELL_HOST);
            }
        }
    }
}

fn outside(driver: &mut Driver) {
    for place in [0, 0x1000, 0x1000_1000, RAM - 4, 0x9_0000_0000, u64::MAX - 3, 1 << 63] {
        for queue in [INFLATE, DEFLATE] {
            driver.offer(queue, (place, 8), 0, 0);
            driver.restart(MUST_TELL_HOST);
        }
    }
}

fn directions(driver: &mut Driver) {
    driver.write(&[number(driver.page)]);
    let list = (driver.list.pa(), 4);
    for (flags, next) in [(WRITE, 0), (WRITE | NEXT, 1), (NEXT, 0), (NEXT, 7), (NEXT, 0xffff)] {
        for queue in [INFLATE, DEFLATE] {
            driver.offer(queue, list, flags, next);
            driver.restart(MUST_TELL_HOST);
        }
    }
}

/// A driver that never promised to ask: its pages stay its own.
fn silent(driver: &mut Driver) {
    driver.restart(0);
    driver.page.fill(0x5a);
    let page = number(driver.page);
    driver.send(INFLATE, &[page]);
    driver.send(DEFLATE, &[page]);
}

fn registers(driver: &mut Driver) {
    for queue in (0..300).chain([u32::MAX]) {
        driver.regs.write(QUEUE_NOTIFY, queue);
    }
    for value in [0, 1, 0x7fff_ffff, u32::MAX] {
        for at in 0..4 {
            driver.regs.write(virtio::CONFIG + 4 * at, value);
        }
    }
}

fn rubbish(driver: &mut Driver) {
    let mut rng = Rng::new(815);
    let page = u64::from(number(driver.page));
    driver.list.fill(page << 32 | page);
    for _ in 0..300 {
        driver.restart(MUST_TELL_HOST);
        for _ in 0..4 {
            let near = driver.list.pa() + rng.below(PAGE);
            let value = if rng.below(2) == 0 { near } else { rng.draw() };
            let index = usize::try_from(rng.below(20)).unwrap_or(0);
            driver.queues[usize::from(rng.below(2) == 0)].pages.set(index, value);
        }
        driver.regs.write(QUEUE_NOTIFY, u32::from(rng.below(2) == 0));
    }
}
