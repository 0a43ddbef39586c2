//! What the files are that a user names: found before anything starts, so
//! that a mistake is told in one line instead of by a guest that hangs.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;

use trapeze_vmm::addr::Gpa;
use trapeze_vmm::bundle::Boot;
use trapeze_vmm::load::{self, BootRequest};
use trapeze_vmm::mem::GuestRam;
use trapeze_vmm::vcpu;

use crate::failure::{Context, Result, mistake};

/// Start of a guest's RAM.
const RAM: Gpa = Gpa(0x8000_0000);
/// Where a guest's RAM is with dma=trusted; which place it is does not matter.
const MOVED: Gpa = Gpa(0x1_0000_0000);
/// All of a kernel lies in so much memory; more is not tried on the host.
const KERNEL_MAX: u64 = 1 << 30;

/// The mode in which a kernel starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Start {
    /// In machine mode: it is its own firmware.
    Bare,
    /// In supervisor mode, under a firmware.
    Firmware,
}

/// Checks that `path` is a file that can be read and holds something; returns
/// its size. `what` names its role in messages.
pub(super) fn file(what: &str, path: &Path) -> Result<u64> {
    let shown = path.display();
    let meta = fs::metadata(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            mistake(format!("{what} {shown}: no such file; correct the path, or build it first"))
        }
        _ => mistake(format!("{what} {shown}: {error}")),
    })?;
    if meta.is_dir() {
        return Err(mistake(format!("{what} {shown}: is a directory; name the file in it")));
    }
    if meta.len() == 0 {
        return Err(mistake(format!("{what} {shown}: is empty; was its build interrupted?")));
    }
    File::open(path).map_err(|error| mistake(format!("{what} {shown}: {error}")))?;
    Ok(meta.len())
}

/// Checks a disk image.
pub(super) fn disk(path: &Path, read_only: bool) -> Result<()> {
    let size = file("disk", path)?;
    let shown = path.display();
    if !size.is_multiple_of(512) {
        return Err(mistake(format!("disk {shown}: {size} bytes are not a multiple of 512")));
    }
    let writable = read_only || fs::OpenOptions::new().write(true).open(path).is_ok();
    match writable {
        true => Ok(()),
        false => Err(mistake(format!("disk {shown}: can't be written; add \",ro\" to its option"))),
    }
}

/// Checks that a kernel can be loaded, as the VMM will load it, and finds how
/// it starts. A `moved` one has its RAM at some other place than usual.
pub(super) fn kernel(path: &Path, memory: u64, boot: Boot, moved: bool) -> Result<Start> {
    file("kernel", path)?;
    let shown = path.display();
    let image = fs::read(path).context(format!("read kernel {shown}"))?;
    let wrong = |problem| mistake(format!("kernel {shown}: {problem}"));
    let found = start(&image, RAM, memory, boot).map_err(wrong)?;
    let elsewhere = start(&image, MOVED, memory, boot);
    match moved && elsewhere != Ok(Start::Firmware) {
        true => Err(wrong(
            "dma=trusted needs a kernel that starts in vS wherever it is loaded, as Linux does"
                .to_owned(),
        )),
        false => Ok(found),
    }
}

fn start(image: &[u8], base: Gpa, memory: u64, boot: Boot) -> std::result::Result<Start, String> {
    if is_text(image) {
        return Err("is a text file; name the kernel that was built".to_owned());
    }
    let request = match boot {
        Boot::Auto => BootRequest::Auto,
        Boot::Machine => BootRequest::Machine,
        Boot::Supervisor => BootRequest::Supervisor,
    };
    // Never freed, but this process ends soon, and untouched pages are free.
    let ram = GuestRam::leaked(base, memory.min(KERNEL_MAX));
    let entry = load::kernel(image, &ram, request).map_err(|error| error.to_string())?;
    Ok(match entry.mode {
        vcpu::Mode::Machine => Start::Bare,
        _ => Start::Firmware,
    })
}

/// Scripts and sources; a raw kernel has bytes that no text has.
fn is_text(image: &[u8]) -> bool {
    let head = image.get(..512).unwrap_or(image);
    head.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_code_starts_bare_unless_told_otherwise() {
        let nop = [0x13, 0, 0, 0];
        assert_eq!(start(&nop, RAM, 2 << 20, Boot::Auto), Ok(Start::Bare));
        assert_eq!(start(&nop, RAM, 4 << 20, Boot::Supervisor), Ok(Start::Firmware));
    }

    #[test]
    fn what_is_no_kernel_is_refused_with_the_reason() {
        for (image, part) in [
            (b"#!/bin/sh\nexec true\n" as &[u8], "text file"),
            (b"\x1f\x8b\x08\0\0\0\0\0", "unpack"),
            (b"\x7fELF\x02\x01\x01\0", "damaged"),
        ] {
            let problem = start(image, RAM, 2 << 20, Boot::Auto).unwrap_err();
            assert!(problem.contains(part), "{problem}");
        }
    }

    #[test]
    fn files_are_checked_before_they_are_used() {
        let problem = |path: &str| file("kernel", Path::new(path)).unwrap_err().to_string();
        assert!(problem("/nonexistent/kernel").contains("no such file"));
        assert!(problem("/").contains("is a directory"));
        assert!(problem("/dev/null").contains("is empty"));
    }
}
