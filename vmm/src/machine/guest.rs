//! What the vCPUs of one guest share, and the guest's life: boot, reset,
//! power-off.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU64, AtomicUsize, Ordering};

use spin::mutex::SpinMutex;

use super::balloon::Ledger;
use super::boot::{Entry, Images};
use super::console::Console;
use super::devices::{Devices, Place};
use super::link::{Attention, HartState, Link};
use super::lock::Lock;
use super::passed::Pci;
use super::seat::Seat;
use super::{Host, Machine};
use crate::bundle::{CpuMode, status};
use crate::iommu::DeviceId;
use crate::mem::GuestRam;
use crate::mmu::shadow::Shadow;
use crate::pv::Raise;
use crate::stats::Stats;
use crate::vcpu::Mode;

/// A guest that resets within this time of its boot, in ticks: 1 s ...
const SHORT_LIFE: u64 = 10_000_000;
/// ... this many times in a row, is in a loop.
const SHORT_LIVES: u8 = 5;

/// What a guest wants to become.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Power {
    /// It runs.
    On = 0,
    /// It is powered off, or about to be.
    Off = 1,
    /// It is about to start again.
    Reset = 2,
}

/// What a guest is made of.
pub(super) struct Parts {
    pub(super) number: usize,
    pub(super) name: String,
    pub(super) console: Arc<Console>,
    pub(super) ram: GuestRam,
    pub(super) shadow: Shadow,
    pub(super) devices: Devices,
    pub(super) disks: Vec<(usize, Place)>,
    pub(super) net: Option<Place>,
    pub(super) passed: Vec<(u32, Place)>,
    pub(super) balloon: Option<(Ledger, Place)>,
    pub(super) functions: Vec<(DeviceId, u8)>,
    pub(super) images: Images,
    /// The images are loaded.
    pub(super) entry: Entry,
    pub(super) cpus: usize,
    /// A reset ends it.
    pub(super) no_reboot: bool,
    pub(super) mode: CpuMode,
}

/// One guest.
pub struct Guest {
    /// Its number, from 0.
    pub(super) number: usize,
    /// Its name, for the terminal and the report.
    pub name: String,
    /// Where it shows what it has to say.
    pub(super) console: Arc<Console>,
    /// Its memory.
    pub ram: GuestRam,
    /// Whether it has more than one vCPU.
    pub(super) smp: bool,
    /// Whether vS runs in real S-mode.
    pub(super) assisted: bool,
    pub(super) shadow: Lock<Shadow>,
    /// See `mmu::shadow`, epochs.
    pub(super) epoch: AtomicU64,
    /// The shadow's generation, to be read without its lock.
    pub(super) generation: AtomicU64,
    /// What the guest's clock is ahead of the real one, in ticks.
    pub(super) clock_offset: AtomicU64,
    /// When the alarm of its real-time clock rings, in real ticks.
    pub(super) alarm: AtomicU64,
    pub(super) devices: Lock<Devices>,
    pub(super) links: Vec<Link>,
    /// Real disks and where the guest has them.
    pub(super) disks: Vec<(usize, Place)>,
    /// Where it has its network interface.
    pub(super) net: Option<Place>,
    /// Interrupts of its own devices at the real PLIC, and where it has these.
    pub(super) passed: Vec<(u32, Place)>,
    /// Its balloon, and where it has it.
    pub(super) balloon: Option<(Ledger, Place)>,
    /// PCI functions of its own: names for the IOMMU, and the numbers that
    /// they have for the guest.
    pub(super) functions: Vec<(DeviceId, u8)>,
    /// Where the word of the paravirtual interrupt line is; zero: nowhere.
    pub(super) pv_pending: AtomicU64,
    /// Whether copy loops at the ATA disk's data port are carried on.
    pub(super) bursts: bool,
    images: Images,
    /// What is loaded already: the first boot.
    loaded: SpinMutex<Option<Entry>>,
    starts_in_machine_mode: AtomicBool,
    power: AtomicU8,
    /// Its vCPUs stay outside of the guest.
    paused: AtomicBool,
    status: AtomicU16,
    parked: AtomicUsize,
    no_reboot: bool,
    booted: AtomicU64,
    short_lives: AtomicU8,
}

