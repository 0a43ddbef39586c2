//! Platform-level interrupt controller: which source interrupts which hart.
//!
//! ```text
//!  0x000000 + 4 * source      priority, 0 (never) to 7
//!  0x001000 + 4 * word        pending, a bit per source; read-only
//!  0x002000 + 0x80 * context  enabled, a bit per source
//!  0x200000 + 0x1000 * context
//!       +0  threshold: only higher priorities interrupt
//!       +4  read: claim; write: complete
//! ```
//!
//! RISC-V PLIC specification 1.0.0, with the size of QEMU's `virt` machine.
//! Where QEMU 7.2 differs from the text we do as it does, since that is what
//! kernels for `virt` are tested on: each time a device asserts its line is a
//! request of its own, and a completion makes none even if the line is still
//! up (xv6 leaves the UART's up on purpose); a request outlives its line; a
//! claim honours the threshold, a completion counts even for a source that is
//! no longer enabled, and a priority wraps modulo 8.
//!
//! Two things are kept rather than computed, since guests read `claim` at each
//! interrupt: the best request of each context, and of each source the
//! contexts that enable it, so that a change looks only where it matters.

use alloc::vec::Vec;

use crate::bus::{AccessFault, Width};

/// The highest source; the lowest is 1.
pub const LAST_SOURCE: u32 = 95;
/// The most contexts a PLIC can have here: as many as [`Plic::changed`] has
/// bits, enough for 16 harts.
pub const MAX_CONTEXTS: usize = 32;

const PENDING: u64 = 0x1000;
const ENABLE: u64 = 0x2000;
const ENABLE_STRIDE: u64 = 0x80;
const CONTEXT: u64 = 0x20_0000;
const CONTEXT_STRIDE: u64 = 0x1000;
const MAX_PRIORITY: u64 = 7;

/// A source from 1 to [`LAST_SOURCE`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Source(u8);

impl Source {
    #[inline]
    fn new(number: u64) -> Option<Self> {
        let exists = (1..=u64::from(LAST_SOURCE)).contains(&number);
        exists.then_some(Self(number.to_le_bytes()[0]))
    }

    /// Index of a table of 128; the mask spares the bounds check.
    #[inline]
    const fn index(self) -> usize {
        (self.0 & 127) as usize
    }
}

/// A set of sources.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct Sources([u64; 2]);

impl Sources {
    const ALL: Self = Self([!1, u64::MAX >> (127 - LAST_SOURCE)]);

    #[inline]
    const fn has(self, source: Source) -> bool {
        self.0[source.index() / 64] >> (source.0 % 64) & 1 != 0
    }

    #[inline]
    const fn set(&mut self, source: Source, member: bool) {
        let word = &mut self.0[source.index() / 64];
        let bit = 1 << (source.0 % 64);
        *word = if member { *word | bit } else { *word & !bit };
    }

    #[inline]
    const fn and(self, other: Self) -> Self {
        Self([self.0[0] & other.0[0], self.0[1] & other.0[1]])
    }

    #[inline]
    const fn or(self, other: Self) -> Self {
        Self([self.0[0] | other.0[0], self.0[1] | other.0[1]])
    }

    /// Register `number` of the 32-bit registers that show the set.
    fn register(self, number: u64) -> u64 {
        match number {
            0 => self.0[0] & 0xffff_ffff,
            1 => self.0[0] >> 32,
            2 => self.0[1] & 0xffff_ffff,
            _ => 0,
        }
    }

    /// The set after a store to such a register.
    fn with_register(self, number: u64, value: u64) -> Self {
        let [low, high] = self.0;
        let value = value & 0xffff_ffff;
        Self(match number {
            0 => [low & !0xffff_ffff | value, high],
            1 => [low & 0xffff_ffff | value << 32, high],
            2 => [low, value],
            _ => [low, high],
        })
        .and(Self::ALL)
    }

    /// The members, ascending.
    #[inline]
    fn iter(self) -> impl Iterator<Item = Source> {
        let high = self.0[1];
        bits(self.0[0]).map(Source).chain(bits(high).map(|bit| Source(64 + bit)))
    }
}

/// The numbers of the bits that are set, ascending.
#[inline]
fn bits(mut word: u64) -> impl Iterator<Item = u8> {
    core::iter::from_fn(move || {
        let bit = word.trailing_zeros().to_le_bytes()[0];
        word &= word.checked_sub(1)?;
        Some(bit)
    })
}

