//! Guests, their vCPUs, and the one loop that runs them.
//!
//! ```text
//!   hart ── loop: settle → Host::enter → handle → count, trace
//!    │        a hart has *seats*: the vCPUs that it runs in turn
//!    ├─ seat     one vCPU: virtual hart, shadow root
//!    ├─ short    frequent exits, handled before the switch is complete
//!    ├─ assisted guests whose vS runs in real S-mode: what is different
//!    ├─ exit     what each trap means
//!    ├─ access   page faults, device registers, emulated loads and stores
//!    ├─ firmware the SBI's effects
//!    ├─ hypercall the paravirtual interface
//!    ├─ balloon  pages on their way from a guest to the VMM and back
//!    └─ guest    what the vCPUs of a guest share: RAM, shadow, devices,
//!                and per vCPU a *link* through which others reach it,
//!                with the counters of its exits
//! ```
//!
//! Everything here is generic over [`Host`], the real machine.
//!
//! Invariant **no-nesting**: of a guest's locks (shadow, devices) a
//! hart holds one at most. Under it, it takes only leaf locks: the terminal's,
//! the real disks', the log port's, the heap's. So there is no order to get
//! wrong.

mod access;
mod assisted;
mod balloon;
mod boot;
mod burst;
mod clint;
mod clock;
mod console;
mod cpu_page;
mod devices;
mod drive;
mod exit;
#[cfg(test)]
mod fake;
mod firmware;
mod fittings;
mod guest;
mod hart;
mod hypercall;
mod link;
mod lock;
mod lookaside;
mod monitor;
mod network;
mod passed;
mod ready;
mod report;
mod seat;
mod short;
mod timer;
mod traced;
mod wire;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

pub use boot::{BuildError, FoundDisk, RamAddress, Resources, build};
pub use console::Console;
pub use guest::{Guest, Power};
pub use hart::run;
pub use seat::Seat;
pub use short::{Short, short_exception, short_instruction};

use network::Network;
use passed::PCI_WINDOWS;

use crate::addr::Hpa;
use crate::iommu::Fault;
use crate::pass::Registers;
use crate::spare::Spare;
use crate::trace::Filter;
use crate::vcpu::{Env, Supervisor};

/// What ended the guest's turn: `mcause` and `mtval` of the real hart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trap {
    /// `mcause`
    pub cause: u64,
    /// `mtval`
    pub value: u64,
}

impl Trap {
    /// No trap: the short path has handled it, and something is left to do
    /// before the guest runs on.
    pub const HANDLED: Self = Self { cause: u64::MAX, value: 0 };
}

/// Floating-point registers of a vCPU while another one uses the hart's.
#[repr(C)]
#[derive(Clone, Default, Debug)]
pub struct FpRegisters {
    /// f0 to f31
    pub f: [u64; 32],
    /// `fcsr`
    pub fcsr: u64,
}

/// Something outside the guests wants attention.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum External {
    /// Bytes have arrived on the terminal.
    Console,
    /// The real disk of this number has completed requests.
    Disk(usize),
    /// The real network has frames, or room for more.
    Net,
    /// A device that belongs to a guest interrupts, with this source at the
    /// real PLIC, which is to be completed: see [`Host::complete`].
    Passed(u32),
    /// The IOMMU refused an access; whether it is the last one of its device
    /// that is told.
    Blocked(Fault, bool),
    /// The host wants all guests to end, and the report.
    Stop,
}

