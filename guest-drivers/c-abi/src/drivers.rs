//! The drivers that the library has, and who may use which when. Safe: what
//! C promises is turned into values in [`abi`](crate::abi).

use core::ffi::c_void;

use guest_drivers::{
    Block, BlockStorage, COUNTER_NAME, Console, ConsoleStorage, CpuPage, Device, DeviceType,
    Hypercall, InterruptLine, Interrupts, Line, Memory, Once, Operation, RawBuffer, Vmm,
};
use spin::mutex::SpinMutex;

use crate::abi::{Completion, Status};

/// Disks that can be open.
pub(crate) const DISKS: usize = 4;
/// Requests that a disk can have.
const REQUESTS: usize = 64;
/// Bytes that a console shows at a time, in one exit.
const PIECE: usize = 256;

/// A buffer, and the address by which the kernel knows the request: ours to
/// give back, and no more.
type Request = (RawBuffer, usize);

type Disk<M, H> = Block<Request, M, H>;

/// A console, and where what it shows is copied to: a kernel may keep text
/// where devices cannot reach it, such as on its stack.
struct Screen<M: Memory, H: Hypercall> {
    console: Console<M, H>,
    piece: &'static mut [u8; PIECE],
}

/// A driver that may have been opened, and may be in use.
struct Seat<T>(SpinMutex<Option<T>>);

impl<T> Seat<T> {
    const fn empty() -> Self {
        Self(SpinMutex::new(None))
    }

    /// Puts a driver there, if there is none.
    fn open(&self, make: impl FnOnce() -> Result<T, Status>) -> Result<(), Status> {
        let mut seat = self.0.try_lock().ok_or(Status::Busy)?;
        if seat.is_none() {
            *seat = Some(make()?);
        }
        Ok(())
    }

    /// Nobody waits here: the kernel's own lock is the one to wait for.
    fn with<R>(&self, act: impl FnOnce(&mut T) -> Result<R, Status>) -> Result<R, Status> {
        let mut seat = self.0.try_lock().ok_or(Status::Busy)?;
        act(seat.as_mut().ok_or(Status::None)?)
    }
}

/// All of them, for one static.
pub(crate) struct Drivers<M: Memory + 'static, H: Hypercall + 'static> {
    vmm: spin::Once<Vmm<M, H>>,
    line: InterruptLine,
    disks: [Seat<Disk<M, H>>; DISKS],
    storage: [Once<BlockStorage<Request, REQUESTS>>; DISKS],
    screen: Seat<Screen<M, H>>,
    /// For last words, which do not wait for a driver.
    emergency: spin::Once<Device<M, H>>,
    screen_storage: Once<(ConsoleStorage, [u8; PIECE])>,
}

impl<M: Memory, H: Hypercall> Drivers<M, H> {
    pub(crate) const fn new() -> Self {
        Self {
            vmm: spin::Once::new(),
            line: InterruptLine::new(),
            disks: [const { Seat::empty() }; DISKS],
            storage: [const { Once::new(BlockStorage::new()) }; DISKS],
            screen: Seat::empty(),
            emergency: spin::Once::new(),
            screen_storage: Once::new((ConsoleStorage::new(), [0; PIECE])),
        }
    }

    /// Keeps the VMM that was found.
    pub(crate) fn found(&self, vmm: Option<Vmm<M, H>>) -> Result<(), Status> {
        let vmm = vmm.ok_or(Status::None)?;
        self.vmm.call_once(|| vmm);
        Ok(())
    }

    fn vmm(&self) -> Result<Vmm<M, H>, Status> {
        self.vmm.get().copied().ok_or(Status::None)
    }

    pub(crate) fn relax(&self) {
        if let Ok(vmm) = self.vmm() {
            vmm.relax();
        }
    }

    /// Has the registers of S-mode of this hart in `page`.
    pub(crate) fn cpu_page(&self, page: &'static CpuPage) -> Result<(), Status> {
        Ok(self.vmm()?.set_cpu_page(page)?)
    }

    pub(crate) fn counter(&self, number: u64) -> Result<u64, Status> {
        self.vmm()?.counter(number).ok_or(Status::None)
    }

    pub(crate) fn counter_name(&self, number: u64) -> Result<[u8; COUNTER_NAME], Status> {
        self.vmm()?.counter_name(number).ok_or(Status::None)
    }

    /// Lets devices interrupt `hart` by the interrupt with this code.
    pub(crate) fn connect(&'static self, code: u32, hart: u64) -> Result<(), Status> {
        let line = Line::from_code(code.into()).map_err(|_| Status::Unsupported)?;
        Ok(self.line.connect(self.vmm()?, line, hart)?)
    }

    /// Whether there is news; costs no exit.
    pub(crate) fn has_news(&self) -> bool {
        self.line.is_pending()
    }

    /// Takes the news, and sees to disks that gave up. Bit n: device n.
    pub(crate) fn take_news(&self) -> u64 {
        let Ok(vmm) = self.vmm() else { return 0 };
        let news = self.line.take(vmm);
        for disk in &self.disks {
            // Who uses it now finds out by itself.
            let _ = disk.with(|disk| {
                if news.has_changed(disk.device().number()) {
                    disk.handle_change();
                }
                Ok(())
            });
        }
        news.devices().fold(0, |mask, device| mask | 1 << device)
    }

