//! The command line: which commands there are, and mistakes in one line.

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use crate::failure::{Context, Result, TOOL, mistake};
use crate::progress::show;
use crate::run::RunCommand;
use crate::run::options::RunOptions;
use crate::{demo, lint, linux, setup, suite, workspace, xv6};

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
#[command(about = "Builds, runs and checks Trapeze, a RISC-V VMM for machines without H")]
struct Cli {
    #[command(subcommand)]
    command: Commands,
}

#[derive(Subcommand)]
enum Commands {
    /// Run one or more guests (see docs/running.md)
    Run(Box<RunCommand>),
    /// Run the demo: our own small kernel, with a shell and files on a disk
    Qemu(Box<RunOptions>),
    /// Run two demos that talk to each other over the switch
    Pair(Box<RunOptions>),
    /// Run a third-party Rust kernel with a shell and a file system
    Rcore(Box<RunOptions>),
    /// Run Debian's Linux kernel to a shell; the options are those of run
    Linux(Box<RunCommand>),
    /// Patch an xv6-riscv of yours to use our drivers, and run it
    #[command(subcommand)]
    Xv6(xv6::Xv6),
    /// Build the drivers of guest-drivers as a static library, for kernels in C
    CAbi,
    /// Run Linux with a network interface of its own, over which it fetches a page
    Passthrough(Box<RunCommand>),
    /// Install what is missing to build and run Trapeze
    Setup,
    /// Run all tests: on the host, the build for RISC-V, guests in QEMU
    Test,
    /// Check formatting, lints and the rules of the house
    Lint,
    /// Measure what operations cost a guest, and the ladders of devices (see docs/benchmarks.md)
    #[command(disable_help_flag = true)]
    Bench(Forwarded),
    /// Show where the instructions of one operation go, by function of the VMM
    #[command(disable_help_flag = true)]
    Profile(Forwarded),
    /// Show what changed between two reports of bench by more than noise
    #[command(disable_help_flag = true)]
    BenchCompare(Forwarded),
}

/// Arguments for a program of its own, so that this tool stays small.
#[derive(clap::Args)]
struct Forwarded {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    arguments: Vec<String>,
}

/// Does what the command line says; returns the exit status.
///
/// # Errors
/// What the user should know, in one line.
pub fn main() -> Result<u8> {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if is_request(&error) => {
            show(error.render().to_string().trim_end());
            return Ok(0);
        }
        Err(error) => return Err(mistake(one_line(&error))),
    };
    match cli.command {
        Commands::Run(command) => crate::run::main(*command),
        Commands::Qemu(options) => demo::main(*options),
        Commands::Pair(options) => demo::pair(*options),
        Commands::Rcore(options) => demo::rcore(*options),
        Commands::Linux(command) => linux::main(*command),
        Commands::Passthrough(command) => linux::page::main(*command),
        Commands::Xv6(command) => xv6::main(command),
        Commands::CAbi => c_abi(),
        Commands::Setup => setup::main().map(|()| 0),
        Commands::Test => suite::main().map(|()| 0),
        Commands::Lint => lint::main().map(|()| 0),
        Commands::Bench(forwarded) => bench("bench", &forwarded.arguments),
        Commands::Profile(forwarded) => bench("profile", &forwarded.arguments),
        Commands::BenchCompare(forwarded) => bench("bench-compare", &forwarded.arguments),
    }
}

/// Builds the library for C, and says where it is.
fn c_abi() -> Result<u8> {
    show(workspace::build_c_abi()?.display());
    show(workspace::c_header().display());
    Ok(0)
}

/// Builds the crate `bench` and runs one of its commands.
fn bench(command: &str, arguments: &[String]) -> Result<u8> {
    let mut cargo = workspace::cargo();
    cargo.args(["run", "--quiet", "--package", "bench", "--", command]).args(arguments);
    let status = cargo.status().context("run cargo")?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(TOOL))
}

fn is_request(error: &clap::Error) -> bool {
    matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion)
}

/// Clap's message without its usage and its blank lines.
fn one_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let told = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let told = told.take_while(|line| !line.starts_with("Usage") && !line.starts_with("For more"));
    let line = told.collect::<Vec<_>>().join(" ");
    let line = line.strip_prefix("error: ").unwrap_or(&line);
    match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            "which command? `cargo xtask --help` lists them".to_owned()
        }
        _ => format!("{line} (`cargo xtask help` explains the options)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(arguments: &[&str]) -> String {
        let all = std::iter::once(&"xtask").chain(arguments);
        match Cli::try_parse_from(all) {
            Ok(_) => panic!("accepted"),
            Err(error) => one_line(&error),
        }
    }

    #[test]
    fn the_definition_is_consistent() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn mistakes_take_one_line_and_name_the_option() {
        for (arguments, part) in [
            (&["run", "--memory", "12"] as &[&str], "'12' for '--memory"),
            (&["run", "--cpu", "fast"], "[possible values: classic, assisted]"),
            (&["run", "--kernle", "x"], "unexpected argument '--kernle'"),
            (&["run", "--disk", "a,model=floppy"], "virtio-mmio, pv, ata"),
            (&["walk"], "unrecognized subcommand 'walk'"),
            (&[], "which command?"),
        ] {
            let line = refused(arguments);
            assert!(line.contains(part) && !line.contains('\n'), "{arguments:?}: {line}");
        }
    }
}
