//! A QEMU that can be stopped at an instruction or at a store, by its GDB stub
//! (GDB's manual, appendix E: the remote serial protocol).

use std::env;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use xtask::failure::{Context, Result, broken};

use crate::machine;

/// How long QEMU may take until it listens, and a machine until it stops.
const PATIENCE: Duration = Duration::from_secs(120);
const LONG: Duration = Duration::from_secs(1800);
const PAUSE: Duration = Duration::from_millis(5);

/// The name of a socket, which is removed in the end.
pub(crate) struct Socket(PathBuf);

impl Socket {
    /// One of its own; a socket's path has to be short.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("trapeze-bench-{}-{number}", std::process::id());
        Self(env::temp_dir().join(name))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Connects as soon as QEMU listens.
    ///
    /// # Errors
    /// If it does not do so.
    pub(crate) fn connect(&self) -> Result<UnixStream> {
        let begin = Instant::now();
        loop {
            match UnixStream::connect(&self.0) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(LONG)).context("connect to QEMU")?;
                    return Ok(stream);
                }
                Err(_) if begin.elapsed() < PATIENCE => thread::sleep(PAUSE),
                Err(error) => return Err(error).context("connect to QEMU"),
            }
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A machine that waits before its first instruction, until the stub lets it
/// run.
pub(crate) struct Machine {
    /// QEMU.
    pub(crate) child: Child,
    /// What stops it.
    pub(crate) stub: Stub<UnixStream>,
}

