//! A disk in the VMM's own memory: requests are done at once.

use super::{Disk, Op, Request, SECTOR, SERIAL, Submitted, read_out, write_in};
use crate::mem::GuestRam;

/// A RAM disk.
pub struct RamDisk {
    bytes: &'static mut [u8],
    serial: [u8; SERIAL],
    read_only: bool,
}

impl RamDisk {
    /// A disk with these contents; a last sector that is not full is not
    /// part of it.
    pub fn new(bytes: &'static mut [u8], serial: [u8; SERIAL], read_only: bool) -> Self {
        Self { bytes, serial, read_only }
    }
}

impl Disk for RamDisk {
    fn sectors(&self) -> u64 {
        self.bytes.len() as u64 / SECTOR
    }

    fn read_only(&self) -> bool {
        self.read_only
    }

    fn serial(&self) -> [u8; SERIAL] {
        self.serial
    }

    fn submit(&mut self, request: Request<'_>, ram: &GuestRam) -> Submitted {
        Submitted::Done(match request.op {
            Op::Read => read_out(self.bytes, &request, ram),
            Op::Write => !self.read_only && write_in(self.bytes, &request, ram),
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

    const BASE: Gpa = Gpa(0x8000_0000);

    fn disk(read_only: bool) -> RamDisk {
        let bytes = (0..4096u32).map(|n| n.to_le_bytes()[0]).collect::<Vec<_>>().leak();
        RamDisk::new(bytes, [0; SERIAL], read_only)
    }

    #[test]
    fn data_moves_through_odd_segments() {
        let ram = GuestRam::leaked(BASE, 0x1000);
        let data = [Segment { gpa: BASE, len: 500 }, Segment { gpa: Gpa(BASE.0 + 600), len: 12 }];
        let request = Request { op: Op::Read, sector: 1, data: &data, tag: 0 };
        assert_eq!(disk(false).submit(request, &ram), Submitted::Done(true));
        assert_eq!(ram.load_u8(Gpa(BASE.0 + 3)), Ok(3));
        assert_eq!(ram.load_u8(Gpa(BASE.0 + 600)), Ok(500u32.to_le_bytes()[0]));
    }

    #[test]
    fn a_read_only_disk_and_the_end_refuse() {
        let ram = GuestRam::leaked(BASE, 0x1000);
        let data = [Segment { gpa: BASE, len: 512 }];
        let request = |op, sector| Request { op, sector, data: &data, tag: 0 };
        assert_eq!(disk(true).submit(request(Op::Write, 0), &ram), Submitted::Done(false));
        assert_eq!(disk(false).submit(request(Op::Read, 8), &ram), Submitted::Done(false));
        assert_eq!(disk(false).submit(request(Op::Read, u64::MAX), &ram), Submitted::Done(false));
    }
}
