//! A request as it comes out of a queue: checked buffers in guest RAM.

use zerocopy::{FromBytes, IntoBytes};

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

/// A place in a list of segments, from which reading or writing goes on.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    /// What is left of the segment at hand.
    current: Option<Segment>,
    rest: &'a [Segment],
}

impl<'a> Cursor<'a> {
    /// The beginning of `segments`.
    pub fn new(segments: &'a [Segment]) -> Self {
        Self { current: None, rest: segments }
    }

    /// The next piece, of at most `max` bytes, that is in one segment.
    pub fn take(&mut self, max: u64) -> Option<Segment> {
        while self.current.is_none() {
            let (first, rest) = self.rest.split_first()?;
            (self.current, self.rest) = (first.split(0).1, rest);
        }
        let (piece, left) = self.current?.split(max);
        self.current = left;
        piece
    }

    /// The pieces of the next `len` bytes, or of all that are left.
    pub fn pieces(&mut self, len: u64) -> impl Iterator<Item = Segment> {
        let mut left = len;
        core::iter::from_fn(move || {
            let piece = self.take(left)?;
            left -= piece.len;
            Some(piece)
        })
    }

    /// Goes on behind the next `len` bytes.
    pub fn skip(&mut self, len: u64) {
        self.pieces(len).for_each(drop);
    }

    /// Copies a plain value out; `None` if there are not enough bytes.
    pub fn value<T>(&mut self, ram: &GuestRam) -> Result<Option<T>, OutOfRange>
    where
        T: FromBytes + IntoBytes,
    {
        let (size, mut ahead) = (size_of::<T>() as u64, self.clone());
        if let Some(piece) = ahead.take(size).filter(|piece| piece.len == size) {
            *self = ahead;
            return ram.read(piece.gpa).map(Some);
        }
        // It is divided: rare, but allowed.
        let mut value = T::new_zeroed();
        let read = self.read(ram, value.as_mut_bytes())?;
        Ok((read as u64 == size).then_some(value))
    }

    /// Copies guest memory into `bytes`; tells how many bytes there were.
    pub fn read(&mut self, ram: &GuestRam, bytes: &mut [u8]) -> Result<usize, OutOfRange> {
        let mut done = 0;
        for piece in self.pieces(bytes.len() as u64) {
            let end = done + to_usize(piece.len);
            ram.read_bytes(piece.gpa, bytes.get_mut(done..end).ok_or(OutOfRange)?)?;
            done = end;
        }
        Ok(done)
    }

    /// Copies `bytes` into guest memory; tells for how many there was room.
    pub fn write(&mut self, ram: &GuestRam, bytes: &[u8]) -> Result<usize, OutOfRange> {
        let mut done = 0;
        for piece in self.pieces(bytes.len() as u64) {
            let end = done + to_usize(piece.len);
            ram.write_bytes(piece.gpa, bytes.get(done..end).ok_or(OutOfRange)?)?;
            done = end;
        }
        Ok(done)
    }
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
    fn pieces_cut_across_segments() {
        let all = [segment(0x100, 4), segment(0x200, 1), segment(0x250, 0), segment(0x300, 8)];
        let cut = |start, len| {
            let mut cursor = Cursor::new(&all);
            cursor.skip(start);
            cursor.pieces(len).collect::<Vec<_>>()
        };
        assert_eq!(cut(3, 4), [segment(0x103, 1), segment(0x200, 1), segment(0x300, 2)]);
        assert_eq!(cut(5, u64::MAX), [segment(0x300, 8)]);
        assert_eq!(cut(13, 1), []);
        assert_eq!(cut(0, 0), []);
        assert_eq!(total(&all), 13);
    }

    #[test]
    fn bytes_pass_through_segments() {
        let ram = GuestRam::leaked(Gpa(0x8000_0000), 0x1000);
        let all = [segment(0x8000_0010, 3), segment(0x8000_0020, 2)];
        let mut writer = Cursor::new(&all);
        assert_eq!((writer.write(&ram, b"a"), writer.write(&ram, b"bcdefg")), (Ok(1), Ok(4)));
        let mut back = [0; 9];
        assert_eq!(Cursor::new(&all).read(&ram, &mut back), Ok(5));
        assert_eq!(&back, b"abcde\0\0\0\0");
        assert_eq!(ram.load_u8(Gpa(0x8000_0020)), Ok(b'd'));
        assert_eq!(Cursor::new(&[segment(0, 4)]).read(&ram, &mut back), Err(OutOfRange));
    }

    #[test]
    fn values_may_be_divided() {
        let ram = GuestRam::leaked(Gpa(0x8000_0000), 0x1000);
        let base = 0x8000_0000;
        ram.store_u64(Gpa(base), 0x0807_0605_0403_0201).unwrap();
        let whole = [segment(base, 8)];
        let parts = [segment(base, 3), segment(base + 3, 1), segment(base + 4, 9)];
        for segments in [&whole[..], &parts] {
            let mut cursor = Cursor::new(segments);
            assert_eq!(cursor.value::<u32>(&ram), Ok(Some(0x0403_0201)));
            assert_eq!(cursor.value::<u32>(&ram), Ok(Some(0x0807_0605)));
            let rest = total(segments) - 8;
            assert_eq!(cursor.take(u64::MAX).map_or(0, |piece| piece.len), rest);
            assert_eq!(cursor.value::<u32>(&ram), Ok(None));
        }
        assert_eq!(Cursor::new(&[segment(0, 8)]).value::<u64>(&ram), Err(OutOfRange));
    }
}
