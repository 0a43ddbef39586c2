//! A request as it comes out of a queue: checked buffers in guest RAM.

use crate::addr::{Gpa, to_usize};
use crate::mem::{GuestRam, OutOfRange};

/// Buffers that one chain may have.
pub const MAX_SEGMENTS: u16 = 128;

/// One buffer, all of it in guest RAM.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    /// Where it starts.
    pub gpa: Gpa,
    /// Bytes, not zero.
    pub len: u64,
}

impl Segment {
    /// Cut after `at` bytes, where that leaves something on either side.
    #[inline]
    pub fn split(self, at: u64) -> (Option<Self>, Option<Self>) {
        let at = at.min(self.len);
        let part = |gpa, len| (len != 0).then_some(Self { gpa, len });
        (part(self.gpa, at), part(self.gpa.wrapping_add(at), self.len - at))
    }
}

/// The chain has more buffers than [`MAX_SEGMENTS`], or a readable one behind
/// a writable one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unfit;

/// A request: buffers that the device reads, then buffers that it writes.
#[derive(Clone, Debug)]
pub struct Chain {
    /// Names the chain when it is given back.
    pub head: u16,
    segments: [Segment; MAX_SEGMENTS as usize],
    /// How many of them are used, and how many of these the device reads.
    len: usize,
    readable: usize,
}

impl Default for Chain {
    fn default() -> Self {
        let nothing = Segment { gpa: Gpa(0), len: 0 };
        Self { head: 0, segments: [nothing; MAX_SEGMENTS as usize], len: 0, readable: 0 }
    }
}

impl Chain {
    /// The buffers that the device reads.
    #[inline]
    pub fn readable(&self) -> &[Segment] {
        self.segments.get(..self.readable).unwrap_or_default()
    }

    /// The buffers that the device writes.
    #[inline]
    pub fn writable(&self) -> &[Segment] {
        self.segments.get(self.readable..self.len).unwrap_or_default()
    }

    /// Begins a new chain.
    pub(super) fn restart(&mut self, head: u16) {
        (self.head, self.len, self.readable) = (head, 0, 0);
    }

    /// Adds a buffer (virtio 1.2, section 2.7.4.2: readable ones come first).
    /// An empty one adds nothing.
    pub(super) fn push(&mut self, segment: Segment, writable: bool) -> Result<(), Unfit> {
        if !writable && self.readable != self.len {
            return Err(Unfit);
        }
        if segment.len != 0 {
            *self.segments.get_mut(self.len).ok_or(Unfit)? = segment;
            self.len += 1;
            self.readable += usize::from(!writable);
        }
        Ok(())
    }
}

/// Bytes in all of `segments`.
pub fn total(segments: &[Segment]) -> u64 {
    // At most 128 lengths of 32 bits.
    segments.iter().map(|segment| segment.len).sum()
}

/// The `len` bytes from `start` on, as segments; fewer if there are no more.
pub fn range(segments: &[Segment], start: u64, len: u64) -> impl Iterator<Item = Segment> {
    let (mut skip, mut left) = (start, len);
    segments.iter().filter_map(move |segment| {
        let skipped = skip.min(segment.len);
        skip -= skipped;
        let part = segment.split(skipped).1?.split(left).0?;
        left -= part.len;
        Some(part)
    })
}

/// Copies from `segments` into `bytes`; tells how many there were.
pub fn read(ram: &GuestRam, segments: &[Segment], bytes: &mut [u8]) -> Result<usize, OutOfRange> {
    let mut done = 0;
    for part in range(segments, 0, bytes.len() as u64) {
        let end = done + to_usize(part.len);
        ram.read_bytes(part.gpa, bytes.get_mut(done..end).ok_or(OutOfRange)?)?;
        done = end;
    }
    Ok(done)
}

/// Copies `bytes` into `segments`; tells how many found room.
pub fn write(ram: &GuestRam, segments: &[Segment], bytes: &[u8]) -> Result<usize, OutOfRange> {
    let mut done = 0;
    for part in range(segments, 0, bytes.len() as u64) {
        let end = done + to_usize(part.len);
        ram.write_bytes(part.gpa, bytes.get(done..end).ok_or(OutOfRange)?)?;
        done = end;
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(gpa: u64, len: u64) -> Segment {
        Segment { gpa: Gpa(gpa), len }
    }

    #[test]
    fn readable_buffers_come_first() {
        let mut chain = Chain::default();
        chain.push(segment(0x10, 1), false).unwrap();
        chain.push(segment(0x20, 0), false).unwrap();
        chain.push(segment(0x30, 2), true).unwrap();
        assert_eq!(chain.readable(), [segment(0x10, 1)]);
        assert_eq!(chain.writable(), [segment(0x30, 2)]);
        assert_eq!(chain.push(segment(0x40, 1), false), Err(Unfit));
        chain.restart(7);
        assert!(chain.readable().is_empty() && chain.writable().is_empty());
    }

    #[test]
    fn a_chain_has_an_end() {
        let mut chain = Chain::default();
        for n in 0..u64::from(MAX_SEGMENTS) {
            chain.push(segment(n, 1), n > 5).unwrap();
        }
        assert_eq!(chain.push(segment(0, 1), true), Err(Unfit));
        assert_eq!(chain.writable().len(), usize::from(MAX_SEGMENTS) - 6);
    }

    #[test]
    fn ranges_cut_across_segments() {
        let all = [segment(0x100, 4), segment(0x200, 1), segment(0x300, 8)];
        let cut = |start, len| range(&all, start, len).collect::<Vec<_>>();
        assert_eq!(cut(3, 4), [segment(0x103, 1), segment(0x200, 1), segment(0x300, 2)]);
        assert_eq!(cut(5, 100), [segment(0x300, 8)]);
        assert_eq!(cut(13, 1), []);
        assert_eq!(cut(0, 0), []);
        assert_eq!(total(&all), 13);
    }

    #[test]
    fn bytes_pass_through_segments() {
        let ram = GuestRam::leaked(Gpa(0x8000_0000), 0x1000);
        let all = [segment(0x8000_0010, 3), segment(0x8000_0020, 2)];
        assert_eq!(write(&ram, &all, b"abcdefg"), Ok(5));
        let mut back = [0; 9];
        assert_eq!(read(&ram, &all, &mut back), Ok(5));
        assert_eq!(&back, b"abcde\0\0\0\0");
        assert_eq!(ram.load_u8(Gpa(0x8000_0020)), Ok(b'd'));
        assert_eq!(read(&ram, &[segment(0, 4)], &mut back), Err(OutOfRange));
    }
}
