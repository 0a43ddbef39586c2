//! A machine for tests: harts that do as a script says, and guests in plain
//! memory.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use spin::mutex::SpinMutex;

use super::short::{Short, short_exception, short_instruction};
use super::{External, FpRegisters, Host, Machine, Resources, Seat, Trap, build};
use crate::addr::Hpa;
use crate::bundle::{
    self, Backend, Boot, Config, CpuMode, DiskModel, Extent, Guest, MmioVersion, NetModel,
};
use crate::bus::RAM_BASE;
use crate::disk::{Disk, Request, Submitted};
use crate::mem::GuestRam;
use crate::net::{Frame, Mac, Wire};
use crate::pass::Found;
use crate::vcpu::{Context, Env, Supervisor, status};

/// RAM of each guest.
pub(super) const RAM: u64 = 2 << 20;
const INTERRUPT: u64 = 1 << 63;
const ILLEGAL: u64 = 2;
pub(super) const LOAD_FAULT: u64 = 13;
pub(super) const STORE_FAULT: u64 = 15;
/// The guest waits.
pub(super) const WFI: Trap = Trap { cause: ILLEGAL, value: 0x1050_0073 };

/// What a guest does until it traps.
type Script = Box<dyn FnMut(&mut Context) -> Trap + Send>;

/// What the harts of one machine share.
#[derive(Clone)]
pub(super) struct Board {
    kicks: Arc<[AtomicBool]>,
    clock: Arc<AtomicU64>,
}

impl Board {
    pub(super) fn new(harts: usize) -> Self {
        let kicks = (0..harts).map(|_| AtomicBool::new(false)).collect();
        Self { kicks, clock: Arc::new(AtomicU64::new(1000)) }
    }

    pub(super) fn now(&self) -> u64 {
        self.clock.load(Ordering::Relaxed)
    }

    pub(super) fn pass(&self, ticks: u64) {
        self.clock.fetch_add(ticks, Ordering::Relaxed);
    }

    pub(super) fn is_kicked(&self, hart: usize) -> bool {
        self.kicks[hart].load(Ordering::SeqCst)
    }
}

/// A hart whose guests do as the script says, unless an interrupt comes.
pub(super) struct FakeHost {
    hart: usize,
    pub(super) board: Board,
    script: Script,
    timer: u64,
    /// The floating-point registers of the hart.
    pub(super) fp: FpRegisters,
    fs: u64,
    /// What the guest whose vS runs in S-mode has there; `None` while there is
    /// none.
    pub(super) supervisor: Option<Supervisor>,
    /// The timer that it has there.
    pub(super) supervisor_timer: Option<u64>,
    /// What the real devices have to say.
    pub(super) externals: Vec<External>,
    /// Interrupts that were completed.
    pub(super) completed: SpinMutex<Vec<u32>>,
    /// What the terminal shows.
    pub(super) shown: SpinMutex<Vec<u8>>,
    /// Called when a root comes into force.
    pub(super) on_root: Box<dyn FnMut() + Send>,
}

impl FakeHost {
    pub(super) fn new(
        hart: usize,
        board: &Board,
        script: impl FnMut(&mut Context) -> Trap + Send + 'static,
    ) -> Self {
        Self {
            hart,
            board: board.clone(),
            script: Box::new(script),
            timer: 0,
            fp: FpRegisters::default(),
            fs: 0,
            supervisor: None,
            supervisor_timer: None,
            externals: Vec::new(),
            completed: SpinMutex::default(),
            shown: SpinMutex::default(),
            on_root: Box::new(|| ()),
        }
    }
}

impl Env for FakeHost {
    fn time(&self) -> u64 {
        self.board.now()
    }

    fn cycle(&self) -> u64 {
        0
    }

    fn instret(&self) -> u64 {
        0
    }

    fn fp_dirty(&self) -> bool {
        self.fs == status::FS
    }
}

impl Host for FakeHost {
    fn hart(&self) -> usize {
        self.hart
    }

    fn enter(&mut self, seat: &mut Seat) -> Trap {
        loop {
            if self.board.is_kicked(self.hart) {
                return Trap { cause: INTERRUPT | 3, value: 0 };
            }
            if self.time() >= self.timer {
                return Trap { cause: INTERRUPT | 7, value: 0 };
            }
            let trap = (self.script)(&mut seat.vcpu().ctx);
            let short = match trap.cause {
                ILLEGAL => short_instruction(self, seat, trap.value),
                _ => short_exception(self, seat, trap),
            };
            match short {
                Short::Resume => {}
                Short::Settle => return Trap::HANDLED,
                Short::Unhandled => return trap,
            }
        }
    }

    fn set_root(&mut self, _: Hpa) {
        (self.on_root)();
    }

    fn flush(&mut self) {}

    fn fence_i(&mut self) {}

    fn set_fp(&mut self, fs: u64) {
        self.fs = fs;
    }

    fn save_fp(&mut self, registers: &mut FpRegisters) {
        registers.clone_from(&self.fp);
    }

    fn load_fp(&mut self, registers: &FpRegisters) {
        self.fp.clone_from(registers);
    }

    fn load_supervisor(&mut self, registers: &Supervisor) {
        self.supervisor = Some(*registers);
        self.fs = registers.status & status::FS;
    }

    fn save_supervisor(&mut self) -> &Supervisor {
        self.supervisor.as_ref().expect("a guest runs in S-mode")
    }

    fn supervisor_timer(&self) -> Option<u64> {
        self.supervisor_timer
    }

    fn set_supervisor_timer(&mut self, deadline: Option<u64>) {
        self.supervisor_timer = deadline;
    }

