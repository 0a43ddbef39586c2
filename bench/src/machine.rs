//! The probe `cost`, run natively and as a guest.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use xtask::failure::{Context, Result, broken};
use xtask::mode::Mode;
use xtask::{setup, workspace};

/// Seconds after which a run hangs for sure.
const PATIENCE: &str = "600";

/// Everything built that a measurement needs.
pub struct Bench {
    xtask: PathBuf,
    kernel: PathBuf,
}

/// Values by name, as a run of the probe gives them.
pub type Figures = BTreeMap<String, f64>;

impl Bench {
    /// Builds VMM, host tool and probe.
    ///
    /// # Errors
    /// If QEMU is missing, or something does not build.
    pub fn prepare() -> Result<Self> {
        setup::main()?;
        let target = workspace::GUEST_TARGET;
        let mut cargo = workspace::cargo();
        cargo.args(["build", "--quiet", "--package", "probes", "--bin", "cost"]);
        cargo.args(["--release", "--target", target]);
        workspace::run(cargo, "build the probe")?;
        workspace::build_vmm()?;
        let kernel = workspace::target_dir().join(target).join("release/cost");
        Ok(Self { xtask: workspace::build_xtask()?, kernel })
    }

    /// The probe's executable.
    pub fn kernel(&self) -> &Path {
        &self.kernel
    }

    /// `cargo xtask run` for the probe, with `append` as its command line.
    pub fn run(&self, mode: Mode, append: &str) -> Command {
        let mut command = Command::new(&self.xtask);
        command.args(["run", "--icount", "--timeout", PATIENCE, "--kernel"]).arg(&self.kernel);
        command.args(["--append", append]).stdin(Stdio::null());
        if mode == Mode::Native {
            command.arg("--native");
        }
        command
    }

    /// Instructions of all operations.
    ///
    /// # Errors
    /// If the probe does not come to its end.
    pub fn figures(&self, mode: Mode) -> Result<Figures> {
        Self::figures_of(self.run(mode, ""))
    }

    /// Instructions of all operations for a guest in assisted mode.
    ///
    /// # Errors
    /// If the probe does not come to its end.
    pub fn assisted_figures(&self) -> Result<Figures> {
        let mut command = self.run(Mode::Guest, "");
        command.args(["--cpu", "assisted"]);
        Self::figures_of(command)
    }

    fn figures_of(command: Command) -> Result<Figures> {
        let text = output(command)?;
        match text.contains("cost: pass") {
            true => Ok(figures(&text)),
            false => Err(broken(format!("the probe did not finish:\n{text}"))),
        }
    }

    /// Exits by cause of a run that does one operation, 3 × `rounds` times and
    /// some more to warm up.
    ///
    /// # Errors
    /// If the run fails.
    pub fn exits(&self, operation: &str, rounds: u64) -> Result<Figures> {
        let name = format!("exits-{}-{operation}-{rounds}.json", std::process::id());
        let file = scratch()?.join(name);
        let mut command = self.run(Mode::Guest, &format!("op={operation} rounds={rounds}"));
        command.arg("--stats").arg(&file);
        output(command)?;
        let text = std::fs::read_to_string(&file).context("read the statistics")?;
        let _ = std::fs::remove_file(&file);
        let stats: Value = serde_json::from_str(&text).context("understand the statistics")?;
        let causes = stats["guests"][0]["causes"].as_object().cloned().unwrap_or_default();
        Ok(causes.into_iter().filter_map(|(name, n)| Some((name, n.as_f64()?))).collect())
    }
}

/// Where results go.
///
/// # Errors
/// If the directory can't be made.
pub fn scratch() -> Result<PathBuf> {
    let dir = workspace::target_dir().join("bench");
    std::fs::create_dir_all(&dir).context(format!("create {}", dir.display()))?;
    Ok(dir)
}

/// Standard output of a command that must succeed.
///
/// # Errors
/// If it fails: with what it said.
pub fn output(mut command: Command) -> Result<String> {
    let output = command.output().context(format!("run {:?}", command.get_program()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    match output.status.success() {
        true => Ok(text),
        false => Err(broken(format!("{}\n{text}", String::from_utf8_lossy(&output.stderr).trim()))),
    }
}

/// The lines `cost: NAME = VALUE`.
fn figures(text: &str) -> Figures {
    let pairs = text.lines().filter_map(|line| line.strip_prefix("cost: ")?.split_once(" = "));
    pairs.filter_map(|(name, value)| Some((name.to_owned(), value.trim().parse().ok()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_among_other_lines() {
        let text = "VMM: hello\r\ncost: csrr = 150.5\r\ncost: x = y\ncost: pass\nother: a = 1\n";
        assert_eq!(figures(text), Figures::from([("csrr".to_owned(), 150.5)]));
    }

    #[test]
    fn a_command_that_fails_tells_why() {
        let mut sh = Command::new("sh");
        sh.args(["-c", "echo some; echo wrong >&2; exit 1"]);
        assert_eq!(output(sh).unwrap_err().to_string(), "wrong\nsome\n");
    }
}
