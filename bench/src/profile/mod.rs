//! Where the instructions of one operation go, by function of the VMM.
//!
//! QEMU logs every instruction (one per translation block), from where the
//! first window begins: its GDB stub stops it there. The probe runs the operation N and 2N times, each time between two reads of
//! `instret`; what the second window has more than the first belongs to N
//! operations. Nothing is sampled: the sum is the figure that the probe
//! measures.

mod log;
mod marks;
mod symbols;

use std::collections::BTreeMap;
use std::io::BufReader;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};
use xtask::failure::{Context, Result, broken};
use xtask::mode::Mode;
use xtask::run::qemu;
use xtask::workspace;

use crate::machine::Bench;
use crate::stub::{Machine, Stop, Stub};
use log::Histogram;
use marks::Marks;
use symbols::Symbols;

/// Operations in the first window.
const ROUNDS: u32 = 20;
/// Windows of a run: one to warm up, and two that are compared.
const WINDOWS: usize = 3;

/// Instructions of one function, per operation.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Share {
    /// Source file below `vmm/src`, or what stands for it.
    pub file: String,
    /// The function that the instruction was written in, even if inlined.
    pub function: String,
    /// Instructions per operation.
    pub instructions: f64,
}

/// Profiles one operation; largest shares first.
///
/// # Errors
/// If the run fails, or the log does not show the operation.
pub fn of(bench: &Bench, operation: &str) -> Result<Vec<Share>> {
    let run = bench.run(Mode::Guest, &format!("op={operation} rounds={ROUNDS}"));
    of_run(run, bench.kernel(), ROUNDS)
}

/// Profiles what a kernel does in its second and third window: `rounds`
/// operations, and twice as many. `run` is the command that runs it.
///
/// # Errors
/// As of [`of`].
pub fn of_run(run: Command, kernel: &Path, rounds: u32) -> Result<Vec<Share>> {
    let marks = Marks::read(kernel)?;
    let single = match qemu::version()? >= (8, 1) {
        true => &["-accel", "tcg,one-insn-per-tb=on"][..],
        false => &["-singlestep"],
    };
    let mut machine = Machine::start(run, |qemu| {
        // The log is on stderr, and nothing else.
        qemu.args(single).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    })?;
    let log = machine.child.stderr.take().ok_or_else(|| broken("QEMU has no log"))?;
    to_first_mark(&mut machine.stub, &marks)?;
    let log = BufReader::with_capacity(1 << 20, log);
    let windows = log::windows(log, &marks, WINDOWS).context("read QEMU's log")?;
    let [_, once, twice] = windows.as_slice() else {
        return Err(broken(format!(
            "the log shows {} windows of the operation, not {WINDOWS}",
            windows.len()
        )));
    };
    Ok(shares(once, twice, rounds, &Symbols::read(&workspace::vmm_path())?))
}

/// Runs to the first mark, and logs from there on.
fn to_first_mark(stub: &mut Stub<UnixStream>, marks: &Marks) -> Result<()> {
    let stops: Vec<Stop> = marks.begins().map(Stop::Execute).collect();
    stops.iter().try_for_each(|stop| stub.set(*stop, true))?;
    stub.run()?;
    stops.iter().try_for_each(|stop| stub.set(*stop, false))?;
    stub.monitor("log exec")?;
    stub.release()
}

/// The difference of two windows, by function.
fn shares(once: &Histogram, twice: &Histogram, rounds: u32, symbols: &Symbols) -> Vec<Share> {
    let mut all: BTreeMap<(String, String), f64> = BTreeMap::new();
    let mut add = |place, more: f64| *all.entry(place).or_default() += more / f64::from(rounds);
    add(
        ("guest".to_owned(), "the operation itself".to_owned()),
        difference(once.guest, twice.guest),
    );
    for (pc, count) in &twice.vmm {
        let before = once.vmm.get(pc).copied().unwrap_or_default();
        add(symbols.place(*pc), difference(before, *count));
    }
    for (pc, count) in once.vmm.iter().filter(|(pc, _)| !twice.vmm.contains_key(pc)) {
        add(symbols.place(*pc), difference(*count, 0));
    }
    let shares = all.into_iter().filter(|(_, n)| *n != 0.0);
    let mut shares: Vec<Share> = shares
        .map(|((file, function), instructions)| Share { file, function, instructions })
        .collect();
    shares.sort_by(|a, b| b.instructions.total_cmp(&a.instructions));
    shares
}

fn difference(once: u32, twice: u32) -> f64 {
    f64::from(twice) - f64::from(once)
}