impl Machine {
    /// What `run`, which is `cargo xtask run`, would run. `prepare` adds
    /// arguments of QEMU, and says where its text goes.
    ///
    /// # Errors
    /// If QEMU does not start.
    pub(crate) fn start(mut run: Command, prepare: impl FnOnce(&mut Command)) -> Result<Self> {
        // A dry run leaves its bundle where the next one does.
        static BUNDLE: Mutex<()> = Mutex::new(());
        let _one = BUNDLE.lock().unwrap_or_else(PoisonError::into_inner);
        run.arg("--dry-run");
        let line = machine::output(run)?;
        let socket = Socket::new();
        let chardev = format!("socket,id=stub,path={},server=on,wait=off", socket.0.display());
        let mut qemu = Command::new("sh");
        qemu.args(["-c", &format!("exec {} \"$@\"", line.trim()), "qemu"]);
        qemu.args(["-S", "-chardev", &chardev, "-gdb", "chardev:stub"]);
        prepare(&mut qemu);
        let mut child = qemu.spawn().context("start QEMU")?;
        // It listens when it has read its files.
        match socket.connect() {
            Ok(stream) => Ok(Self { child, stub: Stub(stream) }),
            Err(failure) => {
                end(&mut child);
                Err(failure)
            }
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// The other end of the stub.
pub(crate) struct Stub<S>(S);

/// Where to stop.
#[derive(Clone, Copy)]
pub(crate) enum Stop {
    /// Before an instruction.
    Execute(u64),
    /// At a store to an address.
    Store(u64),
}

impl Stop {
    fn request(self, set: bool) -> String {
        let (kind, address, length) = match self {
            Self::Execute(pc) => (0, pc, 4),
            Self::Store(address) => (2, address, 1),
        };
        format!("{}{kind},{address:x},{length}", if set { 'Z' } else { 'z' })
    }
}

impl<S: Read + Write> Stub<S> {
    /// Sets or removes a place to stop at.
    ///
    /// # Errors
    /// If QEMU refuses, or has ended.
    pub(crate) fn set(&mut self, stop: Stop, set: bool) -> Result<()> {
        match self.ask(&stop.request(set))?.as_str() {
            "OK" => Ok(()),
            other => Err(broken(format!("QEMU can't stop there: {other:?}"))),
        }
    }

    /// Lets the machine run until it stops.
    ///
    /// # Errors
    /// If it ends instead.
    pub(crate) fn run(&mut self) -> Result<()> {
        self.stopped("c")
    }

    /// One instruction.
    ///
    /// # Errors
    /// As of [`Stub::run`].
    pub(crate) fn step(&mut self) -> Result<()> {
        self.stopped("s")
    }

    fn stopped(&mut self, request: &str) -> Result<()> {
        match self.ask(request)? {
            answer if answer.starts_with('T') || answer.starts_with('S') => Ok(()),
            other => Err(broken(format!("the machine ended instead of stopping: {other:?}"))),
        }
    }

    /// Lets the machine run.
    ///
    /// # Errors
    /// If QEMU has ended.
    pub(crate) fn release(&mut self) -> Result<()> {
        self.send("c").context("talk to QEMU")
    }

    /// Has QEMU's monitor do something.
    ///
    /// # Errors
    /// If QEMU refuses, or has ended.
    pub(crate) fn monitor(&mut self, line: &str) -> Result<()> {
        let hex: String = line.bytes().map(|byte| format!("{byte:02x}")).collect();
        match self.ask(&format!("qRcmd,{hex}"))?.as_str() {
            "OK" => Ok(()),
            other => Err(broken(format!("QEMU's monitor refuses {line:?}: {other:?}"))),
        }
    }

    fn ask(&mut self, request: &str) -> Result<String> {
        let mut ask = || {
            self.send(request)?;
            loop {
                let answer = self.receive()?;
                // What the monitor says before it is done.
                if answer == "OK" || !answer.starts_with('O') {
                    return Ok(answer);
                }
            }
        };
        ask().map_err(|error: io::Error| error.to_string()).context("talk to QEMU")
    }

    fn send(&mut self, text: &str) -> io::Result<()> {
        let sum = text.bytes().fold(0_u8, u8::wrapping_add);
        self.0.write_all(format!("${text}#{sum:02x}").as_bytes())
    }

    /// The next packet, `$TEXT#SUM`, acknowledged. The connection loses
    /// nothing, so that the sum need not be looked at.
    fn receive(&mut self) -> io::Result<String> {
        while self.byte()? != b'$' {}
        let mut text = String::new();
        loop {
            match self.byte()? {
                b'#' => break,
                byte => text.push(char::from(byte)),
            }
        }
        let _sum = [self.byte()?, self.byte()?];
        self.0.write_all(b"+")?;
        Ok(text)
    }

    fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.0.read_exact(&mut byte)?;
        Ok(byte[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What QEMU says, and what it was told.
    struct Fake {
        says: io::Cursor<&'static [u8]>,
        told: Vec<u8>,
    }

    impl Read for Fake {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.says.read(buffer)
        }
    }

    impl Write for Fake {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.told.extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn stub(says: &'static str) -> Stub<Fake> {
        Stub(Fake { says: io::Cursor::new(says.as_bytes()), told: Vec::new() })
    }

    fn told(stub: &Stub<Fake>) -> String {
        String::from_utf8_lossy(&stub.0.told).into_owned()
    }

    #[test]
    fn packets_have_sums_and_are_acknowledged() {
        let mut stub = stub("+$OK#9a+$T05thread:01;#07");
        stub.set(Stop::Execute(0x8020_0000), true).unwrap();
        stub.run().unwrap();
        assert_eq!(told(&stub), "$Z0,80200000,4#a0+$c#63+");
    }

    #[test]
    fn what_the_monitor_says_is_no_answer() {
        let mut stub = stub("+$O6869#00+$OK#9a");
        stub.monitor("hi").unwrap();
        assert!(told(&stub).starts_with("$qRcmd,6869#"), "{}", told(&stub));
    }

    #[test]
    fn a_machine_that_ends_or_refuses_is_an_error() {
        assert!(stub("+$W00#b7").run().unwrap_err().to_string().contains("ended"));
        assert!(stub("").step().is_err());
        let refused = stub("+$E22#a9").set(Stop::Store(0x1000_0000), false).unwrap_err();
        assert!(refused.to_string().contains("E22"), "{refused}");
    }
}
