//! A QEMU that can be stopped at an instruction, by its GDB stub
//! (GDB's manual, appendix E: the remote serial protocol).

use std::env;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use xtask::failure::{Context, Result, broken};

/// How long QEMU may take until it listens.
const PATIENCE: Duration = Duration::from_secs(120);
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
                Ok(stream) => return Ok(stream),
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

/// Has QEMU wait at `socket` before the first instruction.
pub(crate) fn wait_at(command: &mut Command, socket: &Socket) {
    let path = socket.path().display();
    let chardev = format!("socket,id=stub,path={path},server=on,wait=off");
    command.args(["-S", "-chardev", &chardev, "-gdb", "chardev:stub"]);
}

/// The other end of the stub.
pub(crate) struct Stub<S>(S);

/// Where to stop: before the instruction at an address.
#[derive(Clone, Copy)]
pub(crate) struct Stop(pub(crate) u64);

impl Stop {
    fn request(self, set: bool) -> String {
        format!("{}0,{:x},4", if set { 'Z' } else { 'z' }, self.0)
    }
}

impl<S: Read + Write> Stub<S> {
    /// Talks to QEMU over a connection.
    pub(crate) fn new(stream: S) -> Self {
        Self(stream)
    }

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
        match self.ask("c")? {
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
        Stub::new(Fake { says: io::Cursor::new(says.as_bytes()), told: Vec::new() })
    }

    fn told(stub: &Stub<Fake>) -> String {
        String::from_utf8_lossy(&stub.0.told).into_owned()
    }

    #[test]
    fn packets_have_sums_and_are_acknowledged() {
        let mut stub = stub("+$OK#9a+$T05thread:01;#07");
        stub.set(Stop(0x8020_0000), true).unwrap();
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
        assert!(stub("").run().is_err());
        let refused = stub("+$E22#a9").set(Stop(0x1000_0000), false).unwrap_err();
        assert!(refused.to_string().contains("E22"), "{refused}");
    }
}