    fn leave_supervisor(&mut self) {
        self.supervisor = None;
        self.supervisor_timer = None;
    }

    fn status(&self) -> u64 {
        let mode = |s: Supervisor| s.status | (s.mode as u64) << status::MPP_SHIFT;
        self.supervisor.map_or(0, mode)
    }

    fn set_counters(&mut self, _: u32) {}

    fn set_timer(&mut self, deadline: u64) {
        self.timer = deadline;
    }

    fn kick(&self, hart: usize) {
        self.board.kicks[hart].store(true, Ordering::SeqCst);
    }

    fn clear_kick(&mut self) {
        self.board.kicks[self.hart].store(false, Ordering::SeqCst);
    }

    fn wait(&mut self) {
        self.board.pass(1);
    }

    fn external(&mut self) -> Option<External> {
        self.externals.pop()
    }

    fn complete(&self, source: u32) {
        self.completed.lock().push(source);
    }

    fn read_console(&mut self) -> Option<u8> {
        None
    }

    fn write_console(&self, bytes: &[u8]) {
        self.shown.lock().extend_from_slice(bytes);
    }

    fn write_log(&self, _: &str) {}

    fn exit(&self, status: u16) -> ! {
        panic!("the machine ends with {status}")
    }
}

/// A disk of the machine that finishes requests as soon as it is asked.
#[derive(Default)]
struct SlowDisk(Vec<u16>);

impl Disk for SlowDisk {
    fn sectors(&self) -> u64 {
        1 << 20
    }

    fn read_only(&self) -> bool {
        false
    }

    fn serial(&self) -> [u8; 20] {
        [0; 20]
    }

    fn submit(&mut self, request: Request<'_>, _: &GuestRam) -> Submitted {
        self.0.push(request.tag);
        Submitted::Pending
    }

    fn complete(&mut self, _: &GuestRam) -> Option<(u16, bool)> {
        self.0.pop().map(|tag| (tag, true))
    }
}

/// A real network that sends each frame back to where it came from.
#[derive(Default)]
struct Mirror(VecDeque<Vec<u8>>);

impl Wire for Mirror {
    fn send(&mut self, frame: &[u8]) -> bool {
        let (to, rest) = frame.split_at(6);
        let (from, rest) = rest.split_at(6);
        self.0.push_back([from, to, rest].concat());
        true
    }

    fn receive(&mut self, frame: &mut Frame) -> Option<usize> {
        let next = self.0.pop_front()?;
        frame[..next.len()].copy_from_slice(&next);
        Some(next.len())
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

/// A machine with one guest for each number of vCPUs, all of which boot in
/// `boot` mode at the base of RAM (vM), or 2 MiB above (vS). Each has one of
/// the machine's disks, and the network.
pub(super) fn machine(cpus: &[u32], boot: Boot, harts: usize) -> &'static Machine {
    let classic: Vec<_> = cpus.iter().map(|cpus| (*cpus, CpuMode::Classic)).collect();
    machine_of(&classic, boot, harts)
}

/// The same, in these modes.
pub(super) fn machine_of(guests: &[(u32, CpuMode)], boot: Boot, harts: usize) -> &'static Machine {
    machine_with(guests, boot, harts, |_| None)
}

/// The same, where each guest owns what `passed` finds, trusted.
pub(super) fn machine_with(
    guests: &[(u32, CpuMode)],
    boot: Boot,
    harts: usize,
    mut passed: impl FnMut(bundle::RealDevice) -> Option<Found>,
) -> &'static Machine {
    let device = bundle::RealDevice::VirtioMmio { slot: 0 };
    let own = bundle::Passed { device, dma: bundle::Dma::Trusted };
    let owned: Vec<_> = passed(device).map(|_| own).into_iter().collect();
    let disk = bundle::Disk {
        model: DiskModel::VirtioMmio(MmioVersion::Modern),
        backend: Backend::Qemu { serial: String::new() },
        read_only: false,
    };
    let guest = |(number, (cpus, cpu_mode)): (usize, &(u32, CpuMode))| Guest {
        name: alloc::format!("g{number}"),
        memory: 3 * RAM,
        cpus: *cpus,
        cpu_mode: *cpu_mode,
        boot,
        kernel: Extent { offset: 0, len: 4 },
        disks: alloc::vec![disk.clone()],
        net: Some(bundle::Net {
            model: NetModel::VirtioMmio(MmioVersion::Modern),
            mac: Mac::numbered(u8::try_from(number).unwrap()),
            uplink: true,
        }),
        passed: owned.clone(),
        balloon: owned.is_empty().then_some(0),
        ..Guest::default()
    };
    let guests = guests.iter().enumerate().map(guest).collect();
    let config = Config { guests, escape: Some(0x1d), ..Config::default() };
    let mut resources = Resources {
        harts,
        bundle: &[0x73, 0, 0x50, 0x10],
        ram: &mut |size, _| Some(GuestRam::leaked(RAM_BASE, size)),
        bytes: &mut |size| Some(Vec::leak(alloc::vec![0; crate::addr::to_usize(size)])),
        disk: &mut |_| Some((0, Box::new(SlowDisk::default()))),
        passed: &mut passed,
        function: &mut |_, _| Err("there is no bus"),
        network: &mut || Some(Box::new(Mirror::default())),
        assists: true,
        sstc: true,
        has_log: false,
        epoch: Some(1 << 60),
        seeds: None,
    };
    let machine = build(&config, &mut resources).unwrap_or_else(|error| panic!("{error}"));
    Box::leak(Box::new(machine))
}
