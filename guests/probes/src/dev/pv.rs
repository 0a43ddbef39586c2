//! The paravirtual interface (`docs/protocol.md`): hypercalls, and a disk
//! behind them.

use trapeze_protocol::call::{Call, Error, Reply, reply_from_registers};
use trapeze_protocol::device::DeviceType;

use super::virtio::Disk;
use crate::sbi;

/// Makes a hypercall. Only on the VMM: elsewhere this traps.
///
/// # Errors
/// Those of the call.
pub fn call(call: Call) -> Reply {
    let answer = raw(call.function() as u64, call.arguments());
    reply_from_registers([answer.error.cast_unsigned(), answer.value])
}

/// A hypercall that need not be one.
pub fn raw(function: u64, arguments: [u64; 6]) -> sbi::Ret {
    sbi::call(trapeze_protocol::call::EXTENSION, function, arguments)
}

/// The number of the first block device.
#[must_use]
pub fn find_block() -> Option<u64> {
    let count = call(Call::DeviceCount).unwrap_or(0);
    let kind = |device| call(Call::Describe { device }).unwrap_or(0) & 0xffff;
    (0..count).find(|device| kind(*device) == DeviceType::Block as u64)
}

/// Takes block device `device` into service by the book, with no features.
///
/// # Errors
/// Of the first call that fails.
pub fn bring_up(device: u64, disk: &Disk) -> Result<(), Error> {
    for status in [0, 1, 3] {
        call(Call::SetStatus { device, status })?;
    }
    call(Call::AcceptFeatures { device, features: 0 })?;
    call(Call::SetStatus { device, status: 11 })?;
    let [descriptors, avail, used] = disk.parts();
    let size = super::virtio::QUEUE_SIZE.into();
    call(Call::QueueSetUp { device, queue: 0, size, descriptors, avail, used })?;
    call(Call::SetStatus { device, status: 15 }).map(|_| ())
}

/// Notifies the queue of `device`.
///
/// # Errors
/// Where the device is not in service.
pub fn notify(device: u64) -> Reply {
    call(Call::Notify { device, queue: 0 })
}

/// Reads or writes one sector, as [`Disk::transfer`] does.
pub fn transfer(device: u64, disk: &mut Disk, sector: u64, write: bool) -> u64 {
    disk.prepare(sector, write);
    disk.offer(0);
    if notify(device).is_ok() && disk.wait() { disk.request.get(2) & 0xff } else { 0xff }
}
