//! A console, or whatever takes text, as the place that `log` writes to.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU32, Ordering};

use log::{LevelFilter, Log, Metadata, Record, SetLoggerError};
use spin::Mutex;

/// Bytes that are collected before they are written: a line that is no longer
/// costs a console one exit.
const LINE: usize = 256;
/// How often a record looks whether the one before it is written.
const PATIENCE: u32 = 100_000;

/// A place for records, for a static.
///
/// Harts wait for each other, but not for ever: a record that comes in an
/// interrupt, in the middle of another, is lost, and the next one says so.
///
/// ```no_run
/// use guest_drivers::{Console, LogWriter};
/// use log::LevelFilter;
///
/// static LOG: LogWriter<Console> = LogWriter::new();
///
/// fn start(console: Console) {
///     LOG.start(console, LevelFilter::Info).expect("no other logger");
///     log::info!("here we are");
/// }
/// ```
pub struct LogWriter<W> {
    line: Mutex<Option<Line<W>>>,
    /// Records that nobody saw.
    lost: AtomicU32,
}

/// Text on its way.
struct Line<W> {
    writer: W,
    bytes: [u8; LINE],
    len: usize,
}

impl<W> Default for LogWriter<W> {
    fn default() -> Self {
        Self::new()
    }
}

impl<W> LogWriter<W> {
    /// One that has nowhere to write to yet.
    pub const fn new() -> Self {
        Self { line: Mutex::new(None), lost: AtomicU32::new(0) }
    }
}

impl<W: Write + Send> LogWriter<W> {
    /// Writes all records up to `level` to `writer` from now on.
    ///
    /// # Errors
    /// If there is a logger already.
    pub fn start(&'static self, writer: W, level: LevelFilter) -> Result<(), SetLoggerError> {
        *self.line.lock() = Some(Line { writer, bytes: [0; LINE], len: 0 });
        log::set_logger(self)?;
        log::set_max_level(level);
        Ok(())
    }

    fn try_log(&self, record: &Record<'_>) -> fmt::Result {
        let mut guard = (0..PATIENCE).find_map(|_| {
            core::hint::spin_loop();
            self.line.try_lock()
        });
        let line = guard.as_mut().and_then(|guard| guard.as_mut()).ok_or(fmt::Error)?;
        let lost = self.lost.load(Ordering::Relaxed);
        if lost != 0 {
            writeln!(line, "({lost} records lost)")?;
        }
        writeln!(line, "{:5} {}: {}", record.level(), record.target(), record.args())?;
        line.flush()?;
        // Now that it was said. Others only add.
        self.lost.fetch_sub(lost, Ordering::Relaxed);
        Ok(())
    }
}

impl<W: Write + Send> Log for LogWriter<W> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) && self.try_log(record).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Nothing is kept back.
    fn flush(&self) {}
}

impl<W: Write> Line<W> {
    fn flush(&mut self) -> fmt::Result {
        let len = core::mem::take(&mut self.len);
        let text = self.bytes.get(..len).unwrap_or_default();
        // Whole characters were put in.
        self.writer.write_str(core::str::from_utf8(text).map_err(|_| fmt::Error)?)
    }
}

impl<W: Write> Write for Line<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            if self.len + character.len_utf8() > LINE {
                self.flush()?;
            }
            let mut bytes = [0; 4];
            let bytes = character.encode_utf8(&mut bytes).as_bytes();
            let room = self.bytes.get_mut(self.len..self.len + bytes.len());
            room.ok_or(fmt::Error)?.copy_from_slice(bytes);
            self.len += bytes.len();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;
    use std::sync::{Arc, Mutex as StdMutex};
    use std::vec::Vec;

    /// What was written, by calls; fails while it is told to.
    #[derive(Clone, Default)]
    struct Paper(Arc<StdMutex<(Vec<String>, bool)>>);

    impl Write for Paper {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let mut paper = self.0.lock().unwrap();
            if paper.1 {
                return Err(fmt::Error);
            }
            paper.0.push(text.into());
            Ok(())
        }
    }

    fn on(paper: &Paper) -> LogWriter<Paper> {
        let log = LogWriter::new();
        *log.line.lock() = Some(Line { writer: paper.clone(), bytes: [0; LINE], len: 0 });
        log
    }

    fn say(log: &LogWriter<Paper>, text: &str) {
        let args = format_args!("{text}");
        let (level, target) = (log::Level::Info, "kernel");
        let _ = log.try_log(&Record::builder().level(level).target(target).args(args).build());
    }

    #[test]
    fn a_record_is_written_by_one_call() {
        let paper = Paper::default();
        say(&on(&paper), "one, two");
        assert_eq!(paper.0.lock().unwrap().0, ["INFO  kernel: one, two\n"]);
    }

    #[test]
    fn a_long_record_is_cut_between_characters() {
        let (paper, long) = (Paper::default(), "ü".repeat(LINE));
        say(&on(&paper), &long);
        let paper = paper.0.lock().unwrap();
        assert_eq!(paper.0.concat(), std::format!("INFO  kernel: {long}\n"));
        assert_eq!(paper.0.len(), 3);
    }

    #[test]
    fn lost_records_are_counted() {
        let paper = Paper::default();
        let log: &'static LogWriter<Paper> = std::boxed::Box::leak(std::boxed::Box::default());
        log.start(paper.clone(), LevelFilter::Info).expect("the first logger");
        // In the middle of another, and where nothing can be written.
        let middle = log.line.lock();
        log::info!("lost");
        drop(middle);
        paper.0.lock().unwrap().1 = true;
        log::warn!("lost, too");
        paper.0.lock().unwrap().1 = false;
        log::debug!("not wanted");
        log::error!("here");
        let written = paper.0.lock().unwrap().0.concat();
        assert!(written.starts_with("(2 records lost)\nERROR "), "{written}");
        assert!(written.ends_with(": here\n"), "{written}");
    }
}
