//! `cargo xtask bench` and `cargo xtask profile`.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use bench::machine::{self, Bench};
use bench::render::{self, Look};
use bench::report::Report;
use bench::{cpu, operation, profile};
use clap::{Args, Parser};
use xtask::failure::{Context, Failure, Result, mistake};

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Command {
    /// Measure what each operation costs a guest
    Bench(BenchOptions),
    /// Show where the instructions of one operation go, by function of the VMM
    Profile {
        /// The operation, as it is called in the table of `bench`
        operation: String,
    },
}

#[derive(Args)]
struct BenchOptions {
    /// Profile each operation, too: takes minutes
    #[arg(long)]
    explain: bool,
    /// Write report.json and report.md here instead of target/bench
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

fn main() -> ExitCode {
    let result = match Command::parse() {
        Command::Bench(options) => measure(options),
        Command::Profile { operation } => show_profile(&operation),
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

fn measure(options: BenchOptions) -> Result<()> {
    let report = Report::new(cpu::measure(options.explain)?)?;
    let dir = options.out.map_or_else(machine::scratch, Ok)?;
    fs::create_dir_all(&dir).context(format!("create {}", dir.display()))?;
    for (name, text) in [("report.json", report.json()?), ("report.md", render::markdown(&report))]
    {
        let path = dir.join(name);
        fs::write(&path, text).context(format!("write {}", path.display()))?;
    }
    println!("{}", render::operations(&report.cpu, Look::Terminal));
    println!(
        "Instructions per operation (-icount shift=0), the guest's loop included; !: above its target."
    );
    println!("{}: exits by cause, and more", dir.join("report.md").display());
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
