//! Our end of the log port: reports go to `--stats`, other lines to `--trace`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::Sender;
use std::thread;

use super::events::Event;
use super::spec::Plan;
use crate::failure::{Context, Result, mistake};

/// Where the lines go.
struct Sinks {
    trace: Option<Box<dyn Write + Send>>,
    stats: Option<File>,
    reported: bool,
}

/// Waits for QEMU to connect to `socket`, then distributes what comes.
///
/// Sends [`Event::LogOpen`] when connected, and [`Event::LogEnd`] at the end.
///
/// # Errors
/// If an output file or the socket can't be created.
pub(super) fn serve(plan: &Plan, socket: &Path, events: Sender<Event>) -> Result<()> {
    let mut sinks = Sinks::open(plan)?;
    let listener = UnixListener::bind(socket).context(format!("open {}", socket.display()))?;
    thread::spawn(move || {
        let result = listener.accept().and_then(|(stream, _)| {
            let _ = events.send(Event::LogOpen(stream.try_clone()?));
            sinks.take_all(stream)
        });
        let _ = events.send(Event::LogEnd(result.map(|()| sinks.reported)));
    });
    Ok(())
}

impl Sinks {
    fn open(plan: &Plan) -> Result<Self> {
        let trace = plan.trace.as_ref().map(|trace| output(&trace.file)).transpose()?;
        let stats = plan.stats.as_deref().map(create).transpose()?;
        Ok(Self { trace, stats, reported: false })
    }

    fn take_all(&mut self, stream: UnixStream) -> io::Result<()> {
        for line in BufReader::new(stream).split(b'\n') {
            let line = line?;
            self.take(line.strip_suffix(b"\r").unwrap_or(&line))?;
        }
        self.trace.as_mut().map_or(Ok(()), Write::flush)
    }

    fn take(&mut self, line: &[u8]) -> io::Result<()> {
        let is_report = line.starts_with(b"{");
        self.reported |= is_report;
        let sink = match (is_report, &mut self.stats, &mut self.trace) {
            (true, Some(stats), _) => stats as &mut dyn Write,
            (false, _, Some(trace)) => trace,
            _ => return Ok(()),
        };
        sink.write_all(line)?;
        sink.write_all(b"\n")
    }
}

/// The trace's file; stderr for `-`, because stdout is the console.
fn output(path: &Path) -> Result<Box<dyn Write + Send>> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stderr()));
    }
    Ok(Box::new(BufWriter::new(create(path)?)))
}

fn create(path: &Path) -> Result<File> {
    File::create(path).map_err(|error| {
        let shown = path.display();
        mistake(format!("can't write {shown}: {error}; name a file in a directory that exists"))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn reports_and_trace_lines_are_told_apart() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let text = "csr a0\r\n{\"report\":\"stats\"}\nlast without newline";
        theirs.write_all(text.as_bytes()).unwrap();
        drop(theirs);
        let trace = Shared::default();
        let mut sinks =
            Sinks { trace: Some(Box::new(trace.clone())), stats: None, reported: false };
        sinks.take_all(ours).unwrap();
        assert!(sinks.reported);
        assert_eq!(*trace.0.lock().unwrap(), b"csr a0\nlast without newline\n");
    }
}