impl Guest {
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            number: parts.number,
            name: parts.name,
            console: parts.console,
            ram: parts.ram,
            smp: parts.cpus > 1,
            assisted: parts.mode == CpuMode::Assisted,
            shadow: Lock::new(parts.shadow),
            epoch: AtomicU64::new(0),
            generation: AtomicU64::new(0),
            clock_offset: AtomicU64::new(0),
            alarm: AtomicU64::new(u64::MAX),
            bursts: parts.devices.bursts(),
            devices: Lock::new(parts.devices),
            links: (0..parts.cpus).map(|_| Link::new()).collect(),
            disks: parts.disks,
            net: parts.net,
            passed: parts.passed,
            balloon: parts.balloon,
            functions: parts.functions,
            pv_pending: AtomicU64::new(0),
            images: parts.images,
            loaded: SpinMutex::new(Some(parts.entry)),
            starts_in_machine_mode: AtomicBool::new(true),
            power: AtomicU8::new(Power::On as u8),
            paused: AtomicBool::new(false),
            status: AtomicU16::new(0),
            parked: AtomicUsize::new(0),
            no_reboot: parts.no_reboot,
            booted: AtomicU64::new(0),
            short_lives: AtomicU8::new(0),
        }
    }

    /// The mode in which the kernel starts: vM bare, or vS on our SBI.
    #[inline]
    pub(super) fn boot_mode(&self) -> Mode {
        if self.starts_in_machine_mode.load(Ordering::Relaxed) {
            Mode::Machine
        } else {
            Mode::Supervisor
        }
    }

    /// What the guest said when it powered off; 0 is well.
    pub fn exit_status(&self) -> u16 {
        self.status.load(Ordering::Relaxed)
    }

    /// Whether the guest is on, off, or on its way.
    pub fn power(&self) -> Power {
        match self.power.load(Ordering::Acquire) {
            0 => Power::On,
            2 => Power::Reset,
            _ => Power::Off,
        }
    }

    /// The exits of all its vCPUs, as far as they have come.
    pub(super) fn stats(&self) -> Stats {
        Stats::sum(self.links.iter().map(|link| &link.stats))
    }

    /// Loads the guest's images and starts its vCPUs; all of them are parked.
    pub(super) fn boot<H: Host>(&self, host: &H) {
        self.reset_devices(host);
        self.empty_balloon();
        let windows = self.devices.lock().pci.as_mut().map(Pci::windows);
        let mut shadow = self.shadow.lock();
        windows.into_iter().for_each(|(number, windows)| shadow.show(number, windows));
        shadow.zap(&self.ram);
        self.generation.store(shadow.generation(), Ordering::Release);
        drop(shadow);
        self.epoch.fetch_add(1, Ordering::SeqCst);
        self.clock_offset.store(0, Ordering::Relaxed);
        self.alarm.store(u64::MAX, Ordering::Relaxed);
        self.pv_pending.store(0, Ordering::Relaxed);
        self.links.iter().for_each(Link::reset);
        self.parked.store(0, Ordering::Relaxed);
        self.booted.store(host.time(), Ordering::Relaxed);
        self.paused.store(false, Ordering::Release);
        self.power.store(Power::On as u8, Ordering::Release);
        let loaded = self.loaded.lock().take();
        // Checked when the machine was built, and the images are read-only.
        let Some(entry) = loaded.or_else(|| self.images.load(&self.ram).ok()) else { return };
        let machine_mode = entry.mode == Mode::Machine;
        self.starts_in_machine_mode.store(machine_mode, Ordering::Relaxed);
        // In vM all harts start, as on the board; in vS the first one does,
        // and starts the others by SBI calls.
        let first = if machine_mode { self.links.len() } else { 1 };
        for link in self.links.iter().take(first) {
            self.start(host, link, [entry.pc.0, entry.tree.0]);
        }
    }

    /// Starts a vCPU that is stopped at `[pc, a1]`; `false` if it was not.
    pub(super) fn start<H: Host>(&self, host: &H, link: &Link, at: [u64; 2]) -> bool {
        if !link.claim_start() {
            return false;
        }
        for (cell, value) in link.start.iter().zip(at) {
            cell.store(value, Ordering::Release);
        }
        link.notify(host, Attention::START);
        true
    }

    /// Ends the guest, for good or for a new start. Its vCPUs leave one by
    /// one; the last one sees to the rest.
    pub fn end<H: Host>(&self, host: &H, power: Power, status: u16) {
        let (on, to) = (Power::On as u8, power as u8);
        if self.power.compare_exchange(on, to, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            self.status.store(status, Ordering::Relaxed);
            self.links.iter().for_each(|link| link.notify(host, Attention::STOP));
        }
    }

    /// Keeps the guest's vCPUs out of it, until [`resume`](Self::resume) or
    /// a reset. Its clocks go on, and so does what its devices have begun.
    pub(super) fn pause<H: Host>(&self, host: &H) {
        self.paused.store(true, Ordering::Release);
        self.links.iter().for_each(|link| link.notify(host, Attention::LINES));
    }

    /// Lets a paused guest go on.
    pub(super) fn resume<H: Host>(&self, host: &H) {
        self.paused.store(false, Ordering::Release);
        self.links.iter().for_each(|link| link.notify(host, Attention::LINES));
    }

    /// Whether its vCPUs stay outside.
    pub(super) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Acquire)
    }

    /// A vCPU has left the guest.
    pub(super) fn park<H: Host>(&self, seat: &mut Seat, host: &H, machine: &Machine) {
        seat.link.set_state(HartState::Stopped);
        if self.parked.fetch_add(1, Ordering::AcqRel) + 1 == self.links.len() {
            self.finish(seat.link, host, machine);
        }
    }

    /// All vCPUs have left, the one of `link` last: the guest ends, or starts
    /// again. But not before the disks are done with its memory, and its own
    /// devices have stopped; until then, the last vCPU comes back here in its
    /// turns.
    pub(super) fn finish<H: Host>(&self, link: &Link, host: &H, machine: &Machine) {
        self.stop_passed(host);
        if self.devices.lock().busy() {
            return link.remind(Attention::ENDING);
        }
        if self.power() == Power::Reset && !self.may_not_restart(host.time()) {
            self.boot(host);
        } else {
            machine.guest_is_off(host);
        }
    }

    /// Whether this reset is the end: one of too many that follow at once on
    /// a boot, or one that is not wanted.
    fn may_not_restart(&self, now: u64) -> bool {
        if self.no_reboot {
            return self.is_over();
        }
        let lived = now.wrapping_sub(self.booted.load(Ordering::Relaxed));
        let lives =
            if lived < SHORT_LIFE { self.short_lives.load(Ordering::Relaxed) + 1 } else { 0 };
        self.short_lives.store(lives, Ordering::Relaxed);
        lives >= SHORT_LIVES && self.is_over()
    }

    /// The guest has failed for good; true.
    fn is_over(&self) -> bool {
        self.power.store(Power::Off as u8, Ordering::Release);
        self.status.store(status::RESET_LOOP.into(), Ordering::Relaxed);
        true
    }

    /// Raises the interrupt of the paravirtual line, which has news since
    /// just now. It goes down when the guest has taken them.
    pub(super) fn raise<H: Host>(&self, host: &H, own: Option<usize>, raise: Raise) {
        let Some(link) = self.links.get(raise.hart) else { return };
        link.pv_lines.fetch_or(raise.interrupt.bit(), Ordering::SeqCst);
        self.lines_moved(host, own, raise.hart, link);
    }

    /// Raises or lowers the external-interrupt lines of vCPU `cpu`. Its hart
    /// is interrupted, unless it is vCPU `own`, whose turn it is.
    pub(super) fn set_lines<H: Host>(
        &self,
        host: &H,
        own: Option<usize>,
        cpu: usize,
        (lines, up): (u64, bool),
    ) {
        let Some(link) = self.links.get(cpu) else { return };
        if link.set_lines(lines, up) {
            self.lines_moved(host, own, cpu, link);
        }
    }

    fn lines_moved<H: Host>(&self, host: &H, own: Option<usize>, cpu: usize, link: &Link) {
        match own {
            Some(own) if own == cpu => link.remind(Attention::LINES),
            _ => link.notify(host, Attention::LINES),
        }
    }
}
