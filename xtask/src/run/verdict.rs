//! What the end of a run means: an exit status, and a last line that says it.

use std::os::unix::process::ExitStatusExt;

use trapeze_vmm::bundle::status;

use super::session::{End, Seen};
use super::spec::Plan;
use crate::failure::{Failure, INTERRUPTED, Result, TIMEOUT, TOOL, UNMET, broken};
use crate::mode::Mode;

/// The status with which the tool ends.
///
/// # Errors
/// Every end that is not a success; the text is the last line of the run.
pub(super) fn judge(plan: &Plan, end: &End, seen: &Seen) -> Result<u8> {
    match end {
        End::Timeout => return Err(timeout(plan)),
        End::Interrupted => return Err(Failure::new(INTERRUPTED, "interrupted")),
        End::Exited(exit) => exited(plan, exit.code(), exit.signal(), seen)?,
        End::Expected => {}
    }
    match plan.stats.is_some() && !seen.report {
        true => Err(broken("the run ended before the VMM could report: there are no statistics")),
        false => Ok(0),
    }
}

fn timeout(plan: &Plan) -> Failure {
    let seconds = plan.timeout.unwrap_or_default().as_secs();
    let missed =
        plan.expect.as_ref().map(|pattern| format!(": the console never showed {pattern}"));
    Failure::new(TIMEOUT, format!("timeout after {seconds} s{}", missed.unwrap_or_default()))
}

fn exited(plan: &Plan, code: Option<i32>, signal: Option<i32>, seen: &Seen) -> Result<()> {
    let Some(code) = code.and_then(|code| u8::try_from(code).ok()) else {
        return Err(broken(format!("QEMU was killed by signal {}", signal.unwrap_or_default())));
    };
    match (code, &plan.expect) {
        (0, None) => Ok(()),
        (0, Some(pattern)) => Err(Failure::new(
            UNMET,
            format!("the run ended, but the console never showed {pattern}"),
        )),
        (1, _) if !seen.console => {
            Err(Failure::new(TOOL, "QEMU could not start the machine: its message is above"))
        }
        _ => Err(Failure::new(code, failure(plan.mode, code))),
    }
}

/// What a status other than 0 says.
fn failure(mode: Mode, code: u8) -> String {
    match (mode, code) {
        (Mode::Guest, status::RESET_LOOP) => {
            "a guest keeps resetting, traps in a loop, or was reset with --no-reboot".into()
        }
        (Mode::Guest, status::PANIC) => {
            "the VMM panicked; please report this, with what is above".into()
        }
        (Mode::Guest, status::BAD_BUNDLE) => "the VMM refused the configuration".into(),
        _ => format!("a guest failed with code {code}"),
    }
}

#[cfg(test)]
mod tests {
    use std::process::ExitStatus;

    use super::*;

    fn plan(mode: Mode, expect: Option<&str>) -> Plan {
        Plan {
            mode,
            guests: Vec::new(),
            harts: 1,
            icount: false,
            trace: None,
            stats: None,
            expect: expect.map(|text| regex::bytes::Regex::new(text).unwrap()),
            timeout: Some(std::time::Duration::from_secs(9)),
            escape: Default::default(),
            dry_run: false,
        }
    }

    fn judged(mode: Mode, expect: Option<&str>, end: End, console: bool) -> (u8, String) {
        let seen = Seen { console, report: false };
        match judge(&plan(mode, expect), &end, &seen) {
            Ok(status) => (status, String::new()),
            Err(failure) => (failure.status, failure.to_string()),
        }
    }

    fn exit(code: i32) -> End {
        End::Exited(ExitStatus::from_raw(code << 8))
    }

    #[test]
    fn each_end_has_its_status_and_its_line() {
        for (mode, expect, end, status, part) in [
            (Mode::Guest, None, exit(0), 0, ""),
            (Mode::Guest, Some("x"), End::Expected, 0, ""),
            (Mode::Guest, Some("x"), exit(0), 125, "never showed x"),
            (Mode::Guest, Some("x"), End::Timeout, 124, "after 9 s: the console never showed x"),
            (Mode::Guest, None, exit(3), 3, "code 3"),
            (Mode::Guest, None, exit(100), 100, "resetting"),
            (Mode::Guest, None, exit(101), 101, "panicked"),
            (Mode::Native, None, exit(101), 101, "code 101"),
            (Mode::Guest, None, End::Interrupted, 130, "interrupted"),
            (Mode::Guest, None, End::Exited(ExitStatus::from_raw(9)), 103, "signal 9"),
        ] {
            let (found, line) = judged(mode, expect, end, true);
            assert_eq!(found, status, "{line}");
            assert!(line.contains(part), "{line}");
        }
    }

    #[test]
    fn a_machine_that_never_started_is_not_a_guest_that_failed() {
        let (status, line) = judged(Mode::Guest, None, exit(1), false);
        assert_eq!(status, TOOL);
        assert!(line.contains("QEMU could not start"), "{line}");
    }
}
