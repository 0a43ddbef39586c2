//! The calls of SBI 0.1 (chapter 5), that old kernels make, and new ones for
//! their early console.
//!
//! The extension is the function; the result is in a0 alone. A hart mask is a
//! pointer, guest-virtual, to a bit vector; we follow OpenSBI in that a null
//! pointer means all harts, and that bits of harts that are not there count
//! for nothing.

use sbi_spec::legacy as old;

use super::harts::{HartSet, memory_fence};
use super::{Args, Firmware, RemoteFence, Reply, Reset, ResetKind, Ret, console, word};
use crate::addr::Gva;

/// Serves extensions 0 to 8.
pub(super) fn call(args: &Args, from: usize, host: &mut impl Firmware) -> Reply {
    let a = args.a;
    match word(args.eid) {
        old::LEGACY_SET_TIMER => {
            host.set_timer(from, a[0]);
            Reply::Legacy(0)
        }
        old::LEGACY_CONSOLE_PUTCHAR => match console::put(a[0], host) {
            true => Reply::Legacy(0),
            false => Reply::Again,
        },
        old::LEGACY_CONSOLE_GETCHAR => Reply::Legacy(get(host)),
        old::LEGACY_CLEAR_IPI => Reply::Legacy(host.clear_ipi(from).into()),
        old::LEGACY_SEND_IPI => on(a[0], from, host, |harts, host| host.send_ipi(harts)),
        old::LEGACY_REMOTE_FENCE_I => fence(a[0], from, host, Ok(Some(RemoteFence::Instruction))),
        old::LEGACY_REMOTE_SFENCE_VMA => fence(a[0], from, host, memory_fence(a[1], a[2], None)),
        old::LEGACY_REMOTE_SFENCE_VMA_ASID => match u16::try_from(a[3]) {
            Ok(asid) => fence(a[0], from, host, memory_fence(a[1], a[2], Some(asid))),
            Err(_) => failed(Ret::invalid_param()),
        },
        old::LEGACY_SHUTDOWN => Reply::Reset(Reset { kind: ResetKind::Shutdown, failure: false }),
        _ => failed(Ret::not_supported()),
    }
}

/// The error codes of today serve for "implementation specific negative".
fn failed(error: Ret) -> Reply {
    Reply::Legacy(error.error.cast_signed())
}

/// A byte from the console, or -1 when there is none.
fn get(host: &mut impl Firmware) -> i64 {
    let mut byte = [0];
    match host.console_read(&mut byte) {
        0 => -1,
        _ => byte[0].into(),
    }
}

fn fence(
    mask: u64,
    from: usize,
    host: &mut impl Firmware,
    fence: Result<Option<RemoteFence>, Ret>,
) -> Reply {
    match fence {
        Ok(Some(fence)) => on(mask, from, host, |harts, host| host.fence(harts, fence)),
        Ok(None) => Reply::Legacy(0),
        Err(error) => failed(error),
    }
}

/// Does something to the harts whose mask lies at `pointer`.
fn on<H: Firmware>(
    pointer: u64,
    from: usize,
    host: &mut H,
    act: impl FnOnce(HartSet, &mut H),
) -> Reply {
    let bits = match pointer {
        0 => Some(u64::MAX),
        _ => host.read_virtual(from, Gva(pointer)),
    };
    match bits {
        Some(bits) => {
            act(HartSet::first(host.harts()).and(bits), host);
            Reply::Legacy(0)
        }
        None => failed(Ret::invalid_address()),
    }
}
