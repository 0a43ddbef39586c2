//! The options of a run, with the same names on the command line and in a
//! configuration file. Only their form is checked here; `super::spec`
//! checks what they mean.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Deserialize;
use trapeze_vmm::bundle::{Boot, ConsoleModel, CpuMode, RngModel};

use super::net::NetOption;
use super::pass::PassOption;
use super::values::{BalloonOption, CauseName, DiskOption, EscapeKey, Size};

/// What describes one guest.
#[derive(Args, Deserialize, Clone, Default, Debug)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct GuestOptions {
    /// Name of the guest in messages and statistics
    #[arg(long)]
    pub name: Option<String>,
    /// Kernel: an ELF file, or a Linux Image
    #[arg(long, value_name = "PATH")]
    pub kernel: Option<PathBuf>,
    /// Initial RAM disk
    #[arg(long, value_name = "PATH")]
    pub initrd: Option<PathBuf>,
    /// Disk image: `PATH[,model=virtio-mmio|pv|ata][,version=1|2][,backend=qemu|ram|overlay|qemu-overlay][,room=SIZE][,ro][,burst]`; repeatable
    #[arg(long, value_name = "DISK")]
    pub disk: Vec<DiskOption>,
    /// Network: `user|switch|none[,model=virtio-mmio|pv][,version=1|2][,mac=MAC][,hostfwd=tcp:HOSTPORT:GUESTPORT]` [default: none]
    #[arg(long, value_name = "NET")]
    pub net: Option<NetOption>,
    /// Device that is the guest's own: `net[,mac=MAC][,hostfwd=tcp:HOSTPORT:GUESTPORT][,dma=LEVEL]` or `disk=PATH[,ro][,dma=LEVEL]`, LEVEL being `mediated` (default) or `trusted`; on PCI, behind QEMU 10's IOMMU: `pci=e1000e[,mac=MAC][,hostfwd=...]`, `nvme=PATH[,ro]`, `pci=edu`; repeatable
    #[arg(long, value_name = "DEVICE")]
    pub pass: Vec<PassOption>,
    /// Command line of the kernel
    #[arg(long, value_name = "STRING")]
    pub append: Option<String>,
    /// Number of vCPUs [default: 1]
    #[arg(long, value_name = "N")]
    pub cpus: Option<u32>,
    /// Memory, such as 256M or 1G [default: 128M]
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<Size>,
    /// How the guest's kernel is run [default: classic]
    #[arg(long)]
    pub cpu: Option<CpuOption>,
    /// Mode in which the kernel starts: m, s, or auto, which looks at the kernel [default: auto]
    #[arg(long)]
    pub boot: Option<BootOption>,
    /// End the guest with a failure when it resets, as after a panic with panic=-1
    #[arg(long)]
    pub no_reboot: bool,
    /// Console besides the paravirtual one: the UART, or virtio-console, too [default: uart]
    #[arg(long)]
    pub console: Option<ConsoleOption>,
    /// Source of random bytes besides the paravirtual one [default: none]
    #[arg(long)]
    pub rng: Option<RngOption>,
    /// Memory balloon, and what the guest is asked to give back at first: a size, 0, or none [default: none]
    #[arg(long, value_name = "SIZE")]
    pub balloon: Option<BalloonOption>,
}

