//! A program that gives a kernel's memory management, and the shadow tables
//! below it, a bad time: processes that share pages until they write to them,
//! maps that come and go, protections that a signal handler lifts, and
//! processes that take turns with registers and clocks of their own. Says
//! `storm: passed`, or what was wrong, also by its exit status.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
#[path = "storm/checks.rs"]
mod checks;

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("this is a program of a Linux guest: the tests put it there");
    std::process::exit(2);
}
