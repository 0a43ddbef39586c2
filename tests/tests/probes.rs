//! Equivalence: a probe prints the same lines as a guest, in classic and in
//! assisted mode, as it does on the bare machine, and ends in the same way.
//! Isolation: beside a hostile probe in either mode, another guest, which is
//! classic, stays well. One test for each probe that
//! `guests/probes/probes.toml` lists, three for each hostile one.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use serde::Deserialize;
use tests::{Builder, Vm};
use toml::Table;
use xtask::mode::{self, Mode};
use xtask::run::qemu;
use xtask::workspace;

/// A probe's native run is short, but the machine may be busy.
const NATIVE: Duration = Duration::from_secs(60);
/// How guests are run.
const CPU_MODES: [&str; 2] = ["classic", "assisted"];
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
    passed: String,
    pv: bool,
    ata: bool,
    console: bool,
    rng: bool,
    balloon: bool,
    net: String,
    burst: bool,
    legacy: bool,
    native: bool,
    native_below: u32,
    below: u32,
    from: u32,
    compare: bool,
    hostile: bool,
    expect: End,
    seconds: u64,
    input: bool,
    icount: bool,
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
    // What answers input is a tool of other tests.
    let trials = probes().into_iter().filter(|probe| !probe.input);
    let trials = trials.flat_map(|probe| trials_of(probe, &directory)).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trials_of(probe: Probe, directory: &Path) -> Vec<Trial> {
    let guest = mode::current() == Mode::Guest;
    if guest && probe.from != 0 && before(probe.from) {
        tests::skip(&probe.name, &format!("QEMU is older than {}, which it needs", probe.from));
        return Vec::new();
    }
    let (probe, directory) = (Arc::new(probe), directory.to_owned());
    let (ours, place) = (probe.clone(), directory.clone());
    let alone = Trial::test(probe.name.clone(), move || check(&ours, &place));
    let senseless = !before(probe.below) || !guest && !probe.native;
    let mut trials = vec![alone.with_ignored_flag(senseless)];
    for cpu in CPU_MODES.into_iter().filter(|_| probe.hostile) {
        let name = format!("{} beside a neighbour, {cpu}", probe.name);
        let (probe, directory) = (probe.clone(), directory.clone());
        let beside = Trial::test(name, move || spares_its_neighbour(&probe, cpu, &directory));
        trials.push(beside.with_ignored_flag(!guest));
    }
    trials
}

/// Whether QEMU is older than a major version; 0 is newer than any.
fn before(major: u32) -> bool {
    static VERSION: LazyLock<u32> =
        LazyLock::new(|| qemu::version().unwrap_or_else(|failure| panic!("{failure}")).0);
    major == 0 || *VERSION < major
}

impl Probe {
    fn on_this_qemu(self) -> Self {
        Self { native: self.native && before(self.native_below), ..self }
    }

    fn bin(&self) -> &str {
        self.bin.as_ref().unwrap_or(&self.name)
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// Other devices than disks, as options and values.
    fn others(&self) -> Vec<(&'static str, &str)> {
        let all = [("console", self.console), ("rng", self.rng)];
        let wanted = all.into_iter().filter(|(_, wanted)| *wanted);
        let wanted = wanted.map(|(name, _)| (name, "virtio-mmio"));
        let balloon = self.balloon.then_some(("balloon", "0"));
        wanted.chain(balloon).chain([("net", self.net.as_str())]).collect()
    }

    /// The device that it owns, as an option says it.
    fn pass(&self, builder: &Builder) -> Option<String> {
        let image = || builder.file("passed.img", &vec![0; DISK]);
        match self.passed.as_str() {
            "none" => None,
            "disk" => Some(format!("disk={}", image().display())),
            device => Some(device.to_owned()),
        }
    }

    /// What kind of disk is attached, as an option says it.
    fn disk_kind(&self) -> &'static str {
        match (self.ata, self.pv, self.legacy) {
            (true, _, _) if self.burst => "model=ata,burst",
            (true, _, _) => "model=ata",
            (_, true, _) => "model=pv",
            (_, _, true) => "version=1",
            _ => "version=2",
        }
    }
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
    complete.map(Probe::on_this_qemu).collect()
}

fn check(probe: &Probe, directory: &Path) -> Result<(), Failed> {
    let kernel = directory.join(probe.bin());
    let native = if probe.native { Some(run(probe, &kernel, None, NATIVE)?) } else { None };
    if mode::current() == Mode::Native {
        return Ok(());
    }
    let native = native.filter(|_| probe.compare);
    for cpu in CPU_MODES {
        let guest = run(probe, &kernel, Some(cpu), probe.patience())
            .map_err(|failed| format!("{cpu}: {}", failed.message().unwrap_or_default()))?;
        if let Some(difference) = native.as_ref().and_then(|native| difference(native, &guest)) {
            return Err(format!("{cpu}: {difference}").into());
        }
    }
    Ok(())
}

