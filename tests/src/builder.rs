//! What a test says about its machine.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

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
        let mut builder = Self::empty(Scratch::new());
        builder.command.arg("--kernel").arg(kernel.as_ref());
        builder
    }

    /// A machine of several guests: `text` writes the configuration file, and
    /// may make files for it.
    pub fn config(text: impl FnOnce(&Self) -> String) -> Self {
        let mut builder = Self::empty(Scratch::new()).mode(Mode::Guest);
        let file = builder.file("vm.toml", text(&builder).as_bytes());
        builder.command.arg("--config").arg(file);
        builder
    }

    fn empty(scratch: Scratch) -> Self {
        let mut command = xtask();
        command.arg("run");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { command, scratch, mode: mode::current(), disks: 0, stats: None }
    }

    /// A raw kernel of a few instructions, see [`crate::code`].
    pub fn raw(code: &[u8]) -> Self {
        let mut builder = Self::empty(Scratch::new());
        let kernel = builder.file("kernel", code);
        builder.command.arg("--kernel").arg(kernel);
        builder
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

    /// Any option of `cargo xtask run` that has no value.
    pub fn flag(mut self, name: &str) -> Self {
        self.command.arg(name);
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
        match self.mode {
            Mode::Native => {
                self.command.arg("--native");
            }
            Mode::Guest => build_vmm(),
        }
        if let Some(stats) = &self.stats {
            self.command.arg("--stats").arg(stats);
        }
        Vm::spawn(self)
    }
}

/// Builds the VMM before the first machine starts, which otherwise would, and
/// take longer than a test waits.
fn build_vmm() {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        xtask::workspace::build_vmm().map(|_| ()).unwrap_or_else(|failure| panic!("{failure}"))
    });
}
