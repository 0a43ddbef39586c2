//! The user's own xv6-riscv: what its work costs on the bare machine, as a
//! guest that is as it is, and as one with our drivers.
//!
//! It is driven through its shell. Exits are read from the VMM's monitor
//! before and after each command, because a kernel that is as it is has no
//! way to ask. What typing the command costs is part of it. Instructions are
//! counted in runs of their own: see [`cpu`]; and [`usertests`] takes minutes.

pub mod cpu;
pub mod usertests;

use std::env;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tabled::builder::Builder;
use tabled::settings::Style;
use xtask::failure::{Context, Result, broken, mistake};
use xtask::{setup, workspace};

use crate::machine::{Figures, scratch};
use crate::progress::Progress;

/// Seconds after which a run hangs for sure.
const PATIENCE: &str = "900";
/// What the shell says when it waits for a command.
const PROMPT: &str = "\n$ ";
/// Keys that have the monitor tell the exits so far.
const EXITS: &[u8] = b"\x1de";

/// Work, and what does it.
const WORK: [(&str, Does); 5] = [
    ("read a file of 180 KiB", Does::Command("wc usertests")),
    ("copy it", Does::Command("cat usertests > copy")),
    ("fork until no process is left", Does::Command("forktest")),
    ("show 2305 characters", Does::Command("cat README")),
    ("nothing, for 3 seconds", Does::Nothing(Duration::from_secs(3))),
];

#[derive(Clone, Copy)]
enum Does {
    /// The shell runs a program.
    Command(&'static str),
    /// The shell waits for a command for so long.
    Nothing(Duration),
}

/// Ways to run xv6: the name, whether with our drivers, and how.
const RUNS: [(&str, bool, &[&str]); 5] = [
    ("bare machine, as it is", false, &["--native"]),
    ("guest, as it is", false, &[]),
    ("guest, patched, ATA disk", true, &["model=ata"]),
    ("guest, patched, virtio-mmio disk", true, &[]),
    ("guest, patched, paravirtual disk", true, &["model=pv"]),
];

/// What one kind of work cost in one run.
#[derive(Debug)]
pub struct Row {
    work: &'static str,
    run: &'static str,
    seconds: f64,
    /// Exits by cause; none on the bare machine.
    exits: Option<Figures>,
}

/// The checkouts that the user named.
pub struct Trees {
    /// One as it is.
    pub(crate) stock: PathBuf,
    /// One with our drivers.
    pub(crate) patched: Option<PathBuf>,
}

impl Trees {
    /// From `XV6` and `XV6_PATCHED`; `None` if the first is not set.
    ///
    /// # Errors
    /// If one of them is not built.
    pub fn named() -> Result<Option<Self>> {
        let named = |variable| env::var_os(variable).map(|path| workspace::root().join(path));
        let Some(stock) = named("XV6") else { return Ok(None) };
        let trees = Self { stock, patched: named("XV6_PATCHED") };
        for tree in [Some(&trees.stock), trees.patched.as_ref()].into_iter().flatten() {
            if !tree.join("kernel/kernel").is_file() || !tree.join("fs.img").is_file() {
                let tree = tree.display();
                return Err(mistake(format!(
                    "{tree} is not built: run make kernel/kernel fs.img there"
                )));
            }
        }
        Ok(Some(trees))
    }
}

/// Measures all kinds of work in all runs; nothing if no checkout is patched.
///
/// # Errors
/// If a run does not come to its end.
pub fn measure(trees: &Trees) -> Result<Vec<Row>> {
    let Some(with_drivers) = &trees.patched else { return Ok(Vec::new()) };
    setup::main()?;
    workspace::build_vmm()?;
    let xtask = workspace::build_xtask()?;
    let progress = Progress::new(RUNS.len());
    let mut rows = Vec::new();
    for (name, patched, how) in RUNS {
        let tree = if patched { with_drivers } else { &trees.stock };
        rows.extend(progress.step(&format!("xv6: {name}"), || one_run(&xtask, tree, name, how))?);
    }
    Ok(rows)
}

fn one_run(xtask: &Path, tree: &Path, run: &'static str, how: &[&str]) -> Result<Vec<Row>> {
    // The user's own disk stays as it is.
    let image = scratch()?.join(format!("xv6-{}.img", std::process::id()));
    fs::copy(tree.join("fs.img"), &image).context("copy the disk")?;
    let native = how.contains(&"--native");
    let model = how.iter().find(|option| option.starts_with("model="));
    let disk = format!("{},{}", image.display(), model.unwrap_or(&"version=2"));
    let mut command = Command::new(xtask);
    command.args(["run", "--timeout", PATIENCE, "--kernel"]).arg(tree.join("kernel/kernel"));
    command.args(["--disk", &disk]).args(native.then_some("--native"));
    let rows = Shell::start(command).and_then(|mut shell| work(&mut shell, run, native));
    let _ = fs::remove_file(image);
    rows
}

fn work(shell: &mut Shell, run: &'static str, native: bool) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (work, does) in WORK {
        let before = if native { None } else { Some(shell.exits()?) };
        let begin = Instant::now();
        match does {
            Does::Command(command) => _ = shell.type_line(command)?,
            Does::Nothing(time) => thread::sleep(time),
        }
        let seconds = begin.elapsed().as_secs_f64();
        let exits = match before {
            Some(before) => Some(difference(&before, &shell.exits()?)),
            None => None,
        };
        rows.push(Row { work, run, seconds, exits });
    }
    Ok(rows)
}

