//! The kernel `ladder`: built, run, and understood.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};
use xtask::failure::{Context, Result, broken};
use xtask::{setup, workspace};

use super::moved;
use super::ways::{Suite, Way};
use crate::machine::{self, Figures};

/// Seconds after which a run hangs for sure.
const PATIENCE: &str = "900";
/// The name of the guest that measures, where there are two.
const ASKS: &str = "asks";
/// Bytes of the disk, and of the one of profiles, where QEMU logs each
/// instruction that the VMM needs to copy it.
const DISK: usize = 16 << 20;
const SMALL_DISK: usize = 256 << 10;

/// Everything built that a measurement needs.
pub struct Ladder {
    xtask: PathBuf,
    kernel: PathBuf,
    /// The same for any address.
    moved: PathBuf,
    image: PathBuf,
}

/// A combination that was measured.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Key {
    /// `read`, `write`; `show`; `echo`, `send`
    pub op: String,
    /// `sequential` or `random`
    pub pattern: String,
    /// Bytes of a request.
    pub bytes: u32,
    /// Requests in flight.
    pub depth: u32,
}

/// What is counted, but is no exit of its own.
pub(super) const NO_EXIT: &str = "interrupts injected";

/// What the kernel printed of a combination.
#[derive(Clone, PartialEq, Debug)]
pub struct Measured {
    /// Which combination.
    pub key: Key,
    /// Requests.
    pub ops: f64,
    /// The time they took, in ticks of 100 ns.
    pub ticks: f64,
    /// The instructions they took.
    pub instructions: f64,
    /// The time that half of the requests took at most, in ticks.
    pub p50: f64,
    /// And 99 of 100.
    pub p99: f64,
    /// Counters of the VMM, by cause.
    pub exits: Figures,
}

impl Measured {
    /// Exits per operation.
    pub fn exits_per_op(&self) -> f64 {
        let exits = self.exits.iter().filter(|(cause, _)| *cause != NO_EXIT);
        exits.map(|(_, count)| count).sum::<f64>() / self.ops
    }
}

impl Ladder {
    /// Builds VMM, host tool and kernel, and makes a disk.
    ///
    /// # Errors
    /// If QEMU is missing, or something does not build.
    pub fn prepare() -> Result<Self> {
        setup::main()?;
        let target = workspace::GUEST_TARGET;
        let mut cargo = workspace::cargo();
        cargo.args(["build", "--quiet", "--package", "ladder", "--release", "--target", target]);
        workspace::run(cargo, "build the ladder")?;
        workspace::build_vmm()?;
        let image = zeroes("ladder.img", DISK)?;
        let kernel = workspace::target_dir().join(target).join("release/ladder");
        let executable = kernel.with_file_name("ladder-moved");
        let executable = fs::read(executable).context("read the ladder that can be moved")?;
        let moved = machine::scratch()?.join("ladder-moved.bin");
        fs::write(&moved, moved::image(&executable)?).context("write the ladder's image")?;
        Ok(Self { xtask: workspace::build_xtask()?, kernel, moved, image })
    }

    /// The kernel's executable.
    pub(super) fn kernel(&self) -> &Path {
        &self.kernel
    }

    /// `cargo xtask run` for a rung, to be profiled. Each has a disk of its own,
    /// because QEMU locks it.
    ///
    /// # Errors
    /// If the disk can't be made.
    pub(super) fn to_profile(
        &self,
        suite: &Suite,
        way: &Way,
        depth: u32,
        rounds: u32,
    ) -> Result<Command> {
        let name: String = way.name.chars().filter(char::is_ascii_alphanumeric).collect();
        let image = zeroes(&format!("profile-{name}-{depth}.img"), SMALL_DISK)?;
        let append = format!("sizes=4096 depths={depth} rounds={rounds}");
        let mut command = self.command(suite, way, &image, &append)?;
        command.arg("--icount");
        Ok(command)
    }

    /// `cargo xtask run` for a rung, with `append` added to its command line.
    fn command(&self, suite: &Suite, way: &Way, image: &Path, append: &str) -> Result<Command> {
        let mut command = Command::new(&self.xtask);
        command.args(["run", "--timeout", PATIENCE]).stdin(Stdio::null());
        let append = format!("suite={} driver={} {append}", suite.name, way.driver);
        if let Some(net) = way.pair() {
            command.arg("--config").arg(self.pair(way, net, &append)?);
            return Ok(command);
        }
        let kernel = if way.is_moved() { &self.moved } else { &self.kernel };
        command.args(["--boot", "s", "--kernel"]).arg(kernel);
        command.args(way.device.options(image)).args(["--append", &append]);
        if way.native {
            command.arg("--native");
        }
        Ok(command)
    }

