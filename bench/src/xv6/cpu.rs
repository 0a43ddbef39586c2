//! Instructions of xv6, as it is, on the bare machine and as a guest; and of a
//! patched one as a guest.
//!
//! With `-icount shift=0` QEMU counts what the machine executes, which an
//! unmodified kernel has no way to tell. So the machine is stopped from outside
//! whenever it stores to the UART's first register: when the text so far ends
//! with a mark, QEMU is asked for its count. That is the same instruction each
//! time, natively and as a guest, where the VMM does the store. QEMU counts no
//! waiting in `wfi`; the scheduler of older xv6 does not wait, but looks for
//! work until the disk has answered.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tabled::builder::Builder;
use xtask::failure::{Context, Result, broken};
use xtask::{setup, workspace};

use super::{PROMPT, Trees};
use crate::machine::scratch;
use crate::pool;
use crate::progress::Progress;
use crate::render::{Look, finish, number};
use crate::stub::{Machine, Socket, Stop};

/// Where QEMU's UART takes what is shown.
const UART: u64 = 0x1000_0000;

/// A way to run xv6: the name, whether patched, and options of a run.
type Run = (&'static str, bool, &'static [&'static str]);
const RUNS: [Run; 5] = [
    ("native", false, &["--native"]),
    ("classic", false, &["--cpu", "classic"]),
    ("assisted", false, &["--cpu", "assisted"]),
    ("patched, classic", true, &["--cpu", "classic"]),
    ("patched, assisted", true, &["--cpu", "assisted"]),
];

/// Work: the name, what the ratio to native should be at most in each run but
/// the first, and what it is for RVirt.
type Work = (&'static str, [Option<f64>; RUNS.len() - 1], Option<f64>);
const WORK: [Work; 4] = [
    ("boot, from reset to the prompt", [Some(1.4), Some(1.1), None, None], Some(2.0)),
    ("forktest", [Some(3.0), Some(1.3), None, None], Some(6.0)),
    ("usertests: fill the memory", [None; 4], None),
    ("usertests: pipe1", [Some(8.0), Some(1.1), Some(2.0), None], Some(25.0)),
];

/// What one kind of work cost in one run.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Row {
    /// What was done.
    pub work: String,
    /// How it was run; the first is the bare machine.
    pub run: String,
    /// Instructions of guest and VMM together.
    pub instructions: f64,
    /// The same, as a multiple of the native ones.
    pub ratio: f64,
    /// What `ratio` should be at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<f64>,
    /// What it is for RVirt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rvirt: Option<f64>,
}

/// Counts all work in all runs; `quick`: what is not long.
///
/// # Errors
/// If a run does not come to its end.
pub fn measure(trees: &Trees, quick: bool) -> Result<Vec<Row>> {
    setup::main()?;
    workspace::build_vmm()?;
    let xtask = workspace::build_xtask()?;
    let runs: Vec<(Run, &Path)> = RUNS
        .into_iter()
        .filter_map(|run| Some((run, if run.1 { trees.patched.as_ref()? } else { &trees.stock })))
        .map(|(run, tree)| (run, tree.as_path()))
        .collect();
    let progress = Progress::new(runs.len());
    let counts = pool::side_by_side(&runs, |(run, tree)| {
        progress
            .step(&format!("instructions of xv6, {}", run.0), || one_run(&xtask, tree, *run, quick))
    })?;
    let names: Vec<&str> = runs.iter().map(|((name, ..), _)| *name).collect();
    Ok(rows(&names, &counts))
}

/// Counts by run and work, the first run being the native one.
fn rows(runs: &[&str], counts: &[Vec<f64>]) -> Vec<Row> {
    let of_work = |(n, (work, targets, rvirt)): (usize, Work)| {
        let native = counts.first().and_then(|counts| counts.get(n).copied());
        runs.iter().zip(counts).enumerate().filter_map(move |(k, (run, counts))| {
            let instructions = *counts.get(n)?;
            Some(Row {
                work: work.to_owned(),
                run: (*run).to_owned(),
                instructions,
                ratio: instructions / native?,
                target: k.checked_sub(1).and_then(|k| targets.get(k).copied().flatten()),
                rvirt: rvirt.filter(|_| *run == "classic"),
            })
        })
    };
    WORK.into_iter().enumerate().flat_map(of_work).collect()
}

/// The instructions of each kind of [`WORK`].
fn one_run(xtask: &Path, tree: &Path, (name, patched, how): Run, quick: bool) -> Result<Vec<f64>> {
    // The user's own disk stays as it is.
    let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    let image = scratch()?.join(format!("xv6-{name}-{}.img", std::process::id()));
    std::fs::copy(tree.join("fs.img"), &image).context("copy the disk")?;
    let model = if patched { "model=pv" } else { "version=2" };
    let mut run = Command::new(xtask);
    run.args(["run", "--icount", "--kernel"]).arg(tree.join("kernel/kernel"));
    run.args(["--disk", &format!("{},{model}", image.display())]).args(how);
    let counts = Counted::start(run).and_then(|mut machine| work(&mut machine, quick));
    let _ = std::fs::remove_file(image);
    counts
}

fn work(machine: &mut Counted, quick: bool) -> Result<Vec<f64>> {
    let mut counts = vec![machine.until(PROMPT)?];
    // The second time, the program is in xv6's cache of the disk.
    machine.command("forktest")?;
    machine.until(PROMPT)?;
    let begin = machine.command("forktest")?;
    counts.push(machine.until(PROMPT)? - begin);
    if !quick {
        let begin = machine.command("usertests pipe1")?;
        let filled = machine.until("test pipe1: ")?;
        counts.extend([filled - begin, machine.until("OK")? - filled]);
    }
    Ok(counts)
}

/// A machine that is stopped at each character that it shows.
struct Counted {
    machine: Machine,
    keyboard: ChildStdin,
    screen: UnixStream,
    text: String,
    /// QEMU's machine protocol.
    control: BufReader<UnixStream>,
}

impl Counted {
    fn start(run: Command) -> Result<Self> {
        let (ours, theirs) = UnixStream::pair().context("make a console")?;
        ours.set_nonblocking(true).context("make a console")?;
        let socket = Socket::new();
        let mut machine = Machine::start(run, |qemu| {
            let place = format!("unix:{},server=on,wait=off", socket.path().display());
            qemu.args(["-qmp", &place]).stdin(Stdio::piped()).stderr(Stdio::null());
            qemu.stdout(Stdio::from(OwnedFd::from(theirs)));
        })?;
        let keyboard = machine.child.stdin.take();
        let keyboard = keyboard.ok_or_else(|| broken("QEMU has no keyboard"))?;
        let control = BufReader::new(socket.connect()?);
        machine.stub.set(Stop::Store(UART), true)?;
        let mut counted = Self { machine, keyboard, screen: ours, text: String::new(), control };
        counted.ask("qmp_capabilities")?;
        Ok(counted)
    }

    /// Has the shell run a command; the count when its echo is complete.
    fn command(&mut self, line: &str) -> Result<f64> {
        let line = format!("{line}\n");
        self.keyboard.write_all(line.as_bytes()).context("type to xv6")?;
        self.until(&line)
    }

    /// Runs until what was shown ends with `mark`; tells the count.
    fn until(&mut self, mark: &str) -> Result<f64> {
        loop {
            let stub = &mut self.machine.stub;
            let ended = |text: &str, failure| broken(format!("{failure}; xv6 showed:\n{text}"));
            stub.run().map_err(|failure| ended(&self.text, failure))?;
            // Under icount it would stop at the same store again.
            stub.set(Stop::Store(UART), false)?;
            stub.step()?;
            stub.set(Stop::Store(UART), true)?;
            if self.shown()? && self.text.ends_with(mark) {
                return self.count();
            }
        }
    }

    /// Takes what the machine has shown; whether that is anything.
    fn shown(&mut self) -> Result<bool> {
        let (before, mut piece) = (self.text.len(), [0; 256]);
        loop {
            match self.screen.read(&mut piece) {
                Ok(0) => return Ok(self.text.len() > before),
                Ok(count) => {
                    let piece = String::from_utf8_lossy(&piece[..count]).into_owned();
                    self.text.push_str(&piece.replace('\r', ""));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Ok(self.text.len() > before);
                }
                Err(error) => return Err(error).context("read xv6's console"),
            }
        }
    }

    /// What was executed since the reset, without waiting.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    fn count(&mut self) -> Result<f64> {
        let answer = self.ask("query-replay")?;
        let count = answer["return"]["icount"].as_u64();
        count.map(|count| count as f64).ok_or_else(|| broken(format!("no count: {answer}")))
    }

    fn ask(&mut self, command: &str) -> Result<Value> {
        let mut ask = || {
            let line = format!("{{\"execute\":\"{command}\"}}\n");
            self.control.get_mut().write_all(line.as_bytes())?;
            loop {
                let mut line = String::new();
                if self.control.read_line(&mut line)? == 0 {
                    return Err(io::Error::from(ErrorKind::UnexpectedEof));
                }
                // Not its greeting, and no event.
                let value: Value = serde_json::from_str(&line)?;
                if value.get("return").is_some() || value.get("error").is_some() {
                    return Ok(value);
                }
            }
        };
        ask().context("ask QEMU for its count")
    }
}

/// All rows as a table: ratios by work and run.
pub fn table(rows: &[Row], look: Look) -> String {
    let mut table = Builder::default();
    let heads = ["xv6", "", "million instructions", "of native", "target", "[RVirt]"];
    table.push_record(heads);
    let ratio = |n: f64| if n < 10.0 { format!("{n:.2}") } else { format!("{n:.1}") };
    for row in rows {
        let misses = row.target.is_some_and(|target| row.ratio > target);
        table.push_record([
            row.work.clone(),
            row.run.clone(),
            number(row.instructions / 1e6),
            format!("{}{}", ratio(row.ratio), if misses { " !" } else { "" }),
            row.target.map(ratio).unwrap_or_default(),
            row.rvirt.map(|n| format!("[{}]", ratio(n))).unwrap_or_default(),
        ]);
    }
    finish(table, look, 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_compare_with_the_bare_machine_and_with_targets() {
        let counts = [vec![100e6, 10e6], vec![130e6, 31e6], vec![111e6, 12e6], vec![90e6, 12e6]];
        let rows = rows(&["native", "classic", "assisted", "patched, classic"], &counts);
        assert_eq!(rows.len(), 2 * 4);
        assert_eq!((rows[1].ratio, rows[1].target, rows[1].rvirt), (1.3, Some(1.4), Some(2.0)));
        assert_eq!((rows[3].ratio, rows[3].target, rows[3].rvirt), (0.9, None, None));
        let text = table(&rows, Look::Markdown);
        let marked: Vec<&str> = text.lines().filter(|line| line.contains('!')).collect();
        assert_eq!(marked.len(), 2, "{text}");
        assert!(marked[0].contains("1.11 !") && marked[1].contains("3.10 !"), "{text}");
        assert!(text.contains("[6.00]"), "{text}");
    }
}
