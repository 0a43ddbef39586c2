//! Calls that concern other harts: IPI, RFENCE and HSM (chapters 7 to 9).

use sbi_spec::{hsm, rfnc, spi};

use super::{Args, FENCE_LIMIT, Firmware, HartState, RemoteFence, Reply, Ret, Start};
use super::{low_word, word};
use crate::addr::{Gpa, Gva};

/// A set of a guest's harts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
pub struct HartSet(u64);

impl HartSet {
    /// Harts 0 to `count` - 1; `count` is at most 64.
    #[inline]
    pub const fn first(count: usize) -> Self {
        match count {
            0 => Self(0),
            1..64 => Self(u64::MAX >> (64 - count)),
            _ => Self(u64::MAX),
        }
    }

    /// Those harts of `self` whose bits are set.
    #[inline]
    pub const fn and(self, bits: u64) -> Self {
        Self(self.0 & bits)
    }

    /// Whether the hart is one of them.
    #[inline]
    pub const fn contains(self, hart: usize) -> bool {
        hart < 64 && self.0 >> hart & 1 != 0
    }

    /// Whether there are none.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Bit n stands for hart n.
    #[inline]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The harts, from the lowest number.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        let mut left = self.0;
        core::iter::from_fn(move || {
            let hart = (left != 0).then_some(left.trailing_zeros() as usize);
            left &= left.wrapping_sub(1);
            hart
        })
    }

    /// The harts that a `hart_mask` and `hart_mask_base` name, or `None` if
    /// one of these does not exist. Base -1 names all (section 3.1).
    fn named(mask: u64, base: u64, harts: usize) -> Option<Self> {
        let all = Self::first(harts);
        if base == u64::MAX {
            return Some(all);
        }
        // With an empty mask no hart is named, whatever the base.
        let highest = 63u64.checked_sub(mask.leading_zeros().into());
        let Some(highest) = highest else { return Some(Self(0)) };
        let in_range = base.checked_add(highest)? < harts.min(64) as u64;
        in_range.then(|| Self(mask << base))
    }
}

/// Chapter 7.
pub(super) fn ipi(args: &Args, host: &mut impl Firmware) -> Ret {
    if word(args.fid) != spi::SEND_IPI {
        return Ret::not_supported();
    }
    let Some(harts) = HartSet::named(args.a[0], args.a[1], host.harts()) else {
        return Ret::invalid_param();
    };
    host.send_ipi(harts);
    Ret::success(0)
}

/// Chapter 8. The `hfence` calls are for a hypervisor extension that our harts
/// do not have.
pub(super) fn remote_fence(args: &Args, host: &mut impl Firmware) -> Ret {
    let fence = match word(args.fid) {
        rfnc::REMOTE_FENCE_I => Ok(Some(RemoteFence::Instruction)),
        rfnc::REMOTE_SFENCE_VMA => memory_fence(args.a[2], args.a[3], None),
        rfnc::REMOTE_SFENCE_VMA_ASID => match u16::try_from(args.a[4]) {
            Ok(asid) => memory_fence(args.a[2], args.a[3], Some(asid)),
            Err(_) => Err(Ret::invalid_param()),
        },
        _ => Err(Ret::not_supported()),
    };
    let fence = match fence {
        Ok(fence) => fence,
        Err(error) => return error,
    };
    let Some(harts) = HartSet::named(args.a[0], args.a[1], host.harts()) else {
        return Ret::invalid_param();
    };
    if let Some(fence) = fence {
        host.fence(harts, fence);
    }
    Ret::success(0)
}

/// The fence of a range, if there is anything in it. A size of -1, or zero
/// for both, means all addresses (chapter 8).
pub(super) fn memory_fence(
    start: u64,
    size: u64,
    asid: Option<u16>,
) -> Result<Option<RemoteFence>, Ret> {
    if (start == 0 && size == 0) || size == u64::MAX {
        return Ok(Some(RemoteFence::Memory { range: None, asid }));
    }
    let Some(last) = size.checked_sub(1) else { return Ok(None) };
    if start.checked_add(last).is_none() {
        return Err(Ret::invalid_address());
    }
    let range = (size <= FENCE_LIMIT).then_some((Gva(start), size));
    Ok(Some(RemoteFence::Memory { range, asid }))
}

/// Chapter 9.
pub(super) fn state(args: &Args, host: &mut impl Firmware) -> Reply {
    match word(args.fid) {
        hsm::HART_START => start(args, host).into(),
        hsm::HART_STOP => Reply::Stop,
        hsm::HART_GET_STATUS => status(args, host).into(),
        hsm::HART_SUSPEND => suspend(args, host),
        _ => Ret::not_supported().into(),
    }
}

fn start(args: &Args, host: &mut impl Firmware) -> Ret {
    let [hart, address, opaque, ..] = args.a;
    let Some(hart) = existing(hart, host) else { return Ret::invalid_param() };
    let Some(pc) = executable(address, host) else { return Ret::invalid_address() };
    if host.hart_state(hart) != HartState::Stopped || !host.start(hart, Start { pc, opaque }) {
        return Ret::already_available();
    }
    Ret::success(0)
}

fn status(args: &Args, host: &impl Firmware) -> Ret {
    let Some(hart) = existing(args.a[0], host) else { return Ret::invalid_param() };
    let state = match host.hart_state(hart) {
        HartState::Started => hsm::hart_state::STARTED,
        HartState::Stopped => hsm::hart_state::STOPPED,
        HartState::StartPending => hsm::hart_state::START_PENDING,
        HartState::Suspended => hsm::hart_state::SUSPENDED,
    };
    Ret::success(state as u64)
}

/// We have the two default kinds of suspension; the platform-specific ones
/// count as reserved.
fn suspend(args: &Args, host: &impl Firmware) -> Reply {
    let [kind, address, opaque, ..] = args.a;
    match low_word(kind) {
        hsm::suspend_type::RETENTIVE => Reply::Suspend(None),
        hsm::suspend_type::NON_RETENTIVE => match executable(address, host) {
            Some(pc) => Reply::Suspend(Some(Start { pc, opaque })),
            None => Ret::invalid_address().into(),
        },
        _ => Ret::invalid_param().into(),
    }
}

fn existing(hart: u64, host: &impl Firmware) -> Option<usize> {
    usize::try_from(hart).ok().filter(|hart| *hart < host.harts())
}

/// A physical address from which a hart can begin: RAM, and even.
fn executable(address: u64, host: &impl Firmware) -> Option<Gpa> {
    let pc = Gpa(address);
    (pc.is_aligned(2) && host.ram().hpa(pc, 2).is_some()).then_some(pc)
}