/// A request by its urgency: the priority in the high byte, and below it 255
/// minus the source, since of equals the lowest source wins ("Interrupt Priorities"). 0 is
/// no request.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Rank(u16);

impl Rank {
    #[inline]
    const fn new(priority: u8, source: Source) -> Self {
        Self(u16::from_be_bytes([priority, 255 - source.0]))
    }

    #[inline]
    const fn priority(self) -> u8 {
        self.0.to_be_bytes()[0]
    }

    #[inline]
    const fn source(self) -> Source {
        Source(255 - self.0.to_be_bytes()[1])
    }
}

/// What can interrupt one mode of one hart.
#[derive(Clone, Default, Debug)]
struct Context {
    enabled: Sources,
    threshold: u8,
    /// The most urgent of the sources that are pending and enabled.
    best: Rank,
    /// What was last made of the interrupt line.
    output: bool,
}

impl Context {
    /// Whether the best request may interrupt. Priority 0 never does.
    #[inline]
    const fn interrupts(&self) -> bool {
        self.best.priority() > self.threshold
    }
}

/// What is at an offset.
enum Register {
    Priority(Source),
    Pending(u64),
    Enable(usize, u64),
    Threshold(usize),
    Claim(usize),
    /// Reads 0, ignores writes.
    Nothing,
}

/// One PLIC.
#[derive(Clone, Debug)]
pub struct Plic {
    contexts: Vec<Context>,
    priority: [u8; 128],
    /// Of each source, the contexts that enable it.
    enabled_by: [u32; 128],
    /// Requests that nobody has claimed.
    pending: Sources,
    /// Claimed and not yet completed.
    in_service: Sources,
    /// Requests that came for a source in service: they wait for completion.
    again: Sources,
    changed: u32,
}

impl Plic {
    /// A PLIC after reset with so many contexts, at most [`MAX_CONTEXTS`].
    /// On `virt`, 2 * hart is the hart's M-mode and 2 * hart + 1 its S-mode.
    pub fn new(contexts: usize) -> Self {
        let contexts = contexts.min(MAX_CONTEXTS);
        Self {
            contexts: core::iter::repeat_n(Context::default(), contexts).collect(),
            priority: [0; 128],
            enabled_by: [0; 128],
            pending: Sources::default(),
            in_service: Sources::default(),
            again: Sources::default(),
            changed: 0,
        }
    }

    /// All registers as in [`Plic::new`].
    pub fn reset(&mut self) {
        self.priority = [0; 128];
        self.enabled_by = [0; 128];
        self.in_service = Sources::default();
        self.pending = Sources::default();
        self.again = Sources::default();
        for index in 0..self.contexts.len() {
            self.alter(index, |context| {
                *context = Context { output: context.output, ..Context::default() };
            });
        }
    }

    /// Loads the register at `offset`; a load of `claim` claims. Where there is
    /// no register it reads 0.
    ///
    /// # Errors
    /// [`AccessFault`] for a width other than 4 bytes or an access that is not
    /// aligned.
    #[inline]
    pub fn read(&mut self, offset: u64, width: Width) -> Result<u64, AccessFault> {
        Ok(match self.decode(offset, width)? {
            Register::Priority(source) => self.priority[source.index()].into(),
            Register::Pending(word) => self.pending.or(self.again).register(word),
            Register::Enable(context, word) => {
                self.context(context, |context| context.enabled.register(word))
            }
            Register::Threshold(context) => {
                self.context(context, |context| context.threshold.into())
            }
            Register::Claim(context) => self.claim(context),
            Register::Nothing => 0,
        })
    }

    /// Stores to the register at `offset`; otherwise like [`Plic::read`]. A
    /// store that completes a source returns it.
    ///
    /// # Errors
    /// As of [`Plic::read`].
    #[inline]
    pub fn write(
        &mut self,
        offset: u64,
        width: Width,
        value: u64,
    ) -> Result<Option<u32>, AccessFault> {
        let priority = (value & MAX_PRIORITY).to_le_bytes()[0];
        match self.decode(offset, width)? {
            Register::Priority(source) => self.set_priority(source, priority),
            Register::Enable(context, word) => self.enable(context, word, value),
            Register::Threshold(context) => {
                self.alter(context, |context| context.threshold = priority);
            }
            Register::Claim(_) => return Ok(self.complete(value & width.mask())),
            Register::Pending(_) | Register::Nothing => {}
        }
        Ok(None)
    }

