//! One QEMU, from its start to its certain end.
//!
//! Everything that can happen arrives as an [`Event`] in one queue, and one
//! loop decides. QEMU never outlives us: it is ended on every way out of the
//! loop, when the session is dropped, and by a hook when we panic (which
//! aborts, so that nothing is dropped).

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::panic;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{self, SetArg, Termios};
use nix::unistd::Pid;
use regex::bytes::Regex;

use super::events::{self, Event, Events};
use crate::failure::{Context, Result};

/// How long QEMU, or the VMM, has to end when told.
const GRACE: Duration = Duration::from_secs(2);
/// How much of the console a pattern can span.
const WINDOW: usize = 64 << 10;

/// How a run ended.
#[derive(Debug)]
pub(super) enum End {
    /// The console showed the pattern.
    Expected,
    /// The time was over.
    Timeout,
    /// The user, or somebody, interrupted us.
    Interrupted,
    /// QEMU ended by itself.
    Exited(ExitStatus),
}

/// What a session has seen besides its end.
#[derive(Default)]
pub(super) struct Seen {
    /// Whether anything appeared on the console.
    pub(super) console: bool,
    /// Whether a report came through the log port.
    pub(super) report: bool,
}

/// A running QEMU.
pub(super) struct Session {
    pid: Pid,
    terminal: Option<Termios>,
    complaints: Option<JoinHandle<()>>,
    log: Option<UnixStream>,
    events: Events,
    exit: Option<ExitStatus>,
    log_closed: bool,
    console_closed: bool,
    seen: Seen,
}

/// The process to end when we panic; 0: none.
static QEMU: AtomicI32 = AtomicI32::new(0);

impl Session {
    /// Starts `command`, whose console is copied to the FIFO `console`.
    ///
    /// # Errors
    /// If it can't be started.
    pub(super) fn start(mut command: Command, console: &Path, events: Events) -> Result<Self> {
        let terminal = termios::tcgetattr(io::stdin()).ok();
        command.stderr(Stdio::piped());
        let child = command.spawn().context(format!("start {:?}", command.get_program()))?;
        let pid = Pid::from_raw(child.id().cast_signed());
        QEMU.store(pid.as_raw(), Ordering::Relaxed);
        let next = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            kill_now();
            next(info);
        }));
        let complaints = events::watch(child, console, &events.sender);
        Ok(Self {
            pid,
            terminal,
            complaints: Some(complaints),
            log: None,
            events,
            exit: None,
            log_closed: false,
            console_closed: false,
            seen: Seen::default(),
        })
    }

    /// Runs to the first of: the pattern, the deadline, a signal, QEMU's end.
    /// QEMU has ended when this returns.
    ///
    /// # Errors
    /// If the log can't be written, or QEMU can't be waited for.
    pub(super) fn run(
        mut self,
        expect: Option<&Regex>,
        timeout: Option<Duration>,
    ) -> Result<(End, Seen)> {
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        let end = self.until_end(expect, deadline);
        if self.exit.is_none() {
            self.stop_politely()?;
        }
        self.terminate()?;
        self.drain_log()?;
        Ok((end?, std::mem::take(&mut self.seen)))
    }

    fn until_end(&mut self, expect: Option<&Regex>, deadline: Option<Instant>) -> Result<End> {
        let mut window = Vec::new();
        loop {
            match self.next(deadline)? {
                None => return Ok(End::Timeout),
                Some(Event::Console(bytes)) => {
                    if expect.is_some_and(|pattern| shows(&mut window, &bytes, pattern)) {
                        return Ok(End::Expected);
                    }
                }
                Some(Event::Interrupt) => return Ok(End::Interrupted),
                Some(_) => {}
            }
            if let Some(status) = self.exit {
                return Ok(self.last_words(&mut window, expect).unwrap_or(End::Exited(status)));
            }
        }
    }

    /// QEMU has ended: what is left on the console may still be expected.
    fn last_words(&mut self, window: &mut Vec<u8>, expect: Option<&Regex>) -> Option<End> {
        let deadline = Instant::now() + GRACE;
        while !self.console_closed {
            let Ok(Some(event)) = self.next(Some(deadline)) else { break };
            if let (Event::Console(bytes), Some(pattern)) = (event, expect)
                && shows(window, &bytes, pattern)
            {
                return Some(End::Expected);
            }
        }
        None
    }

    /// The next event, or `None` at the deadline; bookkeeping is done here.
    fn next(&mut self, deadline: Option<Instant>) -> Result<Option<Event>> {
        let event = match deadline {
            None => self.events.receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                self.events.receiver.recv_timeout(left)
            }
        };
        let Ok(mut event) = event else { return Ok(None) };
        match &mut event {
            Event::Console(bytes) => {
                self.seen.console |= !bytes.is_empty();
                self.console_closed |= bytes.is_empty();
            }
            Event::LogOpen(stream) => self.log = stream.try_clone().ok(),
            Event::LogEnd(result) => {
                self.log_closed = true;
                let result = std::mem::replace(result, Ok(false));
                self.seen.report |= result.context("write the log of the VMM")?;
            }
            Event::Exit(result) => {
                let result = std::mem::replace(result, Ok(ExitStatus::default()));
                self.exit = Some(result.context("wait for QEMU")?);
                QEMU.store(0, Ordering::Relaxed);
            }
            Event::Interrupt => {}
        }
        Ok(Some(event))
    }

    /// Asks the VMM to end, so that it can report.
    fn stop_politely(&mut self) -> Result<()> {
        let Some(log) = &mut self.log else { return Ok(()) };
        match log.write_all(b"stop\n") {
            Ok(()) => self.await_exit(),
            Err(_) => Ok(()),
        }
    }

    /// Ends QEMU: first in a way that lets it restore the terminal.
    fn terminate(&mut self) -> Result<()> {
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            if self.exit.is_none() {
                let _ = kill(self.pid, signal);
                self.await_exit()?;
            }
        }
        // Only now, so that our last line comes after those of QEMU.
        if let (Some(_), Some(complaints)) = (self.exit, self.complaints.take()) {
            let _ = complaints.join();
        }
        Ok(())
    }

    fn await_exit(&mut self) -> Result<()> {
        let deadline = Instant::now() + GRACE;
        while self.exit.is_none() && self.next(Some(deadline))?.is_some() {}
        Ok(())
    }

    /// Waits until all of the log is written, if there is one.
    fn drain_log(&mut self) -> Result<()> {
        let deadline = Instant::now() + GRACE;
        while self.log.is_some() && !self.log_closed && self.next(Some(deadline))?.is_some() {}
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.exit.is_none() {
            kill_now();
        }
        if let Some(terminal) = &self.terminal {
            let _ = termios::tcsetattr(io::stdin(), SetArg::TCSANOW, terminal);
        }
    }
}

