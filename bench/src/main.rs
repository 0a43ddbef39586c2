//! `cargo xtask bench` and `cargo xtask profile`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use bench::ladder::{self, Effort, expected, plot, streams, tables, ways};
use bench::machine::{self, Bench};
use bench::render::{self, Look};
use bench::report::Report;
use bench::{compare, cpu, linux, operation, profile, publish, scaling, xv6};
use clap::{Args, Parser, ValueEnum};
use xtask::failure::{Context, Failure, Result, mistake};

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Command {
    /// Measure what operations cost a guest, and the ladders of disks, consoles and networks
    Bench(BenchOptions),
    /// Show where the instructions of one operation go, by function of the VMM
    Profile {
        /// The operation, as it is called in the table of `bench`
        operation: String,
    },
    /// Show what changed between two reports by more than noise
    BenchCompare {
        /// The report before
        a: PathBuf,
        /// The report after
        b: PathBuf,
    },
}

/// What can be measured.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq)]
enum Suite {
    /// CPU operations
    Cpu,
    /// The ladder of disks
    Disks,
    /// The ladder of consoles
    Console,
    /// The ladder of networks
    Network,
    /// Memory operations with more vCPUs, and with more guests
    Scaling,
    /// Boot and disk of Debian's Linux; without --suite, not with --quick
    Linux,
    /// Devices of the xv6-riscv that XV6 and XV6_PATCHED name
    Xv6,
    /// Instructions of that xv6; XV6_PATCHED may be left out
    Xv6Cpu,
    /// How long its `usertests -q` takes; only if asked for
    Xv6Usertests,
}

#[derive(Args)]
struct BenchOptions {
    /// Measure for minutes only: enough to see the order of things
    #[arg(long)]
    quick: bool,
    /// Measure this suite only
    #[arg(long, value_enum)]
    suite: Option<Suite>,
    /// Profile each CPU operation, too: takes minutes
    #[arg(long)]
    explain: bool,
    /// Write report.json, report.md and pictures here instead of target/bench
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write them to bench/reports, and their tables into README.md and docs/benchmarks.md
    #[arg(long, conflicts_with_all = ["out", "suite"])]
    publish: bool,
}

fn main() -> ExitCode {
    let result = match Command::parse() {
        Command::Bench(options) => {
            let begin = Instant::now();
            measure(options, begin).inspect(|()| {
                println!("Took {}.", render::duration(begin.elapsed().as_secs_f64()));
            })
        }
        Command::Profile { operation } => show_profile(&operation),
        Command::BenchCompare { a, b } => show_changes(&a, &b),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => fail(&failure),
    }
}

fn fail(failure: &Failure) -> ExitCode {
    eprintln!("error: {failure}");
    ExitCode::from(failure.status)
}

fn measure(options: BenchOptions, begin: Instant) -> Result<()> {
    let wants = |suite| options.suite.is_none_or(|only| only == suite);
    let effort = if options.quick { Effort::QUICK } else { Effort::FULL };
    let cpu = if wants(Suite::Cpu) { cpu::measure(options.explain)? } else { Vec::new() };
    let climb = |suite, ladder| match wants(suite) {
        true => ladder::measure(ladder, effort),
        false => Ok(Vec::new()),
    };
    let disks = climb(Suite::Disks, &ways::DISKS)?;
    let console = climb(Suite::Console, &ways::CONSOLE)?;
    let network = climb(Suite::Network, &ways::NETWORK)?;
    let xv6 = if wants(Suite::Xv6Cpu) { count_xv6(options.quick)? } else { Vec::new() };
    let scaling = wants(Suite::Scaling).then(|| scaling::measure(effort));
    let scaling = scaling.transpose()?.unwrap_or_default();
    let mut report = Report::new(cpu, [disks, console, network], begin.elapsed())?;
    (report.xv6, report.scaling) = (xv6, scaling);
    let dir = match (options.publish, options.out) {
        (true, _) => publish::dir(),
        (false, out) => out.map_or_else(machine::scratch, Ok)?,
    };
    fs::create_dir_all(&dir).context(format!("create {}", dir.display()))?;
    match options.suite {
        Some(Suite::Linux) => return measure_linux(&linux::Images::prepare()?, &dir),
        Some(Suite::Xv6Usertests) => return measure_usertests(&dir),
        Some(Suite::Xv6) | None => measure_xv6(&dir)?,
        Some(_) => {}
    }
    if options.suite == Some(Suite::Xv6) {
        return Ok(());
    }
    for (name, text) in [("report.json", report.json()?), ("report.md", render::markdown(&report))]
    {
        let path = dir.join(name);
        fs::write(&path, text).context(format!("write {}", path.display()))?;
    }
    plot::all(&report, &dir)?;
    if options.publish {
        publish::pages(&report)?;
    }
    show(&report);
    println!("{}: exits by cause, and more", dir.join("report.md").display());
    if options.suite.is_none() && !options.quick {
        match linux::Images::prepare() {
            Ok(images) => measure_linux(&images, &dir)?,
            Err(failure) => println!("Without Linux: {failure}"),
        }
    }
    Ok(())
}