    /// A file that describes two guests: one that asks, one that answers.
    fn pair(&self, way: &Way, net: &str, append: &str) -> Result<PathBuf> {
        let kernel = serde_json::Value::from(self.kernel.display().to_string());
        let guest = |name: &str, append: &str| {
            format!(
                "[[guest]]\nname = \"{name}\"\nkernel = {kernel}\nboot = \"s\"\n\
                 net = \"{net}\"\nappend = \"{append}\"\n"
            )
        };
        let answers = format!("suite=network driver={} role=answers", way.driver);
        let text = guest(ASKS, &format!("{append} role=asks")) + &guest("answers", &answers);
        let path = machine::scratch()?.join(format!("pair-{}.toml", way.driver));
        fs::write(&path, text).context(format!("write {}", path.display()))?;
        Ok(path)
    }

    /// Every combination, each for `ms` milliseconds.
    ///
    /// # Errors
    /// If the run fails.
    pub(super) fn time(&self, suite: &Suite, way: &Way, ms: u32) -> Result<Vec<Measured>> {
        let append = format!("ms={ms} {}", suite.cells);
        understand(&machine::output(self.command(suite, way, &self.image, &append)?)?)
    }

    /// Sequential combinations, with instructions counted: the same each time.
    ///
    /// # Errors
    /// If the run fails.
    pub fn count(&self, suite: &Suite, way: &Way) -> Result<Vec<Measured>> {
        let append = format!("ms=1000000 {}", suite.counted);
        let mut command = self.command(suite, way, &self.image, &append)?;
        command.arg("--icount");
        understand(&machine::output(command)?)
    }
}

/// An empty disk.
fn zeroes(name: &str, bytes: usize) -> Result<PathBuf> {
    let image = machine::scratch()?.join(name);
    fs::write(&image, vec![0; bytes]).context(format!("write {}", image.display()))?;
    Ok(image)
}

/// The lines of a whole run.
fn understand(text: &str) -> Result<Vec<Measured>> {
    let mark = format!("[{ASKS}] ");
    let lines = || text.lines().map(|line| line.strip_prefix(&mark).unwrap_or(line).trim_end());
    let passes = ["ladder: pass", "ladder-moved: pass"];
    if !lines().any(|line| passes.contains(&line)) {
        return Err(broken(format!("the ladder did not finish:\n{text}")));
    }
    let mut all: Vec<Measured> = Vec::new();
    for line in lines().filter_map(|line| line.strip_prefix("ladder: ")) {
        if let Some(rest) = line.strip_prefix("cell ") {
            all.push(parse(rest).ok_or_else(|| broken(format!("not understood: {line}")))?);
        } else if let (Some(rest), Some(last)) = (line.strip_prefix("exits "), all.last_mut())
            && let Some((count, cause)) = rest.split_once(' ')
        {
            last.exits.insert(cause.to_owned(), count.parse().unwrap_or_default());
        }
    }
    Ok(all)
}

/// `read sequential 4096 32 ops=... ticks=...`
fn parse(line: &str) -> Option<Measured> {
    let words: Vec<&str> = line.split(' ').collect();
    let [op, pattern, bytes, depth, rest @ ..] = words.as_slice() else { return None };
    let value = |key: &str| {
        let word = rest.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        word?.parse::<f64>().ok()
    };
    let (op, pattern) = ((*op).to_owned(), (*pattern).to_owned());
    Some(Measured {
        key: Key { op, pattern, bytes: bytes.parse().ok()?, depth: depth.parse().ok()? },
        ops: value("ops")?,
        ticks: value("ticks")?,
        instructions: value("instructions")?,
        p50: value("p50")?,
        p99: value("p99")?,
        exits: Figures::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = "VMM: hello\r\n\
        ladder: cell read random 4096 8 ops=40 ticks=500 instructions=9000 p50=3 p99=7\r\n\
        ladder: exits 80 device virtio 0\r\n\
        ladder: exits 40 sret\r\n\
        ladder: cell write random 512 1 ops=4 ticks=5 instructions=9 p50=1 p99=2\r\n\
        ladder: pass\r\n";

    #[test]
    fn figures_and_exits_belong_to_a_combination() {
        let all = understand(RUN).unwrap();
        let key = |op: &str, bytes, depth| {
            let (op, pattern) = (op.to_owned(), "random".to_owned());
            Key { op, pattern, bytes, depth }
        };
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].key, key("read", 4096, 8));
        assert_eq!((all[0].ops, all[0].ticks, all[0].p99), (40.0, 500.0, 7.0));
        assert_eq!(all[0].exits["device virtio 0"], 80.0);
        assert_eq!((&all[1].key, all[1].exits.len()), (&key("write", 512, 1), 0));
        let marked = RUN.replace("ladder:", "[asks] ladder:") + "[answers] ladder: pass\r\n";
        assert_eq!(understand(&marked).unwrap(), all);
        assert!(understand("[answers] ladder: pass\r\n").is_err());
    }

    #[test]
    fn a_run_that_does_not_end_well_is_an_error() {
        let failure = understand(&RUN.replace("pass", "1 wrong")).unwrap_err();
        assert!(failure.to_string().contains("did not finish"), "{failure}");
        let failure = understand(&RUN.replace("ticks=5 ", "")).unwrap_err();
        assert!(failure.to_string().contains("not understood"), "{failure}");
    }
}