/// Whether the pattern shows once `bytes` are added; line ends are `\n`.
fn shows(window: &mut Vec<u8>, bytes: &[u8], pattern: &Regex) -> bool {
    window.extend(bytes.iter().filter(|byte| **byte != b'\r'));
    let found = pattern.is_match(window);
    window.drain(..window.len().saturating_sub(WINDOW));
    found
}

fn kill_now() {
    let pid = QEMU.swap(0, Ordering::Relaxed);
    if pid > 0 {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{BufRead, BufReader};
    use std::thread;

    use super::super::events::RunDir;
    use super::super::log;
    use super::super::spec::{Plan, Trace};
    use super::*;

    /// A plan with a trace and statistics in `dir`.
    fn plan(dir: &Path) -> Plan {
        let trace = Trace { file: dir.join("trace"), causes: Default::default(), limit: None };
        Plan {
            mode: crate::mode::Mode::Guest,
            guests: Vec::new(),
            harts: 1,
            icount: false,
            trace: Some(trace),
            stats: Some(dir.join("stats")),
            expect: None,
            timeout: None,
            escape: Default::default(),
            dry_run: false,
        }
    }

    /// The other end of the log port: reports when it is told to stop.
    fn vmm(socket: &Path) {
        let mut log = UnixStream::connect(socket).unwrap();
        log.write_all(b"csrr a0, sepc\n").unwrap();
        let mut line = String::new();
        BufReader::new(log.try_clone().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "stop\n");
        log.write_all(b"{\"report\":\"stats\"}\n").unwrap();
    }

    #[test]
    fn the_vmm_is_asked_to_report_and_the_machine_is_ended() {
        let run_dir = RunDir::new().unwrap();
        let console = run_dir.console();
        let dir = console.parent().unwrap();
        let events = Events::new().unwrap();
        let plan = plan(dir);
        log::serve(&plan, &run_dir.log(), events.sender.clone()).unwrap();
        let socket = run_dir.log();
        let vmm = thread::spawn(move || vmm(&socket));
        // A machine that prints, and ends only when it is killed.
        let mut machine = Command::new("sh");
        machine.args(["-c", "trap '' TERM; echo hello > \"$0\"; exec sleep 60"]);
        machine.arg(&console);
        let session = Session::start(machine, &console, events).unwrap();
        let pid = session.pid;
        let pattern = Regex::new("(?m)^hello$").unwrap();
        let (end, seen) = session.run(Some(&pattern), Some(Duration::from_secs(30))).unwrap();
        vmm.join().unwrap();
        assert!(matches!(end, End::Expected) && seen.console && seen.report);
        assert!(kill(pid, None).is_err(), "the machine is still there");
        assert_eq!(fs::read(dir.join("trace")).unwrap(), b"csrr a0, sepc\n");
        assert_eq!(fs::read(dir.join("stats")).unwrap(), b"{\"report\":\"stats\"}\n");
    }

    #[test]
    fn patterns_are_found_across_reads_and_line_ends() {
        let pattern = Regex::new("(?m)^init: starting sh\n\\$ ").unwrap();
        let mut window = Vec::new();
        assert!(!shows(&mut window, b"xv6\r\ninit: star", &pattern));
        assert!(!shows(&mut window, b"ting sh\r\n", &pattern));
        assert!(shows(&mut window, b"$ ", &pattern));
    }

    #[test]
    fn the_window_is_bounded() {
        let pattern = Regex::new("never").unwrap();
        let mut window = Vec::new();
        for _ in 0..100 {
            assert!(!shows(&mut window, &[b'x'; 4096], &pattern));
        }
        assert_eq!(window.len(), WINDOW);
    }
}
