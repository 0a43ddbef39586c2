//! A stream of text that another thread collects, to wait for patterns in.

use std::io::Read;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use regex::bytes::Regex;

/// What has arrived so far.
#[derive(Default)]
struct State {
    text: Vec<u8>,
    closed: bool,
}

/// The collected text; clones share it.
#[derive(Clone, Default)]
pub(crate) struct Console(Arc<(Mutex<State>, Condvar)>);

/// Why a pattern was not found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Missed {
    /// It did not come in time.
    Deadline,
    /// The stream ended without it.
    Closed,
}

impl Console {
    /// Collects `source` to its end; line ends become `\n`.
    pub(crate) fn collect(mut source: impl Read + Send + 'static) -> Self {
        let console = Self::default();
        let ours = console.clone();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = source.read(&mut buffer) {
                ours.add(&buffer[..count]);
            }
            ours.lock().closed = true;
            ours.0.1.notify_all();
        });
        console
    }

    fn add(&self, bytes: &[u8]) {
        self.lock().text.extend(bytes.iter().filter(|byte| **byte != b'\r'));
        self.0.1.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All text so far.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.lock().text).into_owned()
    }

    /// Waits until `pattern` matches at or after `from`; returns where the
    /// match ends.
    pub(crate) fn wait(
        &self,
        pattern: &Regex,
        from: usize,
        patience: Duration,
    ) -> Result<usize, Missed> {
        self.wait_for(patience, |text| pattern.find_at(text, from).map(|found| found.end()))
    }

    /// Waits until `look` finds what it looks for in all of the text.
    pub(crate) fn wait_for<T>(
        &self,
        patience: Duration,
        look: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<T, Missed> {
        let deadline = Instant::now() + patience;
        let mut state = self.lock();
        loop {
            if let Some(found) = look(&state.text) {
                return Ok(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if state.closed || left.is_zero() {
                return Err(if state.closed { Missed::Closed } else { Missed::Deadline });
            }
            let woken = self.0.1.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The text between two positions.
    pub(crate) fn slice(&self, from: usize, to: usize) -> String {
        String::from_utf8_lossy(&self.lock().text[from..to]).into_owned()
    }

    /// Whether the stream has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Waits until the stream has ended.
    pub(crate) fn wait_closed(&self, patience: Duration) {
        let state = self.lock();
        let _ = self.0.1.wait_timeout_while(state, patience, |state| !state.closed);
    }
}

/// What one of several guests has said: the VMM marks each line, and breaks
/// the line of a guest when another one speaks, so that its line ends are not
/// kept here.
pub(crate) fn voice(text: &[u8], guest: &str) -> Vec<u8> {
    let mark = format!("[{guest}] ");
    let lines = text.split(|byte| *byte == b'\n');
    lines.filter_map(|line| line.strip_prefix(mark.as_bytes())).flatten().copied().collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    fn pattern(text: &str) -> Regex {
        Regex::new(text).unwrap()
    }

    #[test]
    fn patterns_are_found_when_they_come() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let console = Console::collect(ours);
        let other = console.clone();
        let waiter = thread::spawn(move || other.wait(&pattern("b\nc"), 0, LONG));
        theirs.write_all(b"a\r\nb").unwrap();
        theirs.write_all(b"\r\ncd").unwrap();
        assert_eq!(waiter.join().unwrap(), Ok(5));
        assert_eq!(console.wait(&pattern("d"), 5, LONG), Ok(6));
        assert_eq!(console.slice(2, 5), "b\nc");
    }

    #[test]
    fn interrupted_lines_of_a_guest_are_joined() {
        let text = b"[a] one\n[b] x\n[a] tw\n[b] y\n[a] o\nVMM\n";
        assert_eq!(voice(text, "a"), b"onetwo");
    }

    #[test]
    fn waiting_ends_with_the_stream_or_the_deadline() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let console = Console::collect(ours);
        let short = Duration::from_millis(10);
        assert_eq!(console.wait(&pattern("x"), 0, short), Err(Missed::Deadline));
        drop(theirs);
        assert_eq!(console.wait(&pattern("x"), 0, LONG), Err(Missed::Closed));
    }
}
