//! Equivalence: a probe prints the same lines as a guest as it does on the
//! bare machine, and ends in the same way. One test for each probe of
//! `guests/probes/probes.toml`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use serde::Deserialize;
use tests::{Builder, Vm};
use toml::Table;
use xtask::mode::{self, Mode};
use xtask::workspace;

/// A probe's native run is short, but the machine may be busy.
const NATIVE: Duration = Duration::from_secs(60);
/// All disks are raw images of this size, all zeroes.
const DISK: usize = 1 << 20;

/// One run, as `probes.toml` describes it; that file explains the fields.
#[derive(Deserialize)]
struct Probe {
    name: String,
    bin: Option<String>,
    boot: String,
    smp: u32,
    memory: String,
    disk: bool,
    legacy: bool,
    native: bool,
    hostile: bool,
    expect: End,
    seconds: u64,
    input: bool,
}

/// How the machine ends.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "kebab-case")]
enum End {
    Pass,
    Fail,
    Reset,
    Never,
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let directory = build();
    let trials = probes().into_iter().filter(|probe| !probe.hostile && !probe.input);
    let trials = trials.map(|probe| trial(probe, &directory)).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(probe: Probe, directory: &Path) -> Trial {
    let kernel = directory.join(probe.bin.as_ref().unwrap_or(&probe.name));
    let idle = !probe.native && mode::current() == Mode::Native;
    let name = probe.name.clone();
    Trial::test(name, move || check(&probe, &kernel)).with_ignored_flag(idle)
}

/// Builds all probes; returns where they are.
fn build() -> PathBuf {
    let target = workspace::GUEST_TARGET;
    let mut cargo = workspace::cargo();
    cargo.args(["build", "--quiet", "--package", "probes", "--release", "--target", target]);
    workspace::run(cargo, "build the probes").unwrap_or_else(|failure| panic!("{failure}"));
    workspace::target_dir().join(target).join("release")
}

/// Each table `[[probe]]`, with what it leaves out from `[default]`.
fn probes() -> Vec<Probe> {
    #[derive(Deserialize)]
    struct File {
        default: Table,
        probe: Vec<Table>,
    }
    let path = workspace::root().join("guests/probes/probes.toml");
    let text = std::fs::read_to_string(&path).expect("the probes are described");
    let file: File = toml::from_str(&text).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    let complete = file.probe.into_iter().map(|probe| {
        let all: Table = file.default.clone().into_iter().chain(probe).collect();
        all.try_into().unwrap_or_else(|error| panic!("{path:?}: {error}"))
    });
    complete.collect()
}

fn check(probe: &Probe, kernel: &Path) -> Result<(), Failed> {
    let native = if probe.native { Some(run(probe, kernel, Mode::Native, NATIVE)?) } else { None };
    if mode::current() == Mode::Native {
        return Ok(());
    }
    let guest = run(probe, kernel, Mode::Guest, Duration::from_secs(probe.seconds))?;
    match native.and_then(|native| difference(&native, &guest)) {
        Some(difference) => Err(difference.into()),
        None => Ok(()),
    }
}

/// Runs the probe to the end that is expected of it; returns its lines.
fn run(
    probe: &Probe,
    kernel: &Path,
    mode: Mode,
    patience: Duration,
) -> Result<Vec<String>, Failed> {
    let mut builder = Builder::new(kernel)
        .mode(mode)
        .cpus(probe.smp)
        .option("--memory", &probe.memory)
        .option("--boot", &probe.boot);
    if probe.disk {
        let version = if probe.legacy { "version=1" } else { "version=2" };
        let image = builder.file("disk.img", &vec![0; DISK]);
        builder = builder.shared_disk(image, version);
    }
    let mut vm = builder.start();
    let console = match probe.expect {
        End::Pass => ended(&mut vm, patience, |status| status == 0)?,
        End::Fail => ended(&mut vm, patience, |status| (1..100).contains(&status))?,
        End::Reset => second_boot(&mut vm, probe, patience)?,
        End::Never => still_there(&mut vm, probe, patience)?,
    };
    let lines = lines(probe, &console);
    match lines.is_empty() {
        true => Err(format!("it said nothing\n{console}").into()),
        false => Ok(lines),
    }
}

/// Waits for the end by itself, with a status that is `right`.
fn ended(vm: &mut Vm, patience: Duration, right: fn(i32) -> bool) -> Result<String, Failed> {
    let outcome = vm.wait_within(patience)?;
    match right(outcome.status) {
        true => Ok(outcome.console),
        false => Err(format!(
            "ended with status {}: {}\n{}",
            outcome.status, outcome.messages, outcome.console
        )
        .into()),
    }
}

/// Waits until the first line comes again; returns what was before.
fn second_boot(vm: &mut Vm, probe: &Probe, patience: Duration) -> Result<String, Failed> {
    let first = vm.find(&format!("{}: [^\n]*\n", regex::escape(&probe.name)), patience)?;
    let first = first.lines().last().unwrap_or_default().to_owned();
    let between = vm.find(&regex::escape(&first), patience)?;
    Ok(format!("{first}\n{}", between.trim_end_matches(&first)))
}

/// The first line has come, and the machine goes on: that is all there is.
fn still_there(vm: &mut Vm, probe: &Probe, patience: Duration) -> Result<String, Failed> {
    let shown = vm.find(&format!("{}: [^\n]*\n", regex::escape(&probe.name)), patience)?;
    match vm.is_alive() {
        true => Ok(shown),
        false => Err("the machine ended".into()),
    }
}

/// What the probe said; firmware and VMM print, too.
fn lines(probe: &Probe, console: &str) -> Vec<String> {
    let name = probe.bin.as_ref().unwrap_or(&probe.name);
    let ours = |line: &&str| line.starts_with(&format!("{name}: ")) || line.starts_with("panic: ");
    console.lines().filter(ours).map(str::to_owned).collect()
}

/// The first line that differs.
fn difference(native: &[String], guest: &[String]) -> Option<String> {
    let longest = native.len().max(guest.len());
    let nothing = "(nothing)".to_owned();
    (0..longest).find(|at| native.get(*at) != guest.get(*at)).map(|at| {
        let line = |all: &[String]| all.get(at).unwrap_or(&nothing).clone();
        format!("line {}:\n  native: {}\n  guest:  {}", at + 1, line(native), line(guest))
    })
}
