//! Disks for tests.

use std::sync::atomic::{AtomicU64, Ordering};

use trapeze_vmm::disk::{Disk, RamDisk, Request, SERIAL, Submitted};
use trapeze_vmm::mem::GuestRam;
use trapeze_vmm::virtio::AnyDevice;
use trapeze_vmm::virtio::blk::Blk;

pub(crate) const SERIAL_NUMBER: [u8; SERIAL] = *b"serial of a disk\0\0\0\0";

/// A disk of `sectors`, in which each byte is the number of its sector.
pub(crate) fn numbered(sectors: u8) -> RamDisk {
    let bytes = (0..sectors).flat_map(|sector| [sector; 512]).collect::<Vec<_>>().leak();
    RamDisk::new(bytes, SERIAL_NUMBER, false)
}

/// The same as a device.
pub(crate) fn device(sectors: u8) -> AnyDevice {
    Box::new(Blk::new(Box::new(numbered(sectors))))
}

/// A disk that takes its time: it has done what was asked at once, but says
/// so only as often as it may, and of the last first. Who asks for very long
/// is told, too.
pub(crate) struct Slow {
    disk: RamDisk,
    done: Vec<(u16, bool)>,
    may_say: &'static AtomicU64,
    asked: u64,
}

impl Slow {
    /// The device, and how often it may say something.
    pub(crate) fn device(sectors: u8) -> (AnyDevice, &'static AtomicU64) {
        let may_say: &'static AtomicU64 = Box::leak(Box::default());
        let disk = Self { disk: numbered(sectors), done: vec![], may_say, asked: 0 };
        (Box::new(Blk::new(Box::new(disk))), may_say)
    }
}

impl Disk for Slow {
    fn sectors(&self) -> u64 {
        self.disk.sectors()
    }

    fn read_only(&self) -> bool {
        false
    }

    fn serial(&self) -> [u8; SERIAL] {
        self.disk.serial()
    }

    fn submit(&mut self, request: Request<'_>, ram: &GuestRam) -> Submitted {
        let success = self.disk.submit(request, ram) == Submitted::Done(true);
        self.done.push((request.tag, success));
        Submitted::Pending
    }

    fn complete(&mut self, _: &GuestRam) -> Option<(u16, bool)> {
        self.asked += 1;
        let may = self.may_say.load(Ordering::Relaxed);
        if may == 0 && self.asked < 100_000 {
            return None;
        }
        let done = self.done.pop()?;
        self.asked = 0;
        self.may_say.store(may.saturating_sub(1), Ordering::Relaxed);
        Some(done)
    }
}
