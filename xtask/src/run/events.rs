//! What can happen while QEMU runs, and the threads that notice it.

use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ExitStatus};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::{fs, thread};

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::failure::{Context, Result};

/// What can happen while QEMU runs.
pub(super) enum Event {
    /// Bytes on the console; none: the console has closed.
    Console(Vec<u8>),
    /// The log port is connected; what is written there reaches the VMM.
    LogOpen(UnixStream),
    /// The log port has closed; whether a report came.
    LogEnd(io::Result<bool>),
    /// QEMU has ended.
    Exit(io::Result<ExitStatus>),
    /// Ctrl-C, or a signal that asks us to end.
    Interrupt,
}

/// The queue of events.
pub(super) struct Events {
    /// For those who have something to tell.
    pub(super) sender: Sender<Event>,
    /// For the one who decides.
    pub(super) receiver: Receiver<Event>,
}

impl Events {
    /// A queue into which signals go, too.
    ///
    /// # Errors
    /// If the signal handler can't be installed.
    pub(super) fn new() -> Result<Self> {
        let (sender, receiver) = channel();
        let interrupts = sender.clone();
        let handler = move || {
            let _ = interrupts.send(Event::Interrupt);
        };
        ctrlc::set_handler(handler).context("handle signals")?;
        Ok(Self { sender, receiver })
    }
}

/// A directory for FIFO and socket; removed at the end.
///
/// It is in the system's directory for temporary files because not every
/// place where people keep sources (shared folders) can hold a FIFO.
pub(super) struct RunDir(PathBuf);

impl RunDir {
    /// Creates it, with the FIFO for the console in it.
    ///
    /// # Errors
    /// If the directory for temporary files can't be written.
    pub(super) fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("trapeze-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).context(format!("create {}", path.display()))?;
        let dir = Self(path);
        mkfifo(&dir.console(), Mode::S_IRUSR | Mode::S_IWUSR).context("create a FIFO")?;
        Ok(dir)
    }

    /// The FIFO into which QEMU copies the console.
    pub(super) fn console(&self) -> PathBuf {
        self.0.join("console")
    }

    /// The socket of the log port.
    pub(super) fn log(&self) -> PathBuf {
        self.0.join("log")
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Starts the threads that turn what `child` does into events; the one that
/// is returned passes on what QEMU complains about.
pub(super) fn watch(mut child: Child, console: &Path, events: &Sender<Event>) -> JoinHandle<()> {
    let (ours, exit) = (events.clone(), events.clone());
    let (reader, writer) = (console.to_owned(), console.to_owned());
    thread::spawn(move || read_console(&reader, &ours));
    let complaints = child.stderr.take();
    thread::spawn(move || {
        let status = child.wait();
        release(&writer);
        let _ = exit.send(Event::Exit(status));
    });
    thread::spawn(move || complaints.map(pass_complaints).unwrap_or_default())
}

/// Ends the wait of the reader of a FIFO that QEMU never opened.
fn release(fifo: &Path) {
    let flags = OFlag::O_NONBLOCK.bits();
    let _ = fs::OpenOptions::new().write(true).custom_flags(flags).open(fifo);
}

fn read_console(path: &Path, events: &Sender<Event>) {
    let Ok(mut console) = fs::File::open(path) else { return };
    let mut buffer = vec![0; 4096];
    loop {
        let read = console.read(&mut buffer).unwrap_or(0);
        let sent = events.send(Event::Console(buffer.get(..read).unwrap_or_default().to_vec()));
        if read == 0 || sent.is_err() {
            return;
        }
    }
}

/// Shows what QEMU complains about, but not that we have ended it.
fn pass_complaints(complaints: ChildStderr) {
    let lines = BufReader::new(complaints).lines().map_while(io::Result::ok);
    for line in lines.filter(|line| !line.contains("terminating on signal")) {
        eprintln!("{line}");
    }
}
