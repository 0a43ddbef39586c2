//! How long `usertests -q` takes: on the bare machine, and as an assisted
//! guest with one vCPU. Minutes each, which is why it has to be asked for.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use tabled::builder::Builder;
use xtask::failure::{Context, Result, broken};
use xtask::{setup, workspace};

use super::{Shell, Trees};
use crate::machine::scratch;
use crate::progress::Progress;
use crate::render::{Look, duration, finish};

/// Seconds after which a run hangs for sure.
const PATIENCE: &str = "7200";
/// What the time should be at most, as a multiple of the native one.
const TARGET: f64 = 1.3;
const RUNS: [(&str, &[&str]); 2] =
    [("native", &["--native"]), ("assisted", &["--cpu", "assisted"])];

/// Seconds of each run, the native one first.
///
/// # Errors
/// If a test fails, or a run does not come to its end.
pub fn measure(trees: &Trees) -> Result<Vec<f64>> {
    setup::main()?;
    workspace::build_vmm()?;
    let xtask = workspace::build_xtask()?;
    let progress = Progress::new(RUNS.len());
    let run = |(name, how): (&str, &[&str])| {
        progress.step(&format!("xv6: usertests -q, {name}"), || one_run(&xtask, &trees.stock, how))
    };
    RUNS.into_iter().map(run).collect()
}

fn one_run(xtask: &Path, tree: &Path, how: &[&str]) -> Result<f64> {
    let image = scratch()?.join(format!("xv6-{}.img", std::process::id()));
    std::fs::copy(tree.join("fs.img"), &image).context("copy the disk")?;
    let mut command = Command::new(xtask);
    command.args(["run", "--timeout", PATIENCE, "--kernel"]).arg(tree.join("kernel/kernel"));
    command.args(["--disk", &format!("{},version=2", image.display())]).args(how);
    let timed = Shell::start(command).and_then(|mut shell| {
        let begin = Instant::now();
        let text = shell.type_line("usertests -q")?;
        Ok((begin.elapsed().as_secs_f64(), text))
    });
    let _ = std::fs::remove_file(image);
    let (seconds, text) = timed?;
    match text.contains("ALL TESTS PASSED") {
        true => Ok(seconds),
        false => Err(broken(format!("usertests did not pass:\n{text}"))),
    }
}

/// The table of them.
pub fn table(seconds: &[f64], look: Look) -> String {
    let mut table = Builder::default();
    table.push_record(["usertests -q", "time", "of native", "target"]);
    for ((name, _), time) in RUNS.iter().zip(seconds) {
        let ratio = time / seconds[0];
        let mark = if ratio > TARGET { " !" } else { "" };
        let target = if *name == RUNS[0].0 { String::new() } else { format!("{TARGET:.2}") };
        table.push_record([
            (*name).to_owned(),
            duration(*time),
            format!("{ratio:.2}{mark}"),
            target,
        ]);
    }
    finish(table, look, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_compare_with_the_native_one() {
        let text = table(&[100.0, 129.0], Look::Markdown);
        assert!(text.contains("1 min 40 s") && text.contains("1.29 "), "{text}");
        assert!(!text.contains('!'), "{text}");
        assert!(table(&[100.0, 131.0], Look::Markdown).contains("1.31 !"));
    }
}
