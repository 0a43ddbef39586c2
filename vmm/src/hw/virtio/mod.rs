//! The real machine's virtio devices: disks, the network, the log port, and
//! those that belong to guests.

mod blk;
mod net;
mod passed;

use alloc::alloc::{Layout, alloc_zeroed, dealloc};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ptr::{NonNull, with_exposed_provenance_mut};

use spin::Once;
use spin::mutex::SpinMutex;
use virtio_drivers::device::console::VirtIOConsole;
use virtio_drivers::transport::mmio::{MmioTransport, VirtIOHeader};
use virtio_drivers::transport::{DeviceType, Transport};
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

pub(super) use passed::find as passed;

use super::plic;
use crate::disk::{Disk, Op, Request, Submitted};
use crate::machine::External;
use crate::mem::GuestRam;
use crate::net::{BURST, FRAME_MAX, Frame, Wire};
use crate::virtio::chain::Segment;

/// Slots of QEMU `virt`: address, and interrupt at the PLIC.
const SLOTS: usize = 8;
const FIRST: usize = 0x1000_1000;
const STRIDE: usize = 0x1000;

type Mmio = MmioTransport<'static>;
type Console = VirtIOConsole<MachineHal, Mmio>;

/// M-mode: addresses are physical, and memory is coherent with devices.
pub(super) struct MachineHal;

// SAFETY: the heap gives memory that nobody else uses, of the size and
// alignment asked for, and addresses are the same for hart and device.
unsafe impl Hal for MachineHal {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let memory = pages_layout(pages).map_or(core::ptr::null_mut(), |layout| {
            // SAFETY: the driver asks for at least one page.
            unsafe { alloc_zeroed(layout) }
        });
        match NonNull::new(memory) {
            Some(memory) => (memory.as_ptr() as PhysAddr, memory),
            None => (0, NonNull::dangling()),
        }
    }

    unsafe fn dma_dealloc(_: PhysAddr, memory: NonNull<u8>, pages: usize) -> i32 {
        if let Some(layout) = pages_layout(pages) {
            // SAFETY: from `dma_alloc` with the same number of pages.
            unsafe { dealloc(memory.as_ptr(), layout) };
        }
        0
    }

    unsafe fn mmio_phys_to_virt(address: PhysAddr, _: usize) -> NonNull<u8> {
        let pointer = with_exposed_provenance_mut(crate::addr::to_usize(address));
        NonNull::new(pointer).unwrap_or(NonNull::dangling())
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        buffer.as_ptr().cast::<u8>() as PhysAddr
    }

    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}

fn pages_layout(pages: usize) -> Option<Layout> {
    Layout::from_size_align(pages.checked_mul(PAGE_SIZE)?, PAGE_SIZE).ok()
}

/// A disk that was found, and its interrupt at the PLIC.
struct RealDisk {
    source: u32,
    serial: [u8; 20],
    disk: SpinMutex<blk::Disk>,
}

/// The network interface, and its interrupt at the PLIC.
struct RealNet {
    source: u32,
    net: SpinMutex<net::Net>,
}

/// The log port: what we report goes out, the host's wishes come in.
struct LogPort {
    source: u32,
    console: Console,
    /// The line that is coming in.
    line: Vec<u8>,
    /// The host has asked us to stop, and has not been heard yet.
    stop: bool,
}

/// The only wish there is: end the guests, and report.
const STOP: &[u8] = b"stop";

impl LogPort {
    /// Takes in what has come, and quietens the interrupt line.
    fn receive(&mut self) {
        let _ = self.console.ack_interrupt();
        while let Ok(Some(byte)) = self.console.recv(true) {
            match byte {
                b'\n' => self.stop |= core::mem::take(&mut self.line) == STOP,
                _ if self.line.len() <= STOP.len() => self.line.push(byte),
                _ => {}
            }
        }
    }

    /// Writes, and leaves no interrupt for having written.
    fn send(&mut self, text: &str) {
        // A host that went away loses the rest of the log, nothing else.
        let _ = self.console.send_bytes(text.as_bytes());
        self.receive();
    }
}

static LOG: Once<SpinMutex<LogPort>> = Once::new();
static DISKS: Once<Vec<RealDisk>> = Once::new();
static NET: Once<RealNet> = Once::new();

/// The interrupt of `slot` at the PLIC.
#[expect(clippy::cast_possible_truncation, reason = "there are eight slots")]
fn source(slot: usize) -> u32 {
    1 + slot as u32
}