    /// A device asserts its line, perhaps once more. Sources that do not exist
    /// are ignored.
    #[inline]
    pub fn raise(&mut self, irq: u32) {
        let Some(source) = Source::new(irq.into()) else { return };
        if self.in_service.has(source) {
            self.again.set(source, true);
        } else if !self.pending.has(source) {
            self.request(source);
        }
    }

    /// The interrupt line of a context.
    #[inline]
    pub fn pending(&self, context: usize) -> bool {
        self.contexts.get(context).is_some_and(|context| context.output)
    }

    /// The contexts (bit n: context n) whose line may have changed since this
    /// was last asked.
    #[inline]
    pub const fn changed(&mut self) -> u32 {
        core::mem::replace(&mut self.changed, 0)
    }

    #[inline]
    fn decode(&self, offset: u64, width: Width) -> Result<Register, AccessFault> {
        if width != Width::Word || !offset.is_multiple_of(4) {
            return Err(AccessFault);
        }
        let index = |number| usize::try_from(number).map_err(|_| AccessFault);
        Ok(match offset {
            CONTEXT.. => {
                let context = index((offset - CONTEXT) / CONTEXT_STRIDE)?;
                match offset % CONTEXT_STRIDE {
                    0 => Register::Threshold(context),
                    4 => Register::Claim(context),
                    _ => Register::Nothing,
                }
            }
            ENABLE.. => Register::Enable(
                index((offset - ENABLE) / ENABLE_STRIDE)?,
                offset % ENABLE_STRIDE / 4,
            ),
            PENDING.. => Register::Pending((offset - PENDING) / 4),
            _ => Source::new(offset / 4).map_or(Register::Nothing, Register::Priority),
        })
    }

    /// What `look` finds in a context, 0 if there is no such context.
    #[inline]
    fn context(&self, index: usize, look: impl FnOnce(&Context) -> u64) -> u64 {
        self.contexts.get(index).map_or(0, look)
    }

    /// Changes a context, if there is one, and takes note of its line.
    #[inline]
    fn alter(&mut self, index: usize, change: impl FnOnce(&mut Context)) {
        let Some(context) = self.contexts.get_mut(index) else { return };
        change(context);
        let output = context.interrupts();
        if output != context.output {
            context.output = output;
            self.changed |= 1 << index;
        }
    }

    /// The contexts that enable a source.
    #[inline]
    fn interested(&self, source: Source) -> impl Iterator<Item = usize> + use<> {
        bits(self.enabled_by[source.index()].into()).map(usize::from)
    }

    /// Finds the best request of a context anew.
    fn rescan(&mut self, index: usize) {
        let Some(context) = self.contexts.get(index) else { return };
        let candidates = self.pending.and(context.enabled).iter();
        let ranks = candidates.map(|source| Rank::new(self.priority[source.index()], source));
        let best = ranks.max().unwrap_or_default();
        self.alter(index, |context| context.best = best);
    }

    fn request(&mut self, source: Source) {
        self.pending.set(source, true);
        let rank = Rank::new(self.priority[source.index()], source);
        for index in self.interested(source) {
            self.alter(index, |context| context.best = context.best.max(rank));
        }
    }

    /// The best request above the threshold is the claimer's; 0 if none is.
    fn claim(&mut self, index: usize) -> u64 {
        let Some(context) = self.contexts.get(index).filter(|context| context.interrupts()) else {
            return 0;
        };
        let best = context.best;
        self.pending.set(best.source(), false);
        self.in_service.set(best.source(), true);
        for index in self.interested(best.source()) {
            if self.contexts.get(index).is_some_and(|context| context.best == best) {
                self.rescan(index);
            }
        }
        best.source().0.into()
    }

    fn complete(&mut self, number: u64) -> Option<u32> {
        let source = Source::new(number).filter(|source| self.in_service.has(*source))?;
        self.in_service.set(source, false);
        if self.again.has(source) {
            self.again.set(source, false);
            self.request(source);
        }
        Some(source.0.into())
    }

    fn set_priority(&mut self, source: Source, priority: u8) {
        self.priority[source.index()] = priority;
        if self.pending.has(source) {
            self.interested(source).for_each(|index| self.rescan(index));
        }
    }

    fn enable(&mut self, index: usize, word: u64, value: u64) {
        let Some(context) = self.contexts.get_mut(index) else { return };
        let (old, new) = (context.enabled, context.enabled.with_register(word, value));
        context.enabled = new;
        for source in Sources([old.0[0] ^ new.0[0], old.0[1] ^ new.0[1]]).iter() {
            self.enabled_by[source.index()] ^= 1 << index;
        }
        self.rescan(index);
    }
}

#[cfg(test)]
mod tests;
