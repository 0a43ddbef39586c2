//! Programs for a Linux guest that need no library: `first`, the first process
//! of a Linux that is measured, and `storm`, which checks what a kernel and
//! the VMM below it do about memory, processes and signals.
#![cfg_attr(target_os = "none", no_std)]

#[cfg(target_os = "none")]
pub mod sys;
