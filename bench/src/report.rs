//! What was measured, where and of which sources: `report.json`, whose fields
//! docs/benchmarks.md explains.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use xtask::failure::{Context, Result};
use xtask::run::qemu;
use xtask::workspace;

use crate::ladder::result::Rung;
use crate::machine::{self, Figures};
use crate::profile::Share;
use crate::{scaling, xv6};

/// Changes when a field changes its meaning.
pub const SCHEMA: u32 = 1;

/// Everything that one run of the suites found.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Report {
    /// [`SCHEMA`]
    pub schema: u32,
    /// Of what, and where.
    pub origin: Origin,
    /// The suite of CPU operations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cpu: Vec<Row>,
    /// Instructions of xv6, where one was named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub xv6: Vec<xv6::cpu::Row>,
    /// More vCPUs, and more guests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scaling: Vec<scaling::Row>,
    /// The suite of disks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ladder: Vec<Rung>,
    /// The suite of consoles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub console: Vec<Rung>,
    /// The suite of networks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub network: Vec<Rung>,
}

/// What was measured, and where.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Origin {
    /// The commit of the sources.
    pub commit: String,
    /// Whether the sources had changes that were not committed.
    pub modified: bool,
    /// First line of `qemu-system-riscv64 --version`.
    pub qemu: String,
    /// The compiler.
    pub rustc: String,
    /// Model of the host's processor.
    pub processor: String,
    /// Processors of the host.
    pub processors: usize,
    /// How long the suites of the report took; older reports do not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
}

/// One operation; figures are per operation.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Row {
    /// Its name in the probe `cost`.
    pub name: String,
    /// What it does.
    pub what: String,
    /// Instructions on bare QEMU; 0 for what there is only for a guest.
    pub native: f64,
    /// Instructions as a guest, those of the VMM included.
    pub guest: f64,
    /// What `guest` should be at most.
    pub target: Option<f64>,
    /// Instructions as a guest in assisted mode; older reports have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assisted: Option<f64>,
    /// What `assisted` should be at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assisted_target: Option<f64>,
    /// What a guest of RVirt needs.
    pub rvirt: Option<f64>,
    /// Exits.
    pub exits: f64,
    /// Exits by cause, with the names of the VMM's statistics.
    pub causes: Figures,
    /// Where the instructions go; empty unless asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub profile: Vec<Share>,
}

impl Row {
    /// Whether it costs more than it should.
    pub fn misses(&self) -> bool {
        self.target.is_some_and(|target| self.guest > target)
    }

    /// Whether it does so in assisted mode.
    pub fn misses_assisted(&self) -> bool {
        self.assisted.zip(self.assisted_target).is_some_and(|(n, target)| n > target)
    }
}

impl Report {
    /// A report on these sources and this machine, whose suites took so long.
    ///
    /// # Errors
    /// If QEMU can't be asked for its version.
    pub fn new(
        cpu: Vec<Row>,
        [ladder, console, network]: [Vec<Rung>; 3],
        took: Duration,
    ) -> Result<Self> {
        let seconds = Some(took.as_secs_f64().round());
        let origin = Origin { seconds, ..Origin::find()? };
        let (xv6, scaling) = (Vec::new(), Vec::new());
        Ok(Self { schema: SCHEMA, origin, cpu, xv6, scaling, ladder, console, network })
    }

    /// The rungs of all suites, each with the name of its suite.
    pub fn rungs(&self) -> impl Iterator<Item = (&'static str, &Rung)> {
        let suites =
            [("disks", &self.ladder), ("console", &self.console), ("network", &self.network)];
        suites.into_iter().flat_map(|(suite, rungs)| rungs.iter().map(move |rung| (suite, rung)))
    }

    /// Reads a report.
    ///
    /// # Errors
    /// If it is not there, or no report.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).context(format!("read {}", path.display()))?;
        serde_json::from_str(&text).context(format!("understand {}", path.display()))
    }

    /// The report as JSON, for people to read, too.
    ///
    /// # Errors
    /// None that a report can cause.
    pub fn json(&self) -> Result<String> {
        let text = serde_json::to_string_pretty(self).context("write JSON")?;
        Ok(text + "\n")
    }
}

impl Origin {
    fn find() -> Result<Self> {
        let status = tell("git", &["status", "--porcelain", "--untracked-files=no"]);
        Ok(Self {
            commit: tell("git", &["rev-parse", "HEAD"]),
            modified: !status.is_empty(),
            qemu: first_line(&tell(&qemu::find()?, &["--version"])),
            rustc: tell("rustc", &["--version"]),
            processor: processor(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default()),
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            seconds: None,
        })
    }
}

/// What a command says; nothing if it fails.
fn tell(program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(workspace::root());
    machine::output(command).unwrap_or_default().trim().to_owned()
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

/// The model in the text of `/proc/cpuinfo`.
fn processor(text: &str) -> String {
    let model = text.lines().find(|line| line.starts_with("model name"));
    model.and_then(|line| line.split_once(": ")).map_or("unknown", |(_, name)| name).to_owned()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::ladder;

    /// A report with one operation that reaches its target, and one that does
    /// not.
    pub(crate) fn example() -> Report {
        let row = |name: &str, guest| Row {
            name: name.to_owned(),
            what: "something".to_owned(),
            native: 3.0,
            guest,
            target: Some(150.0),
            assisted: Some(guest - 147.0),
            assisted_target: Some(3.0),
            rvirt: Some(349.0),
            exits: 1.0,
            causes: Figures::from([("csr sscratch".to_owned(), 1.0)]),
            profile: Vec::new(),
        };
        let origin = Origin {
            commit: "0123456789abcdef".to_owned(),
            modified: false,
            qemu: "QEMU 1".to_owned(),
            rustc: "rustc 1".to_owned(),
            processor: "unknown".to_owned(),
            processors: 2,
            seconds: Some(83.0),
        };
        let cpu = vec![row("good", 149.5), row("bad", 150.5)];
        let (ladder, console) = (ladder::tables::tests::example(), Vec::new());
        let (xv6, scaling, network) = (Vec::new(), Vec::new(), console.clone());
        Report { schema: SCHEMA, origin, cpu, xv6, scaling, ladder, network, console }
    }

    #[test]
    fn a_report_survives_being_written() {
        let report = example();
        assert_eq!(serde_json::from_str::<Report>(&report.json().unwrap()).unwrap(), report);
        assert_eq!(report.cpu.iter().filter(|row| row.misses()).count(), 1);
    }

    #[test]
    fn processors_have_names_on_some_machines() {
        assert_eq!(processor("processor\t: 0\nmodel name\t: Fast (R)\n"), "Fast (R)");
        assert_eq!(processor("hart: 0\n"), "unknown");
    }
}