/// A machine with xv6's shell on its console.
struct Shell {
    child: Child,
    keyboard: ChildStdin,
    screen: ChildStdout,
}

impl Shell {
    fn start(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().context("start the host tool")?;
        let (keyboard, screen) = (child.stdin.take(), child.stdout.take());
        let pipes = keyboard.zip(screen).ok_or_else(|| broken("no pipes to the host tool"))?;
        let (keyboard, screen) = pipes;
        let mut shell = Self { child, keyboard, screen };
        shell.until_prompt()?;
        Ok(shell)
    }

    fn type_line(&mut self, line: &str) -> Result<String> {
        self.keyboard.write_all(format!("{line}\n").as_bytes()).context("type to xv6")?;
        self.until_prompt()
    }

    /// What the machine says until the shell waits for a command.
    fn until_prompt(&mut self) -> Result<String> {
        let (mut text, mut piece) = (String::new(), [0; 4096]);
        while !text.ends_with(PROMPT) {
            let count = self.screen.read(&mut piece).context("read xv6's console")?;
            if count == 0 {
                return Err(broken(format!("xv6 ended before its prompt:\n{text}")));
            }
            let piece = String::from_utf8_lossy(piece.get(..count).unwrap_or_default());
            text.push_str(&piece.replace('\r', ""));
        }
        Ok(text)
    }