/// What xv6 costs, where there is one.
fn count_xv6(quick: bool) -> Result<Vec<xv6::cpu::Row>> {
    xv6::Trees::named()?.map_or(Ok(Vec::new()), |trees| xv6::cpu::measure(&trees, quick))
}

/// What to do where no xv6 was named.
const NAME_XV6: &str = "XV6=path XV6_PATCHED=path make bench measures two checkouts";

fn measure_usertests(dir: &Path) -> Result<()> {
    let trees = xv6::Trees::named()?.ok_or_else(|| mistake(format!("which xv6? {NAME_XV6}")))?;
    let seconds = xv6::usertests::measure(&trees)?;
    let path = dir.join("xv6-usertests.md");
    fs::write(&path, xv6::usertests::table(&seconds, Look::Markdown) + "\n")
        .context(format!("write {}", path.display()))?;
    println!("{}", xv6::usertests::table(&seconds, Look::Terminal));
    println!("Wall time, one vCPU; !: above its target. {}", path.display());
    Ok(())
}

/// The devices of xv6 have a file of their own: they need checkouts of the user's.
fn measure_xv6(dir: &Path) -> Result<()> {
    let Some(trees) = xv6::Trees::named()? else {
        println!("Without xv6: {NAME_XV6}.\n");
        return Ok(());
    };
    let rows = xv6::measure(&trees)?;
    if rows.is_empty() {
        println!("Without our drivers: XV6_PATCHED=path names a patched checkout.\n");
        return Ok(());
    }
    let (table, causes) = (xv6::table(&rows), xv6::causes(&rows));
    let path = dir.join("xv6.md");
    fs::write(&path, format!("{table}\n\n{causes}"))
        .context(format!("write {}", path.display()))?;
    println!("{table}\n\n{}: exits by cause", path.display());
    Ok(())
}

/// Those of Linux have one, too: they need packages of Debian's.
fn measure_linux(images: &linux::Images, dir: &Path) -> Result<()> {
    let rows = linux::measure(images)?;
    let path = dir.join("linux.md");
    fs::write(&path, linux::table(&rows, Look::Markdown) + "\n")
        .context(format!("write {}", path.display()))?;
    println!("{}", linux::table(&rows, Look::Terminal));
    println!("Instructions (-icount shift=0) of Linux; !: above its target. {}\n", path.display());
    Ok(())
}

fn show(report: &Report) {
    if !report.cpu.is_empty() {
        println!("{}", render::operations(&report.cpu, Look::Terminal));
        println!(
            "Instructions per operation (-icount shift=0), the guest's loop included; \
             !: above its target.\n"
        );
    }
    if !report.xv6.is_empty() {
        println!("{}", xv6::cpu::table(&report.xv6, Look::Terminal));
        println!("Instructions of xv6 and the VMM together; !: above its target.\n");
    }
    if !report.scaling.is_empty() {
        println!("{}\n", scaling::table(&report.scaling, Look::Terminal));
    }
    if !report.ladder.is_empty() {
        println!("Sequential reads of 4 KiB\n{}", tables::summary(&report.ladder, Look::Terminal));
        let expected = expected::all(&report.ladder);
        println!("{}", tables::expectations(&expected, Look::Terminal));
    }
    if !report.console.is_empty() {
        println!("Shown by consoles\n{}", streams::console(&report.console, Look::Terminal));
    }
    if !report.network.is_empty() {
        println!("Networks\n{}", streams::network(&report.network, Look::Terminal));
    }
}

fn show_changes(a: &Path, b: &Path) -> Result<()> {
    let (a, b) = (Report::read(a)?, Report::read(b)?);
    let changes = compare::changes(&a, &b);
    println!("{} → {}", a.origin.commit, b.origin.commit);
    match changes.is_empty() {
        true => println!("No difference exceeds the noise."),
        false => println!("{}", compare::table(&changes)),
    }
    Ok(())
}

fn show_profile(name: &str) -> Result<()> {
    let Some(operation) = operation::find(name) else {
        return Err(mistake(format!("{name}: there are {}", operation::names())));
    };
    let shares = profile::of(&Bench::prepare()?, operation.name)?;
    println!("{}", render::profile(&shares, Look::Terminal));
    println!("{}", render::files(&shares));
    Ok(())
}
