//! `make qemu`: an interactive kernel, with nothing to prepare.

use crate::failure::Result;
use crate::guests::{self, Recipe};
use crate::mode::{self, Mode};
use crate::run::options::{GuestOptions, RunOptions};
use crate::run::values::DiskOption;
use crate::{run, setup};

/// Fetches, builds and runs the demo; returns the exit status.
///
/// # Errors
/// If a step fails: with what to do.
pub fn main(mut options: RunOptions) -> Result<u8> {
    setup::main()?;
    let guest = guests::prepare(Recipe::Chapter6)?;
    let image = guests::fresh_disk(&guest, "demo")?;
    options.native |= mode::current() == Mode::Native;
    let disk = DiskOption { version: guest.disk_version, ..DiskOption::new(image) };
    options.guest = vec![GuestOptions {
        name: Some("rcore".to_owned()),
        kernel: Some(guest.kernel),
        disk: vec![disk],
        ..GuestOptions::default()
    }];
    if !options.dry_run {
        eprintln!("{}", guest.hint);
        eprintln!("Ctrl-A x ends the machine.");
    }
    run::run(options)
}