    /// Exits so far. The empty line behind it says where the monitor's
    /// answer ends.
    fn exits(&mut self) -> Result<Figures> {
        self.keyboard.write_all(EXITS).context("call the monitor")?;
        self.type_line("").map(|text| figures(&text))
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // Ctrl-A x: QEMU ends, and with it the tool.
        let asked = self.keyboard.write_all(b"\x01x").and_then(|()| self.keyboard.flush());
        if asked.is_err() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

/// The monitor's lines `[trapeze]   CAUSE   COUNT`.
fn figures(text: &str) -> Figures {
    let rows = text.lines().filter_map(|line| line.strip_prefix("[trapeze]   "));
    let pair = |row: &str| {
        let (name, count) = row.trim_end().rsplit_once(' ')?;
        Some((name.trim_end().to_owned(), count.parse().ok()?))
    };
    rows.filter_map(pair).collect()
}

fn difference(before: &Figures, after: &Figures) -> Figures {
    let since = |(name, count): (&String, &f64)| {
        (name.clone(), count - before.get(name).copied().unwrap_or(0.0))
    };
    after.iter().map(since).filter(|(_, count)| *count > 0.0).collect()
}

/// Whether a cause is an access of a device by the guest, by register or by
/// hypercall.
fn is_device(cause: &str) -> bool {
    (cause.starts_with("device ") && cause != "device interrupt") || cause.starts_with("PV ")
}

/// Exits at devices, and all others.
fn split(exits: &Figures) -> [f64; 2] {
    let is_exit = |cause: &str| cause != "interrupts injected";
    let sum = |wanted: bool| {
        let of = |(cause, _): &(&String, &f64)| is_exit(cause) && is_device(cause) == wanted;
        exits.iter().filter(of).fold(0.0, |sum, (_, count)| sum + count)
    };
    [sum(true), sum(false)]
}

/// All rows as a table.
pub fn table(rows: &[Row]) -> String {
    let mut table = Builder::default();
    table.push_record(["work", "where", "seconds", "/ bare", "device exits", "other exits"]);
    for row in rows_by_work(rows) {
        let bare = rows.iter().find(|one| one.work == row.work && one.exits.is_none());
        let ratio = bare.map_or(f64::NAN, |bare| row.seconds / bare.seconds);
        let [device, other] =
            row.exits.as_ref().map_or(["–".to_owned(), "–".to_owned()], |exits| {
                split(exits).map(|count| format!("{count:.0}"))
            });
        let (seconds, ratio) = (format!("{:.2}", row.seconds), format!("{ratio:.1}"));
        table.push_record([row.work, row.run, &seconds, &ratio, &device, &other]);
    }
    table.build().with(Style::markdown()).to_string()
}

/// The exits of each row by cause, the most frequent first.
pub fn causes(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows_by_work(rows) {
        let Some(exits) = &row.exits else { continue };
        let mut causes: Vec<_> = exits.iter().collect();
        causes.sort_by(|one, other| other.1.total_cmp(one.1));
        let told: Vec<_> = causes.iter().map(|(cause, count)| format!("{cause} {count}")).collect();
        text.push_str(&format!("- {}; {}: {}\n", row.work, row.run, told.join(", ")));
    }
    text
}

fn rows_by_work(rows: &[Row]) -> impl Iterator<Item = &Row> {
    WORK.into_iter().flat_map(|(work, _)| rows.iter().filter(move |row| row.work == work))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\n[trapeze] guest0: 12 exits\n[trapeze]   device UART          7\n\
                        [trapeze]   csr sstatus         5\n\n$ ";

    #[test]
    fn the_monitor_is_understood() {
        let expected = [("csr sstatus".to_owned(), 5.0), ("device UART".to_owned(), 7.0)];
        assert_eq!(figures(TEXT), Figures::from(expected));
    }

    #[test]
    fn exits_at_devices_are_told_apart() {
        let before = figures(TEXT);
        let mut after = before.clone();
        for (cause, more) in [
            ("device UART", 10.0),
            ("PV notify", 2.0),
            ("device interrupt", 100.0),
            ("interrupts injected", 1000.0),
            ("csr sstatus", 20.0),
        ] {
            *after.entry(cause.to_owned()).or_default() += more;
        }
        assert_eq!(split(&difference(&before, &after)), [12.0, 120.0]);
    }

    #[test]
    fn the_table_compares_with_the_bare_machine() {
        let row = |run, seconds, exits| Row { work: WORK[0].0, run, seconds, exits };
        let exits = Figures::from([("PV notify".to_owned(), 177.0)]);
        let rows = [row(RUNS[0].0, 0.5, None), row(RUNS[4].0, 1.0, Some(exits))];
        let table = table(&rows);
        let line = table.lines().last().unwrap().split('|').map(str::trim).collect::<Vec<_>>();
        assert_eq!(line[3..7], ["1.00", "2.0", "177", "0"], "{table}");
    }

    #[test]
    fn causes_are_told_by_their_counts() {
        let (work, run) = (WORK[0].0, RUNS[1].0);
        let rows = [Row { work, run, seconds: 1.0, exits: Some(figures(TEXT)) }];
        let expected = format!("- {work}; {run}: device UART 7, csr sstatus 5\n");
        assert_eq!(causes(&rows), expected);
    }

    #[test]
    fn a_machine_that_ends_is_told() {
        let mut command = Command::new("sh");
        command.args(["-c", "printf 'a\\r\\n$ '; read line; echo bye"]);
        let mut shell = Shell::start(command).unwrap();
        let said = shell.type_line("x").unwrap_err().to_string();
        assert!(said.contains("ended before its prompt") && said.contains("bye"), "{said}");
    }
}
