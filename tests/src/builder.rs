//! What a test says about its machine.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use xtask::mode::{self, Mode};

use crate::image::Scratch;
use crate::vm::Vm;
use crate::xtask_process::xtask;

/// A machine to be started: the options of `cargo xtask run`.
pub struct Builder {
    pub(crate) command: Command,
    pub(crate) scratch: Scratch,
    mode: Mode,
    disks: u32,
    pub(crate) stats: Option<PathBuf>,
}

impl Builder {
    /// A machine for `kernel`, with the switch as [`mode::current`] has it.
    pub fn new(kernel: impl AsRef<Path>) -> Self {
        let mut command = xtask();
        command.args(["run", "--kernel"]).arg(kernel.as_ref());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { command, scratch: Scratch::new(), mode: mode::current(), disks: 0, stats: None }
    }

    /// A raw kernel of a few instructions, see [`crate::code`].
    pub fn raw(code: &[u8]) -> Self {
        let scratch = Scratch::new();
        let kernel = scratch.write("kernel", code);
        Self { scratch, ..Self::new(kernel) }
    }

    /// Runs on bare QEMU, or as a guest, whatever the switch says.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Adds a disk with its own copy of `image`; `options` as in `--disk`.
    pub fn disk(mut self, image: impl AsRef<Path>, options: &str) -> Self {
        let copy = self.scratch.copy(&format!("disk{}.img", self.disks), image.as_ref());
        self.disks += 1;
        self.shared_disk(copy, options)
    }

    /// Adds a disk that is `image` itself.
    pub fn shared_disk(mut self, image: impl AsRef<Path>, options: &str) -> Self {
        let comma = if options.is_empty() { "" } else { "," };
        self.command.arg("--disk");
        self.command.arg(format!("{}{comma}{options}", image.as_ref().display()));
        self
    }

    /// Writes a file that lives as long as the machine.
    pub fn file(&self, name: &str, contents: &[u8]) -> PathBuf {
        self.scratch.write(name, contents)
    }

    /// Number of vCPUs.
    pub fn cpus(self, cpus: u32) -> Self {
        self.option("--cpus", &cpus.to_string())
    }

    /// Any option of `cargo xtask run`, with its value.
    pub fn option(mut self, name: &str, value: &str) -> Self {
        self.command.args([name, value]);
        self
    }

    /// Asks for the VMM's statistics, which [`Vm::wait`] returns; bare QEMU has
    /// none.
    pub fn stats(mut self) -> Self {
        self.stats = (self.mode == Mode::Guest).then(|| self.scratch.path("stats.json"));
        self
    }

    /// Starts the machine.
    pub fn start(mut self) -> Vm {
        if self.mode == Mode::Native {
            self.command.arg("--native");
        }
        if let Some(stats) = &self.stats {
            self.command.arg("--stats").arg(stats);
        }
        Vm::spawn(self)
    }
}
