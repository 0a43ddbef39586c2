//! virtio-mmio (Virtual I/O Device specification 1.2, section 4.2) and the
//! smallest possible block driver: one queue, one request at a time.
//!
//! Both register layouts: version 1 (legacy) and version 2 (modern).

use super::{Window, clint};
use crate::paging::{Frame, PAGE};

/// Transport slots of the `virt` machine.
pub const SLOTS: u64 = 8;
/// "virt", the value of the magic register.
pub const MAGIC: u32 = 0x7472_6976;
/// Device id of a block device.
pub const BLOCK: u32 = 2;
/// Device id of a console, whose queue 1 is for what it shows.
pub const CONSOLE: u32 = 3;
/// Device id of a source of random bytes.
pub const ENTROPY: u32 = 4;
/// Entries of the queue that [`Disk`] sets up.
pub const QUEUE_SIZE: u32 = 8;

macro_rules! registers {
    ($($name:ident = $offset:literal),* $(,)?) => {
        $(#[doc = concat!("Offset of the register ", stringify!($name), ".")]
        pub const $name: u64 = $offset;)*
    };
}

registers! {
    MAGIC_VALUE = 0x000, VERSION = 0x004, DEVICE_ID = 0x008, VENDOR_ID = 0x00c,
    DEVICE_FEATURES = 0x010, DEVICE_FEATURES_SEL = 0x014,
    DRIVER_FEATURES = 0x020, DRIVER_FEATURES_SEL = 0x024, GUEST_PAGE_SIZE = 0x028,
    QUEUE_SEL = 0x030, QUEUE_NUM_MAX = 0x034, QUEUE_NUM = 0x038, QUEUE_ALIGN = 0x03c,
    QUEUE_PFN = 0x040, QUEUE_READY = 0x044, QUEUE_NOTIFY = 0x050,
    INTERRUPT_STATUS = 0x060, INTERRUPT_ACK = 0x064, STATUS = 0x070,
    QUEUE_DESC_LOW = 0x080, QUEUE_DESC_HIGH = 0x084, QUEUE_DRIVER_LOW = 0x090,
    QUEUE_DRIVER_HIGH = 0x094, QUEUE_DEVICE_LOW = 0x0a0, QUEUE_DEVICE_HIGH = 0x0a4,
    CONFIG_GENERATION = 0x0fc, CONFIG = 0x100,
}

/// The registers of one slot.
#[must_use]
pub const fn slot(n: u64) -> Window {
    Window::new(0x1000_1000 + 0x1000 * n, 0x1000)
}

/// PLIC source of a slot.
#[must_use]
pub const fn irq(n: u64) -> u64 {
    n + 1
}

/// The first slot with a block device.
#[must_use]
pub fn find_block() -> Option<u64> {
    find(BLOCK)
}

/// The first slot with a device of this id.
#[must_use]
pub fn find(id: u32) -> Option<u64> {
    (0..SLOTS).find(|n| slot(*n).read::<u32>(DEVICE_ID) == id)
}

/// Descriptor flag: another one follows.
pub const NEXT: u64 = 1;
/// Descriptor flag: the device writes.
pub const WRITE: u64 = 2;

/// A block device with its queue, or another device with one of its queues,
/// in the layout that both versions can use:
/// descriptors and available ring in the first page, used ring in the second.
pub struct Disk {
    /// The device's registers.
    pub regs: Window,
    /// Register layout: 1 or 2.
    pub version: u32,
    /// The queue's two pages.
    pub queue: Frame,
    /// Request header at 0, status at 16, data in the next page.
    pub request: Frame,
    issued: u64,
    number: u32,
}

/// Index, in doublewords of the queue's first page, of the available ring.
const AVAIL: usize = QUEUE_SIZE as usize * 2;

impl Disk {
    /// Resets the device in `slot`, negotiates no feature but VERSION_1 where
    /// it is needed, and sets its queue up.
    #[must_use]
    pub fn new(n: u64) -> Self {
        let mut disk = Self::detached(n);
        disk.restart();
        disk
    }

    /// The same for queue `number` of any device.
    #[must_use]
    pub fn on_queue(n: u64, number: u32) -> Self {
        let mut device = Self { number, ..Self::detached(n) };
        device.restart();
        device
    }

    /// The memory of a driver for the device in `slot`, or for one that has
    /// no registers; nothing is set up.
    #[must_use]
    pub fn detached(n: u64) -> Self {
        let regs = slot(n);
        let version = regs.read(VERSION);
        let [queue, request] = [Frame::run(2), Frame::run(2)];
        Self { regs, version, queue, request, issued: 0, number: 0 }
    }

    /// Addresses of the descriptors, the available ring, the used ring.
    #[must_use]
    pub fn parts(&self) -> [u64; 3] {
        let pa = self.queue.pa();
        [pa, pa + 8 * AVAIL as u64, pa + PAGE]
    }

    /// Resets the device and sets its queue, emptied, up again.
    pub fn restart(&mut self) {
        negotiate(self.regs, self.version);
        self.queue.fill(0);
        self.queue.after(1).fill(0);
        self.issued = 0;
        self.set_queue(self.queue.pa());
        self.regs.write(STATUS, self.regs.read::<u32>(STATUS) | 4);
    }

