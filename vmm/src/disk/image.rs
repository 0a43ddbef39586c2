//! A disk that cannot be written, so that any number of guests can share its
//! bytes.

use super::{Disk, Op, Request, SECTOR, SERIAL, Submitted, read_out};
use crate::mem::GuestRam;

/// A read-only image in the VMM's memory.
#[derive(Clone, Copy)]
pub struct Image {
    bytes: &'static [u8],
    serial: [u8; SERIAL],
}

impl Image {
    /// A disk with these contents; a last sector that is not full is not
    /// part of it.
    pub fn new(bytes: &'static [u8], serial: [u8; SERIAL]) -> Self {
        Self { bytes, serial }
    }
}

impl Disk for Image {
    fn sectors(&self) -> u64 {
        self.bytes.len() as u64 / SECTOR
    }

    fn read_only(&self) -> bool {
        true
    }

    fn serial(&self) -> [u8; SERIAL] {
        self.serial
    }

    fn submit(&mut self, request: Request<'_>, ram: &GuestRam) -> Submitted {
        Submitted::Done(match request.op {
            Op::Read => read_out(self.bytes, &request, ram),
            Op::Write => false,
            Op::Flush => true,
        })
    }

    fn complete(&mut self, _: &GuestRam) -> Option<(u16, bool)> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::Gpa;
    use crate::virtio::chain::Segment;

    #[test]
    fn two_guests_read_and_none_writes() {
        let bytes: &[u8] = (0..1500u32).map(|n| n.to_le_bytes()[0]).collect::<Vec<_>>().leak();
        let image = Image::new(bytes, [7; SERIAL]);
        let ram = GuestRam::leaked(Gpa(0x8000_0000), 0x1000);
        let data = [Segment { gpa: ram.base(), len: 512 }];
        let request = |op, sector| Request { op, sector, data: &data, tag: 0 };
        for mut disk in [image, image] {
            assert_eq!((disk.sectors(), disk.read_only(), disk.serial()), (2, true, [7; SERIAL]));
            assert_eq!(disk.submit(request(Op::Read, 1), &ram), Submitted::Done(true));
            assert_eq!(ram.load_u8(Gpa(0x8000_0005)), Ok(5));
            assert_eq!(disk.submit(request(Op::Read, 2), &ram), Submitted::Done(false));
            assert_eq!(disk.submit(request(Op::Write, 0), &ram), Submitted::Done(false));
            assert_eq!(disk.submit(request(Op::Flush, 0), &ram), Submitted::Done(true));
            assert_eq!(disk.complete(&ram), None);
        }
    }
}