/// Looks for devices in all slots; those in the slots `owned` are for guests.
pub(super) fn init(owned: impl Iterator<Item = u8>) {
    passed::init(owned);
    let mut disks = Vec::new();
    for slot in (0..SLOTS).filter(|slot| !passed::has(*slot)) {
        let source = source(slot);
        let Some(transport) = transport(slot) else { continue };
        match transport.device_type() {
            DeviceType::Console => {
                if let Ok(console) = Console::new(transport) {
                    plic::enable(source);
                    let line = Vec::new();
                    LOG.call_once(|| {
                        SpinMutex::new(LogPort { source, console, line, stop: false })
                    });
                }
            }
            DeviceType::Block => {
                if let Some(mut disk) = blk::Disk::new(transport) {
                    let serial = disk.serial();
                    plic::enable(source);
                    disks.push(RealDisk { source, serial, disk: SpinMutex::new(disk) });
                }
            }
            DeviceType::Network => {
                if let Some(net) = net::Net::new(transport) {
                    plic::enable(source);
                    NET.call_once(|| RealNet { source, net: SpinMutex::new(net) });
                }
            }
            _ => {}
        }
    }
    DISKS.call_once(|| disks);
}

/// The device in `slot`, if there is one.
fn transport(slot: usize) -> Option<Mmio> {
    let header = with_exposed_provenance_mut::<VirtIOHeader>(FIRST + STRIDE * slot);
    // SAFETY: a virtio-mmio slot of the real machine, which is used once.
    unsafe { Mmio::new(NonNull::new(header)?, STRIDE) }.ok()
}

/// Whether the host listens on a log port.
pub(super) fn has_log() -> bool {
    LOG.is_completed()
}

/// Writes to the log port, if there is one.
pub(super) fn write_log(text: &str) {
    if let Some(log) = LOG.get() {
        log.lock().send(text);
    }
}

/// Whether the host has asked us to stop since this was last asked.
pub(super) fn wants_stop() -> bool {
    LOG.get().is_some_and(|log| core::mem::take(&mut log.lock().stop))
}

/// What the device that interrupts with `source` has to say; its line is
/// quiet afterwards.
///
/// What a passed device says is completed by whoever it is said to.
pub(super) fn interrupted(source: u32) -> Option<External> {
    if passed::interrupts(source) {
        return Some(External::Passed(source));
    }
    if let Some(log) = LOG.get().filter(|log| log.lock().source == source) {
        log.lock().receive();
        return None;
    }
    if let Some(real) = NET.get().filter(|real| real.source == source) {
        real.net.lock().acknowledge();
        return Some(External::Net);
    }
    let disks = DISKS.get()?;
    let number = disks.iter().position(|disk| disk.source == source)?;
    disks.get(number)?.disk.lock().acknowledge();
    Some(External::Disk(number))
}

/// The real disk with this serial number, as storage for a guest.
pub(super) fn disk(serial: &str) -> Option<(usize, Box<dyn Disk>)> {
    let is_it = |disk: &RealDisk| padded(serial) == disk.serial;
    let disks = DISKS.get()?;
    let number = disks.iter().position(is_it)?;
    Some((number, Box::new(Backend(disks.get(number)?))))
}

/// The real network, if there is one.
pub(super) fn network() -> Option<Box<dyn Wire>> {
    NET.get().map(|real| Box::new(Uplink(real)) as Box<dyn Wire>)
}

fn padded(serial: &str) -> [u8; 20] {
    let mut bytes = [0; 20];
    for (to, from) in bytes.iter_mut().zip(serial.bytes()) {
        *to = from;
    }
    bytes
}

/// A real disk as the storage of a guest's disk.
struct Backend(&'static RealDisk);

impl Disk for Backend {
    fn sectors(&self) -> u64 {
        self.0.disk.lock().capacity()
    }

    fn read_only(&self) -> bool {
        self.0.disk.lock().read_only()
    }

    fn serial(&self) -> [u8; 20] {
        self.0.serial
    }

    fn submit(&mut self, request: Request<'_>, ram: &GuestRam) -> Submitted {
        let host = |segment: &Segment| Some((ram.hpa(segment.gpa, segment.len)?, segment.len));
        let kind = match request.op {
            Op::Read => blk::Kind::Read,
            Op::Write => blk::Kind::Write,
            Op::Flush => blk::Kind::Flush,
        };
        let (segments, tag) = (request.data.iter().map(host), u64::from(request.tag));
        match self.0.disk.lock().submit(kind, request.sector, segments, tag) {
            true => Submitted::Pending,
            false => Submitted::Done(false),
        }
    }

    fn kick(&mut self) {
        self.0.disk.lock().kick();
    }

    fn complete(&mut self, _: &GuestRam) -> Option<(u16, bool)> {
        let (tag, success) = self.0.disk.lock().complete()?;
        u16::try_from(tag).ok().map(|tag| (tag, success))
    }
}

/// The real network interface as a wire.
struct Uplink(&'static RealNet);

impl Wire for Uplink {
    fn send(&mut self, frame: &[u8]) -> bool {
        self.0.net.lock().send(frame)
    }

    fn receive(&mut self, frame: &mut Frame) -> Option<usize> {
        self.0.net.lock().receive(frame)
    }

    fn clear(&mut self) {
        let (mut net, mut frame) = (self.0.net.lock(), [0; FRAME_MAX]);
        for _ in 0..BURST {
            net.receive(&mut frame);
        }
    }
}