    fn disk(&self, number: u32) -> Result<&Seat<Disk<M, H>>, Status> {
        let number = usize::try_from(number).map_err(|_| Status::None)?;
        self.disks.get(number).ok_or(Status::None)
    }

    /// Takes the disk of this number, among disks, into service.
    pub(crate) fn open_disk(&'static self, number: u32, after: u32) -> Result<(), Status> {
        let index = usize::try_from(number).map_err(|_| Status::None)?;
        let storage = self.storage.get(index).ok_or(Status::None)?;
        let mut disks = self.vmm()?.devices().filter(|one| one.kind() == Some(DeviceType::Block));
        self.disk(number)?.open(|| {
            let device = disks.nth(index).ok_or(Status::None)?;
            // One that did not work once is not tried again.
            let mut disk = Block::new(device, storage.take().ok_or(Status::Device)?)?;
            disk.set_interrupts(interrupts(after));
            Ok(disk)
        })
    }

    pub(crate) fn capacity(&self, disk: u32) -> Result<u64, Status> {
        self.disk(disk)?.with(|disk| Ok(disk.capacity()))
    }

    pub(crate) fn device_of(&self, disk: u32) -> Result<u64, Status> {
        self.disk(disk)?.with(|disk| Ok(disk.device().number()))
    }

    /// Gives a request to the disk without telling it.
    pub(crate) fn enqueue(
        &self,
        disk: u32,
        operation: Operation,
        (sector, data): (u64, RawBuffer),
        tag: *mut c_void,
    ) -> Result<(), Status> {
        self.disk(disk)?.with(|disk| {
            let taken = disk.enqueue(operation, sector, (data, tag.expose_provenance()));
            taken.map(|_| ()).map_err(|refused| refused.error.into())
        })
    }

    pub(crate) fn kick(&self, disk: u32) -> Result<(), Status> {
        self.disk(disk)?.with(|disk| {
            disk.kick();
            Ok(())
        })
    }

    pub(crate) fn complete(&self, disk: u32) -> Result<Option<Completion>, Status> {
        self.disk(disk)?.with(|disk| {
            Ok(disk.complete().map(|done| Completion {
                tag: core::ptr::with_exposed_provenance_mut(done.data.1),
                status: Status::from(done.result.map_err(Status::from)) as i32,
            }))
        })
    }

    pub(crate) fn set_interrupts(&self, disk: u32, after: u32) -> Result<(), Status> {
        self.disk(disk)?.with(|disk| {
            disk.set_interrupts(interrupts(after));
            Ok(())
        })
    }

    pub(crate) fn restart(&self, disk: u32) -> Result<(), Status> {
        self.disk(disk)?.with(|disk| Ok(disk.restart()?))
    }

    pub(crate) fn read(&self, disk: u32, sector: u64, bytes: &mut [u8]) -> Result<(), Status> {
        self.disk(disk)?.with(|disk| Ok(disk.read(sector, bytes)?))
    }

    pub(crate) fn write(&self, disk: u32, sector: u64, bytes: &[u8]) -> Result<(), Status> {
        self.disk(disk)?.with(|disk| Ok(disk.write(sector, bytes)?))
    }

    pub(crate) fn flush(&self, disk: u32) -> Result<(), Status> {
        self.disk(disk)?.with(|disk| Ok(disk.flush()?))
    }

    /// Takes the console into service; it interrupts for each key.
    pub(crate) fn open_console(&'static self) -> Result<(), Status> {
        let device = self.vmm()?.find(DeviceType::Console).ok_or(Status::None)?;
        self.screen.open(|| {
            let (storage, piece) = self.screen_storage.take().ok_or(Status::Device)?;
            let mut console = Console::new(device, storage)?;
            console.set_interrupts(Interrupts::After(1));
            self.emergency.call_once(|| device);
            Ok(Screen { console, piece })
        })
    }

    pub(crate) fn device_of_console(&self) -> Result<u64, Status> {
        self.screen.with(|screen| Ok(screen.console.device().number()))
    }

    /// Shows `bytes`, which may be anywhere.
    pub(crate) fn show(&self, bytes: &[u8]) -> Result<(), Status> {
        self.screen.with(|screen| {
            for part in bytes.chunks(PIECE) {
                let Some(piece) = screen.piece.get_mut(..part.len()) else { break };
                piece.copy_from_slice(part);
                screen.console.write(piece)?;
            }
            Ok(())
        })
    }

    /// Takes what was typed; says how much it is.
    pub(crate) fn typed(&self, bytes: &mut [u8]) -> Result<usize, Status> {
        self.screen.with(|screen| Ok(screen.console.read(bytes)))
    }

    /// Shows a byte at once, whoever uses the console.
    pub(crate) fn emergency(&self, byte: u8) -> Result<(), Status> {
        let device = self.emergency.get().ok_or(Status::None)?;
        Ok(Console::emergency(*device, byte)?)
    }
}

fn interrupts(after: u32) -> Interrupts {
    match u16::try_from(after) {
        Ok(0) => Interrupts::Off,
        after => Interrupts::After(after.unwrap_or(u16::MAX)),
    }
}

#[cfg(test)]
#[allow(unexpected_cfgs, reason = "it asks for features of guest-drivers")]
#[path = "../../tests/common/mod.rs"]
mod common;

#[cfg(test)]
mod tests;
