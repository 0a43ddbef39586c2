//! Requests of one buffer, described by the slot's own descriptor.

use trapeze_protocol::queue::DescriptorFlags;

use crate::channel::Segments;
use crate::dma::Segment;
use crate::error::Error;
use crate::rings::Rings;

/// Describes a buffer for the device to fill; says how many bytes it has.
pub(crate) fn to_fill(
    rings: Rings<'static>,
    slot: u16,
    segments: Segments<'_>,
) -> Result<u32, Error> {
    let segment = only(segments)?;
    let len = segment.len();
    let descriptor = rings.descriptor(slot).ok_or(Error::QueueSize)?;
    descriptor.point(segment, DescriptorFlags::WRITE, 0);
    Ok(len)
}

/// Describes a buffer of which the device reads the first `len` bytes, and
/// writes none.
pub(crate) fn to_read(
    rings: Rings<'static>,
    slot: u16,
    segments: Segments<'_>,
    len: u32,
) -> Result<u32, Error> {
    let segment = only(segments)?.truncated(len);
    let descriptor = rings.descriptor(slot).ok_or(Error::QueueSize)?;
    descriptor.point(segment, DescriptorFlags::empty(), 0);
    Ok(0)
}

/// The one segment that there must be.
fn only(segments: Segments<'_>) -> Result<Segment, Error> {
    let segment = segments.next().ok_or(Error::TooShort)??;
    if segments.next().is_some() { Err(Error::TooLong) } else { Ok(segment) }
}