/// One real hart, and the machine around it.
///
/// [`Env`] gives its clocks; `fp_dirty` speaks of the registers in the hart.
pub trait Host: Env {
    /// This hart's number; hart 0 receives the external interrupts.
    fn hart(&self) -> usize;
    /// Runs the guest until it traps, or until the short path, which is
    /// offered each exception first, says that the loop must go on.
    fn enter(&mut self, seat: &mut Seat) -> Trap;
    /// Makes the guest run on the shadow tables at `root`, with no
    /// translation left over from before.
    fn set_root(&mut self, root: Hpa);
    /// Throws away this hart's translations.
    fn flush(&mut self);
    /// Makes this hart's instruction fetches see all earlier stores.
    fn fence_i(&mut self);
    /// Makes the guest run on in real S-mode or U-mode with these registers:
    /// assisted mode. The virtual FS in them is in force, too.
    fn load_supervisor(&mut self, registers: &Supervisor);
    /// The registers as the guest left them.
    fn save_supervisor(&mut self) -> &Supervisor;
    /// Makes the guest run in real U-mode alone, with nothing delegated.
    fn leave_supervisor(&mut self);
    /// The deadline of the timer that S-mode has, if it has one.
    fn supervisor_timer(&self) -> Option<u64>;
    /// Gives S-mode a timer with this deadline, or takes the timer away.
    fn set_supervisor_timer(&mut self, deadline: Option<u64>);
    /// The real `mstatus`: after an exit, whom it came from.
    fn status(&self) -> u64;
    /// Sets the real `mstatus.FS` to these bits.
    fn set_fp(&mut self, fs: u64);
    /// Stores the floating-point registers.
    fn save_fp(&mut self, registers: &mut FpRegisters);
    /// Loads the floating-point registers.
    fn load_fp(&mut self, registers: &FpRegisters);
    /// Sets which counters the guest reads without a trap.
    fn set_counters(&mut self, enable: u32);
    /// Wants a timer trap at `deadline` ticks; `u64::MAX` is never.
    fn set_timer(&mut self, deadline: u64);
    /// Makes `hart` leave its guest soon.
    fn kick(&self, hart: usize);
    /// Takes note of kicks on this hart.
    fn clear_kick(&mut self);
    /// Idles until an interrupt is pending on this hart.
    fn wait(&mut self);
    /// The next external interrupt, on hart 0.
    fn external(&mut self) -> Option<External>;
    /// Ends an interrupt of a passed device; until then, it gives no other.
    fn complete(&self, source: u32);
    /// The next byte from the terminal.
    fn read_console(&mut self) -> Option<u8>;
    /// Writes to the terminal.
    fn write_console(&self, bytes: &[u8]);
    /// Writes to the log port, if there is one.
    fn write_log(&self, text: &str);
    /// Ends the machine.
    fn exit(&self, status: u16) -> !;
}

/// All that the harts share.
pub struct Machine {
    /// The guests, by number.
    pub guests: Vec<Guest>,
    /// The terminal.
    pub console: Arc<Console>,
    network: Network,
    /// What guests gave back.
    spare: Spare,
    /// Which exits are written to the log port.
    pub trace: Filter,
    /// Whether the report goes to the log port, too.
    pub wants_stats: bool,
    /// Number of harts.
    pub harts: usize,
    /// Whether their S-mode can have a timer of its own (Sstc).
    sstc: bool,
    /// Registers of real devices that guests reach without an exit.
    pub open: Vec<Registers>,
    /// Guests that are not powered off.
    running: AtomicUsize,
}

impl Machine {
    fn new(
        guests: Vec<Guest>,
        console: Arc<Console>,
        network: Network,
        spare: Spare,
        (harts, sstc): (usize, bool),
        (trace, wants_stats): (Filter, bool),
    ) -> Self {
        let running = AtomicUsize::new(guests.len());
        let owned = guests.iter().flat_map(|guest| guest.shadow.lock().owned());
        let with_bus = guests.iter().find(|guest| !guest.functions.is_empty());
        let open = owned.chain(with_bus.map(|_| PCI_WINDOWS)).collect();
        Self { guests, console, network, spare, trace, wants_stats, harts, sstc, open, running }
    }

    /// A guest is powered off; ends the machine after the last one.
    fn guest_is_off<H: Host>(&self, host: &H) {
        if self.running.fetch_sub(1, Ordering::AcqRel) != 1 {
            self.move_focus(host);
        } else {
            report::write(self, host);
            let failed = self.guests.iter().map(|guest| guest.exit_status()).find(|s| *s != 0);
            host.exit(failed.unwrap_or(0));
        }
    }
}
