//! The QEMU on this host: whether it is there and new enough.

use std::io::ErrorKind;
use std::process::{Command, Stdio};

use crate::failure::{Context, Failure, Result, broken};

/// The oldest QEMU that is known to work.
pub const OLDEST: (u32, u32) = (7, 2);

/// The first QEMU whose `virt` has an IOMMU before PCI.
pub const WITH_IOMMU: (u32, u32) = (10, 0);

/// The name of the program; `QEMU` in the environment overrides it.
pub fn program() -> String {
    std::env::var("QEMU").unwrap_or_else(|_| "qemu-system-riscv64".to_owned())
}

/// Checks that QEMU can be used; returns its name.
///
/// # Errors
/// If it is missing or too old: with what to do.
pub fn find() -> Result<String> {
    let program = program();
    match version()? {
        version if version < OLDEST => Err(too_old(&program, version)),
        _ => Ok(program),
    }
}

/// Checks that QEMU has an IOMMU.
///
/// # Errors
/// If it has none: with what to do.
pub fn check_iommu() -> Result<()> {
    let (major, minor) = version()?;
    match (major, minor) < WITH_IOMMU {
        true => Err(broken(format!(
            "--pass of a PCI device needs QEMU 10 or newer, for its IOMMU, and {} is version \
             {major}.{minor}: QEMU=path/to/a/newer/one, or pass a virtio device (net, disk=PATH)",
            program()
        ))),
        false => Ok(()),
    }
}

/// The version of QEMU, major and minor.
///
/// # Errors
/// If it is missing.
pub fn version() -> Result<(u32, u32)> {
    let program = program();
    let output = Command::new(&program).arg("--version").stdin(Stdio::null()).output();
    let output = output.map_err(|error| match error.kind() {
        ErrorKind::NotFound => missing(&program),
        _ => broken(format!("can't run {program}: {error}")),
    })?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    parse_version(&text).context(format!("understand the version of {program}"))
}

fn missing(program: &str) -> Failure {
    broken(match std::env::var_os("QEMU") {
        None => format!("{program} is not installed: `make setup` installs it"),
        Some(_) => format!("QEMU={program}: there is no such program; unset QEMU, or correct it"),
    })
}

fn too_old(program: &str, (major, minor): (u32, u32)) -> Failure {
    let (oldest, point) = OLDEST;
    broken(format!(
        "{program} is version {major}.{minor}, but {oldest}.{point} or newer is needed: \
         Debian 12, Ubuntu 24.04 and later have it"
    ))
}

/// The version in `QEMU emulator version 7.2.22 (...)`.
fn parse_version(text: &str) -> std::result::Result<(u32, u32), String> {
    let first = text.lines().next().unwrap_or_default();
    let number = first.split_once("version ").map(|(_, rest)| rest).unwrap_or_default();
    let mut parts = number.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => Ok((major, minor)),
        _ => Err(format!("it says {first:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_distributions_are_understood() {
        let debian = "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)\nCopyright";
        assert_eq!(parse_version(debian), Ok((7, 2)));
        assert_eq!(parse_version("QEMU emulator version 10.0.2"), Ok((10, 0)));
        assert!(parse_version("sh: not found").is_err());
        assert!((6, 2) < OLDEST && (10, 0) > OLDEST);
    }
}
