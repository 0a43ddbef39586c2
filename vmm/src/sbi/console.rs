//! The debug console, DBCN (chapter 12).
//!
//! Buffers are guest-physical: their low half in a1, their high half in a2,
//! which is zero for all that is memory. They are checked as a whole, then
//! copied in pieces through a buffer of ours.

use sbi_spec::dbcn;

use super::{Args, Firmware, Reply, Ret, word};
use crate::addr::Gpa;

/// The most bytes that one call moves; the guest learns how many it were, and
/// calls again.
pub(super) const LIMIT: u64 = 4096;
/// Bytes moved at a time, on the VMM's stack.
const PIECE: usize = 256;

/// Chapter 12.
pub(super) fn call(args: &Args, host: &mut impl Firmware) -> Reply {
    match word(args.fid) {
        dbcn::CONSOLE_WRITE => transfer(args, host, write_piece).into(),
        dbcn::CONSOLE_READ => transfer(args, host, read_piece).into(),
        dbcn::CONSOLE_WRITE_BYTE => match put(args.a[0], host) {
            true => Ret::success(0).into(),
            false => Reply::Again,
        },
        _ => Ret::not_supported().into(),
    }
}

/// Writes the low byte of `register`, if the console takes it now.
#[expect(clippy::cast_possible_truncation, reason = "the low byte is the parameter")]
pub(super) fn put(register: u64, host: &mut impl Firmware) -> bool {
    host.console_write(&[register as u8]) != 0
}

/// Moves one piece between memory and console; returns how many bytes.
type Move<H> = fn(host: &mut H, at: Gpa, piece: &mut [u8]) -> usize;

fn transfer<H: Firmware>(args: &Args, host: &mut H, piece: Move<H>) -> Ret {
    let [size, low, high, ..] = args.a;
    if size == 0 {
        return Ret::success(0);
    }
    if high != 0 || host.ram().hpa(Gpa(low), size).is_none() {
        return Ret::invalid_param();
    }
    let limit = size.min(LIMIT);
    let mut done = 0;
    while done < limit {
        let mut buffer = [0; PIECE];
        let wanted = word(limit - done).min(PIECE);
        let bytes = buffer.get_mut(..wanted).unwrap_or_default();
        let moved = piece(host, Gpa(low).wrapping_add(done), bytes).min(wanted);
        done += moved as u64;
        if moved < wanted {
            break;
        }
    }
    Ret::success(done)
}

fn write_piece(host: &mut impl Firmware, at: Gpa, piece: &mut [u8]) -> usize {
    match host.ram().read_bytes(at, piece) {
        Ok(()) => host.console_write(piece),
        Err(_) => 0,
    }
}

fn read_piece(host: &mut impl Firmware, at: Gpa, piece: &mut [u8]) -> usize {
    let count = host.console_read(piece);
    match piece.get(..count).map(|bytes| host.ram().write_bytes(at, bytes)) {
        Some(Ok(())) => count,
        _ => 0,
    }
}
