//! The suite of CPU operations: instructions natively and as a guest, exits
//! by cause, and for what misses its target where the instructions go.

use xtask::failure::{Result, broken};
use xtask::mode::Mode;

use crate::machine::{Bench, Figures};
use crate::operation::{OPERATIONS, Operation};
use crate::pool;
use crate::profile::{self, Share};
use crate::progress::Progress;
use crate::report::Row;

/// Rounds of the first of the two runs whose difference tells the exits. The
/// second has twice as many.
const ROUNDS: u32 = 40;
/// What is counted, but is no exit of its own.
const NO_EXIT: &str = "interrupts injected";

/// Measures everything; `explain`: with profiles.
///
/// # Errors
/// If a run fails.
pub fn measure(explain: bool) -> Result<Vec<Row>> {
    let bench = Bench::prepare()?;
    let steps = 3 + OPERATIONS.len() * if explain { 2 } else { 1 };
    let progress = Progress::new(steps);
    let modes = [Some(Mode::Native), Some(Mode::Guest), None];
    let figures = pool::side_by_side(&modes, |mode| match mode {
        Some(mode) => {
            let how = if *mode == Mode::Native { "natively" } else { "as a guest" };
            progress.step(&format!("all operations, {how}"), || bench.figures(*mode))
        }
        None => progress.step("all operations, assisted", || bench.assisted_figures()),
    })?;
    let [native, guest, assisted] = figures.as_slice() else { return Ok(Vec::new()) };
    pool::side_by_side(&OPERATIONS, |operation| {
        let what = format!("exits of {}", operation.name);
        let causes = progress.step(&what, || exits(&bench, operation.name))?;
        let profile = match explain {
            true => progress.step(&format!("profile of {}", operation.name), || {
                profile::of(&bench, operation.name)
            })?,
            false => Vec::new(),
        };
        row(*operation, [native, guest, assisted], causes, profile)
    })
}

fn row(
    operation: Operation,
    [native, guest, assisted]: [&Figures; 3],
    causes: Figures,
    profile: Vec<Share>,
) -> Result<Row> {
    let figure = |all: &Figures| {
        let missing = || broken(format!("the probe does not know {}", operation.name));
        all.get(operation.name).copied().ok_or_else(missing)
    };
    Ok(Row {
        name: operation.name.to_owned(),
        what: operation.what.to_owned(),
        native: figure(native)?,
        guest: figure(guest)?,
        target: operation.target,
        assisted: Some(figure(assisted)?),
        assisted_target: operation.assisted,
        rvirt: operation.rvirt,
        exits: causes.values().sum(),
        causes,
        profile,
    })
}

/// Exits of one operation, by cause.
fn exits(bench: &Bench, name: &str) -> Result<Figures> {
    let once = bench.exits(name, ROUNDS.into())?;
    let twice = bench.exits(name, (2 * ROUNDS).into())?;
    Ok(difference(&once, &twice, 3.0 * f64::from(ROUNDS)))
}

/// What `twice` has more than `once`, divided; causes without any are left out.
fn difference(once: &Figures, twice: &Figures, operations: f64) -> Figures {
    let more = twice.iter().map(|(cause, n)| {
        let before = once.get(cause).copied().unwrap_or_default();
        (cause.clone(), (n - before) / operations)
    });
    more.filter(|(cause, n)| *n > 0.0 && cause != NO_EXIT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation;

    fn figures(pairs: &[(&str, f64)]) -> Figures {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    }

    #[test]
    fn what_happens_once_per_run_is_no_part_of_the_operation() {
        let once = figures(&[("sret", 130.0), ("mret", 5.0), (NO_EXIT, 1.0)]);
        let twice = figures(&[("sret", 250.0), ("mret", 5.0), ("wfi", 60.0), (NO_EXIT, 99.0)]);
        let expected = figures(&[("sret", 1.0), ("wfi", 0.5)]);
        assert_eq!(difference(&once, &twice, 120.0), expected);
    }

    #[test]
    fn an_operation_that_was_not_measured_is_an_error() {
        let operation = operation::find("csrr").unwrap();
        let (some, none) = (figures(&[("csrr", 3.0)]), figures(&[]));
        let both = row(operation, [&some; 3], none.clone(), Vec::new()).unwrap();
        assert_eq!((both.native, both.exits, both.target), (3.0, 0.0, Some(150.0)));
        let failure = row(operation, [&some, &none, &some], none.clone(), Vec::new()).unwrap_err();
        assert_eq!(failure.to_string(), "the probe does not know csrr");
    }
}