/// What describes the run as a whole.
#[derive(Args, Deserialize, Clone, Default, Debug)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct RunOptions {
    /// End with success as soon as the console shows this pattern
    #[arg(long, value_name = "REGEX")]
    pub expect: Option<String>,
    /// End with a failure after so many seconds
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
    /// Count instructions instead of time: repeatable, and slower
    #[arg(long)]
    pub icount: bool,
    /// Print the QEMU command line instead of running it
    #[arg(long)]
    pub dry_run: bool,
    /// Write statistics of exits to FILE, as JSON
    #[arg(long, value_name = "FILE")]
    pub stats: Option<PathBuf>,
    /// Write one line per exit to FILE, or to stderr with "-"
    #[arg(long, value_name = "FILE|-")]
    pub trace: Option<PathBuf>,
    /// Trace only these causes, such as csr,shadow,device
    #[arg(long, value_name = "CAUSES", value_delimiter = ',')]
    pub trace_only: Vec<CauseName>,
    /// End the trace after N lines
    #[arg(long, value_name = "N")]
    pub trace_limit: Option<u64>,
    /// Harts of the real machine [default: the vCPUs of the largest guest]
    #[arg(long, value_name = "N")]
    pub harts: Option<u32>,
    /// Key that calls the monitor: ctrl-e, ctrl-] and so on, or none [default: ctrl-]]
    #[arg(long, value_name = "KEY")]
    pub escape: Option<EscapeKey>,
    /// Run the same kernel on bare QEMU, without the VMM
    #[arg(long)]
    pub native: bool,
    /// Guests of a configuration file.
    #[arg(skip)]
    pub guest: Vec<GuestOptions>,
}

/// `--cpu`
#[derive(ValueEnum, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "kebab-case")]
pub enum CpuOption {
    /// All of the guest in real U-mode
    Classic,
    /// The guest's S-mode in real S-mode
    Assisted,
}

impl From<CpuOption> for CpuMode {
    fn from(option: CpuOption) -> Self {
        match option {
            CpuOption::Classic => Self::Classic,
            CpuOption::Assisted => Self::Assisted,
        }
    }
}

/// `--boot`
#[derive(ValueEnum, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "kebab-case")]
pub enum BootOption {
    /// Decide from the kernel
    Auto,
    /// Virtual machine mode, without firmware
    M,
    /// Virtual supervisor mode, with an SBI
    S,
}

impl From<BootOption> for Boot {
    fn from(option: BootOption) -> Self {
        match option {
            BootOption::Auto => Self::Auto,
            BootOption::M => Self::Machine,
            BootOption::S => Self::Supervisor,
        }
    }
}

/// `--console`
#[derive(ValueEnum, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "kebab-case")]
pub enum ConsoleOption {
    /// The 16550 alone
    Uart,
    /// The 16550, and virtio-console
    VirtioMmio,
}

impl From<ConsoleOption> for ConsoleModel {
    fn from(option: ConsoleOption) -> Self {
        match option {
            ConsoleOption::Uart => Self::Uart,
            ConsoleOption::VirtioMmio => Self::VirtioMmio,
        }
    }
}

/// `--rng`
#[derive(ValueEnum, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "kebab-case")]
pub enum RngOption {
    /// None
    None,
    /// virtio-rng
    VirtioMmio,
}

impl From<RngOption> for RngModel {
    fn from(option: RngOption) -> Self {
        match option {
            RngOption::None => Self::None,
            RngOption::VirtioMmio => Self::VirtioMmio,
        }
    }
}

impl GuestOptions {
    /// Whether the user said anything about a guest.
    pub fn is_given(&self) -> bool {
        self.name.is_some()
            || self.kernel.is_some()
            || self.initrd.is_some()
            || !self.disk.is_empty()
            || self.net.is_some()
            || !self.pass.is_empty()
            || self.append.is_some()
            || self.cpus.is_some()
            || self.memory.is_some()
            || self.cpu.is_some()
            || self.boot.is_some()
            || self.no_reboot
            || self.console.is_some()
            || self.rng.is_some()
            || self.balloon.is_some()
    }
}

impl RunOptions {
    /// These options, and those of `file` where nothing was said.
    pub fn over(self, file: Self) -> Self {
        let trace_only = if self.trace_only.is_empty() { file.trace_only } else { self.trace_only };
        Self {
            expect: self.expect.or(file.expect),
            timeout: self.timeout.or(file.timeout),
            icount: self.icount || file.icount,
            dry_run: self.dry_run || file.dry_run,
            stats: self.stats.or(file.stats),
            trace: self.trace.or(file.trace),
            trace_only,
            trace_limit: self.trace_limit.or(file.trace_limit),
            harts: self.harts.or(file.harts),
            escape: self.escape.or(file.escape),
            native: self.native || file.native,
            guest: file.guest,
        }
    }
}
