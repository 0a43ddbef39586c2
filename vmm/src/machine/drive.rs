//! The wiring of an ATA disk: the chip, its storage, and its interrupt.

use alloc::boxed::Box;

use crate::bus::{AccessFault, Width};
use crate::dev::ata::{Ata, Want};
use crate::disk::{Disk, Op, Request, SECTOR, Submitted};
use crate::mem::GuestRam;
use crate::virtio::chain::Segment;

/// A drive: at most one request is under way.
pub(super) struct Drive {
    chip: Ata,
    disk: Box<dyn Disk>,
    /// Whether the storage has a request.
    flying: bool,
    /// Whether the interrupt line was up.
    up: bool,
    /// Whether copy loops at the data port are carried on.
    bursts: bool,
}

impl Drive {
    /// A drive on `disk`; its buffer is made of memory of the VMM's.
    pub(super) fn new(disk: Box<dyn Disk>, buffer: &'static mut [u8], bursts: bool) -> Self {
        let chip = Ata::new(disk.sectors(), disk.serial(), GuestRam::buffer(buffer));
        Self { chip, disk, flying: false, up: false, bursts }
    }

    pub(super) fn reset(&mut self) {
        self.chip.reset();
        self.up = false;
    }

    /// Whether copy loops at the data port are carried on.
    pub(super) fn bursts(&self) -> bool {
        self.bursts
    }

    /// Bytes of the present block that the guest can read.
    #[inline]
    pub(super) fn readable(&self) -> u64 {
        self.chip.readable()
    }

    /// Or write.
    #[inline]
    pub(super) fn writable(&self) -> u64 {
        self.chip.writable()
    }

    /// Whether the storage works on something.
    pub(super) fn busy(&self) -> bool {
        self.flying
    }

    #[inline]
    pub(super) fn read(&mut self, offset: u64, width: Width) -> Result<u64, AccessFault> {
        let value = self.chip.read(offset, width)?;
        self.go_on();
        Ok(value)
    }

    #[inline]
    pub(super) fn write(
        &mut self,
        offset: u64,
        width: Width,
        value: u64,
    ) -> Result<(), AccessFault> {
        self.chip.write(offset, width, value)?;
        self.go_on();
        Ok(())
    }

    /// Whether the interrupt line went up since this was last asked.
    #[inline]
    pub(super) fn interrupts(&mut self) -> bool {
        let before = core::mem::replace(&mut self.up, self.chip.interrupt());
        self.up && !before
    }

    /// The storage may have completed what it had.
    pub(super) fn complete(&mut self) {
        while let Some((_, success)) = self.disk.complete(self.chip.buffer()) {
            self.flying = false;
            self.chip.done(success);
        }
    }

    /// Lets the storage do what the chip wants of it.
    #[inline]
    fn go_on(&mut self) {
        if let Some(want) = self.chip.take_want() {
            self.submit(want);
        }
    }

    fn submit(&mut self, want: Want) {
        let (op, sector, count) = match want {
            Want::Read { sector, count } => (Op::Read, sector, count),
            Want::Write { sector, count } => (Op::Write, sector, count),
            Want::Flush => (Op::Flush, 0, 0),
        };
        let all = Segment { gpa: self.chip.buffer().base(), len: u64::from(count) * SECTOR };
        let data = if count == 0 { &[][..] } else { core::slice::from_ref(&all) };
        let request = Request { op, sector, data, tag: 0 };
        match self.disk.submit(request, self.chip.buffer()) {
            Submitted::Done(success) => self.chip.done(success),
            Submitted::Pending => {
                self.flying = true;
                self.disk.kick();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::{Gpa, to_usize};
    use crate::dev::ata::BUFFER;
    use crate::disk::{RamDisk, SERIAL};

    const STATUS: u64 = 7;

    /// Storage that takes its time.
    struct Slow(RamDisk, Option<bool>);

    impl Disk for Slow {
        fn sectors(&self) -> u64 {
            self.0.sectors()
        }
        fn read_only(&self) -> bool {
            self.0.read_only()
        }
        fn serial(&self) -> [u8; SERIAL] {
            self.0.serial()
        }
        fn submit(&mut self, request: Request<'_>, ram: &GuestRam) -> Submitted {
            let Submitted::Done(success) = self.0.submit(request, ram) else { unreachable!() };
            assert_eq!(self.1.replace(success), None, "one request at a time");
            Submitted::Pending
        }
        fn complete(&mut self, _: &GuestRam) -> Option<(u16, bool)> {
            self.1.take().map(|success| (0, success))
        }
    }

    fn drive(slow: bool, read_only: bool) -> Drive {
        let disk = RamDisk::new(vec![5; 8 * 512].leak(), [0; SERIAL], read_only);
        let disk: Box<dyn Disk> = if slow { Box::new(Slow(disk, None)) } else { Box::new(disk) };
        Drive::new(disk, vec![0; 2 * to_usize(BUFFER)].leak(), false)
    }

    fn command(drive: &mut Drive, code: u64) {
        for (register, value) in [(2, 1), (3, 0), (4, 0), (5, 0), (6, 0x40), (STATUS, code)] {
            drive.write(register, Width::Byte, value).unwrap();
        }
    }

    fn status(drive: &mut Drive) -> u64 {
        drive.read(STATUS, Width::Byte).unwrap()
    }

    #[test]
    fn a_line_that_goes_up_interrupts_once() {
        let mut drive = drive(false, false);
        command(&mut drive, 0x20);
        assert!(drive.interrupts() && !drive.interrupts());
        assert_eq!((status(&mut drive), drive.interrupts()), (0x58, false));
        assert_eq!(drive.read(0, Width::Half), Ok(0x505));
        drive.reset();
        command(&mut drive, 0xe7);
        assert!(drive.interrupts());
    }

    #[test]
    fn slow_storage_keeps_it_busy() {
        let mut drive = drive(true, false);
        command(&mut drive, 0x20);
        assert!(drive.busy() && !drive.interrupts());
        assert_eq!(status(&mut drive), 0x80);
        drive.complete();
        assert!(!drive.busy() && drive.interrupts());
        assert_eq!(status(&mut drive), 0x58);
        command(&mut drive, 0x20);
        assert_eq!(status(&mut drive), 0x58, "a command in a command is not heard");
        drive.reset();
        command(&mut drive, 0x20);
        drive.reset();
        assert_eq!((drive.busy(), status(&mut drive)), (true, 0x80));
        drive.complete();
        assert_eq!((drive.busy(), drive.interrupts(), status(&mut drive)), (false, false, 0x50));
    }

    #[test]
    fn what_cannot_be_written_is_not() {
        let mut drive = drive(false, true);
        command(&mut drive, 0x30);
        for _ in 0..256 {
            drive.write(0, Width::Half, 0xffff).unwrap();
        }
        assert!(drive.interrupts());
        assert_eq!((status(&mut drive), drive.read(1, Width::Byte)), (0x51, Ok(4)));
        assert_eq!(drive.chip.buffer().load_u16(Gpa(0)), Ok(0xffff));
    }
}