    /// Tells the device that the queue lies at `pa` (two pages).
    pub fn set_queue(&self, pa: u64) {
        place_queue(self.regs, self.version, self.number, pa);
    }

    /// Writes a descriptor.
    pub fn describe(&self, index: u64, address: u64, len: u64, flags: u64, next: u64) {
        let at = usize::try_from(index * 2).unwrap_or(0);
        self.queue.set(at, address);
        self.queue.set(at + 1, len | flags << 32 | next << 48);
    }

    /// Makes the chain that starts at `head` available, and notifies.
    pub fn submit(&mut self, head: u64) {
        self.offer(head);
        self.regs.write(QUEUE_NOTIFY, self.number);
    }

    /// Makes the chain that starts at `head` available.
    pub fn offer(&mut self, head: u64) {
        let position = self.issued % u64::from(QUEUE_SIZE);
        self.set_avail(position, head);
        self.issued += 1;
        self.set_avail_index(self.issued);
    }

    fn set_avail(&self, position: u64, head: u64) {
        self.set_half(2 + position, head);
    }

    /// Writes the available ring's index without notifying.
    pub fn set_avail_index(&self, index: u64) {
        self.set_half(1, index & 0xffff);
    }

    /// Writes 16 bits of the available ring.
    fn set_half(&self, half: u64, value: u64) {
        let at = AVAIL + usize::try_from(half / 4).unwrap_or(0);
        let shift = half % 4 * 16;
        self.queue.set(at, self.queue.get(at) & !(0xffff << shift) | value << shift);
    }

    /// The used ring's index.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.queue.after(1).get(0) >> 16 & 0xffff
    }

    /// Bytes that the device says it wrote, for element `n` (below 8) of the
    /// used ring.
    #[must_use]
    pub fn written(&self, n: usize) -> u64 {
        self.queue.after(1).get(1 + n) & 0xffff_ffff
    }

    /// Waits until all submitted chains are used, or for some seconds.
    #[must_use]
    pub fn wait(&self) -> bool {
        self.wait_ms(5000)
    }

    /// Waits until all submitted chains are used, or for `ms` milliseconds.
    #[must_use]
    pub fn wait_ms(&self, ms: u64) -> bool {
        let end = clint::mtime() + ms * clint::TICKS_PER_MS;
        while self.used() != self.issued & 0xffff {
            if clint::mtime() > end {
                return false;
            }
        }
        true
    }

    /// Describes a request of one 512-byte sector, as chain 0-1-2.
    pub fn prepare(&self, sector: u64, write: bool) {
        self.request.set(0, u64::from(write));
        self.request.set(1, sector);
        self.request.set(2, 0xff);
        let data = if write { NEXT } else { NEXT | WRITE };
        self.describe(0, self.request.pa(), 16, NEXT, 1);
        self.describe(1, self.data().pa(), 512, data, 2);
        self.describe(2, self.request.pa() + 16, 1, WRITE, 0);
    }

    /// Reads or writes one sector; gives the status byte (0 is good), or
    /// 0xff if the device said nothing.
    pub fn transfer(&mut self, sector: u64, write: bool) -> u64 {
        self.prepare(sector, write);
        self.submit(0);
        if self.wait() { self.request.get(2) & 0xff } else { 0xff }
    }

    /// The data of the request, in its first 64 doublewords.
    #[must_use]
    pub fn data(&self) -> Frame {
        self.request.after(1)
    }
}

/// Resets a device and agrees on no feature but VERSION_1 where it is needed.
pub fn negotiate(regs: Window, version: u32) {
    negotiate_with(regs, version, 0);
}

/// The same with these features of the first 32.
pub fn negotiate_with(regs: Window, version: u32, features: u32) {
    for status in [0_u32, 1, 3] {
        regs.write(STATUS, status);
    }
    regs.write(DRIVER_FEATURES_SEL, 0_u32);
    regs.write(DRIVER_FEATURES, features);
    if version == 2 {
        regs.write(DRIVER_FEATURES_SEL, 1_u32);
        regs.write(DRIVER_FEATURES, 1_u32);
        regs.write(STATUS, 11_u32);
    } else {
        regs.write(GUEST_PAGE_SIZE, 4096_u32);
    }
}

/// Tells a device that queue `number` lies at `pa`: descriptors and available
/// ring in the first page, used ring in the second.
pub fn place_queue(regs: Window, version: u32, number: u32, pa: u64) {
    regs.write(QUEUE_SEL, number);
    regs.write(QUEUE_NUM, QUEUE_SIZE);
    if version == 2 {
        let parts = [
            (QUEUE_DESC_LOW, pa),
            (QUEUE_DRIVER_LOW, pa + 8 * AVAIL as u64),
            (QUEUE_DEVICE_LOW, pa + PAGE),
        ];
        for (register, address) in parts {
            regs.write(register, low(address));
            regs.write(register + 4, low(address >> 32));
        }
        regs.write(QUEUE_READY, 1_u32);
    } else {
        regs.write(QUEUE_ALIGN, 4096_u32);
        regs.write(QUEUE_PFN, low(pa >> 12));
    }
}

fn low(value: u64) -> u32 {
    u32::try_from(value & 0xffff_ffff).unwrap_or(0)
}