/// Runs the probe to the end that is expected of it, on the bare machine or as
/// a guest in a CPU mode; returns its lines.
fn run(
    probe: &Probe,
    kernel: &Path,
    cpu: Option<&str>,
    patience: Duration,
) -> Result<Vec<String>, Failed> {
    let mut builder = Builder::new(kernel)
        .mode(if cpu.is_some() { Mode::Guest } else { Mode::Native })
        .option("--cpu", cpu.unwrap_or("classic"))
        .cpus(probe.smp)
        .option("--memory", &probe.memory)
        .option("--boot", &probe.boot);
    if probe.icount {
        builder = builder.flag("--icount");
    }
    for (name, value) in probe.others() {
        builder = builder.option(&format!("--{name}"), value);
    }
    if let Some(option) = probe.pass(&builder) {
        builder = builder.option("--pass", &option);
    }
    if probe.disk {
        let image = builder.file("disk.img", &vec![0; DISK]);
        builder = builder.shared_disk(image, probe.disk_kind());
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

/// Runs a hostile probe beside a guest that watches its own memory; when the
/// probe has done its worst, the other guest must still beat and answer.
fn spares_its_neighbour(probe: &Probe, cpu: &str, directory: &Path) -> Result<(), Failed> {
    let mut vm = Builder::config(|builder| two_guests(probe, cpu, directory, builder)).start();
    let console = neighbourhood(&mut vm, probe)
        .map_err(|problem| format!("{problem}\n{}", vm.console_text()))?;
    match console.contains("DAMAGED") {
        true => Err(format!("memory of the neighbour was damaged\n{console}").into()),
        false => Ok(()),
    }
}

fn neighbourhood(vm: &mut Vm, probe: &Probe) -> Result<String, String> {
    const BEAT: &str = "neighbour: beat = ";
    let done = match probe.expect {
        End::Pass => "pass",
        End::Fail => r"\d+ wrong",
        End::Never | End::Reset => "",
    };
    let done = format!("{}: {done}", regex::escape(probe.bin()));
    vm.hear(&probe.name, &done, 1, probe.patience())?;
    let beats = vm.heard("neighbour", BEAT)?;
    vm.hear("neighbour", BEAT, beats + 2, NATIVE)?;
    for words in ["are you well", "stop"] {
        vm.type_line(words);
        vm.hear("neighbour", &format!("neighbour: you said = {words}"), 1, NATIVE)?;
    }
    if probe.expect != End::Pass {
        return Ok(vm.console_text());
    }
    let outcome = vm.wait_within(NATIVE)?;
    match outcome.status {
        0 => Ok(outcome.console),
        status => Err(format!("ended with status {status}: {}", outcome.messages)),
    }
}

/// A configuration: the first guest has the keyboard, and both share harts.
fn two_guests(probe: &Probe, cpu: &str, directory: &Path, builder: &Builder) -> String {
    let disk = probe.disk.then(|| builder.file("disk.img", &vec![0; DISK]));
    let disk = disk.map(|path| format!("disk = [\"{},{}\"]", path.display(), probe.disk_kind()));
    let passed = probe.pass(builder).map(|option| format!("pass = [{option:?}]\n"));
    let others = probe.others().into_iter().map(|(name, value)| format!("{name} = {value:?}\n"));
    format!(
        "[[guest]]\nname = \"neighbour\"\nkernel = {:?}\nnet = {:?}\n\
         [[guest]]\nname = {:?}\nkernel = {:?}\nmemory = {:?}\ncpus = {}\nboot = {:?}\n\
         cpu = {cpu:?}\n{}{}\n{}",
        directory.join("neighbour"),
        if probe.net == "none" { "none" } else { "switch" },
        probe.name,
        directory.join(probe.bin()),
        probe.memory,
        probe.smp,
        probe.boot,
        others.collect::<String>(),
        disk.unwrap_or_default(),
        passed.unwrap_or_default(),
    )
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
    let first = vm.find(&format!("{}: [^\n]*\n", regex::escape(probe.bin())), patience)?;
    let first = first.lines().last().unwrap_or_default().to_owned();
    let between = vm.find(&regex::escape(&first), patience)?;
    Ok(format!("{first}\n{}", between.trim_end_matches(&first)))
}

/// The first line has come, and the machine goes on: that is all there is.
fn still_there(vm: &mut Vm, probe: &Probe, patience: Duration) -> Result<String, Failed> {
    let shown = vm.find(&format!("{}: [^\n]*\n", regex::escape(probe.bin())), patience)?;
    match vm.is_alive() {
        true => Ok(shown),
        false => Err("the machine ended".into()),
    }
}

/// What the probe said; firmware and VMM print, too.
fn lines(probe: &Probe, console: &str) -> Vec<String> {
    let mark = format!("{}: ", probe.bin());
    let ours = |line: &&str| line.starts_with(&mark) || line.starts_with("panic: ");
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
